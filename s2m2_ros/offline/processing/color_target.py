"""The camera that depth is registered to: its recorded calibration, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s2m2_ros.geometry import TargetCamera
from s2m2_ros.io.ros_calibration import camera_model, shows_raw
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.frames import STATIC_TRANSFORMS, FrameTree


@dataclass(frozen=True, eq=False)
class ColorTarget:
    """The camera, and its calibration as it was recorded."""

    camera: TargetCamera
    info: Any


def color_target(info: Any, topic: str, setting: str, frames: FrameTree, left: str) -> ColorTarget:
    """Return the camera of a CameraInfo, seen from the ``left`` frame.

    ``setting``: the node's parameter color_calibration. Raises PlaybackError if no static
    transform was recorded between the frames, CalibrationError for a calibration that is none.
    """
    frame = str(info.header.frame_id).lstrip('/')
    model = camera_model(info, source=topic)
    # Which images belong to the calibration is not known here; its own name may say it.
    raw = shows_raw(setting, topic.rpartition('/')[0], model)
    try:
        transform = frames.find(left, frame, 0)
    except PlaybackError as error:
        raise PlaybackError(
            f"registered/depth: no transform from '{left}' to '{frame}', the frame of the "
            f'color camera, is recorded on {STATIC_TRANSFORMS}; frames on it: {frames.frames}'
        ) from error
    return ColorTarget(TargetCamera.of(model, transform, raw=raw is not False), info)
