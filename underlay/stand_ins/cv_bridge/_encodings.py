"""Image encodings of sensor_msgs: element type, channels and color family."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np


class CvBridgeError(TypeError):
    """An image or an encoding cannot be converted."""


@dataclass(frozen=True)
class Encoding:
    """
    What an encoding says about the pixels.

    `dtype` is one element, `channels` the elements of a pixel. `family` names what the channels
    mean (`rgb`, `mono`, `bayer_rggb`, `uyvy`, ...); None when nothing is known of that (`8UC3`).
    """

    name: str
    dtype: np.dtype[Any]
    channels: int
    family: str | None = None

    @property
    def cv_type(self) -> str:
        """Return the name OpenCV gives to the type, for instance `8UC3`."""
        return f'{_DEPTH_NAMES[self.dtype]}C{self.channels}'


_DEPTHS: dict[str, np.dtype[Any]] = {
    '8U': np.dtype(np.uint8),
    '8S': np.dtype(np.int8),
    '16U': np.dtype(np.uint16),
    '16S': np.dtype(np.int16),
    '32S': np.dtype(np.int32),
    '32F': np.dtype(np.float32),
    '64F': np.dtype(np.float64),
}
_DEPTH_NAMES = {dtype: name for name, dtype in _DEPTHS.items()}
_GENERIC = re.compile(r'(8U|8S|16U|16S|32S|32F|64F)C(\d+)')
_COLOR = re.compile(r'(rgb|bgr|rgba|bgra|mono|bayer_(?:rggb|bggr|gbrg|grbg))(8|16)')
_COLOR_CHANNELS = {'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4}
_YUV_FAMILIES = {'yuv422': 'uyvy', 'uyvy': 'uyvy', 'yuv422_yuy2': 'yuyv', 'yuyv': 'yuyv'}


def parse(name: str) -> Encoding:
    """Return what the encoding means; raise CvBridgeError for an unknown one."""
    if name in _YUV_FAMILIES:
        return Encoding(name, _DEPTHS['8U'], 2, _YUV_FAMILIES[name])
    if color := _COLOR.fullmatch(name):
        family, bits = color.groups()
        return Encoding(name, _DEPTHS[f'{bits}U'], _COLOR_CHANNELS.get(family, 1), family)
    if generic := _GENERIC.fullmatch(name):
        return Encoding(name, _DEPTHS[generic[1]], int(generic[2]))
    raise CvBridgeError(f'Unrecognized image encoding [{name}]')


def cv_type_of(dtype: np.dtype[Any], channels: int) -> str:
    """Return the OpenCV name of the type, whatever its byte order."""
    native = dtype.newbyteorder('=')
    if native not in _DEPTH_NAMES:
        raise CvBridgeError(f'OpenCV has no image type for elements of {dtype}')
    return f'{_DEPTH_NAMES[native]}C{channels}'
