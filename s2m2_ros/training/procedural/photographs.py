"""Photographs as textures of procedural scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2m2_ros.io.images.image_files import SUFFIXES, read_raw
from s2m2_ros.io.images.pixel_range import PixelRange, scale
from s2m2_ros.io.images.raw_image import RawImage
from s2m2_ros.training.options import TrainingError


def read_photographs(folder: Path) -> list[Tensor]:
    """Return all images directly in a folder, in the order of their names, (3, H, W) in 0..1.

    Raises:
        TrainingError: if there is none.
        ImageError: if one cannot be read.
    """
    files = sorted(path for path in folder.glob('*') if path.suffix.lower() in SUFFIXES)
    if not files:
        raise TrainingError(f'{folder}: holds no images ({", ".join(SUFFIXES)})')
    return [_planes(read_raw(file)) for file in files]


def _planes(image: RawImage) -> Tensor:
    (values,) = PixelRange().update([image])
    scaled = torch.from_numpy(scale(image, values) / np.float32(255))
    color = scaled if scaled.ndim == 3 else scaled[..., None].expand(-1, -1, 3)
    return color.permute(2, 0, 1).float().contiguous()
