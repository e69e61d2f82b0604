"""The fraction of a pixel that block matching leaves inexact, by one gradient step on the images.

Method: B. D. Lucas and T. Kanade, An Iterative Image Registration Technique with an Application
to Stereo Vision, IJCAI 1981: least squares over a window, here along the row only, weighted
against outliers, with the mean of both views' gradients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
ByteImage = npt.NDArray[np.uint8]

# Views are compared in local standard deviations, so that gain and offset of one do not matter:
# the mean is that of one window, the deviation that of a larger one ...
MEAN_WINDOW = 9
DEVIATION_WINDOW = 19
# ... of at least this many gray levels, so that noise is not taken for texture.
MIN_DEVIATION = 4.0
# Smoothing along the row, in pixels: shrunken images alias, and interpolation between two pixels
# is exact for smooth ones only.
SMOOTHING = 0.7
SMOOTHING_WINDOW = 7
# Gaussian window of the least squares.
WINDOW = 13
WINDOW_SIGMA = 3.25
# Residuals, in deviations, from which on a pixel counts less than half: behind an edge, another
# surface (weights of the Cauchy distribution).
OUTLIER = 0.625
# Smallest root mean square gradient, in deviations per pixel, and largest correction in pixels.
MIN_GRADIENT = 0.125
MAX_CORRECTION = 0.75
# Largest residual that the step leaves, in pixels: residual over gradient. More says that the
# window does not show one surface.
MAX_SPREAD = 0.7
# Five-point derivative: exact up to the fourth power of the distance.
DERIVATIVE = np.array([[1, -8, 0, 8, -1]], np.float32) / 12


def refine(disparity: FloatImage, left: ByteImage, right: ByteImage) -> FloatImage:
    """Return the disparity (H, W) with its fraction refined where the images determine it.

    Elsewhere, and where unknown (NaN), it is returned as it is. Block matching with a cost that
    is insensitive to sampling prefers whole pixels by up to 0.3 px (pixel locking).

    Args:
        disparity: (H, W) of the left view in pixels, a multiple of 1/32, NaN = unknown.
        left: (H, W) gray.
        right: (H, W) gray.

    """
    known = np.isfinite(disparity)
    residual, gradient = _linearized(np.where(known, disparity, 0), left, right)
    weight = (known / (1 + (residual / OUTLIER) ** 2)).astype(np.float32)
    total, texture, mixed, error = (
        _window_mean(values)
        for values in (
            weight,
            weight * gradient**2,
            weight * gradient * residual,
            weight * residual**2,
        )
    )
    textured = texture > MIN_GRADIENT**2 * total
    correction = -mixed / np.where(textured, texture, 1)
    one_surface = error + correction * mixed <= MAX_SPREAD**2 * texture
    sure = known & textured & one_surface & (np.abs(correction) <= MAX_CORRECTION)
    return np.where(sure, disparity + correction, disparity).astype(np.float32)


def _linearized(
    disparity: FloatImage, left: ByteImage, right: ByteImage
) -> tuple[FloatImage, FloatImage]:
    """Return by how much the views differ at this disparity, and the gradient along the row.

    The right view, moved by the disparity, comes closer to the left one by the gradient for each
    pixel that the disparity falls short.
    """
    import cv2

    views = _normalized(left), _normalized(right)
    place = np.indices(disparity.shape, np.float32)
    slopes = [
        cv2.filter2D(view, cv2.CV_32F, DERIVATIVE, borderType=cv2.BORDER_REPLICATE)
        for view in views
    ]
    # OpenCV interpolates in steps of 1/32 px, which hold SGBM's of 1/16.
    moved, moved_slope = (
        cv2.remap(
            values,
            place[1] - disparity,
            place[0],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for values in (views[1], slopes[1])
    )
    return np.asarray(views[0] - moved), np.asarray((slopes[0] + moved_slope) / 2)


def _normalized(image: ByteImage) -> FloatImage:
    """Return the image without its local mean, in local standard deviations."""
    import cv2

    smooth = cv2.GaussianBlur(image.astype(np.float32), (SMOOTHING_WINDOW, 1), SMOOTHING)
    detail = smooth - cv2.blur(smooth, (MEAN_WINDOW, MEAN_WINDOW))
    variance = cv2.blur(detail * detail, (DEVIATION_WINDOW, DEVIATION_WINDOW))
    return np.asarray(detail / np.sqrt(variance + np.float32(MIN_DEVIATION**2)))


def _window_mean(values: FloatImage) -> FloatImage:
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (WINDOW, WINDOW), WINDOW_SIGMA))
