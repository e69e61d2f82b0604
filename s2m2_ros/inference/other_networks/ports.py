"""What inputs and outputs of a model can be, by their shapes and names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s2m2_ros.inference.other_networks.onnx_model import Port

ELEMENTS_OUT = ('float32', 'float16', 'float64', 'int32', 'int64', 'uint8')
# Words of names, between digits, signs and changes of case.
WORD = re.compile(r'[A-Z]?[a-z]+|[A-Z]+')
WORDS = {
    'left': {'left', 'l'},
    'right': {'right', 'r'},
    'disparity': {'disparity', 'disp', 'disparities'},
    'confidence': {'confidence', 'conf'},
    'visibility': {'visibility', 'vis', 'visible'},
    'occlusion': {'occlusion', 'occ', 'occluded'},
}
# An output with one of these in its name may be the opposite: it is not taken without being named.
NEGATIONS = {'non', 'not', 'no', 'un', 'in', 'inv', 'inverse', 'inverted', 'anti', 'neg'}


def image_channels(port: Port) -> int:
    """Return how many channels an input has if it can be an image, else 0."""
    shape = image_shape(port)
    if shape is None or shape[0] not in (1, None):
        return 0
    for axis in (1, 3):
        if shape[axis] in (1, 2, 3, 6):
            return shape[axis] or 0
    return 3 if shape[1] is None else 0


def image_shape(port: Port) -> tuple[int | None, ...] | None:
    """Return the four axes of an input, the first one 1 where the file has three; else None."""
    if port.shape is None or len(port.shape) not in (3, 4):
        return None
    return port.shape if len(port.shape) == 4 else (1, *port.shape)


def may_be_map(port: Port) -> bool:
    """Return whether an output can hold one value for each pixel of one pair."""
    if port.element not in ELEMENTS_OUT:
        return False
    if port.shape is None:
        return True
    if len(port.shape) < 2:
        return False
    # Besides rows and columns there may be axes of 1, first or last.
    if all(size in (1, None) for size in port.shape[:-2]):
        return True
    return len(port.shape) == 4 and port.shape[3] == 1 and port.shape[0] in (1, None)


def by_side(ports: Sequence[Port]) -> tuple[str, str, bool]:
    """Return the names of the left and the right input, and whether they say so."""
    sides = [
        {side for side in ('left', 'right') if words(port.name) & WORDS[side]} for port in ports
    ]
    first, second = (port.name for port in ports)
    if sides == [{'right'}, {'left'}]:
        return second, first, True
    return first, second, sides == [{'left'}, {'right'}]


def words(name: str) -> set[str]:
    """Return the words of a name in lower case."""
    return {word.lower() for word in WORD.findall(name)}
