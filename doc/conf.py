"""Configuration of Sphinx: `make docs` builds the site from this folder, rosdoc2 does as well."""

from __future__ import annotations

import configparser
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

# Where the pages are. rosdoc2 copies them, and executes this file out of one that names it.
SITE = Path(__file__).resolve().parent
_executed = re.search(r'exec\(open\("(.+)"\)', Path(__file__).read_text(encoding='utf-8'))
ROOT = Path(_executed[1]).resolve().parents[1] if _executed else SITE.parent
sys.path.insert(0, str(ROOT))

from s2m2_ros import __version__  # noqa: E402  the checkout, not another installation

_settings = configparser.ConfigParser()
_settings.read(ROOT / 'setup.cfg', encoding='utf-8')
_metadata = _settings['metadata']

project = 's2m2_ros'
author = _metadata['author']
copyright = author
version = release = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
# rosdoc2 puts a second copy of the pages there.
exclude_patterns = ['user_docs']
html_theme = 'sphinx_rtd_theme'
html_title = f'{project} {release}'
html_show_copyright = False
html_show_sourcelink = False

# Anchors as GitHub makes them, so that one link works in both places.
myst_heading_anchors = 4
myst_enable_extensions = ['colon_fence']

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
napoleon_use_ivar = True

# The API is documented where these are not installed, too (the build farm of ROS).
MOCKED = ('cv2', 'lz4', 'mcap', 'rosbags', 'safetensors', 'torch', 'tqdm', 'zstandard')

# Documents of the repository that are pages of the site too: copied before Sphinx looks for pages.
COPIES = SITE / 'repository'
COPIED = {
    'SECURITY.md': 'security.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CODE_OF_CONDUCT.md': 'code_of_conduct.md',
    'QUALITY_DECLARATION.md': 'quality_declaration.md',
    'CHANGELOG.rst': 'changelog.rst',
    'benchmark/README.md': 'benchmarks.md',
    'examples/README.md': 'examples.md',
    's2m2_ros/weights/starter.md': 'starter.md',
}
LINK = re.compile(r'(?<=\]\()(?![a-z]+:|#)([^)#\s]+)')


def link_on_the_site(target: Path, page: Path) -> str:
    """Return what a link to a file of the repository is on a page: a page, or its address."""
    name = target.relative_to(ROOT).as_posix()
    if name in COPIED:
        target = COPIES / COPIED[name]
    elif target.parent == ROOT / 'doc':
        target = SITE / target.name
    else:
        return f'{_metadata["url"]}/blob/main/{name}'
    return os.path.relpath(target, page.parent)


def with_links(text: str, origin: Path, page: Path) -> str:
    """Return the text of `origin` with links that work on `page`."""
    return LINK.sub(lambda m: link_on_the_site((origin.parent / m[1]).resolve(), page), text)


def replace_missing_packages(_app: Sphinx, config: Config) -> None:
    """Let autodoc import what it can of this package where others are not installed.

    Without torch these are geometry and errors: unions of its classes cannot be imitated.
    """
    missing = [name for name in MOCKED if find_spec(name) is None]
    config.autodoc_mock_imports = [*config.autodoc_mock_imports, *missing]


def copy_documents(_app: Sphinx, _config: Config) -> None:
    """Copy the documents of the repository, with their links."""
    COPIES.mkdir(exist_ok=True)
    for name, copy in COPIED.items():
        text = (ROOT / name).read_text(encoding='utf-8')
        page = COPIES / copy
        text = with_links(text, ROOT / name, page) if page.suffix == '.md' else text
        if not page.is_file() or page.read_text(encoding='utf-8') != text:
            page.write_text(text, encoding='utf-8')


def change_links(app: Sphinx, name: str, source: list[str]) -> None:
    """Let the links of a page of this folder work on the site."""
    page = Path(app.env.doc2path(name))
    if page.parent == SITE and page.suffix == '.md':
        source[0] = with_links(source[0], ROOT / 'doc' / page.name, page)


def setup(app: Sphinx) -> None:
    """Register what prepares the pages."""
    app.connect('config-inited', replace_missing_packages)
    app.connect('config-inited', copy_documents)
    app.connect('source-read', change_links)
