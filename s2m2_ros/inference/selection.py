"""Choosing device, precision and backend."""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.errors import BackendUnavailableError, OptionError
from s2m2_ros.inference.first_available import FirstAvailable
from s2m2_ros.inference.hardware import cpu_bfloat16
from s2m2_ros.inference.hardware.devices import resolve_device
from s2m2_ros.inference.registry import AUTOMATIC_ORDER, BACKENDS, FOREIGN_BACKENDS, PRECISIONS
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.weights import cache_folder as default_cache_folder
from s2m2_ros.weights import find_checkpoint
from s2m2_ros.weights.other_networks import is_onnx_file
from s2m2_ros.weights.provenance import caution, is_trained_by_us

_logger = logging.getLogger(__name__)


class BackendModule(Protocol):
    """What each module named in `BACKENDS` offers."""

    def unavailable(self, options: BackendOptions) -> str | None:
        """Return what is missing here, with the command that installs it, or None."""

    def open_backend(self, options: BackendOptions) -> Backend:
        """Load the checkpoint; raises BackendUnavailableError or CheckpointError."""


def open_backend(
    checkpoint: str | Path,
    *,
    device: str | torch.device = 'auto',
    precision: str = 'auto',
    backend: str = 'auto',
    refine_iterations: int = 3,
    allow_negative: bool = False,
    cache_folder: Path | None = None,
    sgbm: SgbmOptions | None = None,
) -> Backend:
    """Return an opened backend; arguments and errors as in `StereoMatcher.open`."""
    if backend != 'auto' and backend not in BACKENDS:
        raise OptionError(f"backend must be one of auto, {', '.join(BACKENDS)}, not '{backend}'")
    if precision != 'auto' and precision not in PRECISIONS:
        known = ', '.join(PRECISIONS)
        raise OptionError(f"precision must be one of auto, {known}, not '{precision}'")
    if refine_iterations < 0:
        raise OptionError(f'refine_iterations must be 0 or more, not {refine_iterations}')
    uses_device = backend == 'auto' or BACKENDS[backend].uses_device
    needs_checkpoint = backend == 'auto' or BACKENDS[backend].needs_checkpoint
    chosen = resolve_device(device) if uses_device else torch.device('cpu')
    file = find_checkpoint(checkpoint) if needs_checkpoint else None
    is_foreign = file is not None and is_onnx_file(file)
    if is_foreign:
        backend = _foreign_backend(backend, precision, checkpoint)
    options = BackendOptions(
        checkpoint=file,
        device=chosen,
        precision='float32',
        refine_iterations=refine_iterations,
        allow_negative=allow_negative,
        cache_folder=cache_folder or default_cache_folder(),
        padding='bottom_right' if file and not is_foreign and is_trained_by_us(file) else 'center',
        sgbm=sgbm or SgbmOptions(),
    )
    if file and not is_foreign and (remark := caution(file)):
        _logger.warning('%s: %s', checkpoint, remark)
    names = AUTOMATIC_ORDER[chosen.type] if backend == 'auto' else (backend,)
    if not is_foreign:
        options = replace(options, precision=_resolve_precision(precision, names[0], options))
    if backend == 'auto':
        return FirstAvailable(names, lambda name: open_named(name, options))
    opened = open_named(backend, options)
    _logger.info('matching with %s', describe(opened))
    return opened


def _foreign_backend(backend: str, precision: str, checkpoint: str | Path) -> str:
    """Return the backend that runs an ONNX file of another network; raises OptionError."""
    if precision not in ('auto', 'float32'):
        raise OptionError(
            f"'{checkpoint}' is an ONNX file, which runs in the precision it was exported in: "
            f'leave precision at auto, not {precision}'
        )
    if backend == 'auto':
        return FOREIGN_BACKENDS[0]
    if backend not in FOREIGN_BACKENDS:
        raise OptionError(
            f"'{checkpoint}' is an ONNX file, and backend '{backend}' runs checkpoints of S2M2: "
            f'set backend to auto, {" or ".join(FOREIGN_BACKENDS)}'
        )
    return backend


def open_named(name: str, options: BackendOptions) -> Backend:
    """Open one backend; raises BackendUnavailableError or CheckpointError.

    Which of a backend's modules it is depends on the kind of the checkpoint.
    """
    entry = BACKENDS[name]
    is_foreign = options.checkpoint is not None and is_onnx_file(options.checkpoint)
    path = entry.foreign_module if is_foreign else entry.module
    if not path:
        raise BackendUnavailableError(
            name, 'it runs checkpoints of S2M2, and this is an ONNX file'
        )
    module = cast(BackendModule, importlib.import_module(path))
    reason = module.unavailable(options)
    if reason is not None:
        raise BackendUnavailableError(name, reason)
    return module.open_backend(options)


def _resolve_precision(precision: str, backend: str, options: BackendOptions) -> str:
    """Return the precision meant by a name or by 'auto'.

    'auto' is float16 on a CUDA device; on a processor it is bfloat16 where that is faster and the
    network proves itself in it, else float32. Float16 becomes float32 on a processor, which
    computes it 13 times as slowly.
    """
    if options.device.type == 'cuda':
        return 'float16' if precision == 'auto' else precision
    if precision == 'float16':
        _logger.warning(
            'precision float16 takes many times as long on a processor: computing in float32 '
            '(bfloat16 is the fast one, where the processor has it)'
        )
        return 'float32'
    if precision == 'bfloat16' and not cpu_bfloat16.has_instructions():
        _logger.warning(
            'precision bfloat16 takes eight times as long as float32 on this processor, which has '
            'no instructions for it: set auto'
        )
    if precision != 'auto':
        return precision
    if not BACKENDS[backend].bfloat16_on_cpu:
        return 'float32'
    reason = cpu_bfloat16.why_not_bfloat16(replace(options, precision='bfloat16'))
    if reason is None:
        return 'bfloat16'
    _logger.info('computing in float32: %s', reason)
    return 'float32'


def describe(backend: Backend) -> str:
    """Return name, device and precision of an opened backend, for the log."""
    return f'backend {backend.name} on {backend.device} in {backend.precision}'
