"""Usual conventions of inputs, which are tried when a network does not match as described."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from s2m2_ros.inference.other_networks.recognition import Recognized
from s2m2_ros.weights.other_networks import NetworkDescription

# The mean and standard deviation of ImageNet's images, which many networks were trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Alternative = tuple[NetworkDescription, str]


def input_orders(found: Recognized) -> Iterator[list[Alternative]]:
    """Yield, for inputs as described and exchanged, each normalization with what to set for it.

    The first of all is the description itself, with nothing to set.
    """
    given = found.description
    yield [(given, ''), *_normalizations(found, given, '')]
    if not given.pair:
        swapped = replace(given, left=given.right, right=given.left)
        names = f'inputs.left: {given.right}, inputs.right: {given.left}'
        yield [(swapped, names), *_normalizations(found, swapped, names)]


def joined(*settings: str) -> str:
    """Return settings in one text, without empty ones."""
    return ', '.join(setting for setting in settings if setting)


def _normalizations(
    found: Recognized, given: NetworkDescription, names: str
) -> Iterator[Alternative]:
    # Bytes are normalized by the network itself.
    if found.element == 'uint8':
        return
    for low, high in ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)):
        plain = replace(given, range=(low, high), mean=(), std=())
        if plain != given:
            yield plain, joined(names, f'inputs.range: [{low:g}, {high:g}] without mean and std')
    if given.channels != 'gray':
        usual = replace(given, range=(0.0, 1.0), mean=MEAN, std=STD)
        if usual != given:
            yield (
                usual,
                joined(
                    names,
                    f'inputs.range: [0, 1], inputs.mean: {list(MEAN)}, inputs.std: {list(STD)}',
                ),
            )
