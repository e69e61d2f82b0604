"""Commands in documents run as they are written, with small files for those that they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from documents.test_document_code import BLOCKS
from s2m2_ros.cli.main import main
from support.document_commands import OTHERS
from support.document_runs import ELSEWHERE, NOWHERE, commands, place, provide_files, run_here
from support.documents import Block
from support.processes import SOURCE

SHELL = [block for block in BLOCKS if block.language == 'sh']
RUN = [block for block in SHELL if run_here(block)]


def test_each_command_is_run_or_there_is_a_reason_why_not() -> None:
    unknown = [
        f'{block}: {shlex.join(words)}'
        for block in SHELL
        for words in commands(block)
        if not place(words) and not (SOURCE / words[0]).is_file()
    ]
    assert unknown == []


def test_no_entry_is_left_over() -> None:
    texts = [shlex.join(words).replace("'", '') for block in SHELL for words in commands(block)]
    for pattern in (*ELSEWHERE, *NOWHERE):
        assert any(re.match(pattern, text) for text in texts), pattern
    for name in ELSEWHERE.values():
        assert (SOURCE / name).is_file(), name


def test_the_reasons_stand_in_contributing() -> None:
    text = ' '.join((SOURCE / 'CONTRIBUTING.md').read_text(encoding='utf-8').split())
    for reason in {*NOWHERE.values(), *OTHERS.values()}:
        assert reason in text, reason


@pytest.mark.parametrize('block', RUN, ids=str)
def test_commands_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path / 'cache'))
    provide_files()
    for _, *arguments in run_here(block):
        assert main(arguments) == 0, shlex.join(arguments)
