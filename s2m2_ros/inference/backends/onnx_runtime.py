"""The `onnxruntime` backend: the exported network under ONNX Runtime.

On a CUDA device its TensorRT provider is used if the installed ONNX Runtime has it, with engines
cached on disk, else its CUDA provider; inputs and outputs stay in torch's memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.network import PaddedBackend
from s2m2_ros.inference.export import INPUTS, OUTPUTS, ExportSize
from s2m2_ros.inference.exported_models import ExportedModels
from s2m2_ros.optional_packages import missing_packages
from s2m2_ros.weights import private_folder

_logger = logging.getLogger(__name__)

GPU_PROVIDERS = ('TensorrtExecutionProvider', 'CUDAExecutionProvider')
# ONNX Runtime's severities go from 0, verbose, to 4, fatal.
ERRORS_ONLY = 3


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    reason = missing_packages('onnxruntime', 'onnx', 'onnxscript')
    if reason is not None:
        return reason
    if options.precision == 'bfloat16':
        return 'ONNX Runtime has no bfloat16 convolutions; use float16 or float32'
    if options.device.type == 'cuda' and not _gpu_providers():
        return (
            'the installed ONNX Runtime is a CPU build (pip uninstall onnxruntime; '
            'pip install onnxruntime-gpu)'
        )
    if options.device.type not in ('cpu', 'cuda'):
        return f'it runs on cpu and cuda, not on {options.device.type}'
    return None


def open_backend(options: BackendOptions) -> Backend:
    """Return the backend; models are exported when their size comes first."""
    return PaddedBackend('onnxruntime', OnnxNetwork(options), options)


class OnnxNetwork:
    """The network as one ONNX Runtime session per size; see `padded.Network`."""

    def __init__(self, options: BackendOptions) -> None:
        self._options = options
        self._models = ExportedModels(options)
        self._sessions: dict[ExportSize, Any] = {}

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return disparity, visibility and confidence of padded images."""
        batch, _, height, width = left.shape
        size = ExportSize(height, width, batch)
        if size not in self._sessions:
            self._sessions[size] = self._open(size)
        session = self._sessions[size]
        if self._options.device.type == 'cuda':
            return self._run_bound(session, left.contiguous(), right.contiguous())
        images = {
            name: np.ascontiguousarray(image.numpy())
            for name, image in zip(INPUTS, (left, right), strict=True)
        }
        return [torch.from_numpy(m) for m in session.run(list(OUTPUTS), images)]

    def _open(self, size: ExportSize) -> Any:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = ERRORS_ONLY
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            self._models.onnx(size), settings, providers=self._providers(size)
        )
        _logger.info('ONNX Runtime runs on %s', session.get_providers()[0])
        return session

    def _providers(self, size: ExportSize) -> list[Any]:
        if self._options.device.type == 'cpu':
            return ['CPUExecutionProvider']
        available = _gpu_providers()
        common = {
            'device_id': self._options.device.index or 0,
            # Its work is queued behind torch's, on the same stream, so nobody has to wait.
            'user_compute_stream': str(
                torch.cuda.current_stream(self._options.device).cuda_stream
            ),
        }
        settings: list[Any] = []
        if 'TensorrtExecutionProvider' in available:
            import onnxruntime

            # This provider reads and writes whole folders of its own making; ours names all
            # that an engine depends on, so a folder never holds a stale one.
            key = self._models.key('onnxruntime-trt', size, onnxruntime=onnxruntime.__version__)
            folder = private_folder(self._options.cache_folder, 'engines', key.filename)
            settings.append(
                (
                    'TensorrtExecutionProvider',
                    {
                        **common,
                        'trt_engine_cache_enable': True,
                        'trt_engine_cache_path': str(folder),
                        'trt_timing_cache_enable': True,
                        'trt_timing_cache_path': str(folder),
                        'trt_fp16_enable': self._options.precision == 'float16',
                    },
                )
            )
        settings.append(('CUDAExecutionProvider', common))
        return [*settings, 'CPUExecutionProvider']

    def _run_bound(
        self, session: Any, left: torch.Tensor, right: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """Run on torch's memory, without copies."""
        binding = session.io_binding()
        batch, _, height, width = left.shape
        maps = [left.new_empty(batch, 1, height, width) for _ in OUTPUTS]
        for name, image in zip(INPUTS, (left, right), strict=True):
            binding.bind_input(name, *_location(image))
        for name, values in zip(OUTPUTS, maps, strict=True):
            binding.bind_output(name, *_location(values))
        session.run_with_iobinding(binding)
        return maps


def _location(tensor: torch.Tensor) -> tuple[str, int, type, list[int], int]:
    """Return what ONNX Runtime's binding wants to know of a contiguous float32 CUDA tensor."""
    return 'cuda', tensor.device.index or 0, np.float32, list(tensor.shape), tensor.data_ptr()


def _gpu_providers() -> list[str]:
    import onnxruntime

    return [p for p in onnxruntime.get_available_providers() if p in GPU_PROVIDERS]
