"""Compressed copies of depth and cloud, and the picture of the disparity, over real DDS."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import zstandard
from sensor_msgs.msg import CompressedImage

from s2m2_ros.node.outputs.topics import TYPES
from support.stereo_rig import COMMAND, Rig, profile, running_rig, unique_namespace
from support.stereo_scene import PlaneScene

SCENE = PlaneScene()
SMALL = ('depth/compressedDepth', 'disparity/color', 'points/zlib', 'points/zstd')
WITHOUT_PACKAGES = f"""
import sys
sys.modules['point_cloud_interfaces.msg'] = None
{COMMAND}
"""


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    with running_rig('backend:=sgbm', 'diagnostics_period:=0.1') as made:
        made.open_cameras()
        yield made
        made.mute()


@pytest.fixture
def heard(rig: Rig) -> Iterator[dict[str, Any]]:
    """Return one message of each topic, all of one pair."""
    lists = {topic: rig.listen(topic) for topic in (*SMALL, 'depth', 'points', 'disparity')}
    at = rig.publish_until(lambda: all(lists.values()), 'every output', start=100.0)
    for messages in lists.values():
        messages.clear()
    rig.publish(SCENE, at + 100)
    rig.until(lambda: all(lists.values()), 'every output of one pair')
    yield {topic: messages[-1] for topic, messages in lists.items()}
    rig.mute()


def test_the_copies_say_what_their_bases_say(heard: dict[str, Any]) -> None:
    for topic, message in heard.items():
        assert message.header == heard['depth'].header, topic
    points = heard['points']
    by_zlib, by_zstd = heard['points/zlib'], heard['points/zstd']
    assert zlib.decompress(bytes(by_zlib.compressed_data)) == bytes(points.data)
    unpacked = zstandard.ZstdDecompressor().decompress(bytes(by_zstd.compressed_data))
    assert unpacked == bytes(points.data)
    for copy, name in ((by_zlib, 'zlib'), (by_zstd, 'zstd')):
        assert copy.format == name
        assert (copy.height, copy.width, copy.row_step) == (240, 320, points.row_step)
        assert (copy.fields, copy.is_dense) == (points.fields, points.is_dense)


def test_compressed_depth_is_the_depth(heard: dict[str, Any]) -> None:
    message, image = heard['depth/compressedDepth'], heard['depth']
    assert message.format == '32FC1; compressedDepth png'
    data = bytes(message.data)
    factor, offset = np.frombuffer(data[4:12], '<f4')
    quantized = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert quantized is not None
    depth = np.frombuffer(image.data, np.float32).reshape(240, 320)
    known = np.isfinite(depth)
    assert known.mean() > 0.5
    assert ((quantized == 0) == ~known).all()
    # A is 32 steps a pixel of disparity; half a step is the most that is lost.
    back = factor / (quantized[known].astype(np.float32) - offset)
    assert np.abs(1 / back - 1 / depth[known]).max() * factor < 0.51


def test_the_picture_is_black_where_nothing_is_known(heard: dict[str, Any]) -> None:
    picture, disparity = heard['disparity/color'], heard['disparity']
    assert (picture.encoding, picture.height, picture.width) == ('bgr8', 240, 320)
    colors = np.frombuffer(picture.data, np.uint8).reshape(240, 320, 3)
    known = np.frombuffer(disparity.image.data, np.float32).reshape(240, 320) >= 0
    assert (colors.any(axis=2) == known).all()


def test_the_encoding_changes_while_it_runs(rig: Rig) -> None:
    depth, compressed = rig.listen('depth'), rig.listen('depth/compressedDepth')
    at = rig.publish_until(lambda: depth and compressed, 'depth', start=1000.0)
    try:
        assert rig.set_parameters(depth_encoding='16UC1') == [(True, '')]
        (refused,) = rig.set_parameters(depth_encoding='16UC2')
        assert not refused[0]
        assert "must be one of '32FC1', '16UC1'" in refused[1]

        def changed() -> bool:
            return bool(
                depth[-1].encoding == '16UC1' and compressed[-1].format.startswith('16UC1')
            )

        rig.publish_until(changed, 'millimeters', start=at)
        image = depth[-1]
        assert (image.step, len(image.data)) == (640, 320 * 240 * 2)
        values = np.frombuffer(image.data, np.uint16).reshape(240, 320)
        inside = (slice(20, -20), slice(60, -20))
        error = values[inside] / (1000 * SCENE.depth()[inside]) - 1
        assert np.median(np.abs(error[values[inside] > 0])) < 0.01
    finally:
        rig.set_parameters(depth_encoding='32FC1')
        rig.mute()


def test_copies_go_with_the_remapping_of_their_base() -> None:
    namespace = unique_namespace()
    arguments = ['-r', 'depth:=/elsewhere/depth', '-r', 'points:=cloud',
                 '-r', 'points/zstd:=small_cloud']  # fmt: skip
    with running_rig('backend:=sgbm', namespace=namespace, arguments=arguments) as rig:
        rig.open_cameras()
        names = {
            '/elsewhere/depth/compressedDepth': CompressedImage,
            f'{namespace}/cloud/zlib': TYPES['points/zlib'],
            f'{namespace}/small_cloud': TYPES['points/zstd'],
            f'{namespace}/cloud': TYPES['points'],
        }
        heard: dict[str, list[Any]] = {name: [] for name in names}
        for name, kind in names.items():
            rig.node.create_subscription(kind, name, heard[name].append, profile())
        rig.publish_until(lambda: all(heard.values()), 'every output', start=1)
        published = {name for name, _ in rig.node.get_topic_names_and_types()}
        assert f'{namespace}/points/zlib' not in published
        assert f'{namespace}/depth/compressedDepth' not in published


def test_without_the_messages_the_node_has_no_compressed_clouds() -> None:
    with running_rig('backend:=sgbm', command=WITHOUT_PACKAGES) as rig:
        rig.open_cameras()
        heard = rig.listen('points')
        rig.publish_until(lambda: heard, 'points', start=1)
        published = {name for name, _ in rig.node.get_topic_names_and_types()}
        assert f'{rig.namespace}/points' in published
        assert not {name for name in published if name.startswith(f'{rig.namespace}/points/')}


def test_the_cloud_s_copies_wait_for_its_transform_too() -> None:
    with running_rig('backend:=sgbm', 'points_frame:=nowhere', 'diagnostics_period:=0.1') as rig:
        rig.open_cameras()
        clouds = [rig.listen(topic) for topic in ('points/zlib', 'points/zstd')]
        depth = rig.listen('depth')
        rig.publish_until(lambda: len(depth) > 2, 'depth', start=1)
        assert not any(clouds)
        assert "to points_frame 'nowhere'" in rig.wait_for_status('outputs', 1).message
