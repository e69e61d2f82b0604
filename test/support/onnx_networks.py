"""Small ONNX files that really match: block matching from ONNX's own operations.

They stand for networks of others, in any convention of inputs and outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Absolute differences are averaged over squares of this side.
BLOCK = 5
# What columns outside of the right view cost: more than any match.
OUTSIDE = 1e4
OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class BlockMatcher:
    """A network that finds disparities of 0 to `count` - 1 px, in some convention.

    Attributes:
        inputs: names in the order of the file.
        left: which of them takes the left image.
        shape: of the inputs; 0 stands for an open axis.
        low, high: values are clipped to these, so that others give nonsense.
        sign: of the disparity.
        of_width: give fractions of the width.
        scale: what the disparity is multiplied by.
        rank: axes of the output: 4, 3 or 2.
        with_confidence: a second output, `confidence` everywhere.
        with_visibility, with_occlusion: another one, 1 (0) right of column `count`.
        nhwc: channels last.
        pair: one input of six channels.
        step: give every so manieth row and column only.
        coarse: average over squares of this side on the way, so that only its multiples run.
        element: type of inputs and output.
        element_out: type of outputs; 0: that of the inputs, float32 for bytes.
        zero_is_nan: give NaN instead of 0.
        extra: names of further inputs that are no images.
        names: of the outputs that differ.
    """

    inputs: tuple[str, ...] = ('left', 'right')
    left: str = 'left'
    count: int = 40
    shape: tuple[int, ...] = (1, 3, 0, 0)
    low: float = 0.0
    high: float = 255.0
    sign: int = 1
    of_width: bool = False
    scale: float = 1.0
    rank: int = 4
    with_confidence: bool = False
    confidence: float = 0.75
    with_visibility: bool = False
    with_occlusion: bool = False
    nhwc: bool = False
    pair: bool = False
    step: int = 1
    coarse: int = 1
    element: int = TensorProto.FLOAT
    zero_is_nan: bool = False
    element_out: int = 0
    extra: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write the file and return its path."""
        onnx.save_model(self.model(), path)
        return path

    def model(self) -> onnx.ModelProto:
        """Return the model."""
        return _Builder(self).model()


