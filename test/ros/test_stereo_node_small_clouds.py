"""Voxels, a rate for the cloud, a region and masks over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs_py.point_cloud2 import read_points_numpy

from s2m2_ros.io.images.image_files import write_png
from support.stereo_rig import Rig, running_rig
from support.stereo_scene import BASELINE, CX_LEFT, FOCAL_LENGTH, PlaneScene

SCENE = PlaneScene()
EDGE = 0.1
# Left out, in columns: below 40, from 260 on, and 100 to 120; in rows: the upper 24.
REGION = [40, 0, 220, 0]
POLYGON = [100.0, 0.0, 120.0, 0.0, 120.0, 239.0, 100.0, 239.0]
LEFT_OUT = [*range(40), *range(100, 121), *range(260, 320)]
# Edges, beside which the matcher and the filters know less.
CERTAIN = [*range(70, 95), *range(125, 255)]
ERROR = bytes([2])


@pytest.fixture(scope='module')
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp('mask')
    picture = np.full((SCENE.height, SCENE.width), 255, np.uint8)
    picture[:24] = 0
    write_png(folder / 'robot.png', picture)
    (folder / 'parameters.yaml').write_text(
        '/**:\n  ros__parameters:\n'
        f'    roi: {REGION}\n    mask_polygon: {POLYGON}\n    mask_file: {folder}/robot.png\n'
    )
    arguments = ('--params-file', str(folder / 'parameters.yaml'))
    parameters = ('backend:=sgbm', 'diagnostics_period:=0.2', f'points_voxel_size:={EDGE}')
    with running_rig(*parameters, arguments=arguments) as made:
        made.open_cameras()
        yield made


def floats(message: Any) -> np.ndarray:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def test_one_point_a_voxel_without_what_is_left_out(rig: Rig) -> None:
    clouds = rig.listen('points')
    try:
        rig.publish_until(lambda: clouds, 'a cloud', SCENE, start=1)
    finally:
        rig.mute()
    cloud = clouds[-1]
    assert (cloud.height, cloud.is_dense) == (1, True)
    assert cloud.row_step == cloud.width * cloud.point_step == len(cloud.data)
    points = read_points_numpy(cloud, ('x', 'y', 'z'))
    assert 50 < len(points) < 2000
    # One point a voxel.
    assert len(np.unique(np.floor(points / EDGE), axis=0)) == len(points)
    # The centroids lie on the plane: B f = (a + b cx + c cy) Z + b f X + c f Y.
    x, y, z = points.astype(float).T
    f = FOCAL_LENGTH
    plane = (20 * z + SCENE.b * f * x + SCENE.c * f * y) / (BASELINE * f)
    np.testing.assert_allclose(np.median(plane), 1, atol=0.01)
    columns, rows = CX_LEFT + f * x / z, 120 + f * y / z
    assert columns.min() >= 39.5
    assert columns.max() <= 259.5
    assert rows.min() >= 23.5


def test_every_image_leaves_it_out(rig: Rig) -> None:
    heard = {name: rig.listen(name) for name in ('disparity', 'depth', 'confidence', 'estimate')}
    try:
        rig.publish_until(lambda: all(heard.values()), 'all outputs', SCENE, start=100)
    finally:
        rig.mute()
    disparity = heard['disparity'][-1]
    window = disparity.valid_window
    assert (window.x_offset, window.y_offset) == (40, 0)
    assert (window.width, window.height) == (220, 240)
    estimate = heard['estimate'][-1]
    values = floats(disparity.image)
    assert values.tobytes() == floats(estimate.disparity.image).tobytes()
    depth, confidence = floats(heard['depth'][-1]), floats(heard['confidence'][-1])
    for rows, columns in (
        (slice(0, 24), slice(None)),
        (slice(None), LEFT_OUT),
    ):
        assert (values[rows, columns] == disparity.min_disparity - 1).all()
        assert np.isnan(depth[rows, columns]).all()
        assert (confidence[rows, columns] == 0).all()
        assert (floats(estimate.visibility)[rows, columns] == 0).all()
    known = depth[30:230, CERTAIN]
    assert np.isfinite(known).mean() > 0.95
    error = known - SCENE.depth()[30:230, CERTAIN]
    assert np.nanmedian(np.abs(error)) < 0.01


def seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec / 1e9)


def test_clouds_come_less_often_and_every_pair_is_counted(rig: Rig) -> None:
    assert rig.set_parameters(points_rate=2.0) == [(True, '')]
    clouds = rig.listen('points')

    def dropped() -> int:
        return int(rig.values('outputs').get('dropped: points_rate', 0))

    try:
        # Pairs come every 0.1 s, clouds every 0.5 s.
        last = rig.publish_until(
            lambda: len(clouds) >= 5 and dropped() >= 10, 'five clouds', SCENE, start=200
        )
        span = seconds(clouds[-1]) - seconds(clouds[0])
        assert len(clouds) <= 2 * span + 2
        # A pair that was not counted would wait for ever.
        rig.until(lambda: rig.values('outputs')['pairs waiting'] == '0', 'all pairs counted')
        # Other outputs come with every pair.
        depths = rig.listen('depth')

        def without_cloud() -> set[float]:
            return {seconds(depth) for depth in depths} - {seconds(cloud) for cloud in clouds}

        before = len(clouds)
        rig.publish_until(
            lambda: len(without_cloud()) >= 6 and len(clouds) > before,
            'depths without a cloud',
            SCENE,
            start=last + 1,
        )
    finally:
        rig.set_parameters(points_rate=0.0)
        rig.mute()


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'roi': [1, 2, 3]}, 'roi = [1, 2, 3]: needs four integers'),
        ({'roi': [0.5, 1.0, 2.0, 3.0]}, 'must be of type integer array'),
        ({'roi': 'all'}, 'must be of type integer array'),
        ({'mask_polygon': [1.0, 2.0, 3.0]}, 'mask_polygon: 3 numbers are no pairs'),
        ({'mask_file': ''}, 'read-only'),
        ({'points_voxel_size': 0.0001}, 'must be 0 (off) or at least 0.001'),
    ],
)
def test_impossible_values_are_rejected(rig: Rig, values: dict[str, Any], reason: str) -> None:
    before = rig.get_parameters(*values)
    ((successful, found),) = rig.set_parameters(**values)
    assert not successful
    assert reason in found
    assert rig.get_parameters(*values) == before


def test_integers_are_corners_and_empty_arrays_mean_all(rig: Rig) -> None:
    triangle = [1, 1, 9, 1, 9, 9]
    assert rig.set_parameters(mask_polygon=triangle) == [(True, '')]
    assert rig.set_parameters(mask_polygon=[], roi=[]) == [(True, '')] * 2
    clouds = rig.listen('points')
    try:
        rig.publish_until(lambda: clouds, 'a cloud', SCENE, start=400)
        points = read_points_numpy(clouds[-1], ('x', 'y', 'z'))
        assert (CX_LEFT + FOCAL_LENGTH * points[:, 0] / points[:, 2]).max() > 270
    finally:
        rig.set_parameters(roi=REGION, mask_polygon=POLYGON)
        rig.mute()


def test_a_region_outside_of_the_image_is_reported_until_it_is_right(rig: Rig) -> None:
    assert rig.set_parameters(roi=[0, 0, 321, 0]) == [(True, '')]
    depths = rig.listen('depth')

    def told() -> bool:
        status = rig.statuses.get('inputs')
        return bool(status and status.level == ERROR and 'roi = [0, 0, 321, 0]' in status.message)

    try:
        rig.publish_until(told, 'a complaint', SCENE, start=500)
        assert not depths
        assert rig.set_parameters(roi=[0, 0, 320, 0]) == [(True, '')]
        rig.publish_until(lambda: depths, 'a depth', SCENE, start=600)
    finally:
        rig.set_parameters(roi=REGION)
        rig.mute()


def test_a_mask_that_is_missing_is_named_and_waited_for(tmp_path: Path) -> None:
    path = tmp_path / 'robot.png'
    with running_rig('backend:=sgbm', f'mask_file:={path}', 'diagnostics_period:=0.1') as made:
        made.wait_for_status('matching', 2, f"cannot configure: mask_file: no image '{path}'")
        write_png(path, np.full((SCENE.height, SCENE.width), 255, np.uint8))
        made.wait_for_status('outputs', 0, 'no subscribers')
