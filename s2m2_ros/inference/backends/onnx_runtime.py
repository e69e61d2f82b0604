"""The `onnxruntime` backend: the exported network under ONNX Runtime.

On a CUDA device its CUDA provider runs on torch's memory, on a stream of its own. Its TensorRT
provider is left out: it knows TensorRT's global half precision only, which takes coordinates and
transport with it, and cannot switch TF32 off. The `tensorrt` backend does both right.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.devices import OwnStream
from s2m2_ros.inference.backends.engines import Engines
from s2m2_ros.inference.backends.network import Network, PaddedBackend
from s2m2_ros.inference.engines.exported_models import ExportedModels
from s2m2_ros.inference.engines.versions import how_to_install, lacks_exporter, version_pair
from s2m2_ros.inference.export import INPUTS, OUTPUTS, ImageSize
from s2m2_ros.optional_packages import missing_packages

_logger = logging.getLogger(__name__)

CUDA_PROVIDER = 'CUDAExecutionProvider'
# ONNX Runtime's severities go from 0, verbose, to 4, fatal.
ERRORS_ONLY = 3
# The first with the option `use_tf32`; older ones use TF32 and say nothing.
OLDEST_VERSION_ON_CUDA = (1, 18)
NUMPY_TYPES = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.float64: np.float64,
    torch.uint8: np.uint8,
}


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    reason = missing_packages('onnxruntime', 'onnx', 'onnxscript') or lacks_exporter()
    if reason is not None:
        return reason
    if options.precision == 'bfloat16':
        return 'ONNX Runtime has no bfloat16 convolutions; use float16 or float32'
    return unavailable_on(options.device)


def unavailable_on(device: torch.device) -> str | None:
    """Return why the installed ONNX Runtime cannot run on a device, or None."""
    if device.type == 'cuda':
        return _unavailable_on_cuda()
    if device.type != 'cpu':
        return f'it runs on cpu and cuda, not on {device.type}'
    return None


def _unavailable_on_cuda() -> str | None:
    import onnxruntime

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        advice = how_to_install('onnxruntime-gpu')
        return (
            f'the installed ONNX Runtime is a CPU build (pip uninstall onnxruntime; then {advice})'
        )
    if version_pair(onnxruntime.__version__) < OLDEST_VERSION_ON_CUDA:
        oldest = '.'.join(map(str, OLDEST_VERSION_ON_CUDA))
        advice = how_to_install('onnxruntime-gpu', f"'onnxruntime-gpu>={oldest}'")
        return f'ONNX Runtime {onnxruntime.__version__} is too old for CUDA ({advice})'
    return None


def open_backend(options: BackendOptions) -> Backend:
    """Return the backend; models are exported when their size is used first."""
    import onnxruntime

    build = OnnxSessions(options).open
    engines = Engines('onnxruntime', options, build, onnxruntime=onnxruntime.__version__)
    return PaddedBackend('onnxruntime', engines, options)


class OnnxSessions:
    """Opens an ONNX Runtime session for a size."""

    def __init__(self, options: BackendOptions) -> None:
        self._device = options.device
        self._models = ExportedModels(options)
        self._stream = OwnStream(options.device) if options.device.type == 'cuda' else None

    def open(self, size: ImageSize) -> Network:
        """Return the network of padded images of a size."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = ERRORS_ONLY
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            self._models.onnx(size), settings, providers=self._providers()
        )
        _logger.info('ONNX Runtime runs on %s', session.get_providers()[0])
        if self._stream is None:
            return partial(_run_on_host, session)
        return partial(_run_on_cuda, session, self._stream)

    def _providers(self) -> list[Any]:
        if self._stream is None:
            return ['CPUExecutionProvider']
        return [(CUDA_PROVIDER, cuda_settings(self._device, self._stream)), 'CPUExecutionProvider']


def cuda_settings(device: torch.device, stream: OwnStream) -> dict[str, Any]:
    """Return the options of ONNX Runtime's CUDA provider: this device and stream, without TF32."""
    return {
        'device_id': device.index or 0,
        'user_compute_stream': str(stream.handle),
        'use_tf32': '0',
    }


def _run_on_host(session: Any, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
    images = {
        name: np.ascontiguousarray(image.numpy())
        for name, image in zip(INPUTS, (left, right), strict=True)
    }
    return [torch.from_numpy(m) for m in session.run(list(OUTPUTS), images)]


def _run_on_cuda(
    session: Any, stream: OwnStream, left: torch.Tensor, right: torch.Tensor
) -> Sequence[torch.Tensor]:
    """Run on torch's memory, without copies."""
    binding = session.io_binding()
    batch, _, height, width = left.shape
    images = (left.contiguous(), right.contiguous())
    maps = [left.new_empty(batch, 1, height, width) for _ in OUTPUTS]
    for name, image in zip(INPUTS, images, strict=True):
        binding.bind_input(name, *location(image))
    for name, values in zip(OUTPUTS, maps, strict=True):
        binding.bind_output(name, *location(values))
    with stream.turn():
        session.run_with_iobinding(binding)
    return maps


def location(tensor: torch.Tensor) -> tuple[str, int, type, list[int], int]:
    """Return what ONNX Runtime's binding wants to know of a contiguous CUDA tensor.

    Its values are of one of `NUMPY_TYPES`.
    """
    element = NUMPY_TYPES[tensor.dtype]
    return 'cuda', tensor.device.index or 0, element, list(tensor.shape), tensor.data_ptr()