class _Builder:
    def __init__(self, recipe: BlockMatcher) -> None:
        self.recipe = recipe
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = '', **attributes: Any) -> str:
        name = output or f'{kind}_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, kind: type[np.generic] = np.float32) -> str:
        name = f'constant_{len(self.constants)}'
        array: NDArray[Any] = np.asarray(values, kind)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def prepared(self, name: str) -> str:
        recipe = self.recipe
        image = self.add('Cast', name, to=TensorProto.FLOAT)
        if len(recipe.shape) == 3:
            image = self.add('Unsqueeze', image, self.constant([0], np.int64))
        if recipe.nhwc:
            image = self.add('Transpose', image, perm=[0, 3, 1, 2])
        image = self.add('Clip', image, self.constant(recipe.low), self.constant(recipe.high))
        # To a common range, so that the cost of columns outside is high for all.
        image = self.add('Sub', image, self.constant(recipe.low))
        return self.add('Mul', image, self.constant(255.0 / (recipe.high - recipe.low)))

    def views(self) -> tuple[str, str]:
        recipe = self.recipe
        if recipe.pair:
            both = self.prepared(recipe.inputs[0])
            half = recipe.shape[1] // 2
            return tuple(  # type: ignore[return-value]
                self.add(
                    'Slice',
                    both,
                    *(self.constant([v], np.int64) for v in (start, start + half, 1)),
                )
                for start in (0, half)
            )
        right = next(name for name in recipe.inputs if name != recipe.left)
        return self.prepared(recipe.left), self.prepared(right)

    def disparity(self, left: str, right: str) -> str:
        costs = []
        for shift in range(self.recipe.count):
            pads = self.constant([0, 0, 0, shift, 0, 0, 0, 0], np.int64)
            moved = self.add('Pad', right, pads, self.constant(OUTSIDE), mode='constant')
            if shift:
                bounds = [self.constant([v], np.int64) for v in (0, -shift, 3)]
                moved = self.add('Slice', moved, *bounds)
            difference = self.add('Abs', self.add('Sub', left, moved))
            cost = self.add('ReduceMean', difference, axes=[1], keepdims=1)
            side = BLOCK // 2
            costs.append(
                self.add('AveragePool', cost, kernel_shape=[BLOCK, BLOCK], pads=[side] * 4)
            )
        all_costs = self.add('Concat', *costs, axis=1)
        best = self.add('ArgMin', all_costs, axis=1, keepdims=1)
        return self.add('Cast', best, to=TensorProto.FLOAT)

    def model(self) -> onnx.ModelProto:
        recipe = self.recipe
        left, right = self.views()
        found = self.disparity(left, right)
        if recipe.coarse > 1:
            found = self.through_coarse(found)
        outputs = []
        if recipe.with_confidence:
            level = self.add('Mul', found, self.constant(0.0))
            level = self.add('Add', level, self.constant(recipe.confidence))
            outputs.append(self.finished(level, 'confidence'))
        for name, wanted in (
            ('visibility', recipe.with_visibility),
            ('occlusion', recipe.with_occlusion),
        ):
            if wanted:
                # Visible is what has a disparity above 0.
                bound = self.constant(0.5)
                kind = 'Greater' if name == 'visibility' else 'Less'
                flags = self.add('Cast', self.add(kind, found, bound), to=TensorProto.FLOAT)
                outputs.append(self.finished(flags, name))
        factor = recipe.sign * recipe.scale
        if recipe.zero_is_nan:
            found = self.add('Div', found, self.add('Sign', found))
        if recipe.of_width:
            shape = self.add('Shape', left, start=3, end=4)
            width = self.add('Cast', shape, to=TensorProto.FLOAT)
            found = self.add('Div', found, width)
        found = self.add('Mul', found, self.constant(factor))
        if recipe.step > 1:
            steps = [
                self.constant(v, np.int64)
                for v in ([0, 0], [1 << 30] * 2, [2, 3], [recipe.step] * 2)
            ]
            found = self.add('Slice', found, *steps)
        outputs.append(self.finished(found, 'disparity'))
        axes = [size or f'axis_{index}' for index, size in enumerate(recipe.shape)]
        inputs = [
            helper.make_tensor_value_info(name, recipe.element, axes) for name in recipe.inputs
        ]
        inputs += [
            helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in recipe.extra
        ]
        graph = helper.make_graph(self.nodes, 'matcher', inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model

    def through_coarse(self, found: str) -> str:
        """Add nothing, at the size of the squares, so that other sizes cannot be added."""
        side = self.recipe.coarse
        small = self.add('AveragePool', found, kernel_shape=[side] * 2, strides=[side] * 2)
        small = self.add('Mul', small, self.constant(0.0))
        scales = self.constant([1, 1, side, side])
        return self.add('Add', found, self.add('Resize', small, '', scales, mode='nearest'))

    def finished(self, values: str, name: str) -> onnx.ValueInfoProto:
        recipe = self.recipe
        if recipe.rank < 4:
            axes = self.constant([1] if recipe.rank == 3 else [0, 1], np.int64)
            values = self.add('Squeeze', values, axes)
        element = TensorProto.FLOAT if recipe.element == TensorProto.UINT8 else recipe.element
        element = recipe.element_out or element
        output = self.add('Cast', values, to=element, output=recipe.names.get(name, name))
        rows, columns = recipe.shape[-3:-1] if recipe.nhwc else recipe.shape[-2:]
        sizes = [(s // recipe.step) or f'{name}_{i}' for i, s in enumerate((rows, columns))]
        shape = [*([1] * (recipe.rank - 2)), *sizes]
        return helper.make_tensor_value_info(output, element, shape)


def write_two_files(folder: Path, *, half: bool = False, count: int = 40) -> Path:
    """Write a network in two files with a correlation volume between them; return the first.

    The first file gives the 3x3 surroundings of each gray pixel without their mean as features;
    the second takes the disparity of the largest correlation, and wants features and the left
    image besides, which it does not use.
    """
    element = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    kernels = np.eye(9, dtype=np.float32).reshape(9, 1, 3, 3) - np.float32(1 / 9)
    images = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 'rows', 'columns'])
        for name in ('left', 'right')
    ]
    features = [
        helper.make_tensor_value_info(f'features_{name}', TensorProto.FLOAT, None)
        for name in ('left', 'right')
    ]
    nodes = []
    for side in ('left', 'right'):
        nodes += [
            helper.make_node('ReduceMean', [side], [f'{side}_gray'], axes=[1], keepdims=1),
            helper.make_node(
                'Conv', [f'{side}_gray', 'kernels'], [f'features_{side}'], pads=[1] * 4
            ),
        ]
    first = helper.make_graph(
        nodes, 'features', images, features, [numpy_helper.from_array(kernels, 'kernels')]
    )
    inputs = [
        helper.make_tensor_value_info('volume', element, [1, 1, count, 'rows', 'columns']),
        helper.make_tensor_value_info(
            'features_left', TensorProto.FLOAT, [1, 9, 'rows', 'columns']
        ),
        images[0],
    ]
    nodes = [
        helper.make_node('Squeeze', ['volume', 'axis'], ['flat']),
        helper.make_node('ArgMax', ['flat'], ['best'], axis=1, keepdims=1),
        helper.make_node('Cast', ['best'], ['whole'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['features_left'], ['feature'], axes=[1], keepdims=1),
        helper.make_node('ReduceMean', ['left'], ['gray'], axes=[1], keepdims=1),
        helper.make_node('Add', ['feature', 'gray'], ['sum']),
        helper.make_node('Mul', ['sum', 'zero'], ['nothing']),
        helper.make_node('Add', ['whole', 'nothing'], ['disparity']),
    ]
    outputs = [helper.make_tensor_value_info('disparity', TensorProto.FLOAT, None)]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), 'axis'),
        numpy_helper.from_array(np.zeros(1, np.float32), 'zero'),
    ]
    second = helper.make_graph(nodes, 'disparity', inputs, outputs, constants)
    for graph, name in ((first, 'net.onnx'), (second, 'post.onnx')):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
        model.ir_version = IR_VERSION
        onnx.save_model(model, folder / name)
    (folder / 'net.yaml').write_text(
        f'second: {{file: post.onnx, volume: volume, left: features_left, right: features_right, '
        f'count: {count}, normalize: yes}}\n'
    )
    return folder / 'net.onnx'
