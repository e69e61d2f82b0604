"""Photographs that lend their textures to procedural scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2m2_ros.training.options import TrainingError

ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def read_photographs(folder: Path) -> list[Tensor]:
    """Return all images directly in a folder, in the order of their names, (3, H, W) in 0..1.

    Raises:
        TrainingError: if there is none.
        ImageError: if one cannot be read.
    """
    from s2m2_ros.io.image_files import read_image  # which needs OpenCV

    files = sorted(path for path in folder.glob('*') if path.suffix.lower() in ENDINGS)
    if not files:
        raise TrainingError(f'{folder}: holds no images ({", ".join(ENDINGS)})')
    return [_planes(read_image(file)) for file in files]


def _planes(image: np.ndarray) -> Tensor:
    scaled = torch.from_numpy(image / np.float32(np.iinfo(image.dtype).max))
    colour = scaled if scaled.ndim == 3 else scaled[..., None].expand(-1, -1, 3)
    return colour.permute(2, 0, 1).float().contiguous()
