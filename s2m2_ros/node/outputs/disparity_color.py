"""The disparity as a picture for people."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# The disparity of the last color, as a fraction of the width of the image.
LARGEST_FRACTION = 0.25

Colors = npt.NDArray[np.uint8]


def disparity_colors(disparity: npt.NDArray[np.float32]) -> Colors:
    """Return colors (H, W, 3) in the order B, G, R: blue is far, red is near, black is unknown.

    `disparity` in pixels, (H, W), negative where unknown. A color stands for one disparity,
    whatever else the image shows. The root of the disparity is what is drawn, so that far things
    differ too.
    """
    largest = LARGEST_FRACTION * disparity.shape[1]
    root = cv2.sqrt(np.maximum(disparity, 0))
    indices = cv2.convertScaleAbs(root, alpha=255 / np.sqrt(largest))  # rounds, 255 at most
    return np.asarray(cv2.applyColorMap(indices, _color_map()), np.uint8)


def _color_map() -> Colors:
    """Return OpenCV's turbo (256, 1, 3), with black for 0."""
    colors = cv2.applyColorMap(np.arange(256, dtype=np.uint8).reshape(-1, 1), cv2.COLORMAP_TURBO)
    colors[0] = 0
    return np.asarray(colors, np.uint8)
