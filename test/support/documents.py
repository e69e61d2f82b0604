"""The documents of the repository, taken apart: code blocks, links, anchors, code in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.processes import SOURCE

FENCE = re.compile(r'^(?P<indent> *)(?P<marks>```+)(?P<language>\S*)')
INLINE_CODE = re.compile(r'`([^`\n]+)`')
LINK = re.compile(r'!?\[[^\]]*\]\(([^()\s]+)\)')
HEADING = re.compile(r'^#{1,6} +(.*?) *$')
# What GitHub and MyST drop when they make an anchor of a heading.
NO_ANCHOR = re.compile(r'[^\w\- ]')


@dataclass(frozen=True)
class Block:
    """A fenced block: its place, the language it names, its text without the indentation."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f'{self.path.relative_to(SOURCE)}:{self.line}'


def documents() -> list[Path]:
    """Return every document in Markdown that people read."""
    patterns = (
        '*.md', 'doc/*.md', 'examples/**/*.md', 'benchmark/*.md', 'underlay/**/*.md',
        's2m2_ros/**/*.md', '.github/*.md',
    )  # fmt: skip
    return sorted({path for pattern in patterns for path in SOURCE.glob(pattern)})


def lines_of(text: str) -> Iterator[tuple[int, str, re.Match[str] | None]]:
    """Yield each line with its number and the fence that it is in; None outside of code.

    The lines of the fences themselves are inside.
    """
    opened: re.Match[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened = fence
            yield number, line, opened
        elif opened is not None and line.strip() == opened['marks']:
            yield number, line, opened
            opened = None
        else:
            yield number, line, opened


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    found: list[Block] = []
    current: list[str] = []
    before: re.Match[str] | None = None
    start = 0
    for number, line, fence in [*lines_of(path.read_text(encoding='utf-8')), (0, '', None)]:
        if fence is not before:
            if before is not None:
                inner = [text.removeprefix(before['indent']) for text in current[1:-1]]
                found.append(Block(path, start, before['language'], '\n'.join(inner) + '\n'))
            current, start, before = [], number, fence
        if fence is not None:
            current.append(line)
    return found


def prose(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a document outside of fenced blocks, with their numbers."""
    text = path.read_text(encoding='utf-8')
    return [(number, line) for number, line, fence in lines_of(text) if fence is None]


def inline_code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of what stands in backticks."""
    for number, line in prose(path):
        for match in INLINE_CODE.finditer(line):
            yield number, match[1]


def links(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and target of each link and picture."""
    for number, line in prose(path):
        for match in LINK.finditer(INLINE_CODE.sub('', line) if '](' not in line else line):
            yield number, match[1]


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and MyST make them."""
    found: dict[str, int] = {}
    names = set()
    for _, line in prose(path):
        if match := HEADING.match(line):
            text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', match[1])
            name = NO_ANCHOR.sub('', text.lower()).replace(' ', '-')
            count = found.get(name, 0)
            found[name] = count + 1
            names.add(f'{name}-{count}' if count else name)
    return names
