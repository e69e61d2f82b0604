"""The example of fine-tuning: sparse truth from points, and what it says of a network."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.network import S2M2, S2M2Config
from s2m2_ros.training.checkpoints import save_weights
from support.scripts import load_script


@pytest.fixture(scope='module')
def example() -> ModuleType:
    """Import examples/fine_tune.py, which is no part of the package."""
    return load_script('examples/fine_tune.py')


def test_points_become_disparities_of_the_nearest(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # f = 100, cx = 10, cy = 5, B = 0.1: 2 m ahead is 5 px at (10, 5); 1 m at x = 0.05 is 10 px
    # at column 15; behind both of them stand others, and one is behind the camera.
    points = [(0, 0, 2), (0, 0, 4), (0.05, 0, 1), (0.1, 0, 2), (0, 0, -1), (9, 0, 1)]
    np.save(tmp_path / 'points.npy', np.array(points, float))
    cv2.imwrite(str(tmp_path / 'im0.png'), np.zeros((10, 20, 3), np.uint8))
    words = ['lidar', str(tmp_path / 'points.npy'), str(tmp_path), '--calibration', '100,10,5,0.1']
    monkeypatch.setattr(sys, 'argv', ['fine_tune.py', *words])
    assert example.main() == 0
    found = cv2.imread(str(tmp_path / 'disp0.pfm'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.isfinite(found).sum() == 2
    assert found[5, 10] == pytest.approx(5)
    assert found[5, 15] == pytest.approx(10)


def test_pairs_are_scored_with_their_truth_or_by_comparing_the_views(
    example: ModuleType, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = S2M2(S2M2Config(channels=16, transformers=1))
    file = tmp_path / 'small.pth'
    save_weights(file, dict(network.state_dict()), {})
    scene = tmp_path / 'pairs' / 'scene'
    scene.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 100, 3)).astype(np.uint8)
    cv2.imwrite(str(scene / 'im0.png'), noise[:, :96])
    cv2.imwrite(str(scene / 'im1.png'), noise[:, 4:])
    blind = example.check(str(file), tmp_path / 'pairs')
    assert set(blind) == {'difference of the views (%)', 'views disagree (%)'}
    assert all(0 <= value <= 100 for value in blind.values())
    cv2.imwrite(str(scene / 'disp0.pfm'), np.full((64, 96), 4, np.float32))
    scores = example.check(str(file), tmp_path / 'pairs')
    assert set(scores) == {'EPE (px)', 'bad 1.0 (%)', 'bad 2.0 (%)'}
    assert scores['bad 1.0 (%)'] >= scores['bad 2.0 (%)'] > 0
