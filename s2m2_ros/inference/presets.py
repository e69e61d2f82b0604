"""The presets: how much accuracy is given up for speed; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Of max_width, refine_iterations and upsampling: as the preset says.
BY_PRESET = -1
MOST_UPSAMPLING = 4.0
AUTO = 'auto'


@dataclass(frozen=True)
class Preset:
    """What one word stands for.

    Attributes:
        max_width: images are matched at this width at most; 0: no limit.
        refine_iterations: local refinement steps.
        upsampling: factor of the size at which images are matched a second time; 1: they are not.
        refined: what `starter` gets wrong with it, refined by semi-global matching: percentage of
            the pixels of the motorcycle pair (741x500) that are off by more than 2 px, as
            `benchmark/settings.py` measures.
        alone: the same without refinement.

    """

    max_width: int
    refine_iterations: int
    refined: float
    alone: float
    upsampling: float = 1.0


# The most accurate one first: `auto` takes the first that is fast enough.
AUTOMATIC: Mapping[str, Preset] = {
    'accurate': Preset(max_width=0, refine_iterations=3, refined=7.6, alone=11.5),
    'balanced': Preset(max_width=640, refine_iterations=1, refined=7.9, alone=13.5),
    'fast': Preset(max_width=448, refine_iterations=1, refined=8.8, alone=21.9),
}
PRESETS: Mapping[str, Preset] = {
    'finest': Preset(max_width=0, refine_iterations=3, refined=6.8, alone=7.2, upsampling=2.0),
    **AUTOMATIC,
}
CHOICES = (AUTO, *PRESETS)
