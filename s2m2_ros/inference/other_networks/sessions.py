"""Running a model of anybody under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from s2m2_ros.inference.backends.devices import OwnStream
from s2m2_ros.inference.backends.onnx_runtime import CUDA_PROVIDER, cuda_settings, location
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError
from s2m2_ros.inference.other_networks.recognition import Recognized
from s2m2_ros.text_safety import safe_text

CPU_PROVIDER = 'CPUExecutionProvider'
# ONNX Runtime's severities go from 0, verbose, to 4, fatal.
FATAL_ONLY = 4
LONGEST_REASON = 300


class HostSession:
    """Runs a model on tensors in host memory; see `foreign_network.Runner`."""

    def __init__(self, recognized: Recognized) -> None:
        self._recognized = recognized
        self._session = open_session(recognized, [CPU_PROVIDER])

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs. Raises OnnxFileError if ONNX Runtime cannot run the model."""
        found = self._recognized
        values = {name: image.numpy() for name, image in images.items()}
        with one_line_errors(found, 'run it'):
            outputs = self._session.run(list(found.outputs), values)
        return [torch.from_numpy(np.ascontiguousarray(output)) for output in outputs]


class CudaSession:
    """Runs a model on tensors in the memory of a CUDA device; see `foreign_network.Runner`."""

    def __init__(self, recognized: Recognized, device: torch.device) -> None:
        self._recognized = recognized
        self._device = device
        self._stream = OwnStream(device)
        settings = cuda_settings(device, self._stream)
        self._session = open_session(recognized, [(CUDA_PROVIDER, settings), CPU_PROVIDER])

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs, whose sizes are known afterwards only: they come by the host."""
        found = self._recognized
        binding = self._session.io_binding()
        for name, image in images.items():
            binding.bind_input(name, *location(image))
        for name in found.outputs:
            binding.bind_output(name, 'cuda', self._device.index or 0)
        with self._stream.turn(), one_line_errors(found, 'run it'):
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            outputs = binding.copy_outputs_to_cpu()
        return [
            torch.from_numpy(np.ascontiguousarray(output)).to(self._device) for output in outputs
        ]


def open_session(recognized: Recognized, providers: list[Any]) -> Any:
    """Return the session of a model. Raises OnnxFileError, in one line, if it is invalid."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = FATAL_ONLY
    settings.intra_op_num_threads = torch.get_num_threads()
    with one_line_errors(recognized, 'load it'):
        return onnxruntime.InferenceSession(
            recognized.model.content, settings, providers=providers
        )


@contextmanager
def one_line_errors(recognized: Recognized, what: str) -> Iterator[None]:
    """Turn the errors of ONNX Runtime into OnnxFileError; a lack of memory passes through."""
    import onnxruntime

    try:
        yield
    except Exception as error:  # ONNX Runtime's own errors derive from Exception alone
        if is_out_of_memory(error):
            raise
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise OnnxFileError(
            f'{recognized.model.path}: ONNX Runtime {onnxruntime.__version__} cannot {what}: '
            f'{safe_text(reason, LONGEST_REASON)}'
        ) from error
