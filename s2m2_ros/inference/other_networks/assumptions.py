"""What is taken for granted of a network because no description says it, in words for a log."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from s2m2_ros.inference.other_networks.onnx_model import Port
from s2m2_ros.inference.other_networks.ports import image_shape
from s2m2_ros.weights.other_networks import NetworkDescription


def assumed_conventions(
    image: Port, given: NetworkDescription, stated: Collection[str]
) -> Iterator[str]:
    """Yield what was assumed besides the names of inputs and of other outputs than disparity.

    Args:
        image: the first input.
        given: the complete description.
        stated: fields of it that are stated, in a file or in a ready-made description.

    """
    for parts in (
        _disparity(given, stated),
        _values(image, given, stated),
        _size(image, given, stated),
        _volume(given, stated),
    ):
        if text := ', '.join(parts):
            yield text


def _disparity(given: NetworkDescription, stated: Collection[str]) -> list[str]:
    parts = []
    if 'unit' not in stated:
        parts.append('in pixels of its input')
    if 'sign' not in stated:
        parts.append('positive for x_left - x_right')
    if 'disparity' not in stated:
        return [f"disparity from '{given.disparity}'", *parts]
    return [f'disparity {parts[0]}', *parts[1:]] if parts else []


def _values(image: Port, given: NetworkDescription, stated: Collection[str]) -> list[str]:
    parts = []
    is_float = image.element != 'uint8'
    if is_float and 'range' not in stated:
        low, high = given.range
        parts.append(f'values {low:g} to {high:g}')
    # Images of one channel can only be gray.
    if given.channels != 'gray' and 'channels' not in stated:
        parts.append(f'channels {given.channels}')
    lacking = [key for key in ('mean', 'std') if key not in stated]
    if is_float and lacking:
        parts.append(f'without {" and ".join(lacking)}')
    return parts


def _size(image: Port, given: NetworkDescription, stated: Collection[str]) -> list[str]:
    parts = []
    shape = image_shape(image)
    if 'layout' not in stated and shape is not None and shape[1] is None and shape[3] is None:
        parts.append(f'layout {given.layout}')
    if not (given.height and given.width) and 'multiple' not in stated:
        parts.append(f'open sides in multiples of {given.multiple}')
    return parts


def _volume(given: NetworkDescription, stated: Collection[str]) -> list[str]:
    if not given.second_file:
        return []
    is_product = given.second_kind == 'group_correlation'
    known = {
        'second_kind': f'{given.second_kind}',
        'second_groups': f'groups {given.second_groups}' if is_product else '',
        'second_normalize': 'features not normalized',
    }
    parts = [text for key, text in known.items() if text and key not in stated]
    return [f'cost volume {parts[0]}', *parts[1:]] if parts else []
