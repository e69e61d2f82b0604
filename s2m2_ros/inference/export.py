"""The network as a file for other runtimes: ONNX and TorchScript.

Both take `left` and `right`, (B, 3, H, W) float32 RGB in 0..255, already padded (see
`s2m2_ros.inference.padding`), and return `disparity`, `visibility` and `confidence`, each
(B, 1, H, W) float32. In float16 models only convolutions, linear layers and attention are
float16: the positional code is a float32 constant of the size, and matching, coordinates and
disparity are float32.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from s2m2_ros.inference.backend import PRECISIONS
from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.inference.padding import MULTIPLE
from s2m2_ros.network import S2M2, positional
from s2m2_ros.optional_packages import require_packages

INPUTS = ('left', 'right')
OUTPUTS = ('disparity', 'visibility', 'confidence')
# GridSample of later sets is wrong in some TensorRT versions; nothing here needs a later one.
OPSET = 18
FOLDED_ELEMENTS = 1 << 30
# Operators of group normalization whose result has the type of their first input.
_SAME_TYPE = ('Reshape', 'InstanceNormalization', 'Mul')


@dataclass(frozen=True)
class ImageSize:
    """Size in pixels of the images that something is made for, and how many pairs at once."""

    height: int
    width: int
    batch: int = 1


@dataclass(frozen=True)
class ExportSize(ImageSize):
    """Size of the padded images a model is made for; ValueError unless multiples of 32."""

    def __post_init__(self) -> None:
        if self.batch < 1 or any(
            side < MULTIPLE or side % MULTIPLE for side in (self.height, self.width)
        ):
            raise ValueError(
                f'models are made for sizes of positive multiples of {MULTIPLE} pixels, not '
                f'{self.width}x{self.height}, batch {self.batch}'
            )


def describe(network: S2M2, size: ExportSize) -> dict[str, str]:
    """Return what an exported model says of itself, as text by name."""
    precision = next(k for k, v in PRECISIONS.items() if v == next(network.parameters()).dtype)
    facts = {
        'variant': network.config.name,
        'precision': precision,
        'refine_iterations': network.refine_iterations,
        'allow_negative': network.allow_negative,
        **asdict(size),
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in facts.items()
    }


def to_onnx(network: S2M2, size: ExportSize, *, dynamic: bool = False) -> bytes:
    """Return the network as an ONNX model.

    Args:
        network: on any device, in the precision the model shall have.
        size: of its inputs.
        dynamic: leave the batch size open; height and width stay fixed, as the positional code
            of a size is a constant of the model.

    Raises:
        BackendUnavailableError: a package is missing.
        InferenceError: the network cannot be exported with an open batch size, or the model is
            larger than the 2 GB a single ONNX file can hold.

    """
    require_packages('export', 'onnx', 'onnxscript')
    batch = torch.export.Dim('batch', min=1, max=64)
    axes = {0: batch} if dynamic else {}
    if dynamic and size.batch == 1:
        # A batch of one would be taken for a constant.
        size = ExportSize(size.height, size.width, batch=2)
    with _tracing():
        program = torch.onnx.export(
            network,
            _examples(network, size),
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=(axes, axes) if dynamic else None,
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise InferenceError('the ONNX exporter returned nothing')
        if dynamic:
            _require_open_batch(program.model)
        _simplify(program.model)
    model = program.model_proto
    for name, value in describe(network, size).items():
        model.metadata_props.add(key=name, value=value)
    try:
        content: bytes = model.SerializeToString()
    except ValueError as error:
        raise InferenceError(f'the model does not fit into one ONNX file: {error}') from error
    return content


def to_torchscript(network: S2M2, size: ExportSize) -> bytes:
    """Return the network as a frozen TorchScript model of a fixed size.

    Its metadata is the extra file `metadata.json`.
    """
    with _tracing():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, _examples(network, size), check_trace=False
        )
        frozen = torch.jit.freeze(traced.eval())
    buffer = io.BytesIO()
    facts = json.dumps(describe(network, size))
    torch.jit.save(frozen, buffer, _extra_files={'metadata.json': facts})
    return buffer.getvalue()


def _examples(network: nn.Module, size: ExportSize) -> tuple[torch.Tensor, torch.Tensor]:
    device = next(network.parameters()).device
    shape = (size.batch, 3, size.height, size.width)
    return torch.full(shape, 100.0, device=device), torch.full(shape, 101.0, device=device)


def _require_open_batch(model: Any) -> None:
    """Raise InferenceError if the exporter has quietly fixed the batch size after all."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        if isinstance(value.shape[0], int):
            raise InferenceError(
                'this network cannot be exported with an open batch size: some operation of it '
                'depends on the batch; export one model per batch size'
            )


def _simplify(model: Any) -> None:
    """Fold constants and drop what is unused, which removes operators that few runtimes know.

    The exporter's own optimizer does that too, but matches hundreds of rewriting patterns against
    every node besides, for minutes.
    """
    from onnx_ir.passes import common
    from onnxscript import optimizer

    # Without limits of size, so that the positional tables become constants, at any size: they
    # are made in float64, which TensorRT does not have.
    optimizer.fold_constants(
        model, input_size_limit=FOLDED_ELEMENTS, output_size_limit=FOLDED_ELEMENTS
    )
    # What is left of them: folding replaces most.
    _replace_cast_like(model.graph)
    for step in (
        common.RemoveUnusedNodesPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
    ):
        step(model)


def _replace_cast_like(graph: Any) -> None:
    """Write CastLike, which TensorRT's parser lacks, as Cast to the type it stands for."""
    import onnx_ir

    for node in [node for node in graph if node.op_type == 'CastLike']:
        value, like = node.inputs
        # The exporter notes no types inside its group normalization.
        while like.dtype is None and like.producer().op_type in _SAME_TYPE:
            like = like.producer().inputs[0]
        if like.dtype is None:
            raise InferenceError(f'the exported model does not say the type of {like.name}')
        cast = onnx_ir.node('Cast', [value], {'to': like.dtype})
        onnx_ir.convenience.replace_nodes_and_values(
            graph, node, [node], [cast], node.outputs, cast.outputs
        )


@contextmanager
def _tracing() -> Iterator[None]:
    """Quieten the exporters, and keep them and the network from harming each other.

    Gradients are switched on, because without them the network matches a few rows at a time on a
    CPU, which would become thousands of operations in the model. Afterwards the network's caches
    of tables are emptied: they may hold an exporter's stand-ins for tensors.
    """
    noisy = [logging.getLogger(n) for n in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.inference_mode(False), torch.enable_grad():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
        for function in vars(positional).values():
            if hasattr(function, 'cache_clear'):
                function.cache_clear()
