"""The `tensorrt` backend: a native TensorRT engine per size, on torch's stream and memory.

The engine is strongly typed: its layers run in exactly the types of the exported model, so
what has to stay float32 does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.network import PaddedBackend
from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.inference.export import INPUTS, OUTPUTS, ExportSize
from s2m2_ros.inference.exported_models import ExportedModels
from s2m2_ros.optional_packages import missing_packages

_logger = logging.getLogger(__name__)

OLDEST_MAJOR_VERSION = 10


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    if options.device.type != 'cuda':
        return f'it needs a CUDA device, not {options.device}'
    reason = missing_packages('tensorrt', 'onnx', 'onnxscript')
    if reason is not None:
        return reason
    import tensorrt

    if int(tensorrt.__version__.split('.')[0]) < OLDEST_MAJOR_VERSION:
        return (
            f'TensorRT {tensorrt.__version__} is too old (pip install '
            f"'tensorrt>={OLDEST_MAJOR_VERSION}')"
        )
    return None


def open_backend(options: BackendOptions) -> Backend:
    """Return the backend; engines are built when their size comes first."""
    return PaddedBackend('tensorrt', EngineNetwork(options), options)


def build_engine(onnx_model: bytes) -> bytes:
    """Return the serialised engine of an ONNX model, for the current CUDA device.

    Raises InferenceError with TensorRT's own words if it cannot be built.
    """
    import tensorrt

    log = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(log)
    strongly_typed = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    definition = builder.create_network(strongly_typed)
    parser = tensorrt.OnnxParser(definition, log)
    if not parser.parse(onnx_model):
        errors = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise InferenceError(f'TensorRT cannot read the exported model: {errors}')
    engine = builder.build_serialized_network(definition, builder.create_builder_config())
    if engine is None:
        raise InferenceError('TensorRT could not build an engine; its log says why')
    return bytes(engine)


class EngineNetwork:
    """The network as one TensorRT engine per size; see `padded.Network`."""

    def __init__(self, options: BackendOptions) -> None:
        import tensorrt

        self._device = options.device
        self._models = ExportedModels(options)
        self._version = tensorrt.__version__
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
        self._contexts: dict[ExportSize, Any] = {}

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return disparity, visibility and confidence of padded images."""
        batch, _, height, width = left.shape
        size = ExportSize(height, width, batch)
        if size not in self._contexts:
            self._contexts[size] = self._open(size)
        context = self._contexts[size]
        images = (left.contiguous(), right.contiguous())
        maps = [left.new_empty(batch, 1, height, width) for _ in OUTPUTS]
        for name, tensor in zip((*INPUTS, *OUTPUTS), (*images, *maps), strict=True):
            context.set_tensor_address(name, tensor.data_ptr())
        # Queued on torch's stream: the allocator may hand the inputs' memory out again only to
        # work that comes later on the same stream.
        if not context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream):
            raise InferenceError('TensorRT could not run the engine; its log says why')
        return maps

    def _open(self, size: ExportSize) -> Any:
        key = self._models.key('tensorrt', size, tensorrt=self._version)
        with torch.cuda.device(self._device):
            for _ in range(2):
                plan = self._models.cache.load_or_build(
                    key, lambda: build_engine(self._models.onnx(size))
                )
                engine = self._runtime.deserialize_cuda_engine(plan)
                if engine is not None:
                    return engine.create_execution_context()
                # Intact, yet not for this driver or device after all.
                _logger.warning('TensorRT refuses the engine %s: building it again', key.filename)
                self._models.cache.discard(key)
        raise InferenceError('TensorRT refuses the engine that it has just built')
