"""Files that people read say what the tables in the code say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import SOURCE


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / 'doc' / 'generate.py'), '--check'],
        check=False,
        capture_output=True,
        text=True,
    )


def test_generated_files_are_up_to_date() -> None:
    done = check(SOURCE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ('file', 'right', 'wrong'),
    [
        ('config/stereo.yaml', 'slop: 0.02', 'slop: 0.03'),
        ('doc/stereo_node.md', '| `max_depth` | double |', '| `max_depth` | integer |'),
        ('doc/stereo_node.md', '| `0.02` | 0.0001 to 10 |', '| `0.02` | 0.0001 to 11 |'),
        (
            'doc/stereo_node.md',
            '| `depth` | sensor_msgs/Image |',
            '| `depth` | sensor_msgs/Imag |',
        ),
        ('doc/stereo_node.md', '| `sgbm` |', '| `sgmb` |'),
        ('package.xml', '<url type="repository">', '<url type="repository">x'),
        ('package.xml', '<maintainer email="', '<maintainer email="x'),
        ('CITATION.cff', '  - name: ', '  - name: x'),
        ('REUSE.toml', 'FileCopyrightText = ["', 'FileCopyrightText = ["x'),
        ('README.md', 'git clone ', 'git clone x'),
        ('doc/installation.md', 'git clone ', 'git clone x'),
        ('.github/ISSUE_TEMPLATE/config.yml', 'url: ', 'url: x'),
    ],
)
def test_a_difference_is_found(tmp_path: Path, file: str, right: str, wrong: str) -> None:
    for name in ('config', 'doc', '.github'):
        shutil.copytree(SOURCE / name, tmp_path / name)
    for name in ('README.md', 'CITATION.cff', 'REUSE.toml', 'package.xml', 'setup.cfg'):
        shutil.copy(SOURCE / name, tmp_path)
    path = tmp_path / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    done = check(tmp_path)
    assert done.returncode == 1
    assert file in done.stderr
