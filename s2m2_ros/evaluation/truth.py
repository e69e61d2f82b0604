"""Stereo pairs with their true disparity, and what its numbers mean.

Zero, NaN, infinity and values beyond the width of the image mean unknown. What the files leave
open is decided by the images:

- Integers of Middlebury 2001 to 2006 are disparities times 1, 2, 3, 4, 8 or 16, depending on the
  size at which a scene was downloaded. The scale is the one whose disparities bring the right
  image onto the left one, if one does so clearly better than the others; else the one that
  belongs to the height of the image (`KNOWN_HEIGHTS`); else that of the layout's usual size.
- Maps of negative values (Scene Flow's subset, right-to-left) are turned round, unless the images
  say that the pair has negative disparities. Where a map has both signs, the images decide.
- A single negative value that repeats beside positive ones marks unknown pixels, unless the
  images say that the map has to be turned round; then a single positive one does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import ImageError
from s2m2_ros.evaluation.pairs import (
    DatasetError,
    FloatMap,
    Mask,
    Picture,
    StereoFiles,
    StereoPair,
)
from s2m2_ros.io.images.image_files import read_raw
from s2m2_ros.io.images.pixel_range import PixelRange, scale_pair

SCALES = (1.0, 2.0, 3.0, 4.0, 8.0, 16.0)
# Heights of Middlebury's pairs at full, half, third and quarter size. 2001 has 8 for one pixel,
# its pair from Tsukuba 16.
KNOWN_HEIGHTS = {
    **dict.fromkeys((1500, 1110), 1.0),
    **dict.fromkeys((750, 555), 2.0),
    370: 3.0,
    375: 4.0,
    **dict.fromkeys((216, 380, 381, 383), 8.0),
    288: 16.0,
}
# The images decide if the best candidate's mismatch is below this fraction of the next one's,
# and against a known height if it is below a smaller fraction of its.
CLEARLY_BETTER, BEYOND_DOUBT = 0.8, 0.5
# Truth that these turn into a better one is in other units, or of exchanged images.
FACTORS = (-1.0, 0.5, 0.25, 0.125, 0.0625, 2.0, 4.0)
# So many rows are compared, and so many pixels have to be.
COMPARED_ROWS, FEWEST_PIXELS = 64, 50


class Comparison:
    """Compares the left image with the right one, moved by a disparity."""

    def __init__(self, left: Picture, right: Picture) -> None:
        rows = slice(None, None, max(1, left.shape[0] // COMPARED_ROWS))
        # Rows from top to bottom, brightness without the exposure that a camera chose.
        self._views = [_brightness(image[rows]) for image in (left, right)]
        self._rows = rows

    def mismatch(self, disparity: FloatMap) -> float:
        """Return the mean difference in gray levels, infinite where too little is compared."""
        left, right = self._views
        width = left.shape[1]
        target = np.arange(width, dtype=np.float32) - disparity[self._rows]
        with np.errstate(invalid='ignore'):
            inside = (target >= 0) & (target <= width - 1)
        if np.count_nonzero(inside) < FEWEST_PIXELS:
            return np.inf
        row = np.broadcast_to(np.arange(left.shape[0])[:, None], target.shape)[inside]
        first = np.floor(target[inside]).astype(np.intp)
        part = target[inside] - first
        moved = (
            right[row, first] * (1 - part) + right[row, np.minimum(first + 1, width - 1)] * part
        )
        # Candidates that move nearly all pixels out of the image cannot be judged.
        known = int(np.count_nonzero(np.isfinite(target)))
        fraction = int(np.count_nonzero(inside)) / known
        return float(np.abs(left[inside] - moved).mean()) / fraction


def load_pair(files: StereoFiles) -> StereoPair:
    """Read the images and the truth of one pair.

    Raises:
        DatasetError: if a file cannot be read or the sizes differ.
    """
    left, right = read_images(files.left, files.right)
    values, is_integer = _read_values(files.truth, in_fractions=(files.scale or 1) > 16)
    visible = None if files.visible is None else _read_visible(files.visible)
    for name, array in (('right image', right), ('truth', values), ('mask', visible)):
        if array is not None and array.shape[:2] != left.shape[:2]:
            raise DatasetError(
                f'{files.name}: the {name} is {array.shape[1]}x{array.shape[0]}, '
                f'the left image {left.shape[1]}x{left.shape[0]}'
            )
    compare = Comparison(left, right)
    if is_integer:
        scale = files.scale or find_scale(compare, values, usual=files.usual_scale)
        disparity = values / np.float32(scale)
    else:
        disparity = _signed(compare, values)
    with np.errstate(invalid='ignore'):
        disparity[np.abs(disparity) >= left.shape[1]] = np.nan
    return StereoPair(files.name, left, right, disparity, visible)


def require_truth(pair: StereoPair) -> None:
    """Raise DatasetError for a pair without one pixel of known truth."""
    if not np.isfinite(pair.disparity).any():
        raise DatasetError(
            f'{pair.name}: not one pixel of the truth is known: all are 0, NaN, infinite or '
            "beyond the width of the image; is it a disparity in pixels, in the file's units?"
        )


def better_factor(pair: StereoPair) -> float | None:
    """Return by what the truth has to be multiplied to bring the views together, or None.

    None if no factor does it clearly better than 1; -1 where left and right are exchanged.
    """
    compare = Comparison(pair.left, pair.right)
    as_is = compare.mismatch(pair.disparity)
    found = [compare.mismatch(pair.disparity * np.float32(factor)) for factor in FACTORS]
    best = int(np.argmin(found))
    return FACTORS[best] if found[best] < CLEARLY_BETTER * as_is else None


def read_disparity(file: Path, *, scale: float = 1.0) -> FloatMap:
    """Return the disparity (H, W) of a file as it says, NaN = unknown.

    Integers are divided by `scale`; the sign of floating-point values is kept.

    Raises:
        DatasetError: if the file cannot be read.
    """
    values, is_integer = _read_values(file)
    return values / np.float32(scale) if is_integer else values


def find_scale(compare: Comparison, values: FloatMap, *, usual: float) -> float:
    """Return by what integer truth is to be divided; see the module's text."""
    mismatches = {scale: compare.mismatch(values / np.float32(scale)) for scale in SCALES}
    order = sorted(SCALES, key=lambda scale: mismatches[scale])
    best = order[0]
    known = KNOWN_HEIGHTS.get(values.shape[0])
    if known is not None:
        doubted = mismatches[best] < BEYOND_DOUBT * mismatches[known]
        return best if doubted else known
    clear = mismatches[best] < CLEARLY_BETTER * mismatches[order[1]]
    return best if clear else usual


