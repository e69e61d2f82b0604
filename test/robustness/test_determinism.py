"""The same pair gives the same bytes in every process, at every load, with every CPU backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.processes import hear, python_process

# A GPU's backends are not among them: nothing here has one. 'compiled' takes minutes to compile,
# so only `make determinism` asks for it.
BACKENDS = ('sgbm', 'torch', 'onnxruntime', *(('compiled',) if os.environ.get('COMPILED') else ()))
REPEATS = 3

MATCH = """
import hashlib, sys
from pathlib import Path
import numpy as np
from s2m2_ros.inference import StereoMatcher

checkpoint, cache, repeats, *backends = sys.argv[1:]
left, right = np.random.default_rng(5).integers(0, 256, (2, 64, 96, 3), np.uint8)
for backend in backends:
    with StereoMatcher.open(checkpoint, device='cpu', backend=backend, refine_iterations=0,
                            cache_folder=Path(cache)) as matcher:
        for _ in range(int(repeats)):
            result = matcher.match(left, right)
            maps = (result.disparity, result.visibility, result.confidence)
            data = b''.join(m.numpy().tobytes() for m in maps)
            print(backend, hashlib.sha256(data).hexdigest(), flush=True)
"""
BURN = """
import os
parent = os.getppid()
print('burning', flush=True)
while os.getppid() == parent:  # never longer than the tests, however these end
    pass
"""


@contextmanager
def load() -> Iterator[None]:
    """Keep every core busy with something else."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            burner = stack.enter_context(python_process(BURN))
            assert hear(burner) == 'burning'
        yield


def digests(checkpoint: Path, cache: Path) -> set[str]:
    """Return a line for each backend and each different outcome in a process of its own."""
    with python_process(MATCH, str(checkpoint), str(cache), str(REPEATS), *BACKENDS) as process:
        found = [hear(process) for _ in range(REPEATS * len(BACKENDS))]
    assert all(found), f'only {found}'
    return set(found)


def test_same_bytes_in_every_process_and_at_every_load(checkpoint: Path, tmp_path: Path) -> None:
    calm = digests(checkpoint, tmp_path)
    with load():
        loaded = digests(checkpoint, tmp_path)
    assert calm == loaded
    assert len(calm) == len(BACKENDS)
