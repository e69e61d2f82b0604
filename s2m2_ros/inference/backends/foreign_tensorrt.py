"""ONNX files of other networks as TensorRT engines: the `tensorrt` backend for them.

An engine is built for each size from the file with its axes fixed, kept in the cache of engines,
and compared with ONNX Runtime on the processor before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends import tensorrt as own
from s2m2_ros.inference.backends.devices import OwnStream
from s2m2_ros.inference.backends.engines import Engines
from s2m2_ros.inference.backends.foreign import (
    REFERENCE,
    ForeignBackend,
    ForeignModels,
    HostReference,
    load,
)
from s2m2_ros.inference.engines.versions import how_to_install
from s2m2_ros.inference.errors import BackendUnavailableError, InferenceError
from s2m2_ros.inference.export import ImageSize
from s2m2_ros.inference.other_networks.foreign_network import ELEMENTS, ForeignNetwork
from s2m2_ros.inference.other_networks.planted_check import check_description
from s2m2_ros.inference.other_networks.recognition import Recognized
from s2m2_ros.optional_packages import missing_packages

NAME = 'tensorrt'


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    if options.device.type != 'cuda':
        return f'it needs a CUDA device, not {options.device}'
    if missing_packages('tensorrt') is not None:
        return f'tensorrt not installed ({how_to_install("tensorrt")})'
    return missing_packages('onnxruntime', 'onnx') or own.too_old()


def open_backend(options: BackendOptions) -> Backend:
    """Return the backend. Raises OnnxFileError, DescriptionError or DescriptionMismatchError."""
    import tensorrt

    found = load(options)
    if found.files is not None:
        raise BackendUnavailableError(
            NAME, 'networks in two files run with ONNX Runtime only: set backend to onnxruntime'
        )
    options = replace(options, precision='float16' if found.has_half else 'float32')
    reference = HostReference(found, options.device)
    check_description(reference.network(), torch.device('cpu'))
    models = ForeignModels(found, options)
    contexts = own.TensorRtEngines(options.device, models)

    def build(size: ImageSize) -> ForeignNetwork:
        return ForeignNetwork(found, ForeignEngine(contexts.context(size), contexts.stream, found))

    engines = Engines(
        NAME,
        options,
        build,
        models=models,
        prover=reference.prove,
        reference=REFERENCE,
        tensorrt=tensorrt.__version__,
    )
    return ForeignBackend(NAME, found, engines, options)


@dataclass(frozen=True)
class ForeignEngine:
    """An execution context and the stream it runs on; see `foreign_network.Runner`."""

    context: Any
    stream: OwnStream
    found: Recognized

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs of images on the device."""
        outputs = []
        for name in self.found.outputs:
            port = next(port for port in self.found.model.outputs if port.name == name)
            shape = tuple(self.context.get_tensor_shape(name))
            image = next(iter(images.values()))
            outputs.append(image.new_empty(shape, dtype=ELEMENTS[port.element]))
        tensors = {**images, **dict(zip(self.found.outputs, outputs, strict=True))}
        for name, tensor in tensors.items():
            self.context.set_tensor_address(name, tensor.data_ptr())
        with self.stream.turn() as handle:
            if not self.context.execute_async_v3(handle):
                raise InferenceError('TensorRT could not run the engine; its log says why')
        return outputs
