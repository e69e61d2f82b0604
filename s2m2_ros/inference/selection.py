"""Choosing device, precision and backend."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Protocol, cast

import torch

from s2m2_ros.inference.backend import PRECISIONS, Backend, BackendOptions
from s2m2_ros.inference.errors import BackendUnavailableError
from s2m2_ros.inference.registry import AUTOMATIC_ORDER, BACKENDS
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.weights import cache_folder as default_cache_folder
from s2m2_ros.weights import find_checkpoint
from s2m2_ros.weights.provenance import caution, is_trained_by_us

_logger = logging.getLogger(__name__)


class BackendModule(Protocol):
    """What each module named in `BACKENDS` offers."""

    def unavailable(self, options: BackendOptions) -> str | None:
        """Return what is missing here, with the command that mends it, or None."""

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
        raise ValueError(f"backend '{backend}' is none of auto, {', '.join(BACKENDS)}")
    if refine_iterations < 0:
        raise ValueError(f'refine_iterations must be 0 or more, not {refine_iterations}')
    chosen = resolve_device(device)
    needs_checkpoint = backend == 'auto' or BACKENDS[backend].needs_checkpoint
    file = find_checkpoint(checkpoint) if needs_checkpoint else None
    options = BackendOptions(
        checkpoint=file,
        device=chosen,
        precision=resolve_precision(precision, chosen),
        refine_iterations=refine_iterations,
        allow_negative=allow_negative,
        cache_folder=cache_folder or default_cache_folder(),
        margin='beyond' if file is not None and is_trained_by_us(file) else 'around',
        sgbm=sgbm or SgbmOptions(),
    )
    if file is not None and (remark := caution(file)):
        _logger.warning('%s: %s', checkpoint, remark)
    if backend == 'auto':
        return _open_best(options)
    opened = _open_named(backend, options)
    _logger.info('matching with %s', _summary(opened))
    return opened


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device meant by its name; 'auto' is CUDA if that works, else the CPU."""
    if str(device) == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device '{device}' is not a device: try auto, cpu or cuda") from error
    if resolved.type == 'cuda' and not torch.cuda.is_available():
        reason = f'torch {torch.__version__} sees no CUDA device; use device=cpu or auto'
        raise BackendUnavailableError(str(device), reason)
    return resolved


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return the key of `PRECISIONS` meant: 'auto' is float16 on CUDA, else float32."""
    if precision == 'auto':
        return 'float16' if device.type == 'cuda' else 'float32'
    if precision not in PRECISIONS:
        raise ValueError(f"precision '{precision}' is none of auto, {', '.join(PRECISIONS)}")
    return precision


def _open_named(name: str, options: BackendOptions) -> Backend:
    module = cast(BackendModule, importlib.import_module(BACKENDS[name].module))
    reason = module.unavailable(options)
    if reason is not None:
        raise BackendUnavailableError(name, reason)
    return module.open_backend(options)


def _open_best(options: BackendOptions) -> Backend:
    passed_over = []
    for name in AUTOMATIC_ORDER['cuda' if options.device.type == 'cuda' else 'cpu']:
        try:
            opened = _open_named(name, options)
        except BackendUnavailableError as error:
            passed_over.append(f'; not with {name}: {error.reason}')
            continue
        _logger.info('matching with %s%s', _summary(opened), ''.join(passed_over))
        return opened
    raise BackendUnavailableError('auto', ''.join(passed_over))


def _summary(backend: Backend) -> str:
    return f'backend {backend.name} on {backend.device} in {backend.precision}'
