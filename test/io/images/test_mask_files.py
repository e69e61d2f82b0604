"""Masks as files of any kind, and what their transparency means: nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.mask_files import read_mask

KEPT = np.ones((6, 8), bool)
KEPT[3:, :4] = False
BLACK_ON_WHITE = KEPT.astype(np.uint8) * 255


def write(folder: Path, pixels: np.ndarray, suffix: str = '.png') -> Path:
    path = folder / f'mask{suffix}'
    assert cv2.imwrite(str(path), pixels)
    return path


def with_alpha(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack((color, color, color, alpha))


@pytest.mark.parametrize('suffix', ['.png', '.tiff', '.bmp', '.pgm'])
def test_black_is_left_out(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(read_mask(write(tmp_path, BLACK_ON_WHITE, suffix)), KEPT)


def test_opaque_alpha_means_nothing(tmp_path: Path) -> None:
    opaque = np.full_like(BLACK_ON_WHITE, 255)
    path = write(tmp_path, with_alpha(BLACK_ON_WHITE, opaque))
    np.testing.assert_array_equal(read_mask(path), KEPT)


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_transparent_parts_are_an_error(tmp_path: Path, suffix: str, kind: type) -> None:
    """Else a robot that was erased from a white picture would stay in every output."""
    white: np.ndarray = np.full((6, 8), np.iinfo(kind).max, kind)
    erased: np.ndarray = np.where(KEPT, white, 0).astype(kind)
    with pytest.raises(ImageError, match=r'mask\..*transparent.*black where pixels are left out'):
        read_mask(write(tmp_path, with_alpha(white, erased), suffix))


def test_transparent_parts_of_an_array_are_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / 'mask.npy', np.dstack((np.ones((6, 8)), KEPT)))
    with pytest.raises(ImageError, match='transparent'):
        read_mask(tmp_path / 'mask.npy')
