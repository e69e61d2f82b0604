"""What users read says things in the standard terms of ROS, OpenCV and PyTorch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.documents import documents, prose
from support.processes import SOURCE

# What must not be written, as a regular expression without regard to case, and what to write.
BANNED = {
    r'listen(er|ers|s|ed|ing)?': 'subscriber, subscribe',
    r'nobody': 'no subscribers, no publishers, no other process',
    r'overtaken': 'superseded',
    r'refus(e|es|ed|ing|al|als)': 'invalid, reject',
    r'hand(s|ed|ing)? (it |them |that )?over': 'dispatch',
    r'goes before': 'overrides',
    r'is none of': 'must be one of',
    r'looked at': 'ignored by (not looked at), checked, read',
    r'mend(s|ed|ing)?': 'fix',
    r'tell(s|ing)?|told': 'report, return, show',
    r'not possible here': 'unavailable: <reason>',
    r'stamps?': 'timestamp',
    r'partners?': 'matching message',
    r'silent(ly)?|silence': 'no messages received although N publishers exist',
    r'trigger the cameras together': 'hardware-synchronize the cameras',
    r'disparities below 0 too': 'allow negative disparities (verged cameras)',
    r'blank (out )?(untrusted|low-confidence|occluded)': 'set ... to NaN',
    r'(leave|leaves|left|leaving) .{0,40}out of the cloud': 'remove',
    r'(pair|pairs|frames|messages|images) a second': 'per second',
    r'a share|the share|shares? of|shares are': 'fraction',
    r'stop-gap': 'baseline weights',
    r'rooms': 'scenes (of the demo)',
    r'befell|keeps book|deaf|a stranger|strangers|thrown forward|complaints?': 'plain words',
}
# Texts whose first line may hold a banned word all the same, and why.
EXCEPTIONS = {
    'Where the surfaces of a scene stand: rooms, objects and thin structures.': 'real rooms',
    '--stop-gap': 'the former name of an option that still works',
    'rooms': 'a folder in the cache, which earlier versions filled',
    's2m2_ros.demo.rooms': 'the name of a module',
}
# Code in a text: names in backticks.
CODE = re.compile(r'``?[^`]+``?')


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and content of each string constant, f-strings without what they insert."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def first_line(text: str) -> str:
    """Return the first line of a text, without spaces around it."""
    return text.strip().partition('\n')[0].strip()


def findings(source: str) -> list[str]:
    """Return the banned words in the texts of a Python source, with what to write instead."""
    found = []
    for line, text in texts(source):
        if first_line(text) in EXCEPTIONS:
            continue
        prose = ' '.join(CODE.sub(' ', text).split())
        for pattern, advice in BANNED.items():
            if match := re.search(rf'(?<![\w./-])(?:{pattern})(?![\w-])', prose, re.IGNORECASE):
                found.append(f'{line}: {match[0]!r} in {prose[:80]!r}: write {advice}')
    return found


def findings_in_document(path: Path) -> list[str]:
    """Return the banned words in a document, outside of code."""
    return [
        f'{path.name}:{line}: {match[0]!r}: write {advice}'
        for line, text in prose(path)
        for pattern, advice in BANNED.items()
        if (match := re.search(rf'(?<![\w./-])(?:{pattern})(?![\w-])', CODE.sub(' ', text), re.I))
    ]


def user_sources() -> list[Path]:
    """Return the files whose texts users read."""
    return [
        path
        for name in ('s2m2_ros', 'launch', 'examples')
        for path in (SOURCE / name).rglob('*.py')
    ]


def test_texts_and_docstrings_have_the_standard_terms() -> None:
    files = user_sources()
    assert len(files) > 200
    found = {
        str(path.relative_to(SOURCE)): words
        for path in files
        if (words := findings(path.read_text()))
    }
    assert found == {}


def test_documents_have_the_standard_terms() -> None:
    files = [path for path in documents() if path.parent in {SOURCE, SOURCE / 'doc'}]
    assert len(files) > 20
    assert [word for path in files for word in findings_in_document(path)] == []


def test_a_planted_word_of_a_document_is_found(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text('One `listener` is code.\n\n```text\nnobody\n```\n\nIt tells you.\n')
    assert len(findings_in_document(page)) == 1


def test_no_exception_is_left_over() -> None:
    sources = [path.read_text() for path in user_sources()]
    kept = {first_line(text) for source in sources for _, text in texts(source)}
    assert set(EXCEPTIONS) - kept == set()


@pytest.mark.parametrize(
    'source',
    [
        "raise ValueError('nobody publishes it')",
        'def f():\n    """Tell whether it is there."""',
        "f'{name} goes before {other}'",
        "log('the inputs were Overtaken')",
        "text = 'one '\\\n    'and none: is none of ' + names",
        "'''Two lines: the pairs are handed\nover at once.'''",
        "'10 pairs a second'",
        "'the header has no stamp'",
        "'a large share of the pixels'",
    ],
)
def test_a_planted_word_is_found(source: str) -> None:
    assert len(findings(source)) == 1


@pytest.mark.parametrize(
    'source',
    [
        'message.header.stamp = told(listener)',
        "'`header.stamp` and ``refuse`` are names'",
        "'the shared folder share/s2m2_ros, recommended, a hand-over-hand rope'",
        '# nobody reads comments here',
    ],
)
def test_code_and_longer_words_are_no_findings(source: str) -> None:
    assert findings(source) == []
