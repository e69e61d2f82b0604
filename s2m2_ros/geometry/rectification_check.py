"""Whether the two views of one pair fit: content, order, rows, orientation, by sparse features.

Features are matched between the views without regard to rows. In a rectified pair both images of
a point lie in one row, and the right one not right of the left one (adjusted for the principal
points); so the vertical offsets measure the misalignment, and the sign of the horizontal ones
shows in which order the views are. `s2m2_ros.geometry.pair_findings` puts the result into words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import cv2
import numpy as np

from s2m2_ros.geometry.content_check import ContentCheck, check_content, correlates

# Features are found at this width at most; their positions are refined at full resolution.
WORKING_WIDTH = 640
FEATURES = 600
# ORB's 256 bits: better matches differ in fewer; the best must beat the second by this ratio.
MAX_BITS = 48
MAX_RATIO = 0.8
# Fewer matches are no evidence.
MIN_MATCHES = 30
# Side in pixels of full resolution of what is compared around each feature.
REFINEMENT_WINDOW = 15
# A mismatch is recognized by being this far from the median, in robust standard deviations.
MAX_DEVIATIONS = 3.0
# Disparities between these, in pixels, are those of far points, where noise decides the sign.
SIGN_MARGIN = 2.0
MIN_AGREEING_FRACTION = 0.8
# Views turned against each other by more than this, in degrees, are no rectified pair.
MAX_ROTATION = 20.0
# Rotation is looked for where the vertical offsets spread by more than this, in pixels.
ROTATION_SUSPECTED = 10.0
# Views with this many features, of which at most so few match, show different scenes.
UNRELATED_MIN_FEATURES = 150
UNRELATED_MAX_MATCHES = 8


class ViewOrder(Enum):
    """In which order the two views are."""

    UNKNOWN = 'unknown'
    CORRECT = 'correct'
    SWAPPED = 'swapped'


@dataclass(frozen=True)
class Examination:
    """What one pair shows.

    Attributes:
        matches: number of features that both views share; too few are no evidence.
        vertical_offset: median of y_left - y_right in pixels; NaN with too few matches.
        vertical_spread: robust standard deviation of the offsets in pixels: large if the
            misalignment varies over the image, as when a camera is rotated.
        order: whether most points lie before infinity (correct) or beyond it (swapped).
        content: whether the views hold anything to match.
        rotation: angle of the right view against the left one in degrees, positive clockwise,
            where it is so large that the pair cannot be rectified; else 0.
        unrelated: both views are full of features, but they show different scenes.

    """

    matches: int = 0
    vertical_offset: float = math.nan
    vertical_spread: float = math.nan
    order: ViewOrder = ViewOrder.UNKNOWN
    content: ContentCheck = field(default_factory=ContentCheck)
    rotation: float = 0.0
    unrelated: bool = False

    @property
    def swapped(self) -> bool:
        """Whether left and right are exchanged."""
        return self.order is ViewOrder.SWAPPED


@dataclass(frozen=True, eq=False)
class FeatureMatches:
    """Matched features: (N, 4) float32 x, y in the left view and x, y in the right one.

    `features` is the smaller of the numbers of features found in the views.
    """

    points: np.ndarray
    features: int


def examine(
    left: np.ndarray,
    right: np.ndarray,
    *,
    disparity_offset: float = 0.0,
    content: ContentCheck | None = None,
) -> Examination:
    """Compare two gray images, (H, W) uint8.

    `disparity_offset` is cx_left - cx_right, the disparity of a point at infinity, in pixels;
    `content` what `check_content` returned for this pair, if it was called already.
    """
    content = content or check_content(left, right)
    if content.nothing_to_match:
        return Examination(content=content)
    found = match_features(left, right)
    points = _refined(left, right, found.points) if len(found.points) else found.points
    vertical = points[:, 1] - points[:, 3]
    if len(points) >= MIN_MATCHES:
        limit = MAX_DEVIATIONS * max(_spread(vertical), 0.5)
        kept = np.abs(vertical - np.median(vertical)) <= limit
        points, vertical = points[kept], vertical[kept]
    few = len(points) < MIN_MATCHES
    rotation = 0.0
    if few or _spread(vertical) > ROTATION_SUSPECTED:
        rotation = _rotation(found.points)
    if few or rotation:
        unrelated = not rotation and _is_unrelated(left, right, found)
        return Examination(
            matches=len(points), content=content, rotation=rotation, unrelated=unrelated
        )
    return Examination(
        matches=len(points),
        vertical_offset=float(np.median(vertical)),
        vertical_spread=_spread(vertical),
        order=_order(points[:, 0] - points[:, 2] - disparity_offset),
        content=content,
    )


def rectification_helps(before: Examination, after: Examination) -> bool | None:
    """Return whether the rows of a pair correspond better after rectification than before.

    None if too few features were matched to decide. For images that may have been rectified
    already, although their calibration still is that of the raw camera.
    """
    errors = [abs(e.vertical_offset) + e.vertical_spread for e in (before, after)]
    if math.isnan(errors[1]):
        return None
    # Raw views can be so far apart that no features are matched along their rows.
    return math.isnan(errors[0]) or errors[1] < errors[0]


def match_features(left: np.ndarray, right: np.ndarray) -> FeatureMatches:
    """Return the features that two gray images (H, W) uint8 share, at the detector's accuracy."""
    detector = cv2.ORB.create(nfeatures=FEATURES, nlevels=3)
    scale = min(1.0, WORKING_WIDTH / left.shape[1])
    (left_points, left_bits), (right_points, right_bits) = (
        _features(detector, image, scale) for image in (left, right)
    )
    features = min(len(left_points), len(right_points))
    nothing = FeatureMatches(np.empty((0, 4), np.float32), features)
    if features < 2:
        return nothing
    matches = _mutual_matches(left_bits, right_bits)
    if not matches:
        return nothing
    first, second = (np.array(indices) for indices in zip(*matches, strict=True))
    return FeatureMatches(np.hstack((left_points[first], right_points[second])), features)


def _order(disparity: np.ndarray) -> ViewOrder:
    clear = disparity[np.abs(disparity) > SIGN_MARGIN]
    if len(clear) < MIN_MATCHES:
        return ViewOrder.UNKNOWN
    negative = float((clear < 0).mean())
    if negative >= MIN_AGREEING_FRACTION:
        return ViewOrder.SWAPPED
    return ViewOrder.CORRECT if negative <= 1 - MIN_AGREEING_FRACTION else ViewOrder.UNKNOWN


def _rotation(points: np.ndarray) -> float:
    if len(points) < MIN_MATCHES:
        return 0.0
    left, right = (np.ascontiguousarray(side) for side in np.hsplit(points, 2))
    transform, inliers = cv2.estimateAffinePartial2D(left, right, ransacReprojThreshold=10.0)
    if transform is None or np.count_nonzero(inliers) < MIN_MATCHES:
        return 0.0
    angle = math.degrees(math.atan2(transform[1, 0], transform[0, 0]))
    return angle if abs(angle) > MAX_ROTATION else 0.0


def _is_unrelated(left: np.ndarray, right: np.ndarray, found: FeatureMatches) -> bool:
    return (
        found.features >= UNRELATED_MIN_FEATURES
        and len(found.points) <= UNRELATED_MAX_MATCHES
        and not correlates(left, right)
    )


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


def _refined(left: np.ndarray, right: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (N, 4) with the right points moved to a fraction of a pixel by Lucas-Kanade."""
    left_points, right_points = (np.ascontiguousarray(side) for side in np.hsplit(points, 2))
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
