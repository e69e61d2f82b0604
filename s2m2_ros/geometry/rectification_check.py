"""Whether the two views still fit: vertical misalignment and swapped cameras, from one pair.

Sparse features are matched between the views without regard to rows. In a rectified pair both
images of a point lie in one row, and the right one not right of the left one (adjusted for the
principal points); so the vertical offsets measure the misalignment, and the sign of the
horizontal ones tells swapped cameras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

# Features are found at this width at most; their positions are refined at full resolution.
WORKING_WIDTH = 640
FEATURES = 600
# ORB's 256 bits: better matches differ in fewer; the best must beat the second by this ratio.
MAX_BITS = 48
MAX_RATIO = 0.8
# Fewer matches say nothing.
MIN_MATCHES = 30
# Side in pixels of full resolution of what is compared around each feature.
REFINEMENT_WINDOW = 15
# A mismatch is recognised by being this far from the median, in robust standard deviations.
MAX_DEVIATIONS = 3.0
# Disparities between these, in pixels, are those of far points, where noise decides the sign.
SIGN_MARGIN = 2.0
SWAPPED_SHARE = 0.8


@dataclass(frozen=True)
class Examination:
    """What one pair tells.

    Attributes:
        matches: number of features that both views share; too few say nothing.
        vertical_offset: median of y_left - y_right in pixels; NaN with too few matches.
        vertical_spread: robust standard deviation of the offsets in pixels: large if the
            misalignment varies over the image, as when a camera is turned.
        swapped: most points lie beyond infinity, so left and right are probably exchanged.

    """

    matches: int = 0
    vertical_offset: float = math.nan
    vertical_spread: float = math.nan
    swapped: bool = False


def examine(left: np.ndarray, right: np.ndarray, *, disparity_offset: float = 0.0) -> Examination:
    """Compare two grey images, (H, W) uint8.

    `disparity_offset` is cx_left - cx_right, the disparity of a point at infinity, in pixels.
    """
    points = matched_points(left, right)
    if len(points) < MIN_MATCHES:
        return Examination(len(points))
    vertical = points[:, 1] - points[:, 3]
    kept = np.abs(vertical - np.median(vertical)) <= MAX_DEVIATIONS * max(_spread(vertical), 0.5)
    points, vertical = points[kept], vertical[kept]
    if len(points) < MIN_MATCHES:
        return Examination(len(points))
    disparity = points[:, 0] - points[:, 2] - disparity_offset
    telling = np.abs(disparity) > SIGN_MARGIN
    swapped = telling.sum() >= MIN_MATCHES and (disparity[telling] < 0).mean() >= SWAPPED_SHARE
    return Examination(len(points), float(np.median(vertical)), _spread(vertical), bool(swapped))


def matched_points(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return (N, 4) float32: x, y in the left view and x, y in the right one."""
    detector = cv2.ORB.create(nfeatures=FEATURES, nlevels=3)
    scale = min(1.0, WORKING_WIDTH / left.shape[1])
    found = [_features(detector, image, scale) for image in (left, right)]
    if any(descriptors is None or len(descriptors) < 2 for _, descriptors in found):
        return np.empty((0, 4), np.float32)
    (left_points, left_bits), (right_points, right_bits) = found
    matches = _mutual_matches(left_bits, right_bits)
    if not matches:
        return np.empty((0, 4), np.float32)
    first, second = (np.array(indices) for indices in zip(*matches, strict=True))
    return _refined(left, right, left_points[first], right_points[second])


def _features(detector: Any, image: np.ndarray, scale: float) -> tuple[np.ndarray, Any]:
    small = image
    if scale < 1:
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = detector.detectAndCompute(small, None)
    points = np.array([k.pt for k in keypoints], np.float32).reshape(-1, 2)
    return (points + 0.5) / scale - 0.5, descriptors


def _mutual_matches(left: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
    backward = {m.queryIdx: m.trainIdx for (m,) in matcher.knnMatch(right, left, k=1)}
    return [
        (best.queryIdx, best.trainIdx)
        for best, second in matcher.knnMatch(left, right, k=2)
        if best.distance <= MAX_BITS
        and best.distance < MAX_RATIO * second.distance
        and backward.get(best.trainIdx) == best.queryIdx
    ]


def _refined(
    left: np.ndarray, right: np.ndarray, left_points: np.ndarray, right_points: np.ndarray
) -> np.ndarray:
    """Return (N, 4) with the right points moved to a fraction of a pixel by Lucas-Kanade."""
    guess = right_points.copy()
    refined, found, _ = cv2.calcOpticalFlowPyrLK(
        left,
        right,
        left_points,
        guess,
        winSize=(REFINEMENT_WINDOW, REFINEMENT_WINDOW),
        maxLevel=1,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    # A window that slid away has lost its feature.
    near = np.abs(refined - right_points).max(axis=1) <= REFINEMENT_WINDOW / 2
    kept = near & (found.ravel() == 1)
    return np.asarray(np.hstack((left_points, refined))[kept])


def _spread(values: np.ndarray) -> float:
    """Return the robust standard deviation: 1.4826 times the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
