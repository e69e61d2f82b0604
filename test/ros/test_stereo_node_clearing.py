"""points_clearing over real DDS, with the parameters that are shipped for Nav2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sensor_msgs_py.point_cloud2 import read_points_numpy

from support.processes import SOURCE
from support.stereo_rig import Rig, running_rig
from support.stereo_scene import BASELINE, CX_LEFT, CY, FOCAL_LENGTH, FRAME, PlaneScene, stamp

FILE = SOURCE / 'config' / 'nav2_obstacle_layer.yaml'
# 12 px are 2 m; 1 px is 24 m, beyond clearing_range.
NEAR, FAR = PlaneScene(a=12.0, b=0.0, c=0.0), PlaneScene(a=1.0, b=0.0, c=0.0)


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    arguments = ('--params-file', str(FILE))
    with running_rig('backend:=sgbm', arguments=arguments) as made:
        made.open_cameras()
        yield made


def points(cloud: Any) -> np.ndarray:
    assert cloud.is_dense
    assert cloud.point_step == 12
    return np.asarray(read_points_numpy(cloud, ('x', 'y', 'z')))


def test_it_holds_what_the_cloud_leaves_out(rig: Rig) -> None:
    clouds, rays = rig.listen('points'), rig.listen('points_clearing')
    try:
        last = rig.publish_until(lambda: clouds and rays, 'both clouds', NEAR, start=1)
        assert rays[-1].header.frame_id == FRAME
        near = points(rays[-1])
        np.testing.assert_allclose(near[:, 2], FOCAL_LENGTH * BASELINE / 12, rtol=0.01)
        # 320 x 240 pixels, every 8th row and column, most of them matched.
        assert 600 < len(near) <= 1200
        assert len(points(clouds[-1])) > 1200

        def far() -> bool:
            return len(rays) > 1 and float(np.median(points(rays[-1])[:, 2])) > 3

        last = rig.publish_until(far, 'rays to the far plane', FAR, start=last + 1)
        ends = points(rays[-1])
        np.testing.assert_allclose(np.linalg.norm(ends, axis=1), 10.0, atol=1e-3)
        # max_depth is 5 m, so that no point of this plane marks.
        rig.until(lambda: clouds[-1].header.stamp == stamp(last), 'the last cloud')
        assert len(points(clouds[-1])) == 0
    finally:
        rig.mute()


def test_other_pixels_give_rays_each_time(rig: Rig) -> None:
    rays = rig.listen('points_clearing')
    try:
        rig.publish_until(lambda: len(rays) >= 5, 'five clouds', NEAR, start=1000)
    finally:
        rig.mute()
    firsts = set()
    for cloud in rays[:5]:
        x, y, z = points(cloud).T
        columns, rows = x / z * FOCAL_LENGTH + CX_LEFT, y / z * FOCAL_LENGTH + CY
        (column,), (row,) = (set(np.rint(pixels).astype(int) % 8) for pixels in (columns, rows))
        firsts.add((row, column))
    assert len(firsts) == 5
