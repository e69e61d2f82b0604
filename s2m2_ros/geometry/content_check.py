"""Whether two views hold anything to match: blank images, and one picture on both sides.

Cheap enough for every pair: it uses a reduced copy, and full resolution only in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

ByteImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

WORKING_WIDTH = 320
# Side in working pixels of the mean that is taken off: removes vignetting and light leaks.
DETAIL_WINDOW = 5
# Side in working pixels of the blocks whose means separate content from pixel noise.
BLOCK = 4
# Detail of this many gray levels, and of this many robust standard deviations, is no noise ...
STRONG_DETAIL = 15.0
STRONG_DEVIATIONS = 8.0
# ... if this many working pixels have it; defective pixels are rare after a median of 3x3.
STRONG_PIXELS = 4
# No sensor's noise reaches this robust standard deviation after median and reduction.
MAX_NOISE = 10.0
# Smooth shading without noise (simulators, denoising cameras) leaves the steps of rounding, which
# are alike in both views: up to this detail in gray levels, compressed by JPEG of quality 80 too.
ROUNDING_DETAIL = 1.5
# Standard deviation of block means over that of pixels: 0.2 for noise, higher for content.
CONTENT_RATIO = 0.5
# Below this, in gray levels, block means are those of rounding.
MIN_BLOCK_DEVIATION = 0.5
# Correlation of both views at their best shift: below 0.04 for independent noise.
MIN_CORRELATION = 0.08
# The same for one of 3x3 tiles: below 0.2.
MIN_TILE_CORRELATION = 0.3
TILES = 3
# Rectification errors of this fraction of the height still count as the same scene.
MAX_ROW_SHIFT = 1 / 8
# Black borders of rectification are ignored where they take less than this fraction.
MAX_BORDER = 0.5

# One picture: correlation of details at zero shift, and shift of every textured window.
MIN_IDENTICAL_CORRELATION = 0.85
MAX_IDENTICAL_SHIFT = 0.1
TYPICAL_IDENTICAL_SHIFT = 0.04
IDENTICAL_GRID = (4, 6)
IDENTICAL_WINDOW = 80
# Blocks of this side in working pixels and this detail in gray levels show the same content ...
IDENTICAL_BLOCK = 8
IDENTICAL_TEXTURE = 6.0
# ... if the squared difference is below this fraction of both views' squared detail.
MAX_BLOCK_DIFFERENCE = 0.5
MAX_DIFFERING_BLOCKS = 2
# A window counts if the uncertainty of its shift, in pixels, is below this.
MAX_SHIFT_DEVIATION = 0.03


@dataclass(frozen=True)
class ContentCheck:
    """What two views hold.

    Attributes:
        left_blank: the left view has nothing to match: black, white, one gray, a covered lens.
        right_blank: the same of the right view.
        identical: both views are the same picture, but for noise and compression.

    """

    left_blank: bool = False
    right_blank: bool = False
    identical: bool = False

    @property
    def blank(self) -> bool:
        """Whether a view is blank."""
        return self.left_blank or self.right_blank

    @property
    def nothing_to_match(self) -> bool:
        """Whether no disparity of this pair can be trusted, so confidence must be 0."""
        return self.blank or self.identical


def check_content(left: ByteImage, right: ByteImage) -> ContentCheck:
    """Return what two gray views (H, W) uint8 of one size hold."""
    details = _details(left), _details(right)
    doubtful = [not _is_structured(detail) for detail in details]
    if any(doubtful) and not any(map(_is_rounding, details)) and _correlates(*details):
        doubtful = [False, False]
    left_blank, right_blank = doubtful
    identical = not (left_blank or right_blank) and _is_identical(left, right, *details)
    return ContentCheck(left_blank, right_blank, identical)


def correlates(left: ByteImage, right: ByteImage) -> bool:
    """Return whether some part of the left view (H, W) is found in the right one, shifted."""
    return _correlates(_details(left), _details(right))


def _details(image: ByteImage) -> FloatImage:
    """Return a reduced view less its local mean, (H', W') in gray levels."""
    scale = min(1.0, WORKING_WIDTH / image.shape[1])
    clean = cv2.medianBlur(np.ascontiguousarray(image), 3)
    size = (round(image.shape[1] * scale), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(clean, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = small - cv2.blur(small, (DETAIL_WINDOW, DETAIL_WINDOW))
    window = np.ones((DETAIL_WINDOW, DETAIL_WINDOW), np.uint8)
    border = cv2.morphologyEx((small == 0).astype(np.uint8), cv2.MORPH_OPEN, window)
    if 0 < np.count_nonzero(border) < MAX_BORDER * border.size:
        detail[cv2.dilate(border, np.ones((7, 7), np.uint8)) > 0] = 0
    return np.asarray(detail, np.float32)


def _is_structured(detail: FloatImage) -> bool:
    """Return whether the details of a view can be no sensor noise."""
    deviation = _robust_deviation(detail)
    strong = max(STRONG_DETAIL, STRONG_DEVIATIONS * deviation)
    if deviation > MAX_NOISE or np.count_nonzero(np.abs(detail) > strong) >= STRONG_PIXELS:
        return True
    height, width = (side // BLOCK * BLOCK for side in detail.shape)
    if not (height and width):
        return False
    blocks = cv2.resize(
        detail[:height, :width], (width // BLOCK, height // BLOCK), interpolation=cv2.INTER_AREA
    )
    spread = float(blocks.std())
    return spread > MIN_BLOCK_DEVIATION and spread > CONTENT_RATIO * float(detail.std())


def _is_rounding(detail: FloatImage) -> bool:
    """Return whether the details of a view are no larger than steps of rounding."""
    # At the edges, the mean that is taken off lies beside its pixel.
    edge = DETAIL_WINDOW // 2
    inside = detail[edge : detail.shape[0] - edge, edge : detail.shape[1] - edge]
    return bool(np.count_nonzero(np.abs(inside) > ROUNDING_DETAIL) < STRONG_PIXELS)


def _robust_deviation(values: FloatImage) -> float:
    return float(1.4826 * np.median(np.abs(values[::2, ::2])))


def _correlates(left: FloatImage, right: FloatImage) -> bool:
    if left.shape != right.shape or min(left.shape) < TILES * BLOCK:
        return False
    left, right = _limited(left), _limited(right)
    return _best_correlation(left, right) > MIN_CORRELATION or any(
        _best_tile_correlation(left, right, row, column) > MIN_TILE_CORRELATION
        for row in range(TILES)
        for column in range(TILES)
    )


def _limited(detail: FloatImage) -> FloatImage:
    """Return details without what a few lights, or rows and columns of a sensor, add to them."""
    limit = max(1.0, 4 * _robust_deviation(detail))
    limited = np.clip(detail, -limit, limit)
    limited = limited - limited.mean(axis=1, keepdims=True)
    return np.asarray(limited - limited.mean(axis=0, keepdims=True), np.float32)


def _best_correlation(left: FloatImage, right: FloatImage) -> float:
    """Return the largest normalized correlation over all column and some row shifts."""
    norm = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    if norm == 0:
        return 0.0
    product = cv2.mulSpectrums(cv2.dft(left), cv2.dft(right), 0, conjB=True)
    found = cv2.dft(product, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)
    rows = max(1, round(left.shape[0] * MAX_ROW_SHIFT))
    return float(max(found[:rows].max(), found[-rows:].max())) / norm


def _best_tile_correlation(left: FloatImage, right: FloatImage, row: int, column: int) -> float:
    """Return the largest normalized correlation of one tile of the left view."""
    height, width = left.shape[0] // TILES, left.shape[1] // TILES
    margin = max(1, height // 8)
    top = row * height + margin
    tile = left[top : top + height - 2 * margin, column * width : (column + 1) * width]
    strip = right[row * height : (row + 1) * height]
    if not tile.any() or not strip.any():
        return 0.0
    found = cv2.matchTemplate(strip, tile, cv2.TM_CCORR_NORMED)
    return float(found[np.isfinite(found)].max(initial=0.0))


def _is_identical(
    left: ByteImage, right: ByteImage, left_detail: FloatImage, right_detail: FloatImage
) -> bool:
    if left.shape != right.shape:
        return False
    norm = float(np.linalg.norm(left_detail)) * float(np.linalg.norm(right_detail))
    if norm == 0 or float((left_detail * right_detail).sum()) < MIN_IDENTICAL_CORRELATION * norm:
        return False
    if np.array_equal(left, right):
        return True
    if _differing_blocks(left_detail, right_detail) > MAX_DIFFERING_BLOCKS:
        return False
    shifts = [
        shift
        for top, base in _windows(left_detail, left.shape)
        if (shift := _shift(left, right, top, base)) is not None
    ]
    # Cameras that see only far points still differ by a fraction of a pixel somewhere.
    return (
        bool(shifts)
        and max(shifts) < MAX_IDENTICAL_SHIFT
        and float(np.median(shifts)) < TYPICAL_IDENTICAL_SHIFT
    )


def _differing_blocks(left: FloatImage, right: FloatImage) -> int:
    """Return how many textured blocks show something else in the other view."""

    def block_means(values: FloatImage) -> FloatImage:
        height, width = (max(1, side // IDENTICAL_BLOCK) for side in values.shape)
        return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))

    texture = block_means(left**2 + right**2)
    difference = block_means((left - right) ** 2)
    textured = texture > 2 * IDENTICAL_TEXTURE**2
    return int(np.count_nonzero(textured & (difference > MAX_BLOCK_DIFFERENCE * texture)))


def _windows(detail: FloatImage, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return row and column of the window with the strongest detail in each cell of a grid."""
    scale = shape[1] / detail.shape[1]
    energy = cv2.blur(np.abs(detail), (DETAIL_WINDOW * 3, DETAIL_WINDOW * 3))
    corners = []
    for rows in np.array_split(np.arange(detail.shape[0]), IDENTICAL_GRID[0]):
        for columns in np.array_split(np.arange(detail.shape[1]), IDENTICAL_GRID[1]):
            if not (rows.size and columns.size):
                continue
            cell = energy[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            row, column = np.unravel_index(int(cell.argmax()), cell.shape)
            corners.append(
                (
                    max(0, round((rows[0] + row) * scale) - IDENTICAL_WINDOW // 2),
                    max(0, round((columns[0] + column) * scale) - IDENTICAL_WINDOW // 2),
                )
            )
    return corners


def _shift(left: ByteImage, right: ByteImage, top: int, base: int) -> float | None:
    """Return how far the right window is shifted against the left one in pixels, by least squares.

    None where there is too little texture.
    """
    place = np.s_[top : top + IDENTICAL_WINDOW, base : base + IDENTICAL_WINDOW]
    first, second = (
        cv2.GaussianBlur(view[place].astype(np.float32), (0, 0), 1.0) for view in (left, right)
    )
    mean = (first + second) / 2
    dx = cv2.Sobel(mean, cv2.CV_32F, 1, 0, scale=1 / 8)[1:-1, 1:-1].ravel()
    dy = cv2.Sobel(mean, cv2.CV_32F, 0, 1, scale=1 / 8)[1:-1, 1:-1].ravel()
    difference = (first - second)[1:-1, 1:-1].ravel()
    # Brightness may differ: a gain and an offset are fitted along with the shift.
    columns = np.stack((dx, dy, mean[1:-1, 1:-1].ravel(), np.ones_like(dx)), axis=1)
    products = (columns.T @ columns).astype(np.float64)
    if np.linalg.matrix_rank(products) < 4:
        return None
    solution = np.linalg.solve(products, columns.T.astype(np.float64) @ difference)
    residual = difference - columns @ solution.astype(np.float32)
    # Blurred noise is correlated over some 12 pixels.
    variances = np.linalg.inv(products).diagonal()[:2] * float(residual.var()) * 12
    if not (variances.max() < MAX_SHIFT_DEVIATION**2):
        return None
    return float(np.abs(solution[:2]).max())
