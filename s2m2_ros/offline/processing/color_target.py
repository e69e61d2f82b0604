"""The camera that depth is registered to: what is recorded of it, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s2m2_ros.geometry import TargetCamera
from s2m2_ros.geometry.rectification import needs_rectification, raw_calibration
from s2m2_ros.io.recordings.recording_topics import IMAGE_TYPES, VIDEO_TYPES
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic
from s2m2_ros.io.recordings.topic_names import info_names, is_rectified
from s2m2_ros.io.ros_calibration import camera_model, shows_raw
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.frames import STATIC_TRANSFORMS, FrameTree
from s2m2_ros.offline.processing.options import ProcessOptions


@dataclass(frozen=True, eq=False)
class ColorTarget:
    """The camera, its calibration as it was recorded, and what is doubtful of it, if anything."""

    camera: TargetCamera
    info: Any
    doubt: str = ''


def color_image_topic(recorded: Sequence[StoredTopic], options: ProcessOptions) -> str:
    """Return the topic of the color camera's images, rectified ones first; empty without any.

    Raises PlaybackError if clouds need them, or the one that is named is not there.
    """
    images = [t.topic for t in recorded if t.type_name in (*IMAGE_TYPES, *VIDEO_TYPES) and t.count]
    named, info = options.color_image, options.color_info
    if named:
        found = [named] if named in images else []
    else:
        found = [name for name in images if info and info in info_names(name)]
    if not found and (named or options.colors_clouds):
        missing = f"no images on '{named}'" if named else f"no images that '{info}' belongs to"
        raise PlaybackError(
            f'{missing}: name them by {options.names("color_image")}; recorded are '
            + (', '.join(images) or 'none')
        )
    ranked = sorted(found, key=lambda n: (n.endswith('/compressed'), not is_rectified(n), n))
    return ranked[0] if ranked else ''


def color_target(
    info: Any, options: ProcessOptions, images: str, frames: FrameTree, left: str
) -> ColorTarget:
    """Return the camera of a CameraInfo, seen from the ``left`` frame, as the node does.

    ``images``: the topic of its images, which says whether they are raw; empty if there is none.
    Raises PlaybackError if no static transform was recorded between the frames, CalibrationError
    for a calibration that is none.
    """
    frame = str(info.header.frame_id).lstrip('/')
    model = camera_model(info, source=options.color_info)
    # Without images, the calibration's own name may say it.
    name = images or options.color_info.rpartition('/')[0]
    raw = shows_raw(options.color_calibration, name, model)
    doubt = ''
    if raw is None and needs_rectification(raw_calibration(model)):
        doubt = (
            f'{options.color_info} is that of a raw camera, and no name of a topic says whether '
            'its images are rectified; registered/depth fits the raw ones: name the images by '
            f'{options.names("color_image")}, or set {options.names("color_calibration")} to raw '
            'or rectified'
        )
    try:
        transform = frames.find(left, frame, 0)
    except PlaybackError as error:
        raise PlaybackError(
            f"registered/depth: no transform from '{left}' to '{frame}', the frame of the "
            f'color camera, is recorded on {STATIC_TRANSFORMS}; frames on it: {frames.frames}'
        ) from error
    camera = TargetCamera.of(model, transform, raw=raw is not False)
    return ColorTarget(camera, info, doubt)
