"""Results as messages: what `geometry.compute_outputs` returned, ready to be sent or recorded.

A message is of the library that its header is of (`message_classes`). Every message carries the
header given, the left image's timestamp and frame (the cloud's frame may be another, see
``RigidTransform``). Payloads are filled at the speed of a memory copy.
"""

from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from s2m2_ros.geometry import (
    MIN_DISPARITY,
    CloudLayout,
    CloudOptions,
    HostOutputs,
    Output,
    Workspace,
)
from s2m2_ros.geometry import RegionOfInterest as Window
from s2m2_ros.io.message_data import BIG_ENDIAN_HOST, fill, fill_image
from s2m2_ros.messages.camera_info import IDENTITY, UNDISTORTED, rectified_matrix
from s2m2_ros.messages.depth_encodings import METERS, MILLIMETERS, millimeters
from s2m2_ros.messages.disparity_color import disparity_colors
from s2m2_ros.messages.message_classes import message_class, new_message
from s2m2_ros.pipeline.stereo_pipeline import DISPARITY_RESOLUTION

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2
    from std_msgs.msg import Header
    from stereo_msgs.msg import DisparityImage

POINT_CLOUD = 'sensor_msgs/msg/PointCloud2'
# sensor_msgs/PointField.FLOAT32
FLOAT32 = 7
CLEARING_LAYOUT = CloudLayout.of(CloudOptions(color='none'))


def disparity_message(
    outputs: HostOutputs, header: Header, *, resolution: float = DISPARITY_RESOLUTION
) -> DisparityImage:
    """Return the DisparityImage; needs Output.DISPARITY.

    ``resolution`` in pixels becomes ``delta_d``: multiply it by the ratio of the widths if the
    network worked on smaller images. ``valid_window`` is the region of interest, or else the
    whole image, since the network estimates every pixel; the occlusion mask marks those without
    a match.
    """
    camera = outputs.calibrated_camera
    window = outputs.valid_window or Window(width=camera.width, height=camera.height)
    return new_message(
        'stereo_msgs/msg/DisparityImage',
        header,
        header=header,
        image=_image(outputs.arrays[Output.DISPARITY], '32FC1', header),
        f=camera.focal_length,
        t=camera.baseline,
        valid_window=new_message(
            'sensor_msgs/msg/RegionOfInterest',
            header,
            x_offset=window.x_offset,
            y_offset=window.y_offset,
            width=window.width,
            height=window.height,
        ),
        min_disparity=MIN_DISPARITY,
        max_disparity=outputs.max_disparity,
        delta_d=resolution,
    )


def disparity_color_message(outputs: HostOutputs, header: Header) -> Image:
    """Return a picture of the disparity, bgr8, black where unknown; needs Output.DISPARITY."""
    return _image(disparity_colors(outputs.arrays[Output.DISPARITY]), 'bgr8', header)


def depth_message(outputs: HostOutputs, header: Header, encoding: str = METERS) -> Image:
    """Return the depth image: 32FC1 in meters, NaN where unknown, or 16UC1 (REP 118)."""
    depth = outputs.arrays[Output.DEPTH]
    return _image(millimeters(depth) if encoding == MILLIMETERS else depth, encoding, header)


def uncertainty_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the standard deviation of the depth, 32FC1 in meters, NaN where unknown."""
    return _image(outputs.arrays[Output.UNCERTAINTY], '32FC1', header)


def depth_camera_info(left_info: CameraInfo, header: Header, *, raw: bool = False) -> CameraInfo:
    """Return the left camera's calibration, as it describes the depth image, with its header.

    K, D and R are those of the rectified image, whoever rectified it: image_proc and drivers send
    it with those of the raw one, and consumers read either K or P. Those of a ``raw`` image stay.
    ``P[3]`` and ``P[7]`` are 0 whatever the driver wrote: the image and the points lie in the left
    camera's own frame, and a consumer would shift them by ``-P[3] / fx``.
    """
    info = copy(left_info)
    info.header = header
    P = [float(value) for value in left_info.p]
    P[3] = P[7] = 0.0
    info.p = P
    if not raw:
        info.k = rectified_matrix(P)
        info.r = IDENTITY
        info.distortion_model, info.d = UNDISTORTED
    return info


def rectified_image_message(image: np.ndarray, header: Header) -> Image:
    """Return the left image that was matched, uint8: mono8 of (H, W), rgb8 of (H, W, 3)."""
    return _image(image, 'rgb8' if image.ndim == 3 else 'mono8', header)


def registered_depth_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the depth that the target camera sees, 32FC1 in meters, NaN where unknown."""
    stamped = _header(header, outputs.required_target.frame_id)
    return _image(outputs.arrays[Output.REGISTERED_DEPTH], '32FC1', stamped)


