"""Coverage-guided fuzzing of one reader with atheris; see `make fuzz`.

    python -m robustness.fuzz TARGET FOLDER [libFuzzer options, e.g. -max_total_time=60]

FOLDER keeps the inputs that reach new code, and those that crash or hang. Besides errors that
no reader may raise, it stops at code that runs a program, opens a connection or writes outside
of the working folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
from torch import _weights_only_unpickler

# The whole of torch would take minutes to instrument.
with atheris.instrument_imports(include=['s2m2_ros', 'rosbags', 'yaml']):
    from support.fuzz_targets import TARGETS

# Seconds and megabytes for one input.
LIMITS = ('-timeout=20', '-rss_limit_mb=4096', '-max_len=65536')
FORBIDDEN = ('os.system', 'os.exec', 'os.posix_spawn', 'subprocess.Popen', 'socket.connect')
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class TrespassError(BaseException):
    """A reader did what none may do; no handler of errors swallows it."""


def forbid_trespass(folder: Path) -> None:
    """Raise TrespassError from now on for programs, connections and writing elsewhere."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise TrespassError(f'{event}{arguments}')
        if event == 'open' and isinstance(arguments[0], str) and arguments[2] & WRITING:
            path = Path(arguments[0]).resolve()
            if folder not in path.parents and path != Path(os.devnull):
                raise TrespassError(f'wrote {path}')

    sys.addaudithook(watch)


def main() -> None:
    """Fuzz until the time is over or something is found."""
    unpickler = _weights_only_unpickler.Unpickler
    unpickler.load = atheris.instrument_func(unpickler.load)  # type: ignore[method-assign]
    name, corpus = sys.argv[1], Path(sys.argv[2])
    target = TARGETS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as working:
        folder = Path(working).resolve()
        for number, seed in enumerate(target.seeds(folder)):
            (corpus / f'seed_{number}').write_bytes(seed)
        options = [*LIMITS, f'-artifact_prefix={corpus}-', *sys.argv[3:]]
        atheris.Setup([sys.argv[0], *options, str(corpus)], lambda d: target.try_out(d, folder))
        forbid_trespass(folder)
        atheris.Fuzz()


if __name__ == '__main__':
    main()
