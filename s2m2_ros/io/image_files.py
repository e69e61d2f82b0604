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

FloatMap = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.ppm', '.pgm', '.webp')
# KITTI's development kit: disparity in 1/256 pixel, 0 for unknown.
DISPARITY_STEPS = 256.0
# REP 118: depth in millimetres, 0 for unknown.
DEPTH_STEPS = 1000.0


def read_image(path: Path) -> npt.NDArray[np.integer[Any]]:
    """Return an image as (H, W) or (H, W, 3) RGB, uint8 or uint16; alpha is dropped.

    Raises ImageError if there is no such file or it is no image.
    """
    if not path.is_file():
        raise ImageError(f"no image '{path}'")
    try:
        read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"'{path}' cannot be read: {error.err}") from error
    if read is None:
        raise ImageError(f"'{path}' is not an image, or is damaged")
    if read.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"'{path}' holds {read.dtype} values, not 8 or 16 bits per channel")
    image: npt.NDArray[Any] = read
    if image.ndim == 2:
        return image
    return np.ascontiguousarray(image[..., 2::-1]) if image.shape[2] >= 3 else image[..., 0]


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture, (H, W) grey or (H, W, 3) RGB, as PNG."""
    _write(path, '.png', picture if picture.ndim == 2 else picture[..., ::-1])


def write_pfm(path: Path, values: FloatMap) -> None:
    """Write (H, W) values as PFM, unknown ones as +inf like Middlebury."""
    known = np.isfinite(values)
    _write(path, '.pfm', np.where(known, values, np.inf).astype(np.float32))


def write_steps(path: Path, values: FloatMap, steps: float) -> None:
    """Write (H, W) values as 16-bit PNG, `steps` to one unit; 0 is unknown.

    Known values are kept within 1..65535 steps: what is below or above is clipped.
    """
    known = np.isfinite(values)
    scaled = np.where(known, np.rint(values * np.float64(steps)), 0)
    _write(path, '.png', np.where(known, scaled.clip(1, 65535), 0).astype(np.uint16))


def write_ply(path: Path, records: FloatMap) -> None:
    """Write a cloud of coloured points as binary PLY.

    `records` are (N, 4): x, y, z in metres and the colour as ROS packs it, a float32 whose bytes
    are blue, green, red and unused.
    """
    packed = np.ascontiguousarray(records[:, 3]).view(np.uint8).reshape(-1, 4)
    vertices = np.empty(len(records), [('xyz', '<f4', 3), ('rgb', 'u1', 3)])
    vertices['xyz'] = records[:, :3]
    vertices['rgb'] = packed[:, 2::-1]
    properties = [f'property float {name}' for name in 'xyz']
    properties += [f'property uchar {name}' for name in ('red', 'green', 'blue')]
    header = (
        'ply\nformat binary_little_endian 1.0\n'
        f'comment metres, x right, y down, z forward\nelement vertex {len(records)}\n'
    )
    text = f'{header}{chr(10).join(properties)}\nend_header\n'
    _store(path, text.encode('ascii') + vertices.tobytes())


def disparity_picture(disparity: FloatMap) -> Picture:
    """Return colours (H, W, 3) RGB of a disparity, near red and far blue; unknown is black.

    The range is that of the picture's own 1st to 99th percentile.
    """
    known = np.isfinite(disparity)
    if not known.any():
        return np.zeros((*disparity.shape, 3), np.uint8)
    low, high = np.percentile(disparity[known], (1, 99))
    share = (np.where(known, disparity, low) - low) / max(high - low, 1e-6)
    colours = cv2.applyColorMap((share.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(known[..., None], colours[..., ::-1], 0).astype(np.uint8)


def share_picture(share: FloatMap) -> Picture:
    """Return grey (H, W) of values in 0..1, white for 1."""
    grey: Picture = np.rint(np.nan_to_num(share).clip(0, 1) * 255).astype(np.uint8)
    return grey


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
