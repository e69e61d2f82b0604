"""Memory that a process of ours frees stays with it, counted by the kernel."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from support.processes import SOURCE

# Four blocks of 16 MiB, 4096 pages each, written and freed 20 times. By default malloc gives
# more than twice its largest block back to the kernel: later each page is a fault again.
PAGES = 4096
BLOCKS = 4
ROUNDS = 20
COUNT_FAULTS = f"""
import ctypes, resource
def work():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        blocks = [libc.malloc(4096 * {PAGES}) for _ in range({BLOCKS})]
        for block in blocks:
            ctypes.memset(block, 1, 4096 * {PAGES})
        for block in blocks:
            libc.free(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return 0
"""


def faults(call: str) -> int:
    run = subprocess.run(
        [sys.executable, '-c', COUNT_FAULTS + call],
        check=True,
        capture_output=True,
        text=True,
        cwd=SOURCE,
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='other libraries have no mallopt')
def test_a_command_keeps_what_it_frees() -> None:
    in_command = 'from s2m2_ros.cli.command_process import run_as_process; run_as_process(work)'
    assert faults('work()') > 3 * BLOCKS * PAGES
    assert faults(in_command) < 2 * BLOCKS * PAGES
