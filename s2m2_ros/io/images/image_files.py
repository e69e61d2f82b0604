"""Images, disparities, depths and clouds as files, in the formats other tools read.

All writers replace files atomically and raise FileWriteError if that fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from s2m2_ros.atomic_files import FileWriteError, write_atomically
from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.array_files import decode_npy
from s2m2_ros.io.images.compressed_images import decode_encoded
from s2m2_ros.io.images.exif import upright
from s2m2_ros.io.images.image_formats import image_format
from s2m2_ros.io.images.image_headers import MAX_PIXELS, read_header
from s2m2_ros.io.images.pfm import decode_pfm, encode_pfm
from s2m2_ros.io.images.pixel_range import PixelRange, scale
from s2m2_ros.io.images.raw_image import RawImage, raw_image
from s2m2_ros.regular_files import read_regular_file
from s2m2_ros.text_safety import safe_text

FloatMap = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

SUFFIXES = (
    '.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm', '.webp',
    '.jp2', '.avif', '.npy',
)  # fmt: skip
# KITTI's development kit: disparity in 1/256 pixel, 0 for unknown.
DISPARITY_STEPS = 256.0
# REP 118: depth in millimeters, 0 for unknown.
DEPTH_STEPS = 1000.0
LARGEST_STEP = 65535
# The last of so many channels is alpha: of gray, or of color.
ALPHA_CHANNELS = (2, 4)


def read_raw(path: Path) -> RawImage:
    """Return the image in a file, upright, with its values as they are stored, for `scale_pair`.

    The content decides the format, not the name: PNG, JPEG, TIFF, BMP, WebP, JPEG 2000, AVIF,
    PNM, Radiance HDR, PFM, and NumPy's .npy (in R, G, B order). Alpha is dropped, palettes are
    resolved, and the orientation of EXIF (of AVIF, its own) is honored. At most `MAX_PIXELS`
    pixels.

    Raises ImageError if there is no such file, it is no image, is damaged or cut short.
    """
    return read_with_alpha(path)[0]


def read_with_alpha(path: Path) -> tuple[RawImage, npt.NDArray[Any] | None]:
    """Return what `read_raw` does, and the alpha channel (H, W) as it is stored, if any."""
    try:
        pixels = _decode(read_regular_file(path))
        has_alpha = pixels.ndim == 3 and pixels.shape[2] in ALPHA_CHANNELS
        return raw_image(_without_alpha(pixels)), pixels[..., -1] if has_alpha else None
    except FileNotFoundError as error:
        raise ImageError(f"no image '{path}'") from error
    except MemoryError as error:
        raise ImageError(f"'{path}' cannot be read: there is not enough memory") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"'{path}' cannot be read: {safe_text(reason or error)}") from error


def read_image(path: Path) -> npt.NDArray[np.integer[Any]]:
    """Return an image as (H, W) or (H, W, 3) RGB, uint8 or uint16; see `read_raw`.

    Where the file holds neither, its full range becomes that of uint16. Raises ImageError.
    """
    image = read_raw(path)
    if image.pixels.dtype == np.uint8 or image.largest == np.iinfo(np.uint16).max:
        return image.pixels
    (values,) = PixelRange('full').update([image])
    deep: npt.NDArray[np.uint16] = np.rint(scale(image, values) * 257).astype(np.uint16)
    return deep


def _decode(content: bytes) -> npt.NDArray[Any]:
    name = image_format(content)
    if name == 'PFM':
        return decode_pfm(content, max_pixels=MAX_PIXELS)
    if name == 'NumPy array':
        return decode_npy(content, max_pixels=MAX_PIXELS)
    pixels = decode_encoded(content)
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = np.concatenate((pixels[..., 2::-1], pixels[..., 3:]), axis=2)
    return upright(pixels, read_header(content).orientation)


def _without_alpha(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (H, W) or (H, W, 3) of pixels with any number of channels."""
    if pixels.ndim == 2:
        return pixels
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0])


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture, (H, W) gray or (H, W, 3) RGB, as PNG."""
    _write(path, '.png', picture if picture.ndim == 2 else picture[..., ::-1])


def write_pfm(path: Path, values: FloatMap) -> None:
    """Write (H, W) values as PFM, unknown ones as +inf like Middlebury."""
    known = np.isfinite(values)
    _store(path, encode_pfm(np.where(known, values, np.inf).astype(np.float32)))


def write_steps(path: Path, values: FloatMap, steps: float) -> int:
    """Write (H, W) values as 16-bit PNG, `steps` to one unit; 0 is unknown.

    Values that 16 bits cannot hold, negative ones and those above 65535 steps, become unknown;
    a known 0 becomes one step. Returns how many known values were lost so.
    """
    known = np.isfinite(values)
    scaled = np.where(known, np.rint(values.astype(np.float64) * steps), 0)
    held = known & (scaled >= 0) & (scaled <= LARGEST_STEP)
    _write(path, '.png', np.where(held, scaled.clip(1), 0).astype(np.uint16))
    return int(np.count_nonzero(known & ~held))


def write_ply(
    path: Path, records: FloatMap, *, with_confidence: bool = False, frame_id: str = ''
) -> None:
    """Write a cloud of colored points as binary PLY.

    `records` are (N, 4 or more): x, y, z in meters and the color as ROS packs it, a float32 whose
    bytes are blue, green, red and unused; then, `with_confidence`, the confidence.
    `frame_id` names their frame where it is not that of the left camera.
    """
    packed = np.ascontiguousarray(records[:, 3]).view(np.uint8).reshape(-1, 4)
    fields: list[Any] = [('xyz', '<f4', 3), ('rgb', 'u1', 3)]
    properties = [f'property float {name}' for name in 'xyz']
    properties += [f'property uchar {name}' for name in ('red', 'green', 'blue')]
    if with_confidence:
        fields.append(('confidence', '<f4'))
        properties.append('property float confidence')
    vertices = np.empty(len(records), fields)
    vertices['xyz'] = records[:, :3]
    vertices['rgb'] = packed[:, 2::-1]
    if with_confidence:
        vertices['confidence'] = records[:, 4]
    axes = f'in the frame {frame_id}' if frame_id else 'x right, y down, z forward'
    header = (
        'ply\nformat binary_little_endian 1.0\n'
        f'comment meters, {axes}\nelement vertex {len(records)}\n'
    )
    text = f'{header}{chr(10).join(properties)}\nend_header\n'
    _store(path, text.encode('ascii') + vertices.tobytes())


def disparity_picture(
    disparity: FloatMap, low: float | None = None, high: float | None = None
) -> Picture:
    """Return colors (H, W, 3) RGB of disparities, blue at low and red at high; unknown is black.

    Without low and high, the range is from the 1st to the 99th percentile.
    """
    known = np.isfinite(disparity)
    if not known.any():
        return np.zeros((*disparity.shape, 3), np.uint8)
    first, last = np.percentile(disparity[known], (1, 99))
    low, high = first if low is None else low, last if high is None else high
    part = (np.where(known, disparity, low) - low) / max(high - low, 1e-6)
    colors = cv2.applyColorMap((part.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(known[..., None], colors[..., ::-1], 0).astype(np.uint8)


def fraction_picture(fraction: FloatMap) -> Picture:
    """Return gray (H, W) of values in 0..1, white for 1."""
    gray: Picture = np.rint(np.nan_to_num(fraction).clip(0, 1) * 255).astype(np.uint8)
    return gray


def _write(path: Path, suffix: str, image: npt.NDArray[np.generic]) -> None:
    encoded, content = cv2.imencode(suffix, np.ascontiguousarray(image))
    if not encoded:
        raise FileWriteError(f"OpenCV cannot encode '{path}'")
    _store(path, content.tobytes())


def _store(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise FileWriteError(f"cannot write '{path}': {error.strerror}") from error
