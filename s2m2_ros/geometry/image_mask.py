"""Which pixels of the left rectified image count: a region, less the robot's own parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry.camera_model import RegionOfInterest

BoolMap = npt.NDArray[np.bool_]
Polygon = tuple[tuple[float, float], ...]

# Pixels farther out are of no image.
LARGEST_COORDINATE = 65536
# Each polygon is drawn over the whole image; more of them belong into a picture.
MOST_CORNERS = 1000
# OpenCV takes corners in 1/16 pixel.
SHIFT_BITS = 4
# A pixel this near to an edge, in pixels, lies on it: what is left of rounding.
ON_EDGE = 1e-6


class MaskError(ImageError):
    """A region, polygon or picture that does not fit the image; says which and why."""


@dataclass(frozen=True, eq=False)
class ImageMask:
    """What is left out of every output, in pixels of the left rectified image.

    Attributes:
        roi: all outside of it is left out; width or height 0: to the edge of the image.
        polygons: what they cover, their edges included, is left out.
        picture: (H, W), True where a pixel counts, of the size of the image; None: everywhere.

    """

    roi: RegionOfInterest = field(default_factory=RegionOfInterest)
    polygons: tuple[Polygon, ...] = ()
    picture: BoolMap | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the mask, whole sentences."""
        if self.picture is None or not self.picture.all():
            return ()
        return ('the mask file leaves out no pixel: only what is black in it is left out',)

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is left out."""
        return self.roi == RegionOfInterest() and not self.polygons and self.picture is None

    def window(self, width: int, height: int) -> RegionOfInterest:
        """Return the region of interest in an image of this size; MaskError if it is not in it."""
        roi = self.roi
        window = RegionOfInterest(
            roi.x_offset,
            roi.y_offset,
            roi.width or width - roi.x_offset,
            roi.height or height - roi.y_offset,
        )
        right, bottom = window.x_offset + window.width, window.y_offset + window.height
        inside = min(window.width, window.height) > 0 and right <= width and bottom <= height
        if not inside:
            raise MaskError(
                f'roi = [{roi.x_offset}, {roi.y_offset}, {roi.width}, {roi.height}] (x, y, width, '
                f'height) does not lie in the left rectified image of {width}x{height} pixels'
            )
        return window

    def kept(self, width: int, height: int) -> BoolMap:
        """Return (H, W), True where a pixel counts; MaskError for what does not fit the image."""
        window = self.window(width, height)
        kept = np.zeros((height, width), np.uint8)
        rows = slice(window.y_offset, window.y_offset + window.height)
        kept[rows, window.x_offset : window.x_offset + window.width] = 1
        for number, polygon in enumerate(self.polygons, 1):
            self._cut(kept, polygon, number)
        if self.picture is not None:
            if self.picture.shape != kept.shape:
                found = f'{self.picture.shape[1]}x{self.picture.shape[0]}'
                raise MaskError(
                    f'the mask is {found} pixels and the left rectified image {width}x{height}: '
                    'draw it on an image that this camera publishes, after rectification'
                )
            kept &= self.picture
        if not kept.any():
            raise MaskError('roi and masks together leave no pixel of the image')
        return kept.astype(np.bool_)

    @staticmethod
    def _cut(kept: npt.NDArray[np.uint8], polygon: Polygon, number: int) -> None:
        covered = np.zeros_like(kept)
        corners = np.rint(np.array(polygon) * 2**SHIFT_BITS).astype(np.int32)
        cv2.fillPoly(covered, [corners], (1,), shift=SHIFT_BITS)
        # OpenCV leaves open what a polygon that crosses itself goes around twice.
        covered |= _enclosed(polygon, *kept.shape)
        if not covered.any():
            height, width = kept.shape
            raise MaskError(
                f'polygon {number} of the mask lies outside of the left rectified image of '
                f'{width}x{height} pixels'
            )
        kept[covered > 0] = 0


def _enclosed(polygon: Polygon, height: int, width: int) -> BoolMap:
    """Return the pixels (H, W) around which the edges turn, by the nonzero winding rule.

    Those that lie on an edge are among them.
    """
    turns = np.zeros((height, width + 1), np.int32)
    touched = np.zeros((height, width), np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(max(math.ceil(low), 0), min(math.ceil(high), height))
        if not len(rows):
            continue
        crossing = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
        nearest = np.rint(crossing)
        on_pixel = (np.abs(crossing - nearest) < ON_EDGE) & (nearest >= 0) & (nearest < width)
        touched[rows[on_pixel], nearest[on_pixel].astype(int)] = True
        turns[rows, np.clip(np.ceil(crossing), 0, width).astype(int)] += 1 if y1 > y0 else -1
    return np.asarray(touched | (turns[:, :width].cumsum(axis=1) != 0))


def roi_from_numbers(numbers: Sequence[int]) -> RegionOfInterest:
    """Return the region [x, y, width, height]; of no numbers, the whole image.

    Raises MaskError.
    """
    if len(numbers) not in (0, 4):
        raise MaskError('needs four integers: x, y, width and height in pixels')
    if not all(0 <= number <= LARGEST_COORDINATE for number in numbers):
        raise MaskError(f'x, y, width and height must be 0 to {LARGEST_COORDINATE}')
    return RegionOfInterest(*numbers)


def polygons_from_numbers(numbers: Sequence[float]) -> tuple[Polygon, ...]:
    """Return the polygons of a list x1, y1, x2, y2, ...

    A polygon ends where its first corner comes again, and the next begins; the last need not be
    closed so. Raises MaskError for an odd count, for more than `MOST_CORNERS`, for numbers that
    are no pixel, and for less than three different corners.
    """
    if len(numbers) % 2:
        raise MaskError(f'{len(numbers)} numbers are no pairs of x and y')
    if len(numbers) > 2 * MOST_CORNERS:
        raise MaskError(
            f'{len(numbers) // 2} corners are more than {MOST_CORNERS}: draw an image instead'
        )
    if not all(math.isfinite(n) and abs(n) <= LARGEST_COORDINATE for n in numbers):
        raise MaskError(f'a corner must be within {LARGEST_COORDINATE} pixels')
    polygons: list[list[tuple[float, float]]] = [[]]
    for corner in zip(numbers[::2], numbers[1::2], strict=True):
        if polygons[-1] and corner == polygons[-1][0]:
            polygons.append([])
        else:
            polygons[-1].append((float(corner[0]), float(corner[1])))
    if not polygons[-1]:
        polygons.pop()
    for number, corners in enumerate(polygons, 1):
        if len(set(corners)) < 3:
            raise MaskError(
                f'polygon {number} has {len(corners)} corners and needs three; a polygon ends '
                'where its first corner comes again'
            )
    return tuple(tuple(corners) for corners in polygons)


def kept_by_picture(pixels: npt.NDArray[np.generic]) -> BoolMap:
    """Return where a picture (H, W) or (H, W, 3) is not black.

    Black is what is darker than half of its brightest pixel, so that a picture of 0 and 1 serves
    like one of 0 and 255, and noise of a JPEG does no harm.
    """
    values = pixels.astype(np.float32)
    brightness = values.max(axis=2) if values.ndim == 3 else values
    brightest = float(brightness.max(initial=0.0, where=np.isfinite(brightness)))
    if brightest <= 0:
        raise MaskError('the picture is black everywhere, which leaves no pixel')
    kept: BoolMap = brightness >= brightest / 2
    return kept
