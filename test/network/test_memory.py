"""Keeping freed memory, seen in the page faults of a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import resource, sys, torch
from s2m2_ros.network.memory import reuse_freed_memory
if sys.argv[1] == 'reuse':
    assert reuse_freed_memory()
def fill():
    torch.ones(12 << 20)
for _ in range(3):
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    root = Path(__file__).parents[2]
    environment = {**os.environ, 'PYTHONPATH': str(root)}
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, how],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=root,
    )
    return int(done.stdout)


def test_freed_memory_is_used_again_without_page_faults() -> None:
    # 48 MiB are 12288 pages of 4 KiB, each a fault where memory comes anew from the system.
    assert faults('reuse') < 100
    assert faults('default') > 20 * faults('reuse')
