"""Which input of an ONNX file is which, and which output: from its description, or the obvious."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass, fields, replace

from s2m2_ros.inference.other_networks.assumptions import assumed_conventions
from s2m2_ros.inference.other_networks.input_shapes import (
    CHANNELS,
    IMAGES,
    check_values,
    with_shape,
)
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, OnnxModel, Port
from s2m2_ros.inference.other_networks.ports import (
    ELEMENTS_OUT,
    NEGATIONS,
    WORDS,
    by_side,
    image_channels,
    image_shape,
    may_be_map,
    words,
)
from s2m2_ros.inference.other_networks.two_files import second_model
from s2m2_ros.text_safety import safe_text
from s2m2_ros.weights.other_networks import (
    DescriptionError,
    NetworkDescription,
    description_path,
    find_description,
    read_values,
    ready_made,
)

_logger = logging.getLogger(__name__)

ELEMENTS_IN = ('float32', 'float16', 'float64', 'uint8')
NO_MAP = (
    'no map of one value for each pixel: export it with the disparity as an output of shape '
    '(1, 1, rows, columns), of an optical flow the horizontal part alone'
)
DOCUMENT = 'doc/other_networks.md'


@dataclass(frozen=True)
class Recognized:
    """A model with its complete description.

    Attributes:
        model: what runs; of two files the first one, with the outputs of the second.
        description: nothing in it is left open but sizes that are open in the model.
        origin: where the description comes from, for people.
        assumed: what no description says, in sentences.
        files: of a network in two files, both as they are.

    """

    model: OnnxModel
    description: NetworkDescription
    origin: str
    assumed: tuple[str, ...] = ()
    files: tuple[OnnxModel, OnnxModel] | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the model in hexadecimal, of two files that of both of theirs."""
        if self.files is None:
            return self.model.sha256
        return hashlib.sha256(''.join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def has_half(self) -> bool:
        """Whether weights are float16."""
        return any(file.has_half for file in self.files or (self.model,))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in the order in which they are given."""
        given = self.description
        return (given.pair,) if given.pair else (given.left, given.right)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are read: disparity, then visibility, then confidence."""
        given = self.description
        names = (given.disparity, given.visibility or given.occlusion, given.confidence)
        return tuple(name for name in names if name)

    @property
    def element(self) -> str:
        """Type of the values of the inputs."""
        return next(p.element for p in self.model.inputs if p.name == self.inputs[0])

    @property
    def has_batch_axis(self) -> bool:
        """Whether inputs have four axes, not three."""
        shape = next(p.shape for p in self.model.inputs if p.name == self.inputs[0])
        return shape is not None and len(shape) == 4

    def input_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of each input for images of a size."""
        given = self.description
        channels = CHANNELS[given.channels] * (2 if given.pair else 1)
        sizes = (channels, height, width) if given.layout == 'nchw' else (height, width, channels)
        return (1, *sizes) if self.has_batch_axis else sizes

    @property
    def has_own_checks(self) -> bool:
        """Whether the network says both what is visible and how sure it is."""
        given = self.description
        return bool(given.confidence and (given.visibility or given.occlusion))


def recognize(model: OnnxModel, name: str = '') -> Recognized:
    """Return a model with the description beside it, a ready-made one, or what is obvious.

    Ready-made descriptions are found by the name of the file, or by `name`, which it will have.

    Raises OnnxFileError if that leaves something open, with inputs, outputs and what to write;
    DescriptionError if the description is wrong.
    """
    given, origin, stated = _given(model, name)
    files = None
    if given.second_file:
        files = (model, second_model(model, given))
        model = replace(model, outputs=files[1].outputs)
    try:
        description, assumed = _completed(model, given, stated)
    except OnnxFileError as error:
        raise OnnxFileError(
            f'{model.path}: {error}. It has {model.describe()}; {DOCUMENT} says what can be run'
        ) from error
    except DescriptionError as error:
        raise DescriptionError(f'{description_path(model.path)}: {error}') from error
    return Recognized(model, description, origin, assumed, files)


def _given(model: OnnxModel, name: str) -> tuple[NetworkDescription, str, Collection[str]]:
    """Return what is known of a model before it is inspected, from where, and its fields."""
    beside = find_description(model.path)
    if beside is not None:
        values = read_values(beside)
        return NetworkDescription(**values), beside.name, values.keys()
    published = ready_made(model.path.stem) or ready_made(name)
    if published is None:
        return NetworkDescription(), 'its inputs and outputs', ()
    inputs, outputs = ([port.name for port in ports] for ports in (model.inputs, model.outputs))
    if not published.fits(inputs, outputs):
        _logger.warning(
            '%s is named like %s, but has other inputs or outputs: taken as an unknown network',
            *(name or model.path, published.description.name),
        )
        return NetworkDescription(), 'its inputs and outputs', ()
    origin = f'the ready-made description of {published.description.name}'
    return published.description, origin, [field.name for field in fields(NetworkDescription)]


def _completed(
    model: OnnxModel, given: NetworkDescription, stated: Collection[str]
) -> tuple[NetworkDescription, tuple[str, ...]]:
    assumed: list[str] = []
    found = _with_inputs(model, given, assumed)
    found = _with_outputs(model, found, assumed)
    found = with_shape(model, found)
    image = next(port for port in model.inputs if port.name in (found.pair, found.left))
    check_values(image, found)
    return found, (*assumed, *assumed_conventions(image, found, stated))


def _with_inputs(
    model: OnnxModel, given: NetworkDescription, assumed: list[str]
) -> NetworkDescription:
    found = given
    if not (given.left or given.pair):
        images = [port for port in model.inputs if image_channels(port) in (1, 2, 3, 6)]
        others = [port for port in model.inputs if port not in images]
        if others:
            raise OnnxFileError(_no_image(others[0], len(images)))
        if len(images) == 1 and image_channels(images[0]) in (2, 6):
            found = replace(given, pair=images[0].name)
            assumed.append(f"'{images[0].name}' takes both images, the left one first")
        elif len(images) == 2 and all(image_channels(port) in (1, 3) for port in images):
            left, right, sure = by_side(images)
            found = replace(given, left=left, right=right)
            how = '' if sure else ' (by their order)'
            assumed.append(f"left image to '{left}', right image to '{right}'{how}")
        else:
            raise OnnxFileError(
                f'{len(images)} of its inputs can be images, not 2: export it with two images as '
                'inputs, or with one of 6 channels'
            )
    keys = ['pair'] if found.pair else ['left', 'right']
    names = [_require('inputs', key, found, model).name for key in keys]
    unfed = [port.name for port in model.inputs if port.name not in names]
    if unfed:
        raise OnnxFileError(
            f"nothing is known to give to its input '{safe_text(unfed[0], 60)}': only the two "
            'images are given to a network. Correct inputs.left and inputs.right, or inputs.pair, '
            f'in {description_path(model.path).name}, or export it with that input fixed'
        )
    return found


def _with_outputs(
    model: OnnxModel, given: NetworkDescription, assumed: list[str]
) -> NetworkDescription:
    found = given if given.disparity else _with_obvious_outputs(model, given, assumed)
    for key in ('disparity', 'confidence', 'visibility', 'occlusion'):
        if getattr(found, key):
            port = _require('outputs', key, found, model)
            if not may_be_map(port):
                raise OnnxFileError(f"its output '{port}' is {NO_MAP}")
    return found


def _with_obvious_outputs(
    model: OnnxModel, given: NetworkDescription, assumed: list[str]
) -> NetworkDescription:
    maps = [port for port in model.outputs if may_be_map(port)]

    def called(key: str) -> list[str]:
        return [port.name for port in maps if words(port.name) & WORDS[key]]

    disparity = [maps[0].name] if len(maps) == 1 else called('disparity')
    if not maps:
        raise OnnxFileError(_no_maps(model))
    if len(disparity) != 1:
        how_many = f'{len(disparity)} of them are' if disparity else 'none of them is'
        file = description_path(model.path).name
        raise OnnxFileError(
            f'{len(maps)} of its outputs can be maps, and {how_many} called disparity: in {file} '
            'set outputs.disparity to the name of the right one'
        )
    others = {}
    for key in ('confidence', 'visibility', 'occlusion'):
        names = [name for name in called(key) if not words(name) & NEGATIONS]
        others[key] = names[0] if len(names) == 1 and names != disparity else ''
    if given.visibility or given.occlusion:
        others['visibility'] = others['occlusion'] = ''
    elif others['visibility']:
        others['occlusion'] = ''
    assumed += [f"{key} from '{name}'" for key, name in others.items() if name]
    return replace(
        given,
        disparity=disparity[0],
        confidence=given.confidence or others['confidence'],
        visibility=given.visibility or others['visibility'],
        occlusion=given.occlusion or others['occlusion'],
    )


def _require(section: str, key: str, given: NetworkDescription, model: OnnxModel) -> Port:
    """Return the input or output that a key of the description names."""
    ports, elements, what = {
        'inputs': (model.inputs, ELEMENTS_IN, 'input'),
        'outputs': (model.outputs, ELEMENTS_OUT, 'output'),
    }[section]
    name = getattr(given, key)
    port = next((port for port in ports if port.name == name), None)
    if port is None:
        raise OnnxFileError(
            f"it has no {what} '{safe_text(name, 60)}': correct {section}.{key} in "
            f'{description_path(model.path).name}'
        )
    if port.element not in elements:
        raise OnnxFileError(
            f"its {what} '{port}' has values of type {port.element}, not {', '.join(elements)}: "
            'export it with float32'
        )
    return port


def _no_image(port: Port, images: int) -> str:
    """Return why an input cannot be an image, and how to export the network instead."""
    start = f"its input '{safe_text(port.name, 60)}' is no image"
    shape = image_shape(port)
    if images == 2:
        return (
            f'{start}, and only two images are given to a network: export it with that input '
            'fixed to a constant'
        )
    if shape is not None and shape[0] not in (1, None):
        return (
            f'{start}, but {shape[0]} in one batch: export it for one pair at a time, with two '
            'inputs or one of 6 channels'
        )
    return f'{start}: {IMAGES}'


def _no_maps(model: OnnxModel) -> str:
    """Return why no output can be a disparity, and how to export the network instead."""
    if others := [port for port in model.outputs if port.element not in ELEMENTS_OUT]:
        return (
            f"its output '{others[0]}' has values of type {others[0].element}, not "
            f'{", ".join(ELEMENTS_OUT)}: export it as float32'
        )
    return f"its output '{model.outputs[0]}' is {NO_MAP}"
