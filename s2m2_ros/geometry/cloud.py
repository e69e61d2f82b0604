"""Point clouds as records in memory, ready to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from s2m2_ros.geometry.filters import PixelFilter
from s2m2_ros.geometry.stereo_camera import StereoCamera

Color = Literal['rgb', 'intensity', 'none']


@dataclass(frozen=True)
class RigidTransform:
    """``p_target = rotation @ p + translation`` from the left optical frame into ``frame_id``.

    ``rotation`` is a 3x3 rotation matrix, row by row; ``translation`` is in metres.
    """

    frame_id: str
    rotation: tuple[tuple[float, float, float], ...]
    translation: tuple[float, float, float]

    @classmethod
    def from_matrix(cls, matrix: Sequence[Sequence[float]], frame_id: str) -> RigidTransform:
        """Return the transform of a 4x4 homogeneous matrix; ValueError if it is not rigid."""
        raise NotImplementedError


@dataclass(frozen=True)
class CloudOptions:
    """How a cloud is laid out and which pixels it holds.

    ``organized``: one record for each pixel, rows x columns, NaN for unknown; otherwise valid
    points only. ``padded``: the 32-byte layout of PCL (x, y, z at 0, 4, 8; colour at 16, then
    confidence), otherwise packed. ``decimation``: every n-th row and column, beginning with the
    first. ``transform``: into another frame than the left optical one.
    """

    organized: bool = True
    padded: bool = False
    color: Color = 'rgb'
    confidence: bool = False
    decimation: int = 1
    filter: PixelFilter = PixelFilter()
    transform: RigidTransform | None = None


@dataclass(frozen=True)
class CloudLayout:
    """Where the FLOAT32 fields of one record lie: (name, byte offset) each, and its size."""

    fields: tuple[tuple[str, int], ...]
    point_step: int

    @classmethod
    def of(cls, options: CloudOptions) -> CloudLayout:
        """Return the layout that the options ask for."""
        raise NotImplementedError


def cloud_records(
    camera: StereoCamera,
    depth: torch.Tensor,
    options: CloudOptions,
    *,
    image: torch.Tensor | None = None,
    confidence: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return records float32 (H', W', point_step / 4), or (N, point_step / 4) if unorganised.

    ``depth``: metres, float32 (H', W'), already filtered and decimated, NaN for unknown.
    ``image``: the left image, (H, W) or (H, W, 3) RGB, uint8 or float in 0..255; needed unless
    ``color`` is 'none'. ``confidence``: (H, W), needed for the confidence field.
    """
    raise NotImplementedError
