"""Each backend of this machine beside torch in float32: the table of `s2m2 doctor --verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from s2m2_ros.inference.backend import BackendOptions
from s2m2_ros.inference.engines.made_pairs import made_pair
from s2m2_ros.inference.engines.proof import Proof, compare
from s2m2_ros.inference.errors import BackendUnavailableError, WrongResultsError
from s2m2_ros.inference.export import ExportSize
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory, release
from s2m2_ros.inference.hardware.devices import resolve_device
from s2m2_ros.inference.registry import BACKENDS, FOREIGN_BACKENDS, PRECISIONS
from s2m2_ros.inference.selection import open_named
from s2m2_ros.weights import find_checkpoint
from s2m2_ros.weights.other_networks import is_onnx_file

OWN_BACKENDS = tuple(name for name, entry in BACKENDS.items() if entry.needs_checkpoint)
PRECISIONS_OF_DEVICE = {'cpu': ('float32', 'bfloat16'), 'cuda': PRECISIONS}


@dataclass(frozen=True)
class Verdict:
    """How a backend does in a precision: its figures, or why there are none.

    `problem` is what is wrong with the results, or why the backend is unavailable; empty if the
    backend agrees with torch.
    """

    backend: str
    precision: str
    device: str
    proof: Proof | None
    problem: str


def verify(
    checkpoint: str | Path,
    size: ExportSize,
    *,
    device: str = 'auto',
    backends: Sequence[str] = (),
) -> Iterator[Verdict]:
    """Compare backends with their reference on a synthetic pair; yield each as it is done.

    The reference is torch in float32, for ONNX files of other networks ONNX Runtime on the
    processor; these are run in their own precision.

    Everything is built and measured again: nothing is read from the cache of engines, and nothing
    is left there. Compiling may take minutes.

    Args:
        checkpoint: registered name or file.
        size: of the pair in pixels.
        device: as for `StereoMatcher.open`.
        backends: names; empty for all that run the checkpoint.

    Raises:
        S2M2Error: the checkpoint or the device does not exist, or torch itself fails.

    """
    chosen = resolve_device(device)
    file = find_checkpoint(checkpoint)
    is_foreign = is_onnx_file(file)
    names = backends or (FOREIGN_BACKENDS if is_foreign else OWN_BACKENDS)
    with TemporaryDirectory() as folder:
        options = BackendOptions(
            checkpoint=file,
            device=chosen,
            precision='float32',
            refine_iterations=3,
            allow_negative=False,
            cache_folder=Path(folder),
        )
        if is_foreign:
            on_host = replace(options, device=torch.device('cpu'))
            expected = _maps(FOREIGN_BACKENDS[0], on_host, size)
        else:
            expected = _maps('torch', options, size)
        precisions = ('float32',) if is_foreign else PRECISIONS_OF_DEVICE[chosen.type]
        for name in names:
            for precision in precisions:
                yield _verdict(name, replace(options, precision=precision), size, expected)


def reference_of(checkpoint: str | Path) -> str:
    """Return what the backends of a checkpoint are compared with, for people."""
    return (
        'ONNX Runtime on the processor'
        if is_onnx_file(find_checkpoint(checkpoint))
        else 'torch in float32'
    )


def _verdict(
    name: str, options: BackendOptions, size: ExportSize, expected: Sequence[torch.Tensor]
) -> Verdict:
    proof, problem = None, ''
    try:
        proof = compare(_maps(name, options, size), expected)
        problem = proof.problem(options.precision)
    except WrongResultsError as error:
        proof, problem = error.proof, error.reason
    except BackendUnavailableError as error:
        problem = error.reason
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        problem = 'the memory of the device is too small'
    release(options.device)
    return Verdict(name, options.precision, str(options.device), proof, problem)


def _maps(name: str, options: BackendOptions, size: ExportSize) -> list[torch.Tensor]:
    left, right = (image.to(options.device) for image in made_pair(size))
    backend = open_named(name, options)
    try:
        with torch.inference_mode():
            return [m.cpu() for m in backend.infer(left, right)]
    finally:
        backend.close()
