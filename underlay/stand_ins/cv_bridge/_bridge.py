"""Image messages from and to NumPy arrays."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ._colors import convert
from ._encodings import CvBridgeError, cv_type_of, parse

_DECODED_FAMILIES = {1: 'mono', 3: 'bgr', 4: 'bgra'}


class CvBridge:
    """
    Convert image messages to arrays (H, W) or (H, W, C) and back.

    What cannot be converted raises CvBridgeError, a TypeError.
    """

    def imgmsg_to_cv2(
        self, img_msg: Image, desired_encoding: str = 'passthrough'
    ) -> npt.NDArray[Any]:
        """
        Return the pixels in native byte order, converted to the desired encoding.

        Padding at the end of rows (`step`) is removed. With `passthrough`, an image without
        padding and in native byte order shares the memory of the message.
        """
        encoding = parse(img_msg.encoding)
        image = np.ascontiguousarray(_pixels(img_msg))
        if not image.dtype.isnative:
            image = image.byteswap().view(image.dtype.newbyteorder())
        if desired_encoding == 'passthrough':
            return image
        return _converted(image, encoding.name, desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: npt.NDArray[Any], encoding: str = 'passthrough', header: Header | None = None
    ) -> Image:
        """
        Return a message with a copy of the pixels, rows without padding.

        `passthrough` names OpenCV's type (`8UC3`). Another encoding must have that type; pixels
        are never converted. A big-endian array makes a big-endian message.
        """
        height, width, channels = _shape(cvim)
        cv_type = cv_type_of(cvim.dtype, channels)
        if encoding == 'passthrough':
            encoding = cv_type
        elif parse(encoding).cv_type != cv_type:
            raise CvBridgeError(
                f'encoding specified as {encoding}, but image has incompatible type {cv_type}'
            )
        message = Image() if header is None else Image(header=header)
        message.height, message.width = height, width
        message.encoding = encoding
        message.is_bigendian = int(np.dtype(cvim.dtype).str.startswith('>'))
        message.step = width * channels * cvim.dtype.itemsize
        message.data = array.array('B', cvim.tobytes())
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = 'passthrough'
    ) -> npt.NDArray[Any]:
        """
        Return the decoded image: gray, BGR or BGRA, of 8 or 16 bits, or as desired.

        Better than the real package, which takes every file for `bgr8` and returns None for one
        that it cannot decode: gray and 16-bit files convert rightly, others raise CvBridgeError.
        """
        data = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8)
        image: npt.NDArray[Any] | None = (
            cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        )
        if image is None:
            raise CvBridgeError(
                f'cannot decode {data.size} bytes of format [{cmprs_img_msg.format}]'
            )
        if desired_encoding == 'passthrough':
            return image
        channels = image.shape[2] if image.ndim == 3 else 1
        family, bits = _DECODED_FAMILIES[channels], 8 * image.dtype.itemsize
        return _converted(image, f'{family}{bits}', desired_encoding)

    def cv2_to_compressed_imgmsg(
        self, cvim: npt.NDArray[Any], dst_format: str = 'jpg'
    ) -> CompressedImage:
        """Return a message with the gray, BGR or BGRA image as a file (`jpg`, `png`, ...)."""
        _shape(cvim)
        try:
            encoded, data = cv2.imencode(f'.{dst_format}', cvim)
        except cv2.error as error:
            raise CvBridgeError(str(error)) from error
        if not encoded:
            raise CvBridgeError(f'cannot encode {cvim.dtype} {cvim.shape} as {dst_format}')
        return CompressedImage(format=dst_format, data=array.array('B', data.tobytes()))


def _pixels(message: Image) -> npt.NDArray[Any]:
    """Return a view (H, W) or (H, W, C) on the message's data, in the message's byte order."""
    encoding = parse(message.encoding)
    dtype = encoding.dtype.newbyteorder('>' if message.is_bigendian else '<')
    row_bytes = message.width * encoding.channels * dtype.itemsize
    if message.step < row_bytes or len(message.data) < message.step * message.height:
        raise CvBridgeError(
            f'{len(message.data)} bytes with a step of {message.step} hold no '
            f'{message.width}x{message.height} image of encoding [{encoding.name}]'
        )
    shape: tuple[int, ...] = (message.height, message.width)
    strides: tuple[int, ...] = (message.step, encoding.channels * dtype.itemsize)
    if encoding.channels > 1:
        shape, strides = (*shape, encoding.channels), (*strides, dtype.itemsize)
    view: npt.NDArray[Any] = np.ndarray(shape, dtype, message.data, 0, strides)
    return view


def _shape(image: npt.NDArray[Any]) -> tuple[int, int, int]:
    """Return height, width and channels; raise TypeError for what is no image array."""
    if not isinstance(image, np.ndarray):
        raise TypeError(f'an image must be a numpy array, not {type(image).__name__}')
    if image.ndim not in (2, 3):
        raise CvBridgeError(f'an image has 2 or 3 dimensions, not {image.ndim}')
    return image.shape[0], image.shape[1], image.shape[2] if image.ndim == 3 else 1


def _converted(image: npt.NDArray[Any], source: str, target: str) -> npt.NDArray[Any]:
    """Convert between named encodings, with OpenCV's errors turned into CvBridgeError."""
    try:
        return convert(image, parse(source), parse(target))
    except cv2.error as error:
        raise CvBridgeError(str(error)) from error
