"""CameraInfo and poses as geometry understands them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo

from s2m2_ros.geometry import CameraModel, RegionOfInterest, RigidTransform, StereoCamera


def camera_model(info: CameraInfo, *, source: str) -> CameraModel:
    """Return what a CameraInfo says; ``source`` is its topic, for error messages."""
    roi = info.roi
    return CameraModel(
        P=tuple(float(value) for value in info.p),
        width=info.width,
        height=info.height,
        binning_x=info.binning_x,
        binning_y=info.binning_y,
        roi=RegionOfInterest(roi.x_offset, roi.y_offset, roi.width, roi.height),
        source=source,
    )


def stereo_camera(
    left: CameraInfo,
    right: CameraInfo,
    *,
    left_source: str = 'left/camera_info',
    right_source: str = 'right/camera_info',
) -> StereoCamera:
    """Return the stereo camera of a pair of CameraInfo messages.

    Raises :class:`CalibrationError`, which names the topic, the value and a likely cause. Takes
    some ten microseconds: call it for every pair, so that a new calibration counts at once.
    """
    return StereoCamera.from_projection(
        camera_model(left, source=left_source), camera_model(right, source=right_source)
    )


def rigid_transform(
    translation: Sequence[float], quaternion: Sequence[float], *, frame_id: str
) -> RigidTransform:
    """Return the transform into ``frame_id`` of a pose: metres, and a quaternion (x, y, z, w).

    The pose is that of the left optical frame, seen from ``frame_id``. Raises ValueError for a
    quaternion of zero length or numbers that are not finite.
    """
    from tf_transformations import quaternion_matrix

    numbers = (*translation, *quaternion)
    if not all(math.isfinite(number) for number in numbers) or not any(quaternion):
        raise ValueError(f'no pose: translation {translation}, quaternion {quaternion}')
    matrix = np.array(quaternion_matrix(quaternion))
    matrix[:3, 3] = translation
    return RigidTransform.from_matrix(matrix, frame_id)


def rigid_transform_from_message(transform: TransformStamped) -> RigidTransform:
    """Return what ``Buffer.lookup_transform(points_frame, left_optical_frame, stamp)`` found."""
    t, q = transform.transform.translation, transform.transform.rotation
    return rigid_transform(
        (t.x, t.y, t.z), (q.x, q.y, q.z, q.w), frame_id=transform.header.frame_id
    )