def _brightness(image: Picture) -> FloatMap:
    gray: FloatMap = image.mean(axis=2, dtype=np.float32)
    gray -= gray.mean()
    return gray


def _signed(compare: Comparison, signed: FloatMap) -> FloatMap:
    """Return the map with the sign by which a point lies further left in the right image."""
    values = signed
    known = values[np.isfinite(values)]
    if not (known < 0).any():
        return values
    is_negative = bool((known < 0).all())
    values, opposite = _without_mark(signed), _without_mark(-signed)
    as_is, turned = compare.mismatch(values), compare.mismatch(opposite)
    if is_negative:
        return values if as_is < CLEARLY_BETTER * turned else opposite
    return opposite if turned < CLEARLY_BETTER * as_is else values


def _without_mark(values: FloatMap) -> FloatMap:
    """Return a map without the single negative value that it may have beside positive ones."""
    below = values[values < 0]
    if not below.size or below.min() != below.max() or not (values > 0).any():
        return values
    return np.where(values < 0, np.nan, values).astype(np.float32)


def _read_values(file: Path, *, in_fractions: bool = False) -> tuple[FloatMap, bool]:
    """Return the numbers of a map (H, W), NaN = unknown, and whether the file has integers.

    Fractions of a pixel need more than 8 bits: raises DatasetError for a map of fewer.
    """
    found = _read(file)
    if in_fractions and found.dtype == np.uint8:
        raise DatasetError(f'{file}: 8 bits, but disparities in 1/256 pixel have 16')
    values: npt.NDArray[Any] = found if found.ndim == 2 else found[..., 0]
    is_integer = values.dtype.kind != 'f'
    known = np.isfinite(values) & (values != 0)
    return np.where(known, values, np.nan).astype(np.float32), is_integer


def _read_visible(file: Path) -> Mask:
    """Return where a mask is 255, or where a disparity map (16 bits) has a value."""
    values = _read(file)
    if values.ndim == 3:
        values = values[..., 0]
    return np.asarray(values == 255 if values.dtype == np.uint8 else values > 0)


def read_images(*files: Path) -> list[Picture]:
    """Return left and right as (H, W, 3) uint8 RGB, deep images scaled by one range."""
    try:
        raw = [read_raw(file) for file in files]
        pair = scale_pair(raw[0], raw[1], PixelRange())
    except ImageError as error:
        raise DatasetError(f'{error}') from error
    return [_picture(image) for image in pair]


def _picture(image: npt.NDArray[Any]) -> Picture:
    if image.dtype != np.uint8:
        image = np.rint(image).astype(np.uint8)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _read(file: Path) -> npt.NDArray[Any]:
    try:
        return read_raw(file).pixels
    except ImageError as error:
        raise DatasetError(f'{error}') from error
