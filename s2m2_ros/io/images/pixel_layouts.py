"""How the pixels of an encoding lie in the bytes of a message, and how they become arrays.

Every layout raises :class:`LayoutError` where size, step and data do not fit together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from s2m2_ros.io.images.raw_image import RawImage, raw_image

Bytes = npt.NDArray[np.uint8]
Pixels = npt.NDArray[Any]


class LayoutError(ValueError):
    """Size, step and data of an image do not fit together; says how."""


@dataclass(frozen=True, eq=False)
class ImageBytes:
    """The fields of an image message that say where its pixels are."""

    data: Any
    """A buffer of bytes."""
    width: int
    height: int
    step: int
    is_bigendian: bool = False

    def plane(self, offset: int, rows: int, row_bytes: int, step: int) -> Bytes:
        """Return a view (rows, row_bytes) of bytes; the last row may lack its padding."""
        if step < row_bytes:
            raise LayoutError(f'a row needs {row_bytes} bytes, more than the step')
        needed = offset + step * (rows - 1) + row_bytes
        if len(self.data) < needed:
            raise LayoutError(f'the data should hold {needed} bytes')
        view: Bytes = np.ndarray(
            (rows, row_bytes), np.uint8, buffer=self.data, offset=offset, strides=(step, 1)
        )
        return view

    def require_even(self, *, rows: bool) -> None:
        """Raise LayoutError where pixels that share their color are not complete."""
        if self.width % 2 or (rows and self.height % 2):
            what = 'width and height' if rows else 'width'
            raise LayoutError(f'{what} of an image whose pixels share their color must be even')


class Layout(Protocol):
    """A way to lie in memory."""

    def decode(self, image: ImageBytes) -> RawImage:
        """Return gray or RGB pixels; a view of the data where the layout allows."""


@dataclass(frozen=True)
class Interleaved:
    """All channels of a pixel lie side by side."""

    dtype: str = 'u1'
    channels: int = 1
    to_rgb: int | None = None
    """OpenCV's conversion; None: the channels are gray or R, G, B and perhaps alpha."""
    bits: int | None = None

    def decode(self, image: ImageBytes) -> RawImage:
        """Return the pixels, without alpha."""
        kind = np.dtype(self.dtype)
        pixel_bytes = self.channels * kind.itemsize
        rows = image.plane(0, image.height, image.width * pixel_bytes, image.step)
        channels = () if self.channels == 1 else (self.channels,)
        pixels: Pixels = np.ndarray(
            (image.height, image.width, *channels),
            dtype=kind.newbyteorder('>' if image.is_bigendian else '<'),
            buffer=image.data,
            strides=(rows.strides[0], pixel_bytes, kind.itemsize)[: 2 + len(channels)],
        )
        if kind.itemsize > 1:
            pixels = np.require(pixels.astype(kind, copy=False), requirements='A')
        return raw_image(to_rgb(pixels, self.to_rgb), bits=self.bits)


