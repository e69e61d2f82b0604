"""The stereo node over real DDS, in a process of its own: what its messages say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from sensor_msgs_py.point_cloud2 import read_points

from support.stereo_rig import Rig, running_rig
from support.stereo_scene import (
    BASELINE,
    CX_LEFT,
    CY,
    FOCAL_LENGTH,
    FRAME,
    PlaneScene,
    camera_info,
    image_message,
    stamp,
)

SCENE = PlaneScene()
OUTPUTS = (
    'disparity',
    'depth',
    'depth/camera_info',
    'confidence',
    'confidence_mask',
    'occlusion_mask',
    'points',
    'estimate',
    'stats',
)


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    with running_rig('backend:=sgbm', 'diagnostics_period:=0.1') as made:
        made.open_cameras()
        yield made


@pytest.fixture(scope='module')
def heard(rig: Rig) -> dict[str, list[Any]]:
    """Return what was heard of five stamped pairs, sent one after the other."""
    lists = {topic: rig.listen(topic) for topic in OUTPUTS}
    last = rig.publish_until(lambda: all(lists.values()), 'every output', start=10.0)
    rig.until(lambda: _stamp(lists['stats'][-1]) == last, 'the last pair of the warm-up')
    for messages in lists.values():
        messages.clear()
    for count in range(1, 6):
        rig.publish(SCENE, 99 + count)
        rig.until(partial(_holds, lists['stats'], count), f'stats of pair {count}')
    rig.until(lambda: all(len(m) == 5 for m in lists.values()), 'all outputs of five pairs')
    return lists


def _holds(messages: list[Any], count: int) -> bool:
    return len(messages) == count


def _stamp(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec / 1e9)


def _pixels(image: Any) -> np.ndarray:
    dtype = np.float32 if image.encoding == '32FC1' else np.uint8
    return np.asarray(np.frombuffer(image.data, dtype).reshape(image.height, image.width))


def _known_inside(known: np.ndarray) -> np.ndarray:
    """Return known pixels away from the borders, where half of the block is missing."""
    inside = np.zeros(known.shape, dtype=bool)
    inside[8:-8, 48:-8] = True
    return np.asarray(known & inside)


def test_every_pair_yields_every_output_with_its_stamp_and_frame(
    heard: dict[str, list[Any]],
) -> None:
    for topic in OUTPUTS:
        assert [_stamp(m) for m in heard[topic]] == [100, 101, 102, 103, 104], topic
        assert {m.header.frame_id for m in heard[topic]} == {FRAME}, topic


def test_disparity_is_that_of_the_plane(heard: dict[str, list[Any]]) -> None:
    message = heard['disparity'][-1]
    disparity = _pixels(message.image)
    known = _known_inside(disparity >= message.min_disparity)
    assert known.mean() > 0.5
    error = (disparity - SCENE.disparity())[known]
    # Semi-global matching is noisy below a quarter of a pixel, but not biased.
    assert abs(error.mean()) < 0.05
    assert np.median(np.abs(error)) < 0.2
    assert np.percentile(np.abs(error), 99) < 0.5
    assert (message.f, round(message.t, 6)) == (FOCAL_LENGTH, BASELINE)
    assert np.isfinite(disparity).all()
    assert (disparity[disparity < message.min_disparity] == message.min_disparity - 1).all()
    assert message.max_disparity > disparity.max()


def test_depth_is_that_of_the_plane(heard: dict[str, list[Any]]) -> None:
    depth = _pixels(heard['depth'][-1])
    known = _known_inside(~np.isnan(depth))
    assert known.mean() > 0.5
    relative = np.abs(depth / SCENE.depth() - 1)[known]
    assert np.median(relative) < 0.01
    assert np.percentile(relative, 99) < 0.05
    info = heard['depth/camera_info'][-1]
    assert list(info.p) == list(camera_info(SCENE, stamp(104)).p)


def test_points_lie_on_the_plane(heard: dict[str, list[Any]]) -> None:
    cloud = heard['points'][-1]
    assert (cloud.height, cloud.width, cloud.point_step) == (240, 320, 16)
    assert (cloud.is_dense, cloud.row_step) == (False, 320 * 16)
    points = read_points(cloud, ('x', 'y', 'z'), reshape_organized_cloud=True)
    x, y, z = (points[axis].reshape(240, 320) for axis in 'xyz')
    known = _known_inside(~np.isnan(z))
    assert known.mean() > 0.5
    # B*f = (a + b*cx + c*cy)*Z + b*f*X + c*f*Y, see PlaneScene.
    constant = SCENE.a + SCENE.b * CX_LEFT + SCENE.c * CY
    left_side = constant * z + SCENE.b * FOCAL_LENGTH * x + SCENE.c * FOCAL_LENGTH * y
    off = np.abs(left_side / (BASELINE * FOCAL_LENGTH) - 1)[known]
    assert np.median(off) < 0.01
    # The ray of pixel (200, 100): X/Z = (200 - 160)/240, Y/Z = (100 - 120)/240.
    assert known[100, 200]
    assert x[100, 200] / z[100, 200] == pytest.approx(1 / 6, rel=1e-5)
    assert y[100, 200] / z[100, 200] == pytest.approx(-1 / 12, rel=1e-5)


def test_masks_and_confidence_agree(heard: dict[str, list[Any]]) -> None:
    confidence = _pixels(heard['confidence'][-1])
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    trusted, occluded = (_pixels(heard[t][-1]) for t in ('confidence_mask', 'occlusion_mask'))
    assert set(np.unique(trusted)) == {0, 255}
    known = _pixels(heard['disparity'][-1].image) >= 0
    assert ((trusted == 255) == (known & (confidence >= 0.5))).all()
    visibility = _pixels(heard['estimate'][-1].visibility)
    assert ((occluded == 255) == (visibility < 0.5)).all()


def test_estimate_repeats_the_single_messages(heard: dict[str, list[Any]]) -> None:
    estimate = heard['estimate'][-1]
    assert estimate.disparity == heard['disparity'][-1]
    assert estimate.confidence == heard['confidence'][-1]


def test_stats_count_every_pair_and_time_every_stage(heard: dict[str, list[Any]]) -> None:
    first, last = heard['stats'][0], heard['stats'][-1]
    assert last.pairs_received - first.pairs_received == 4
    assert last.pairs_processed - first.pairs_processed == 4
    assert last.pairs_dropped == first.pairs_dropped
    assert last.pairs_received == last.pairs_processed + last.pairs_dropped
    assert (last.backend, last.checkpoint, last.precision) == ('sgbm', '', 'float32')
    assert (last.width, last.height) == (320, 240)
    for stage in ('decode', 'upload', 'inference', 'geometry', 'download', 'publish'):
        assert getattr(last, f'{stage}_ms') >= 0, stage
    # The stamps lie in 1970: the latency from them is more than 50 years.
    assert last.latency_ms > 50 * 365 * 86400e3


def test_the_same_pair_gives_the_same_bytes(heard: dict[str, list[Any]]) -> None:
    for topic in ('disparity', 'depth', 'confidence', 'points'):
        images = [m.image if topic == 'disparity' else m for m in heard[topic]]
        assert len({bytes(image.data) for image in images}) == 1, topic


def test_color_images_give_the_cloud_its_color(rig: Rig) -> None:
    gray = SCENE.images()
    colors = [np.stack((g, g // 2, np.full_like(g, 9)), axis=-1) for g in gray]
    left, right = (image_message(c, stamp(200), 'rgb8') for c in colors)
    clouds = rig.listen('points')

    def colored() -> bool:
        return any(_stamp(m) == 200 for m in clouds)

    rig.until(rig.connected, 'subscriptions')
    rig.publish(SCENE, 200, left_image_rect=left, right_image_rect=right)
    rig.until(colored, 'a colored cloud')
    cloud = next(m for m in clouds if _stamp(m) == 200)
    rgb = read_points(cloud, ('rgb',), reshape_organized_cloud=True)['rgb'].reshape(240, 320)
    packed = rgb.astype(np.float32).view(np.uint32)[100, 200]
    level = int(gray[0][100, 200])
    assert [(packed >> s) & 255 for s in (16, 8, 0)] == [level, level // 2, 9]
    assert not math.isnan(rgb[100, 200])
