"""`s2m2 match` writes the bytes that the node publishes of the same pair with the same options."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import trimesh
from sensor_msgs_py.point_cloud2 import read_points

from s2m2_ros.cli.main import main
from support.stereo_rig import running_rig
from support.stereo_scene import BASELINE, CX_LEFT, CX_RIGHT, CY, FOCAL_LENGTH, PlaneScene

SCENE = PlaneScene()
CALIBRATION = (
    f'cam0=[{FOCAL_LENGTH} 0 {CX_LEFT}; 0 {FOCAL_LENGTH} {CY}; 0 0 1]\n'
    f'cam1=[{FOCAL_LENGTH} 0 {CX_RIGHT}; 0 {FOCAL_LENGTH} {CY}; 0 0 1]\n'
    f'doffs={CX_RIGHT - CX_LEFT}\nbaseline={BASELINE * 1000}\n'
)


def test_depth_and_cloud_of_match_are_those_of_the_node(tmp_path: Path) -> None:
    left, right = SCENE.images()
    for name, image in (('left', left), ('right', right)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    files = [str(tmp_path / name) for name in ('left.png', 'right.png')]
    options = ['--calibration', str(tmp_path / 'calib.txt'), '--backend', 'sgbm']
    options += ['--confidence-threshold', '0.8', '--max-depth', '1.9']
    assert main(['match', *files, *options, '--output', str(tmp_path / 'out')]) == 0

    parameters = ('backend:=sgbm', 'points_organized:=false', 'confidence_threshold:=0.8')
    with running_rig(*parameters, 'max_depth:=1.9') as rig:
        rig.open_cameras()
        heard = {topic: rig.listen(topic) for topic in ('depth', 'points')}
        rig.publish_until(lambda: all(heard.values()), 'depth and points', SCENE, start=10.0)
        depth, cloud = heard['depth'][-1], heard['points'][-1]

    written = cv2.imread(str(tmp_path / 'out' / 'depth.pfm'), cv2.IMREAD_UNCHANGED)
    assert written is not None
    published = np.frombuffer(depth.data, np.float32).reshape(written.shape)
    # PFM writes infinity where the message has NaN.
    known = np.isfinite(written)
    assert (np.isfinite(published) == known).all()
    assert known.any()
    assert published[known].tobytes() == written[known].tobytes()

    vertices = np.asarray(trimesh.load(tmp_path / 'out' / 'cloud.ply').vertices, np.float32)
    points = read_points(cloud, ('x', 'y', 'z'))
    assert 0 < len(points) < known.sum()
    assert vertices.tobytes() == np.stack([points[a] for a in 'xyz'], axis=1).tobytes()
