"""Running a model of anybody under ONNX Runtime."""

from __future__ import annotations

import logging
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
from s2m2_ros.weights.other_networks import description_path

_logger = logging.getLogger(__name__)

CPU_PROVIDER = 'CPUExecutionProvider'
# ONNX Runtime's severities go from 0, verbose, to 4, fatal.
FATAL_ONLY = 4
# Characters that are shown of a reason: of a long one, where it starts and what it ends with.
REASON_START, REASON_END = 60, 340
LONGEST_LOGGED = 4000
# What an error of ONNX Runtime has in it, and what to do then.
ADVICE = (
    (('opset', 'IR version'), 'export it with an older opset, or update onnxruntime'),
    (
        ('is not a registered function/op', 'No Op registered'),
        'it uses an operation that ONNX Runtime does not have: export it with standard operations '
        'only, or with an opset that has it',
    ),
)
OTHER_ADVICE = (
    'export it again with opset 17; onnx.checker.check_model says whether the file itself is valid'
)


class HostSession:
    """Runs a model on tensors in host memory; see `foreign_network.Runner`."""

    def __init__(self, model: OnnxModel, outputs: Sequence[str]) -> None:
        self._model = model
        self._outputs = list(outputs)
        self._session = open_session(model, [CPU_PROVIDER])

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs. Raises OnnxFileError if ONNX Runtime cannot run the model."""
        values = {name: image.numpy() for name, image in images.items()}
        with one_line_errors(self._model, *_running(images)):
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
        with self._stream.turn(), one_line_errors(self._model, *_running(images)):
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
        description_path(first.path),
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


def _running(images: Mapping[str, torch.Tensor]) -> tuple[str, str]:
    """Return what was tried, and what to do if it fails."""
    shapes = ', '.join('x'.join(map(str, image.shape)) for image in images.values())
    return (
        f'run it on {shapes}',
        'if it needs sides in other multiples, or features and volumes of other shapes, set '
        'size.multiple or the keys of second in its description; else export it again',
    )


@contextmanager
def one_line_errors(
    model: OnnxModel, what: str, other_advice: str = OTHER_ADVICE
) -> Iterator[None]:
    """Turn the errors of ONNX Runtime into OnnxFileError; a lack of memory passes through."""
    import onnxruntime

    try:
        yield
    except Exception as error:  # ONNX Runtime's own errors derive from Exception alone
        if is_out_of_memory(error):
            raise
        reason = ' '.join(str(error).split()) or type(error).__name__
        _logger.debug('%s: %s', model.path, safe_text(reason, LONGEST_LOGGED))
        if len(reason) > REASON_START + REASON_END:
            reason = f'{reason[:REASON_START]} ... {reason[-REASON_END:]}'
        advice = next(
            (do for signs, do in ADVICE if any(s in reason for s in signs)), other_advice
        )
        raise OnnxFileError(
            f'{model.path}: ONNX Runtime {onnxruntime.__version__} cannot {what} '
            f'({safe_text(reason, 2 * REASON_END)}): {advice}'
        ) from error
