"""Which values of deep images (16 bits, floating point) are black and white.

Cameras of 10 or 12 bits send their values in 16 bits as they are, thermal cameras send counts in
a narrow band, and floating point may mean 0..1 or 0..255. Taken as 0..65535, such images are
nearly black. :class:`PixelRange` finds the range from both images of a pair and keeps it:

- The values of a pair are measured without the outermost 0.05 %, so that hot pixels and counters
  that cameras write into an image do not decide.
- The range is the smallest of 8, 10, 12, 14 and 16 bits (floating point: 0..1 as well) that holds
  them.
- Values in a narrow band far from zero (thermal images), or below zero, get a range of their own
  with a margin; never so narrow that the noise of a blank image would look like texture. Zeros and
  the largest value of the type do not count beside such a band: they are the border that
  rectification leaves, dead pixels, or text that was written into the image.
- It widens as soon as values come that it does not hold, and never narrows until :meth:`reset`:
  a dark image of a true 16-bit camera cannot flicker. It is one range for both images.
- A blank pair decides nothing.

Images of 8 bits, and encodings that name their bits (mono12), are taken as they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.io.images.raw_image import RawImage

SETTINGS = ('auto', 'full', '8', '10', '12', '14', '16')
BITS = (8, 10, 12, 14, 16)

# About so many pixels of an image are measured.
SAMPLES = 1 << 16
# Per cent of the values that may lie outside of the range on each side.
OUTSIDE = 0.05
# Resampling makes values of floating point overshoot by this fraction of their contrast.
OVERSHOOT = 0.05
# A band has to be narrower than this fraction of the range that bits would give.
NARROW = 0.25
# Below 12 bits a narrow band is a dark or flat image of an ordinary camera.
SMALLEST_BAND_RANGE = 4095.0
# A band is at least so wide, as a fraction of the range that bits would give and in counts.
BAND_FRACTION, BAND_COUNTS = 1 / 32, 512.0
# A band is wider than its values by this fraction on each side.
BAND_MARGIN = 0.25
# Zeros and largest values are left out where at least this fraction of the values is another.
FEWEST_OTHERS = 0.5
# A pair is blank if its values span less than this fraction of the range that bits would give.
BLANK = 1 / 1024


@dataclass(frozen=True)
class ValueRange:
    """The values of black and white."""

    low: float
    high: float
    is_band: bool = False

    @property
    def width(self) -> float:
        """Return white minus black."""
        return self.high - self.low

    def holds(self, low: float, high: float, *, is_float: bool) -> bool:
        """Return whether values lie inside, but for what resampling overshoots."""
        slack = OVERSHOOT * (high - low) if is_float and not self.is_band else 0.0
        return low >= self.low - slack and high <= self.high + slack


@dataclass(frozen=True)
class RangeNote:
    """What a user should know about the range in use: for the log, once for each change."""

    text: str
    is_warning: bool = False


class PixelRange:
    """The range of one pair of cameras, kept from pair to pair; see the module's text."""

    def __init__(self, setting: str = 'auto') -> None:
        """Take `pixel_range`: 'auto', 'full' (the type's own range), or a number of bits.

        Raises:
            S2M2Error: if it must be something else.
        """
        self.setting = _checked(setting)
        self.note: RangeNote | None = None
        self._ranges: dict[tuple[str, float | None], ValueRange] = {}

    def reset(self) -> None:
        """Forget the range: with the next pair it may become narrower."""
        self.note = None
        self._ranges.clear()

    def update(self, images: list[RawImage]) -> list[ValueRange]:
        """Return the range of each image; images of one type share one.

        Sets `note`, the same object until the range changes. Raises ImageError for images
        without a finite value.
        """
        kinds = [(image.pixels.dtype.name, image.largest) for image in images]
        found = {
            kind: self._range_of(
                kind, [i for i, k in zip(images, kinds, strict=True) if k == kind]
            )
            for kind in dict.fromkeys(kinds)
        }
        return [found[kind] for kind in kinds]

    def _range_of(self, kind: tuple[str, float | None], images: list[RawImage]) -> ValueRange:
        first = images[0]
        if first.pixels.dtype == np.uint8:
            return ValueRange(0.0, 255.0)
        if self.setting in ('auto', 'full'):
            if first.exact or (self.setting == 'full' and first.largest is not None):
                return ValueRange(0.0, first.largest or 255.0)
            return self._found(kind, images)
        fixed = ValueRange(0.0, float((1 << int(self.setting)) - 1))
        self._warn_of_clipping(fixed, images)
        return fixed

    def _found(self, kind: tuple[str, float | None], images: list[RawImage]) -> ValueRange:
        known = self._ranges.get(kind)
        if known is not None and not known.is_band and _all_within(known, images):
            return known
        low, high = measure(images)
        is_float, largest = kind[0].startswith('float'), kind[1]
        if known is not None and known.holds(low, high, is_float=is_float):
            return known
        wider = (low, high) if known is None else (min(low, known.low), max(high, known.high))
        found = fit(*wider, is_float=is_float, largest=largest)
        if high - low <= BLANK * _usual_width(low, high, is_float, largest):
            return known or found
        self._ranges[kind] = found
        if known is not None or found != ValueRange(0.0, largest or 0.0):
            kind_name = images[0].stored or ('floating-point' if is_float else '16-bit')
            self.note = _note(found, low, high, kind_name)
        return found

    def _warn_of_clipping(self, fixed: ValueRange, images: list[RawImage]) -> None:
        if self.note is not None or _all_within(fixed, images):
            return
        high = measure(images)[1]
        if high > fixed.high:
            self.note = RangeNote(
                f'values up to {high:g} are above the {fixed.high:g} of pixel range '
                f'{self.setting} and become white: set more bits, or auto',
                is_warning=True,
            )


