"""Reading an ONNX file from anybody: bounded, with what it takes and gives.

Weights beside the file (ONNX's external data) are read here, from regular files in the same
folder, and put into the model: the libraries that run it get its bytes alone, and open no file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.optional_packages import require_packages
from s2m2_ros.regular_files import read_regular_file
from s2m2_ros.text_safety import safe_text

# What one message of Protocol Buffers, and so an ONNX file, can hold.
LARGEST_MODEL = (1 << 31) - 1
MOST_DIMENSIONS = 8
MOST_SHOWN = 12
# Names of element types as ONNX counts them; others are shown by their number.
ELEMENTS = {
    1: 'float32', 2: 'uint8', 3: 'int8', 4: 'uint16', 5: 'int16', 6: 'int32', 7: 'int64',
    8: 'string', 9: 'bool', 10: 'float16', 11: 'float64', 12: 'uint32', 13: 'uint64',
    16: 'bfloat16',
}  # fmt: skip


class OnnxFileError(InferenceError):
    """A file is not an ONNX model that can be used; names it and says why."""


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    Attributes:
        name: as the model calls it.
        shape: sizes of its axes, None for an open one; None if the model does not say.
        element: type of its values.

    """

    name: str
    shape: tuple[int | None, ...] | None
    element: str

    def __str__(self) -> str:
        if self.shape is None:
            axes = 'of unknown shape'
        else:
            axes = f'({", ".join("?" if size is None else str(size) for size in self.shape)})'
        return f'{safe_text(self.name, 60)} {self.element} {axes}'


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """An ONNX model in memory.

    Attributes:
        path: of its file.
        content: the whole model, weights included.
        inputs: what must be given to it.
        outputs: what it gives.
        has_external_data: whether weights were in files of their own.
        has_half: whether weights are float16, so that results are as exact as that.

    """

    path: Path
    content: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    has_external_data: bool
    has_half: bool

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the content in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def describe(self) -> str:
        """Return inputs and outputs in one line."""
        return f'inputs: {_listed(self.inputs)}; outputs: {_listed(self.outputs)}'

    def fixed(self, shapes: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> bytes:
        """Return the model with the shapes of inputs fixed, by name, and with some outputs only.

        TensorRT wants either a range for each open axis, and memory for each output.
        """
        import onnx

        model = onnx.load_model_from_string(self.content)
        for value in model.graph.input:
            if value.name not in shapes:
                continue
            axes = value.type.tensor_type.shape.dim
            for axis, size in zip(axes, shapes[value.name], strict=True):
                axis.dim_value = size
        unread = [value for value in model.graph.output if value.name not in outputs]
        for value in unread:
            model.graph.output.remove(value)
        content: bytes = model.SerializeToString()
        return content


def read_onnx(path: Path) -> OnnxModel:
    """Return the model in an ONNX file.

    Raises OnnxFileError if it cannot be read, is no ONNX model, is too large, or names weights
    that are not regular files in its own folder.
    """
    require_packages(f"'{path}' is an ONNX file", 'onnx', 'onnxruntime')
    import onnx

    content = _read(path, path, LARGEST_MODEL)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own errors derive from Exception alone
        raise OnnxFileError(f'{path}: not an ONNX model, or damaged') from error
    if not model.graph.node or not model.graph.output:
        raise OnnxFileError(f'{path}: not an ONNX model: no operations or no outputs are in it')
    external = _take_in_external_data(model, path, LARGEST_MODEL - len(content))
    if external:
        content = _serialized(model, path)
    # Older models list their weights among the inputs.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_port(value) for value in model.graph.input if value.name not in weights)
    outputs = tuple(_port(value) for value in model.graph.output)
    half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in _tensors(model))
    return OnnxModel(path, content, inputs, outputs, external, half)


def _serialized(model: Any, path: Path) -> bytes:
    try:
        content: bytes = model.SerializeToString()
    except Exception as error:  # the library raises several kinds for what exceeds its limit
        raise OnnxFileError(f'{path}: more than 2 GB with its external data') from error
    return content


def _listed(ports: tuple[Port, ...]) -> str:
    shown = ', '.join(map(str, ports[:MOST_SHOWN])) or 'none'
    return shown if len(ports) <= MOST_SHOWN else f'{shown} and {len(ports) - MOST_SHOWN} more'


def _read(file: Path, model: Path, limit: int) -> bytes:
    try:
        return read_regular_file(file, max_bytes=limit)
    except OSError as error:
        reason = error.strerror or str(error)
        what = model if file == model else f'{model}: its external data {file.name}'
        raise OnnxFileError(f'{what}: cannot be read ({reason})') from error


def _port(value: Any) -> Port:
    tensor = value.type.tensor_type
    kind = tensor.elem_type
    shape: tuple[int | None, ...] | None = None
    if tensor.HasField('shape') and len(tensor.shape.dim) <= MOST_DIMENSIONS:
        shape = tuple(
            axis.dim_value if axis.HasField('dim_value') and axis.dim_value > 0 else None
            for axis in tensor.shape.dim
        )
    return Port(value.name, shape, ELEMENTS.get(kind, f'type {kind}'))


def _take_in_external_data(model: Any, path: Path, room: int) -> bool:
    """Put weights from files beside the model into it; return whether there were any."""
    import onnx

    files: dict[str, bytes] = {}
    found = False
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        found = True
        facts = {entry.key: entry.value for entry in tensor.external_data}
        location = facts.get('location', '')
        if location not in files:
            files[location] = _read(_beside(path, location), path, max(room, 0))
        data = files[location]
        start, length = _extent(facts, path, len(data))
        room -= length
        if room < 0:
            raise OnnxFileError(f'{path}: more than 2 GB with its external data')
        tensor.raw_data = data[start : start + length]
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
    return found


def _beside(path: Path, location: str) -> Path:
    """Return the file of external data. Raises OnnxFileError if it is not in the same folder."""
    file = path.parent / location
    shown = safe_text(location, 80)
    if location in ('', '..') or '\0' in location or Path(location).name != location:
        raise OnnxFileError(
            f"{path}: its external data '{shown}' is not a file in the same folder: only such "
            'files are read'
        )
    if file.is_symlink() and file.resolve().parent != path.resolve().parent:
        raise OnnxFileError(f"{path}: its external data '{shown}' is a link to another folder")
    return file


def _extent(facts: dict[str, str], path: Path, size: int) -> tuple[int, int]:
    """Return the first byte and the number of bytes of one tensor in a file of `size` bytes."""
    try:
        start = int(facts.get('offset') or 0)
        length = int(facts.get('length') or size - start)
    except ValueError as error:
        raise OnnxFileError(f'{path}: the place of its external data is no number') from error
    if start < 0 or length < 0 or start + length > size:
        raise OnnxFileError(
            f'{path}: its external data is cut short: {size} bytes, {start + length} are needed'
        )
    return start, length


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every constant of a model, also those of inner graphs and functions."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield from getattr(graph, 'initializer', ())
        for sparse in getattr(graph, 'sparse_initializer', ()):
            yield sparse.values
            yield sparse.indices
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField('t'):
                    yield attribute.t
                yield from attribute.tensors
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield sparse.values
                    yield sparse.indices
                waiting += [attribute.g] if attribute.HasField('g') else []
                waiting += attribute.graphs