def registered_camera_info(
    outputs: HostOutputs, header: Header, color_info: CameraInfo | None
) -> CameraInfo:
    """Return the target camera's calibration, as it describes the registered depth.

    That of a raw image is the camera's own; that of a rectified one has no distortion. ``P[3]``
    is 0 where the frame is the camera's own.
    """
    target = outputs.required_target
    if color_info is None:
        raise ValueError('the calibration of the target camera is missing')
    stamped = _header(header, target.frame_id)
    shared = bool(target.tx or target.ty)
    info = depth_camera_info(color_info, stamped, raw=target.is_raw)
    if shared:
        info.p = list(color_info.p)
    elif target.is_raw and not any(info.p):
        # Drivers of single cameras may leave P empty, which consumers of depth read.
        K = list(color_info.k)
        info.p = [*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0]
    return info


def confidence_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the confidence, 32FC1 in [0, 1]."""
    return _image(outputs.arrays[Output.CONFIDENCE], '32FC1', header)


def confidence_mask_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the confidence mask, mono8, 255 = trusted."""
    return _image(outputs.arrays[Output.CONFIDENCE_MASK], 'mono8', header)


def occlusion_mask_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the occlusion mask, mono8, 255 = occluded."""
    return _image(outputs.arrays[Output.OCCLUSION_MASK], 'mono8', header)


class CloudMemory(Workspace):
    """A workspace that lies in the data of a message of rclpy: an organized cloud is never copied.

    The message is used again from one pair to the next: publish it first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._message = message_class(POINT_CLOUD)()

    def allocate(self, shape: tuple[int, int, int], device: torch.device) -> torch.Tensor:
        """Return zeros in a new message; in plain memory if they are not needed on the host."""
        if device.type != 'cpu':
            return super().allocate(shape, device)
        self._message = message_class(POINT_CLOUD)()
        self._message.data.frombytes(bytes(4 * math.prod(shape)))
        return torch.frombuffer(self._message.data, dtype=torch.float32).view(shape)

    def message(self, records: np.ndarray) -> PointCloud2 | None:
        """Return the message that these records fill; None if they lie elsewhere."""
        kept = self._message.data
        fills = records.nbytes == len(kept) and records.ctypes.data == kept.buffer_info()[0]
        return self._message if fills else None


def point_cloud_message(
    outputs: HostOutputs, header: Header, memory: CloudMemory | None = None
) -> PointCloud2:
    """Return the cloud, in the left optical frame or the one of its transform.

    ``memory``: the workspace that the outputs were computed in.
    """
    layout = outputs.cloud_layout
    if layout is None:
        raise ValueError('these outputs hold no POINTS')
    records = outputs.arrays[Output.POINTS]
    organized = records.ndim == 3
    height, width = records.shape[:2] if organized else (1, records.shape[0])
    message = memory.message(records) if memory else None
    if message is None:
        message = new_message(POINT_CLOUD, header)
        fill(message.data, records)
    _describe_cloud(message, layout, (height, width), _cloud_header(outputs, header))
    message.is_dense = not organized
    return message


def clearing_message(outputs: HostOutputs, header: Header) -> PointCloud2:
    """Return the ends of the clearing rays, x, y and z; needs Output.POINTS_CLEARING."""
    points = outputs.arrays[Output.POINTS_CLEARING]
    message = new_message(POINT_CLOUD, header, is_dense=True)
    fill(message.data, points)
    size = (1, len(points))
    _describe_cloud(message, CLEARING_LAYOUT, size, _cloud_header(outputs, header))
    return message


def _cloud_header(outputs: HostOutputs, header: Header) -> Header:
    return _header(header, outputs.cloud_frame_id or header.frame_id)


def _header(header: Header, frame_id: str) -> Header:
    """Return a header of the same time, with another frame."""
    kind = 'std_msgs/msg/Header'
    return new_message(kind, header, stamp=header.stamp, frame_id=frame_id)


def _describe_cloud(
    message: PointCloud2, layout: CloudLayout, size: tuple[int, int], header: Header
) -> None:
    """Set all but the data and `is_dense`; `size` is the height and the width."""
    message.header = header
    message.height, message.width = size
    message.fields = [
        new_message(
            'sensor_msgs/msg/PointField',
            header,
            name=name,
            offset=offset,
            datatype=FLOAT32,
            count=1,
        )
        for name, offset in layout.fields
    ]
    message.is_bigendian = BIG_ENDIAN_HOST
    message.point_step = layout.point_step
    message.row_step = message.width * layout.point_step


def estimate_message(
    outputs: HostOutputs, header: Header, *, resolution: float = DISPARITY_RESOLUTION
) -> Any:
    """Return the StereoEstimate: disparity, confidence and visibility of one pair."""
    return new_message(
        's2m2_ros/msg/StereoEstimate',
        header,
        header=header,
        disparity=disparity_message(outputs, header, resolution=resolution),
        confidence=confidence_message(outputs, header),
        visibility=_image(outputs.arrays[Output.VISIBILITY], '32FC1', header),
    )


def _image(values: np.ndarray, encoding: str, header: Header) -> Image:
    message = new_message('sensor_msgs/msg/Image', header, header=header)
    fill_image(message, values, encoding)
    return message
