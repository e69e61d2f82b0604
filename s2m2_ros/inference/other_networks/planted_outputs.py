"""Whether a network's own visibility and confidence are what its description calls them.

The planted pair is visible but for a strip beside its nearer plane, and what is visible there is
matched rightly: both outputs should be high there, within 0 and 1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import torch

from s2m2_ros.inference.engines.made_pairs import PlantedScene
from s2m2_ros.weights.other_networks import NetworkDescription

_logger = logging.getLogger(__name__)

# Pixels beside depth edges that do not count.
RIM = 3
# Rows and columns beside the border that do not count, as a fraction.
BORDER = 1 / 16
# Values this far outside of 0 and 1 are rounding or overshooting of an interpolation.
OVERSHOOT = 0.05
# Fraction of pixels that may be NaN although their disparity is known.
FEW = 0.01
# What separates yes from no, and values that differ from those that do not.
HALF, DIFFERENT = 0.5, 0.1


def wrong_outputs(
    disparity: torch.Tensor,
    others: Sequence[torch.Tensor],
    given: NetworkDescription,
    scene: PlantedScene,
    file: str,
) -> Iterator[str]:
    """Yield what is wrong with visibility and confidence, and what to do about it.

    Args:
        disparity: (H, W) what the network makes of the planted pair, which is right.
        others: what it gives besides, (H, W) each, as it gives them: visibility or occlusion,
            then confidence.
        given: names these outputs.
        scene: the planted pair.
        file: where the description is written to.

    """
    keys = [key for key in ('visibility', 'occlusion', 'confidence') if getattr(given, key)]
    for key, values in zip(keys, others, strict=True):
        name = getattr(given, key)
        text = _unreadable(disparity, values)
        if not text:
            seen, hidden = _medians(1 - values if key == 'occlusion' else values, scene)
            text = _opposite(key, name, seen, hidden)
        if text:
            yield (
                f"outputs.{key} '{name}' {text}; or leave it out (name outputs.disparity and the "
                f'other outputs in {file}, without outputs.{key}): a left-right check replaces it'
            )


def _unreadable(disparity: torch.Tensor, values: torch.Tensor) -> str:
    """Return what is wrong with the values themselves, or nothing."""
    known = values.isfinite()
    unknown = float((disparity.isfinite() & ~known).float().mean())
    if unknown > FEW:
        return f'is NaN or infinite in {unknown:.0%} of the pixels: export it without'
    low, high = float(values[known].min()), float(values[known].max())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        return (
            f'has values of {low:.3g} to {high:.3g}, not 0 to 1: export it in that range (logits '
            'with a sigmoid, bytes divided by 255)'
        )
    return ''


def _opposite(key: str, name: str, seen: float, hidden: float) -> str:
    """Return that an output is the opposite of what it is called, or nothing.

    Confidence may be low in made textures: that alone is a warning.
    """
    if seen >= HALF:
        return ''
    if key != 'confidence':
        other = 'occlusion' if key == 'visibility' else 'visibility'
        return (
            f'calls most of what both views show hidden: set outputs.{other}: {name} instead of '
            f'outputs.{key}'
        )
    if hidden >= seen + DIFFERENT:
        return (
            f'is {seen:.2f} where both views show a point and {hidden:.2f} where only one does: '
            'an uncertainty; export 1 minus it'
        )
    _logger.warning(
        "outputs.confidence '%s' is %.2f where a planted pair is matched rightly: if it is not "
        'the probability of a small error, leave it out',
        *(name, seen),
    )
    return ''


def _medians(values: torch.Tensor, scene: PlantedScene) -> tuple[float, float]:
    """Return the medians of what both views show, and of what the left one shows alone."""
    first, last = scene.columns.start, scene.columns.stop
    border = round(scene.width * BORDER)
    wide = slice(scene.behind + border, scene.width - border)
    rows = slice(scene.rows.start + RIM, scene.rows.stop - RIM)
    seen = (
        values[: scene.rows.start - RIM, wide],
        values[scene.rows.stop + RIM :, wide],
        values[rows, first + RIM : last - RIM],
    )
    hidden = values[rows, first - (scene.front - scene.behind) : first]
    parts = (torch.cat([part.flatten() for part in seen]), hidden)
    return tuple(float(part.nanmedian()) for part in parts)  # type: ignore[return-value]
