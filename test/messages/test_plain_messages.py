"""Messages without ROS are, byte for byte, those that rclpy serializes, padding apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from s2m2_ros.geometry import (
    CloudOptions,
    HostOutputs,
    Output,
    OutputOptions,
    PrincipalPoint,
    RigidTransform,
    StereoCamera,
    compute_outputs,
)
from s2m2_ros.messages.message_classes import message_class
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, REGISTERED, MessageSource
from s2m2_ros.messages.plain_messages import (
    OTHER_TYPES,
    PlainMessage,
    definition,
    message_types,
    plain_header,
    serialized,
)
from s2m2_ros.pipeline import PairOutputs
from support.maps import maps
from support.processes import SOURCE

CAMERA = StereoCamera(
    width=7,
    height=3,
    focal_length=700.0,
    focal_length_y=700.0,
    baseline=0.12,
    left=PrincipalPoint(3.0, 1.0),
    right=PrincipalPoint(2.0, 1.0),
)
CLOUDS = {
    'organized': CloudOptions(),
    'dense': CloudOptions(organized=False, color='intensity', confidence=True),
    'padded': CloudOptions(padded=True),
    'empty': CloudOptions(organized=False, decimation=1),
    'moved': CloudOptions(transform=RigidTransform.from_matrix(np.eye(4), 'map')),
}


def outputs(name: str) -> PairOutputs:
    disparity = torch.linspace(1, 60, 21).reshape(3, 7).clone()
    disparity[0, 3] = math.nan
    if name == 'empty':
        disparity[:] = math.nan
    confidence = torch.linspace(0, 1, 21).reshape(3, 7)
    host: HostOutputs = compute_outputs(
        CAMERA,
        maps(disparity, visibility=1 - confidence, confidence=confidence),
        [output for output in Output if output is not Output.REGISTERED_DEPTH],
        image=np.arange(63, dtype=np.uint8).reshape(3, 7, 3),
        deviation=torch.ones_like,
        options=OutputOptions(cloud=CLOUDS[name]),
    )
    image = np.zeros((3, 7), np.uint8)
    return PairOutputs(host, image, image, CAMERA, 1 / 16, (3, 7))


def fill_info(info: CameraInfo | PlainMessage) -> CameraInfo | PlainMessage:
    info.width, info.height, info.distortion_model = 7, 3, 'plumb_bob'
    info.d = [0.1, 0.2, 0.3, 0.4, 0.5]
    info.k = [float(n) for n in range(9)]
    info.r = [float(n) for n in range(9)]
    info.p = [float(n) for n in range(12)]
    info.binning_x = 2
    info.roi.width, info.roi.do_rectify = 4, True
    return info


def with_zeros(data: bytes, type_name: str) -> bytes:
    """Return a message with zeros between its fields, where rclpy leaves what lay in memory."""
    types = message_types()
    same = bytes(types.serialize_cdr(types.deserialize_cdr(data, type_name), type_name))
    assert len(same) == len(data)
    return same


@pytest.mark.parametrize('cloud', CLOUDS)
@pytest.mark.parametrize('topic', [name for name in OUTPUT_TOPICS if name not in REGISTERED])
@pytest.mark.parametrize('frame_id', ['camera', 'left_optical', ''])
def test_the_bytes_are_those_that_rclpy_serializes(topic: str, cloud: str, frame_id: str) -> None:
    row, made = OUTPUT_TOPICS[topic], outputs(cloud)
    header = Header(stamp=Time(sec=12, nanosec=34), frame_id=frame_id)
    published = row.build(MessageSource(made, header, fill_info(CameraInfo())))
    assert type(published) is message_class(row.type_name)
    info = fill_info(PlainMessage('sensor_msgs/msg/CameraInfo'))
    source = MessageSource(made, plain_header(12 * 10**9 + 34, frame_id), info)
    assert serialized(row.build(source), row.type_name) == with_zeros(
        serialize_message(published), row.type_name
    )


def test_our_own_message_has_the_fields_of_its_file() -> None:
    text = (SOURCE / 'msg' / 'StereoEstimate.msg').read_text(encoding='utf-8')
    lines = [line.partition('#')[0].strip() for line in text.splitlines()]
    assert [line for line in lines if line] == OTHER_TYPES[
        's2m2_ros/msg/StereoEstimate'
    ].splitlines()


def test_a_definition_holds_all_types_in_it() -> None:
    text = definition('s2m2_ros/msg/StereoEstimate')
    for name in ('std_msgs/Header', 'stereo_msgs/DisparityImage', 'sensor_msgs/Image'):
        assert f'MSG: {name}\n' in text


def test_new_messages_share_nothing() -> None:
    first, second = (PlainMessage('sensor_msgs/msg/Image') for _ in range(2))
    first.data.frombytes(b'x')
    assert not second.data
