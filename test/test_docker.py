"""The Dockerfiles, which are not built here: what they copy exists, and how they are run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.processes import SOURCE

FILES = sorted((SOURCE / 'docker').glob('Dockerfile*'))


def test_there_is_one_for_desktops_and_one_for_jetson() -> None:
    assert [path.name for path in FILES] == ['Dockerfile', 'Dockerfile.jetson']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_what_is_copied_exists_and_scripts_are_valid(path: Path) -> None:
    text = re.sub(r'\\\n', ' ', path.read_text())
    copied = re.findall(r'^COPY (\S+) ', text, re.MULTILINE)
    assert copied == ['package.xml', '.']
    assert all((SOURCE / name).exists() for name in copied)
    for script in re.findall(r'^RUN (.*)$', text, re.MULTILINE):
        subprocess.run(['bash', '-n', '-c', script], check=True)


def test_the_documented_commands_name_these_files_and_share_memory() -> None:
    text = (SOURCE / 'doc' / 'docker.md').read_text()
    for path in FILES:
        assert f'docker build -f docker/{path.name} -t' in text
    assert '--gpus all --network host --ipc host' in text
