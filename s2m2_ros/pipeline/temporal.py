"""When the running estimate of a camera goes on, moves with the camera, or begins anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from s2m2_ros.geometry import RigidTransform, StereoCamera
from s2m2_ros.geometry.temporal_filter import (
    Estimate,
    first_estimate,
    measurement_weight,
    update,
)
from s2m2_ros.geometry.temporal_warp import Motion, is_still, moved
from s2m2_ros.inference import MatchResult

Mode = Literal['off', 'static', 'tf']

# If more than this fraction of what can be compared disagrees, the camera moved.
MOST_CHANGED = 0.5
MOVED = (
    'the temporal filter began anew, since most of the image changed at once; '
    'it needs {needed}, and does nothing otherwise'
)
NEEDED = {
    'static': 'a camera that stands still (the node can follow one that moves, by tf)',
    'tf': 'transforms that follow the motion of the camera',
}


@dataclass(frozen=True)
class TemporalOptions:
    """How disparity is averaged over pairs.

    Attributes:
        mode: 'static' for a camera that stands still, 'tf' for one whose poses are known.
        frames: of memory, 2 or more.
        max_gap: seconds between two pairs after which nothing is averaged.

    """

    mode: Mode = 'off'
    frames: int = 20
    max_gap: float = 5.0


@dataclass(frozen=True)
class Moment:
    """When a pair was taken, and from where.

    Attributes:
        stamp_ns: its timestamp; None: unknown.
        pose: returns the transform from the left optical frame into a fixed one, None if it is
            not known; called after matching, so that it need not be known before.

    """

    stamp_ns: int | None = None
    pose: Callable[[], RigidTransform | None] = lambda: None


@dataclass(frozen=True, eq=False)
class Remembered:
    """The estimate of one camera, and what it holds for.

    Attributes:
        estimate: in the view of the pose.
        source: what must not change: camera, size, network and how it matches.
        stamp_ns: of the newest pair in it.
        pose: of the left optical frame; None with a camera that stands still.

    """

    estimate: Estimate
    source: tuple[Any, ...]
    stamp_ns: int | None
    pose: RigidTransform | None


@dataclass(frozen=True, eq=False)
class Measurement:
    """One pair, as the filter needs it.

    Attributes:
        result: of the match, with calibrated confidence.
        deviation: returns the standard deviation of the disparity in pixels for a confidence.
        camera: None without calibration.
        source: see `Remembered`, but for camera and size.
        scale: width of the images over the width at which they were matched.
        stamp_ns: of the pair; None: unknown.
        pose: of the left optical frame at that moment; None: not known.

    """

    result: MatchResult
    deviation: Callable[[torch.Tensor], torch.Tensor]
    camera: StereoCamera | None
    source: tuple[Any, ...]
    scale: float
    stamp_ns: int | None
    pose: RigidTransform | None


def filtered(
    measurement: Measurement, remembered: Remembered | None, options: TemporalOptions
) -> tuple[MatchResult, Remembered | None, tuple[str, ...]]:
    """Return the result with its disparity averaged, what to remember, and what is worth knowing.

    Confidence and visibility stay those of this pair. Where the pose of a pair is not known, it
    comes back as it is, and nothing is forgotten.
    """
    result = measurement.result
    if options.mode == 'off':
        return result, None, ()
    follows = options.mode == 'tf'
    if follows and (measurement.pose is None or measurement.camera is None):
        return result, remembered, ()
    with torch.inference_mode(False), torch.no_grad():
        weight = measurement_weight(result.disparity, measurement.deviation(result.confidence))
        source = (options.mode, measurement.camera, weight.shape, weight.device)
        begun = Remembered(
            first_estimate(result.disparity, weight),
            (*source, *measurement.source),
            measurement.stamp_ns,
            measurement.pose if follows else None,
        )
        if remembered is None or not _continues(remembered, begun, options.max_gap):
            return result, begun, ()
        before = _in_view(remembered, begun, measurement.camera)
        made = update(
            before.estimate,
            result.disparity,
            weight,
            frames=options.frames,
            scale=measurement.scale,
        )
        if made.changed.item() > MOST_CHANGED:
            return result, begun, (MOVED.format(needed=NEEDED[options.mode]),)
    kept = replace(before, estimate=made.estimate, stamp_ns=measurement.stamp_ns)
    return replace(result, disparity=made.disparity), kept, ()


def _continues(remembered: Remembered, now: Remembered, max_gap: float) -> bool:
    """Return whether the estimate holds for a pair, but for the motion between them."""
    if remembered.source != now.source:
        return False
    if remembered.pose and now.pose and remembered.pose.frame_id != now.pose.frame_id:
        return False
    if remembered.stamp_ns is None or now.stamp_ns is None:
        return True
    return 0 <= now.stamp_ns - remembered.stamp_ns <= max_gap * 1e9


def _in_view(remembered: Remembered, now: Remembered, camera: StereoCamera | None) -> Remembered:
    """Return the estimate as the camera sees it now."""
    if camera is None or remembered.pose is None or now.pose is None:
        return remembered
    motion = Motion(remembered.pose, now.pose)
    disparity = remembered.estimate.disparity.amax().item() - camera.principal_point_difference
    # The pose stays that of the estimate, so that slow motion adds up.
    if is_still(motion, camera, max(disparity, 0.0)):
        return remembered
    return replace(remembered, estimate=moved(remembered.estimate, camera, motion), pose=now.pose)
