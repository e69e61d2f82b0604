"""JPEGs whose data end before the image does, although their end marker is there.

Cameras that lose a part of a frame, and programs that close a file which was cut short, write
such ones. libjpeg leaves the rest of the image gray, and says so only on standard error.
"""

from __future__ import annotations

import cv2
import numpy as np

from s2m2_ros.io.images.image_headers import JPEG_END, jpeg_segments

# All values of what libjpeg leaves, and the side of the corner where it is looked for.
FILL, CORNER = 128, 8
# Data that decode to something, whatever the tables; no byte of it is a marker.
MORE_DATA = bytes(range(1, 255)) * 2


def is_filled(encoded: bytes, pixels: np.ndarray) -> bool:
    """Return whether the end of a JPEG, decoded to these pixels, is a fill instead of an image.

    Only an image that ends in gray of just this kind is decoded a second time: data before its
    end marker change nothing where the image is whole, and replace the fill where it is not.
    """
    if (pixels[-CORNER:, -CORNER:] != FILL).any():
        return False
    end = next(at - 2 for marker, at in jpeg_segments(encoded) if marker == JPEG_END)
    longer = np.frombuffer(encoded[:end] + MORE_DATA + encoded[end:], np.uint8)
    again = cv2.imdecode(longer, cv2.IMREAD_UNCHANGED)
    return again is None or not np.array_equal(again, pixels)
