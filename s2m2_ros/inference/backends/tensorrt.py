"""The `tensorrt` backend: a native TensorRT engine per size, on torch's memory.

The engine is strongly typed: its layers run in exactly the types of the exported model, so
what has to stay float32 does; TF32 is off.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.cuda_graph import CapturedGraph, captured_or_not
from s2m2_ros.inference.backends.devices import OwnStream, on_device
from s2m2_ros.inference.backends.engines import Engines
from s2m2_ros.inference.backends.network import Network, PaddedBackend
from s2m2_ros.inference.engines.exported_models import ExportedModels, Models
from s2m2_ros.inference.engines.versions import how_to_install, lacks_exporter, version_pair
from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.inference.export import INPUTS, OUTPUTS, ImageSize
from s2m2_ros.inference.hardware.device_memory import free_bytes
from s2m2_ros.optional_packages import missing_packages

_logger = logging.getLogger(__name__)

# That of JetPack 6.1 and 6.2.
OLDEST_VERSION = (10, 3)
# What an engine may use besides its weights and maps: no more than this, nor than a part of what
# is free when it is built.
LARGEST_WORKSPACE_BYTES = 4 << 30
WORKSPACE_PART = 0.5
# Timings of kernels are kept for all sizes together.
ANY_SIZE = ImageSize(0, 0, 0)


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    if options.device.type != 'cuda':
        return f'it needs a CUDA device, not {options.device}'
    if missing_packages('tensorrt') is not None:
        return f'tensorrt not installed ({how_to_install("tensorrt")})'
    reason = lacks_exporter()
    if reason is not None:
        return reason
    if options.precision == 'bfloat16':
        return (
            'exported models (ONNX opset 18) cannot hold InstanceNormalization in bfloat16; use '
            'float16 or float32'
        )
    return too_old()


def too_old() -> str | None:
    """Return that the installed TensorRT is too old, and what to do, or None."""
    import tensorrt

    if version_pair(tensorrt.__version__) >= OLDEST_VERSION:
        return None
    needed = '.'.join(map(str, OLDEST_VERSION))
    advice = how_to_install('tensorrt', f"'tensorrt>={needed}'")
    return f'TensorRT {tensorrt.__version__} is too old ({advice})'


def open_backend(options: BackendOptions) -> Backend:
    """Return the backend; engines are built when their size is used first."""
    import tensorrt

    build = TensorRtEngines(options.device, ExportedModels(options)).open
    engines = Engines('tensorrt', options, build, tensorrt=tensorrt.__version__)
    return PaddedBackend('tensorrt', engines, options)


class BuiltEngine(NamedTuple):
    """A serialized engine, and the timings of kernels that serve the next build; may be empty."""

    plan: bytes
    timings: bytes


def build_engine(
    onnx_model: bytes, timings: bytes = b'', workspace_bytes: int = LARGEST_WORKSPACE_BYTES
) -> BuiltEngine:
    """Return the engine of an ONNX model, for the current CUDA device.

    Args:
        onnx_model: the content of the file.
        timings: of an earlier build on this kind of device, or nothing.
        workspace_bytes: most memory that its layers may use besides weights and maps.

    Raises InferenceError with TensorRT's own words if it cannot be built.
    """
    import tensorrt

    log = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(log)
    definition = builder.create_network(_creation_flags(tensorrt))
    parser = tensorrt.OnnxParser(definition, log)
    if not parser.parse(onnx_model):
        errors = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise InferenceError(f'TensorRT cannot read the model: {errors}')
    settings = builder.create_builder_config()
    tf32 = getattr(tensorrt.BuilderFlag, 'TF32', None)
    if tf32 is not None:
        settings.clear_flag(tf32)
    settings.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, workspace_bytes)
    cache = settings.create_timing_cache(timings)
    # Timings of another version of TensorRT or device are rejected; then all are taken anew.
    if not settings.set_timing_cache(cache, ignore_mismatch=False):
        settings.set_timing_cache(settings.create_timing_cache(b''), ignore_mismatch=False)
    engine = builder.build_serialized_network(definition, settings)
    if engine is None:
        raise InferenceError('TensorRT could not build an engine; its log says why')
    return BuiltEngine(bytes(engine), bytes(settings.get_timing_cache().serialize()))


def _creation_flags(tensorrt: Any) -> int:
    """Return the flags that make a network strongly typed.

    Since version 11 every network is; the flag is ignored there, and may be gone.
    """
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)
    return 0 if flag is None else 1 << int(flag)


@dataclass(frozen=True)
class TensorRtEngine:
    """An execution context and the stream it runs on; see `network.Network`."""

    context: Any
    stream: OwnStream

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return disparity, visibility and confidence of padded images."""
        batch, _, height, width = left.shape
        images = (left.contiguous(), right.contiguous())
        maps = [left.new_empty(batch, 1, height, width) for _ in OUTPUTS]
        for name, tensor in zip((*INPUTS, *OUTPUTS), (*images, *maps), strict=True):
            self.context.set_tensor_address(name, tensor.data_ptr())
        with self.stream.turn() as handle:
            self.enqueue(handle)
        return maps

    def enqueue(self, handle: int) -> None:
        """Run on the tensors that were set last, on a stream; raises InferenceError."""
        if not self.context.execute_async_v3(handle):
            raise InferenceError('TensorRT could not run the engine; its log says why')


