"""Running a model of anybody under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from s2m2_ros.inference.backends.devices import OwnStream
from s2m2_ros.inference.backends.onnx_runtime import CUDA_PROVIDER, cuda_settings, location
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory
from s2m2_ros.inference.other_networks.foreign_network import Runner
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, OnnxModel
from s2m2_ros.inference.other_networks.recognition import Recognized
from s2m2_ros.inference.other_networks.two_files import TYPES, TwoFiles, between_files
from s2m2_ros.text_safety import safe_text

CPU_PROVIDER = 'CPUExecutionProvider'
# ONNX Runtime's severities go from 0, verbose, to 4, fatal.
FATAL_ONLY = 4
LONGEST_REASON = 300


class HostSession:
    """Runs a model on tensors in host memory; see `foreign_network.Runner`."""

    def __init__(self, model: OnnxModel, outputs: Sequence[str]) -> None:
        self._model = model
        self._outputs = list(outputs)
        self._session = open_session(model, [CPU_PROVIDER])

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs. Raises OnnxFileError if ONNX Runtime cannot run the model."""
        values = {name: image.numpy() for name, image in images.items()}
        with one_line_errors(self._model, 'run it'):
            outputs = self._session.run(self._outputs, values)
        return [torch.from_numpy(np.ascontiguousarray(output)) for output in outputs]


class CudaSession:
    """Runs a model on tensors in the memory of a CUDA device; see `foreign_network.Runner`."""

    def __init__(self, model: OnnxModel, outputs: Sequence[str], device: torch.device) -> None:
        self._model = model
        self._outputs = list(outputs)
        self._device = device
        self._stream = OwnStream(device)
        settings = cuda_settings(device, self._stream)
        self._session = open_session(model, [(CUDA_PROVIDER, settings), CPU_PROVIDER])

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs, whose sizes are known afterwards only: they come by the host."""
        binding = self._session.io_binding()
        for name, image in images.items():
            binding.bind_input(name, *location(image))
        for name in self._outputs:
            binding.bind_output(name, 'cuda', self._device.index or 0)
        with self._stream.turn(), one_line_errors(self._model, 'run it'):
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            outputs = binding.copy_outputs_to_cpu()
        return [
            torch.from_numpy(np.ascontiguousarray(output)).to(self._device) for output in outputs
        ]


def runner_for(found: Recognized, session: Callable[[OnnxModel, Sequence[str]], Runner]) -> Runner:
    """Return what runs a network, in one file or two, by sessions of this kind."""
    if found.files is None:
        return session(found.model, found.outputs)
    first, second = found.files
    given = found.description
    between = between_files(first, second, given)
    inputs = {port.name: TYPES[port.element] for port in second.inputs}
    return TwoFiles(
        given,
        between,
        inputs,
        session(first, between),
        session(second, found.outputs),
    )


def open_session(model: OnnxModel, providers: list[Any]) -> Any:
    """Return the session of a model. Raises OnnxFileError, in one line, if it is invalid."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = FATAL_ONLY
    settings.intra_op_num_threads = torch.get_num_threads()
    with one_line_errors(model, 'load it'):
        return onnxruntime.InferenceSession(model.content, settings, providers=providers)


@contextmanager
def one_line_errors(model: OnnxModel, what: str) -> Iterator[None]:
    """Turn the errors of ONNX Runtime into OnnxFileError; a lack of memory passes through."""
    import onnxruntime

    try:
        yield
    except Exception as error:  # ONNX Runtime's own errors derive from Exception alone
        if is_out_of_memory(error):
            raise
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise OnnxFileError(
            f'{model.path}: ONNX Runtime {onnxruntime.__version__} cannot {what}: '
            f'{safe_text(reason, LONGEST_REASON)}'
        ) from error
