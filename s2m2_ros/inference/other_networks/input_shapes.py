"""Layout, channels, size and values of a model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, OnnxModel, Port
from s2m2_ros.inference.other_networks.ports import image_shape
from s2m2_ros.weights.other_networks import (
    DescriptionError,
    NetworkDescription,
    description_path,
)

COLORS = {1: 'gray', 3: 'rgb'}
CHANNELS = {'gray': 1, 'rgb': 3, 'bgr': 3}
BYTES = (0.0, 255.0)
LARGEST_HALF = 65504.0
IMAGES = (
    'export it with images of 1 or 3 channels as inputs, of shape (1, channels, rows, columns)'
)


def with_shape(model: OnnxModel, given: NetworkDescription) -> NetworkDescription:
    """Return the description with layout, channels and size of the model's inputs."""
    ports = [p for p in model.inputs if p.name in (given.pair, given.left, given.right)]
    shape, other = (image_shape(port) for port in (ports[0], ports[-1]))
    if shape is None or other is None:
        raise OnnxFileError(f"its input '{ports[0]}' has neither 3 nor 4 axes: {IMAGES}")
    if len(ports[0].shape or ()) != len(ports[-1].shape or ()) or any(
        one != two and None not in (one, two) for one, two in zip(shape, other, strict=True)
    ):
        raise OnnxFileError(
            f"its inputs '{ports[0]}' and '{ports[-1]}' differ in shape: export it with "
            'images of one shape'
        )
    if shape[0] not in (1, None):
        raise OnnxFileError(
            f"its input '{ports[0]}' wants {shape[0]} pairs at once: export it for 1"
        )
    images = 2 if given.pair else 1
    layout = given.layout or _layout(shape, images)
    axes = shape[1:] if layout == 'nchw' else (shape[3], *shape[1:3])
    channels = given.channels or COLORS.get((axes[0] or 3 * images) // images, '')
    wanted = CHANNELS.get(channels, 0) * images
    if not channels or axes[0] not in (wanted, None):
        raise OnnxFileError(
            f"its input '{ports[0]}' has {axes[0]} channels in layout {layout}, not "
            f'{wanted or 3}: set inputs.channels and inputs.layout in '
            f'{description_path(model.path).name} as it wants them, or export it with images of 1 '
            'or 3 channels'
        )
    height, width = (
        _side(fixed, wished, name)
        for fixed, wished, name in zip(
            axes[1:], (given.height, given.width), ('height', 'width'), strict=True
        )
    )
    return replace(given, layout=layout, channels=channels, height=height, width=width)


def check_values(port: Port, given: NetworkDescription) -> None:
    """Raise DescriptionError if inputs cannot hold the values that black and white become."""
    if port.element == 'uint8' and (given.range != BYTES or given.mean or given.std):
        raise DescriptionError(
            f"the input '{port}' takes whole numbers of 0 to 255, as cameras give them: "
            'remove inputs.range, inputs.mean and inputs.std, since such a network normalizes '
            'images itself'
        )
    if port.element == 'float16':
        largest = max(
            abs((value - offset) / divisor)
            for value in given.range
            for offset in given.offset
            for divisor in given.divisor
        )
        if largest > LARGEST_HALF:
            raise DescriptionError(
                f"the input '{port}' holds values up to {LARGEST_HALF:g}, and images "
                f'become up to {largest:g}: correct inputs.range, inputs.mean and inputs.std'
            )


def _side(fixed: int | None, wished: int, name: str) -> int:
    """Return a side of the input in pixels, 0 for an open one."""
    if wished and fixed and wished != fixed:
        raise DescriptionError(
            f'its {name} is {fixed} pixels, not {wished} as described: remove size.{name}, or '
            f'export it for {wished}'
        )
    return fixed or wished


def _layout(shape: Sequence[int | None], images: int) -> str:
    counts = {1 * images, 3 * images}
    return 'nhwc' if shape[1] not in counts and shape[3] in counts else 'nchw'