def fit(low: float, high: float, *, is_float: bool, largest: float | None) -> ValueRange:
    """Return the range for values from low to high.

    Args:
        low, high: smallest and largest value that count.
        is_float: whether they are of a floating-point image.
        largest: the largest value of an integer type.

    """
    container = _container(low, high, is_float, largest)
    width = high - low
    if container is not None:
        ordinary = not is_float and (container.high < SMALLEST_BAND_RANGE or low <= width)
        if ordinary or width >= NARROW * container.width:
            return container
    needed = max(
        width * (1 + 2 * BAND_MARGIN),
        BAND_FRACTION * _usual_width(low, high, is_float, largest),
        0.0 if is_float else BAND_COUNTS,
    )
    start = (low + high - needed) / 2
    if container is not None:
        start = min(max(start, container.low), container.high - needed)
    return ValueRange(start, start + needed, is_band=True)


def measure(images: list[RawImage]) -> tuple[float, float]:
    """Return the smallest and largest value of the images of one type, but for some outliers.

    Raises:
        ImageError: if there is no finite value.
    """
    values = np.concatenate([_sample(image.pixels) for image in images])
    if values.dtype.kind == 'f':
        values = values[np.isfinite(values)]
    if not values.size:
        raise ImageError('the images hold no finite value')
    return _band_between_marks(values, images[0].largest) or _ends(values)


def _band_between_marks(
    values: npt.NDArray[Any], largest: float | None
) -> tuple[float, float] | None:
    """Return the ends of a narrow band beside zeros and largest values; None if there is none."""
    marks = values == 0
    if largest is not None:
        marks |= values == largest
    found = np.count_nonzero(marks)
    if not found or values.size - found < FEWEST_OTHERS * values.size:
        return None
    low, high = _ends(values[~marks])
    is_float = values.dtype.kind == 'f'
    return (low, high) if fit(low, high, is_float=is_float, largest=largest).is_band else None


def _ends(values: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(values, (OUTSIDE, 100 - OUTSIDE))
    return float(low), float(high)


def scale_pair(
    left: RawImage, right: RawImage, pixel_range: PixelRange
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return both images for the pipeline, which makes them alike: uint8, or float32 in 0..255.

    Shapes are as they were. Raises ImageError for images without a finite value.
    """
    left_range, right_range = pixel_range.update([left, right])
    return scale(left, left_range), scale(right, right_range)


def scale(image: RawImage, values: ValueRange) -> npt.NDArray[Any]:
    """Return uint8 pixels as they are, others as float32 with the range as 0..255, clipped.

    Values that are not finite (pixels without an image, as rectification leaves them) are black.
    """
    if image.pixels.dtype == np.uint8:
        return image.pixels
    divisor = np.float32(values.width / 255)
    pixels = image.pixels
    if values.low != 0:
        pixels = pixels - np.float32(values.low)
    scaled: npt.NDArray[np.float32] = np.divide(pixels, divisor, dtype=np.float32)
    if image.pixels.dtype.kind == 'f':
        np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(scaled, 0, 255, out=scaled)


def _checked(setting: str) -> str:
    if setting not in SETTINGS:
        raise S2M2Error(
            f"the pixel range '{setting}' must be one of {', '.join(SETTINGS)} (bits per pixel)"
        )
    return setting


def _note(found: ValueRange, low: float, high: float, kind: str) -> RangeNote:
    return RangeNote(
        f'{kind} images with values from {low:g} to {high:g}: {found.low:g} is taken as black and '
        f'{found.high:g} as white; set the pixel range ({", ".join(SETTINGS[1:])}) if the camera '
        'has another one'
    )


def _container(
    low: float, high: float, is_float: bool, largest: float | None
) -> ValueRange | None:
    """Return the smallest usual range that holds the values; None if no usual one does."""
    tops = [float((1 << bits) - 1) for bits in BITS]
    if largest is not None:
        tops = [top for top in tops if top < largest] + [largest]
    ranges = [ValueRange(0.0, top) for top in ([1.0, *tops] if is_float else tops)]
    if is_float:
        ranges.insert(1, ValueRange(-1.0, 1.0))
    return next((r for r in ranges if r.holds(low, high, is_float=is_float)), None)


def _usual_width(low: float, high: float, is_float: bool, largest: float | None) -> float:
    """Return the width of the usual range of such values, to judge a contrast by."""
    magnitude = max(abs(low), abs(high))
    container = _container(low, high, is_float, largest) or _container(
        0.0, magnitude, is_float, largest
    )
    return container.width if container is not None else magnitude


def _all_within(values: ValueRange, images: list[RawImage]) -> bool:
    """Return whether no pixel lies outside, which costs less than measuring."""
    for image in images:
        if image.pixels.dtype.kind == 'f' or values.low > 0:
            return False
        if image.pixels.max() > values.high:
            return False
    return True


def _sample(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    step = max(1, int((pixels.shape[0] * pixels.shape[1] / SAMPLES) ** 0.5))
    return pixels[::step, ::step].reshape(-1)