class TensorRtEngines:
    """Builds engines, or loads them from the cache."""

    def __init__(self, device: torch.device, models: Models) -> None:
        import tensorrt

        self._device = device
        self._models = models
        self._version = tensorrt.__version__
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
        self.stream = OwnStream(device)

    def open(self, size: ImageSize) -> Network:
        """Return the engine of a size of padded images as a graph; raises as `context`."""
        context = self.context(size)
        engine = TensorRtEngine(context, self.stream)
        return captured_or_not(lambda: self._capture(engine, size), lambda: engine, 'tensorrt')

    def _capture(self, engine: TensorRtEngine, size: ImageSize) -> CapturedGraph:
        """Capture an engine on its own stream, after the run that TensorRT needs before."""
        shape = (size.batch, 3, size.height, size.width)
        left, right = (torch.zeros(shape, device=self._device) for _ in range(2))
        with on_device(self._device):
            maps = engine(left, right)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph, stream=self.stream.stream, capture_error_mode='thread_local'
            ):
                engine.enqueue(self.stream.handle)
        return CapturedGraph(graph, left, right, maps, (engine,))

    def context(self, size: ImageSize) -> Any:
        """Return the execution context of the engine of a size.

        Raises torch.cuda.OutOfMemoryError if the device has no memory for it.
        """
        with on_device(self._device):
            context = self._load(size).create_execution_context()
        if context is None:
            # TensorRT's only failure here is the allocation of the engine's working memory.
            raise torch.cuda.OutOfMemoryError(
                f'out of memory: TensorRT could not make a context for {size.width}x{size.height}'
            )
        return context

    def _build(self, size: ImageSize) -> bytes:
        """Build an engine with what earlier builds, of any size, found out."""
        key = self._models.key('tensorrt-timings', ANY_SIZE, tensorrt=self._version)
        timings = self._models.cache.load(key) or b''
        free = free_bytes(self._device) * WORKSPACE_PART
        workspace = int(min(free, LARGEST_WORKSPACE_BYTES)) or LARGEST_WORKSPACE_BYTES
        built = build_engine(self._models.onnx(size), timings, workspace)
        if built.timings:
            self._models.cache.store(key, built.timings)
        return built.plan

    def _load(self, size: ImageSize) -> Any:
        key = self._models.key('tensorrt', size, tensorrt=self._version)
        for _ in range(2):
            plan = self._models.cache.load_or_build(key, lambda: self._build(size))
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is not None:
                return engine
            # Intact, yet not for this driver or device after all.
            _logger.warning('TensorRT rejects the engine %s: building it again', key.filename)
            self._models.cache.discard(key)
        raise InferenceError('TensorRT rejects the engine that it has just built')
