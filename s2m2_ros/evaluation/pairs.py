"""A stereo pair with its true disparity, as files and as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import S2M2Error

FloatMap = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]


class DatasetError(S2M2Error):
    """A folder or file of a data set cannot be used; the message names it."""


@dataclass(frozen=True)
class StereoFiles:
    """Where one pair and its truth lie."""

    name: str
    left: Path
    right: Path
    truth: Path
    visible: Path | None = None
    """A mask (255 = visible), or a second disparity map that has no value where occluded."""
    scale: float | None = None
    """Integer truth is divided by this; None: its size or the images say by what."""
    usual_scale: float = 1.0
    """The scale where neither size nor images say it."""


@dataclass(frozen=True)
class StereoPair:
    """One pair with its truth."""

    name: str
    left: Picture
    """(H, W, 3) uint8 RGB."""
    right: Picture
    disparity: FloatMap
    """(H, W) float32 in pixels, NaN = unknown."""
    visible: Mask | None
    """(H, W), true where both views show the point; None if the data set does not say."""
