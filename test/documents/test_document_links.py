"""What documents point to exists: files, anchors, names of files in backticks."""

from __future__ import annotations

import re
import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from support.documents import anchors, documents, inline_code, links
from support.processes import SOURCE
from test_architecture import ALLOWED

DOCUMENTS = documents()
# Folders whose files are named from the root of the repository.
FOLDERS = ('.ci', '.github', 'benchmark', 'config', 'doc', 'docker', 'examples', 'launch', 'msg',
           's2m2_ros', 'test', 'underlay')  # fmt: skip
NAMED_FILE = re.compile(rf'(?:{"|".join(map(re.escape, FOLDERS))})/[\w./-]+\.\w+')
# Files that are named although they are not in the repository, and why.
ELSEWHERE = {
    'doc/repository': 'copies, made by `make docs`',
    'benchmark/results': 'written by `make gpu`',
    'underlay/resource': 'an index file without a suffix',
}


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def broken_links(path: Path) -> list[str]:
    """Return the links of a document that lead nowhere."""
    broken = []
    for line, target in links(path):
        if re.match(r'[a-z]+:', target):
            continue
        name, _, anchor = target.partition('#')
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            broken.append(f'{path.name}:{line}: {target}: there is no such file')
        elif anchor and file.suffix == '.md' and anchor not in anchors(file):
            broken.append(f'{path.name}:{line}: {target}: {sorted(anchors(file))}')
    return broken


@pytest.mark.parametrize('path', DOCUMENTS, ids=relative)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


@pytest.mark.parametrize('path', DOCUMENTS, ids=relative)
def test_files_named_in_backticks_exist(path: Path) -> None:
    wrong = [
        f'{relative(path)}:{line}: {text}'
        for line, text in inline_code(path)
        if NAMED_FILE.fullmatch(text)
        and not text.startswith(tuple(ELSEWHERE))
        and not (SOURCE / text).exists()
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ('text', 'count'),
    [
        ('[there](other.md)', 0),
        ('[there](other.md#a-heading-of-two)', 0),
        ('[twice](other.md#again-1)', 0),
        ('![picture](picture.png)', 1),
        ('[gone](gone.md)', 1),
        ('[anchor](other.md#a-heading)', 1),
        ('[here](#nowhere)', 1),
        ('[net](https://example.org/gone.md)', 0),
        ('```text\n[code](gone.md)\n```', 0),
    ],
)
def test_planted_links(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / 'other.md').write_text('# A heading, of `two`\n\n## Again\n\n## Again\n')
    page = tmp_path / 'page.md'
    page.write_text(f'{text}\n')
    assert len(broken_links(page)) == count


def test_every_page_is_reached_from_the_first_one() -> None:
    index = (SOURCE / 'doc' / 'index.rst').read_text(encoding='utf-8')
    listed = set(re.findall(r'^   (\w[\w/]*)$', index, re.MULTILINE))
    pages = {path.stem for path in (SOURCE / 'doc').iterdir() if path.suffix in {'.md', '.rst'}}
    assert pages - {'index'} == {name for name in listed if not name.startswith('repository/')}


@pytest.mark.parametrize(
    ('origin', 'page', 'link', 'expected'),
    [
        ('doc/nav2.md', 'doc/nav2.md', 'nav2.md', 'nav2.md'),
        ('doc/nav2.md', 'doc/nav2.md', 'nav2.md#two-sources', 'nav2.md#two-sources'),
        ('doc/nav2.md', 'doc/nav2.md', '../SECURITY.md', 'repository/security.md'),
        ('doc/nav2.md', 'doc/nav2.md', '../LICENSE', 'ADDRESS/blob/main/LICENSE'),
        ('SECURITY.md', 'doc/repository/security.md', 'doc/nav2.md', '../nav2.md'),
        ('SECURITY.md', 'doc/repository/security.md', 'CONTRIBUTING.md', 'contributing.md'),
        ('SECURITY.md', 'doc/repository/security.md', 'https://example.org/x', None),
        ('SECURITY.md', 'doc/repository/security.md', '#files', None),
        ('examples/README.md', 'doc/repository/examples.md', 'nvblox.yaml',
         'ADDRESS/blob/main/examples/nvblox.yaml'),
    ],
)  # fmt: skip
def test_links_of_the_repository_become_links_of_the_site(
    origin: str, page: str, link: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'path', [*sys.path])  # conf.py adds to it
    conf = runpy.run_path(str(SOURCE / 'doc' / 'conf.py'))
    changed = conf['with_links'](f'[text]({link})', SOURCE / origin, SOURCE / page)
    address = conf['_metadata']['url']
    assert changed == f'[text]({(expected or link).replace("ADDRESS", address)})'


def test_the_picture_of_the_packages_shows_the_table_of_imports() -> None:
    root = ET.parse(SOURCE / 'doc' / 'packages.svg').getroot()  # noqa: S314  our own file
    row = {
        str(text.text): float(text.get('y', ''))
        for text in root.iter('{http://www.w3.org/2000/svg}text')
        if text.get('class') == 'package'
    }
    assert set(row) == set(ALLOWED), 'draw the package into doc/packages.svg'
    wrong = [
        f'{package} must stand above {below}'
        for package, imported in ALLOWED.items()
        for below in imported - {'msg'}
        if row[package] >= row[below]
    ]
    assert wrong == []