@dataclass(frozen=True)
class Packed422:
    """Two pixels share a color, in four bytes; `order` puts them into OpenCV's."""

    to_rgb: int
    order: tuple[int, int, int, int] | None = None

    def decode(self, image: ImageBytes) -> RawImage:
        """Return RGB."""
        image.require_even(rows=False)
        rows = image.plane(0, image.height, 2 * image.width, image.step)
        pixels = np.ascontiguousarray(rows).reshape(image.height, image.width // 2, 4)
        if self.order is not None:
            pixels = pixels[..., self.order]
        pixels = np.ascontiguousarray(pixels).reshape(image.height, image.width, 2)
        return raw_image(np.asarray(cv2.cvtColor(pixels, self.to_rgb)))


@dataclass(frozen=True)
class Planes420:
    """Brightness first, then colors of 2x2 pixels: in one plane of pairs, or in two planes."""

    to_rgb: int
    pairs: bool

    def decode(self, image: ImageBytes) -> RawImage:
        """Return RGB."""
        image = _planes(image, color_rows=(1, 2))
        image.require_even(rows=True)
        width, height, step = image.width, image.height, image.step
        gray = image.plane(0, height, width, step)
        if self.pairs:
            parts = [image.plane(step * height, height // 2, width, step)]
        else:
            if step % 2:
                raise LayoutError('the step must be even: the planes of colors have half of it')
            ends = (step * height, step * height + step // 2 * (height // 2))
            parts = [image.plane(end, height // 2, width // 2, step // 2) for end in ends]
        flat = np.concatenate([plane.reshape(-1) for plane in (gray, *parts)])
        pixels = flat.reshape(height + height // 2, width)
        return raw_image(np.asarray(cv2.cvtColor(pixels, self.to_rgb)))


@dataclass(frozen=True)
class Planes422:
    """Brightness first, then the colors of two pixels side by side, in a plane of pairs."""

    swapped: bool

    def decode(self, image: ImageBytes) -> RawImage:
        """Return RGB."""
        image = _planes(image, color_rows=(1, 1))
        image.require_even(rows=False)
        width, height, step = image.width, image.height, image.step
        gray = image.plane(0, height, width, step)
        colors = image.plane(step * height, height, width, step)
        pixels = np.empty((height, width, 2), np.uint8)
        pixels[..., 0], pixels[..., 1] = gray, colors
        code = cv2.COLOR_YUV2RGB_YVYU if self.swapped else cv2.COLOR_YUV2RGB_YUY2
        return raw_image(np.asarray(cv2.cvtColor(pixels, code)))


@dataclass(frozen=True)
class Planes444:
    """Brightness first, then the colors of every pixel, in a plane of pairs."""

    swapped: bool

    def decode(self, image: ImageBytes) -> RawImage:
        """Return RGB."""
        image = _planes(image, color_rows=(2, 1))
        width, height, step = image.width, image.height, image.step
        gray = image.plane(0, height, width, step)
        # Each row of the second plane is two rows of the first long.
        colors = image.plane(step * height, height, 2 * width, 2 * step)
        # OpenCV converts this range for shared colors only: every pixel becomes a pair of equals.
        pixels = np.empty((height, width, 2, 2), np.uint8)
        pixels[..., 0] = gray[..., None]
        pixels[..., 1] = colors.reshape(height, width, 2)
        code = cv2.COLOR_YUV2RGB_YVYU if self.swapped else cv2.COLOR_YUV2RGB_YUY2
        doubled = np.asarray(cv2.cvtColor(pixels.reshape(height, 2 * width, 2), code))
        return raw_image(np.ascontiguousarray(doubled[:, ::2]))


def lsb_10(b: Pixels) -> list[Pixels]:
    """Unpack 4 pixels of 10 bits, lowest bits first (GenICam PFNC, ending `10p`)."""
    return [
        b[..., i] >> 2 * i | (b[..., i + 1] & ((4 << 2 * i) - 1)) << (8 - 2 * i) for i in range(4)
    ]


def lsb_12(b: Pixels) -> list[Pixels]:
    """Unpack 2 pixels of 12 bits, lowest bits first (GenICam PFNC, ending `12p`)."""
    return [b[..., 0] | (b[..., 1] & 15) << 8, b[..., 1] >> 4 | b[..., 2] << 4]


def gige_10(b: Pixels) -> list[Pixels]:
    """Unpack 2 pixels of 10 bits in 3 bytes (GigE Vision, ending `10Packed`)."""
    return [b[..., 0] << 2 | (b[..., 1] & 3), b[..., 2] << 2 | (b[..., 1] >> 4 & 3)]


def gige_12(b: Pixels) -> list[Pixels]:
    """Unpack 2 pixels of 12 bits in 3 bytes (GigE Vision, ending `12Packed`)."""
    return [b[..., 0] << 4 | (b[..., 1] & 15), b[..., 2] << 4 | b[..., 1] >> 4]


def mipi_10(b: Pixels) -> list[Pixels]:
    """Unpack 4 pixels of 10 bits: 4 bytes of high bits, then the low ones (MIPI CSI-2 RAW10)."""
    return [b[..., i] << 2 | (b[..., 4] >> 2 * i & 3) for i in range(4)]


def mipi_12(b: Pixels) -> list[Pixels]:
    """Unpack 2 pixels of 12 bits: 2 bytes of high bits, then the low ones (MIPI CSI-2 RAW12)."""
    return [b[..., i] << 4 | (b[..., 2] >> 4 * i & 15) for i in range(2)]


Unpack = Callable[[Pixels], list[Pixels]]


@dataclass(frozen=True)
class PackedBits:
    """Groups of bytes that hold several pixels of 10 or 12 bits."""

    bits: int
    group_bytes: int
    group_pixels: int
    unpack: Unpack
    """Takes (..., group_bytes), returns the pixels of a group."""
    to_rgb: int | None = None

    def decode(self, image: ImageBytes) -> RawImage:
        """Return gray, or RGB of a mosaic."""
        groups = -(-image.width // self.group_pixels)
        # Bits in their order end with the last pixel; other groups have parts of it at their end.
        in_order = self.unpack in (lsb_10, lsb_12)
        used = -(-image.width * self.bits // 8) if in_order else groups * self.group_bytes
        rows = image.plane(0, image.height, used, image.step)
        padded = np.zeros((image.height, groups * self.group_bytes), np.uint16)
        padded[:, :used] = rows
        grouped = padded.reshape(image.height, groups, self.group_bytes)
        pixels = np.stack(self.unpack(grouped), axis=-1).reshape(image.height, -1)
        gray = np.ascontiguousarray(pixels[:, : image.width])
        return raw_image(to_rgb(gray, self.to_rgb), bits=self.bits)


def to_rgb(pixels: Pixels, code: int | None) -> Pixels:
    """Return (H, W) gray or (H, W, 3) RGB: OpenCV's conversion `code`, or alpha dropped."""
    if code is None:
        return pixels[..., :3] if pixels.ndim == 3 else pixels
    if code in (cv2.COLOR_BGR2RGB, cv2.COLOR_BGRA2RGB) and pixels.dtype.name not in CONVERTED:
        return np.ascontiguousarray(pixels[..., 2::-1])
    return np.asarray(cv2.cvtColor(pixels, code))


CONVERTED = ('uint8', 'uint16', 'float32')
"""The types whose channels OpenCV exchanges."""


def _planes(image: ImageBytes, *, color_rows: tuple[int, int]) -> ImageBytes:
    """Return the image with the step and height that its data have room for.

    `color_rows` is a fraction: how many rows of colors follow for each row of brightness. Some
    publishers count the rows of colors in the height, or the bytes of all planes in the step.
    """
    above, below = color_rows
    width, height = image.width, image.height
    if len(image.data) >= image.step * (height + height * above // below - 1) + width:
        return image
    if len(image.data) == width * (height + height * above // below):
        return replace(image, step=width)
    counted, rest = divmod(height * below, above + below)
    if rest == 0 and len(image.data) == image.step * height:
        return replace(image, height=counted)
    return image
