"""Conversion of pixels from one encoding to another."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ._encodings import CvBridgeError, Encoding

Image = npt.NDArray[Any]

_OPENCV_NAMES = {'mono': 'GRAY', 'rgb': 'RGB', 'bgr': 'BGR', 'rgba': 'RGBA', 'bgra': 'BGRA'}
_OPENCV_YUV = {'uyvy': 'UYVY', 'yuyv': 'YUY2'}


def convert(image: Image, source: Encoding, target: Encoding) -> Image:
    """
    Return the image (H, W) or (H, W, C) in the target encoding.

    Colors are rearranged or mixed, and 8 and 16 bits scaled so that white stays white. Between
    encodings that say nothing of color (`16UC1`, `32FC1`) only the element type changes, with
    saturation. Raises CvBridgeError where a conversion has no meaning, as in the real package:
    from `16UC1` to `mono8`, for instance.
    """
    if source.name == target.name:
        return np.array(image)
    if source.family is None or target.family is None:
        _require_plain_conversion(source, target)
        return _to_depth(image, target, 1.0)
    if source.family != target.family:
        image = cv2.cvtColor(image, _conversion_code(source, target))
    white = {1: 255.0, 2: 65535.0}
    return _to_depth(image, target, white[target.dtype.itemsize] / white[source.dtype.itemsize])


def _require_plain_conversion(source: Encoding, target: Encoding) -> None:
    """Raise CvBridgeError unless only the element type differs."""
    if source.family is None and target.family is not None:
        raise CvBridgeError(
            f'[{source.name}] is not a color format. but [{target.name}] is. '
            'The conversion does not make sense'
        )
    if source.channels != target.channels:
        raise CvBridgeError(
            f'[{source.name}] and [{target.name}] do not have the same number of channels'
        )


def _conversion_code(source: Encoding, target: Encoding) -> int:
    """Return OpenCV's code for a change of color family; raise CvBridgeError if it has none."""
    start, end = source.family or '', _OPENCV_NAMES.get(target.family or '')
    if start in _OPENCV_YUV:
        name = f'COLOR_YUV2{end}_{_OPENCV_YUV[start]}'
    elif start.startswith('bayer_'):
        name = f'COLOR_Bayer{start.removeprefix("bayer_").upper()}2{end}'
    else:
        name = f'COLOR_{_OPENCV_NAMES[start]}2{end}'
    code = getattr(cv2, name, None)
    if code is None:
        raise CvBridgeError(f'Unsupported conversion from [{source.name}] to [{target.name}]')
    return int(code)


def _to_depth(image: Image, target: Encoding, scale: float) -> Image:
    """Return a copy with the target's element type: scaled, rounded and saturated; NaN is 0."""
    if image.dtype == target.dtype or target.dtype.kind == 'f':
        return image.astype(target.dtype)
    limits = np.iinfo(target.dtype)
    scaled = np.nan_to_num(np.rint(image * np.float64(scale)))
    saturated: Image = np.clip(scaled, limits.min, limits.max)
    return saturated.astype(target.dtype)
