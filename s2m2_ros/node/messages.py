"""Results as messages: what `geometry.compute_outputs` returned, ready to be published.

Every message carries the header given, the left image's stamp and frame (the cloud's frame may
be another, see ``RigidTransform``). Payloads are filled at the speed of a memory copy.
"""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from s2m2_ros.geometry import HostOutputs, Output
from s2m2_ros.msg import StereoEstimate

# Which outputs each topic needs: ask `compute_outputs` for the union over the topics listened to.
TOPIC_OUTPUTS: dict[str, frozenset[Output]] = {
    'disparity': frozenset({Output.DISPARITY}),
    'depth': frozenset({Output.DEPTH}),
    'depth/camera_info': frozenset(),
    'confidence': frozenset({Output.CONFIDENCE}),
    'confidence_mask': frozenset({Output.CONFIDENCE_MASK}),
    'occlusion_mask': frozenset({Output.OCCLUSION_MASK}),
    'points': frozenset({Output.POINTS}),
    'estimate': frozenset({Output.DISPARITY, Output.CONFIDENCE, Output.VISIBILITY}),
}


# The network's estimate is continuous; a sixteenth of a pixel, the step of OpenCV's matchers,
# is the finest difference that consumers should read into it.
DISPARITY_RESOLUTION = 1 / 16


def disparity_message(
    outputs: HostOutputs, header: Header, *, resolution: float = DISPARITY_RESOLUTION
) -> DisparityImage:
    """Return the DisparityImage; needs Output.DISPARITY.

    ``resolution`` in pixels becomes ``delta_d``: multiply it by the ratio of the widths if the
    network worked on smaller images.
    """
    raise NotImplementedError


def depth_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the depth image, 32FC1 in metres, NaN where unknown (REP 118)."""
    raise NotImplementedError


def depth_camera_info(left_info: CameraInfo, header: Header) -> CameraInfo:
    """Return the left camera's calibration with the depth image's header."""
    raise NotImplementedError


def confidence_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the confidence, 32FC1 in [0, 1]."""
    raise NotImplementedError


def confidence_mask_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the confidence mask, mono8, 255 = trusted."""
    raise NotImplementedError


def occlusion_mask_message(outputs: HostOutputs, header: Header) -> Image:
    """Return the occlusion mask, mono8, 255 = occluded."""
    raise NotImplementedError


def point_cloud_message(outputs: HostOutputs, header: Header) -> PointCloud2:
    """Return the cloud, in the left optical frame or the one of its transform."""
    raise NotImplementedError


def estimate_message(
    outputs: HostOutputs, header: Header, *, resolution: float = DISPARITY_RESOLUTION
) -> StereoEstimate:
    """Return the StereoEstimate: disparity, confidence and visibility of one pair."""
    raise NotImplementedError
