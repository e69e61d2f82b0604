"""Crops of real pairs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.training.folders import FolderSource, Mixture, UnlabeledSource, crop
from s2m2_ros.training.procedural.scenes import SceneGenerator

HEIGHT, WIDTH, SHIFT = 80, 160, 12


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two smooth pairs of constant disparity in the layout of Middlebury 2014."""
    root = tmp_path_factory.mktemp('pairs')
    for name in ('first', 'second'):
        noise = np.random.default_rng(len(name)).integers(0, 256, (HEIGHT, WIDTH + SHIFT, 3))
        wide = cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 3)
        scene = root / name
        scene.mkdir()
        cv2.imwrite(str(scene / 'im0.png'), wide[:, :WIDTH])
        cv2.imwrite(str(scene / 'im1.png'), wide[:, SHIFT:])
        truth = np.full((HEIGHT, WIDTH), SHIFT, np.float32)
        truth[:, :5] = np.inf
        cv2.imwrite(str(scene / 'disp0.pfm'), truth)
    return root


@pytest.mark.parametrize(('height', 'width'), [(32, 64), (96, 192)])
def test_a_crop_keeps_disparity_true_at_its_scale(folder: Path, height: int, width: int) -> None:
    source = FolderSource([folder], seed=0)
    pair = crop(source.files[0], np.random.default_rng(1), height, width)
    assert pair.left.shape == (1, 3, height, width)
    known = pair.valid[0, 0] > 0
    disparity = pair.disparity[0, 0][known]
    scale = float(disparity.mean()) / SHIFT
    assert scale >= max(1.0, height / HEIGHT) - 0.02
    assert (disparity - disparity.mean()).abs().max() < 1e-3
    # The right image at x - d shows what the left shows at x.
    columns = np.arange(width)
    row = height // 2
    left, right = (image[0, 0, row].numpy() for image in (pair.left, pair.right))
    warped = np.interp(columns - scale * SHIFT, columns, right)
    inner = columns > scale * SHIFT + 1
    assert np.abs(warped - left)[inner].mean() < 2.0


def test_what_the_crop_cuts_off_is_hidden_and_the_rest_unlabeled(folder: Path) -> None:
    source = FolderSource([folder], seed=0)
    pair = crop(source.files[0], np.random.default_rng(2), 32, 64)
    columns = torch.arange(64).expand(1, 1, 32, 64)
    known = pair.valid > 0
    hidden = known & (columns < pair.disparity - 1)
    assert (pair.visibility[hidden] == 0).all()
    assert (pair.labeled[hidden] == 1).all()
    seen = known & (columns > pair.disparity + 1)
    assert (pair.visibility[seen] == 1).all()
    assert (pair.labeled[seen] == 0).all()


def test_batches_depend_on_seed_and_index_alone(folder: Path) -> None:
    a, b = (FolderSource([folder], seed=3).batch(5, 3, 32, 64) for _ in range(2))
    assert torch.equal(a.left, b.left)
    assert torch.equal(a.disparity, b.disparity)
    other = FolderSource([folder], seed=3).batch(6, 3, 32, 64)
    assert not torch.equal(a.left, other.left)


def test_a_mixture_draws_from_both(folder: Path) -> None:
    folders = FolderSource([folder], seed=0)
    scenes = SceneGenerator(0, bank_size=6)
    mixture = Mixture([folders], scenes, scenes_fraction=0.5, seed=0)
    full = [bool((mixture.batch(i, 1, 32, 64).labeled == 1).all()) for i in range(8)]
    assert {True, False} == set(full)
    alone = Mixture([folders], scenes, scenes_fraction=1.0, seed=0)
    assert alone.batch(1, 1, 32, 64).labeled.all()


def test_pairs_without_truth_have_none_and_keep_their_colors(folder: Path) -> None:
    source = UnlabeledSource([folder], seed=0)
    batch = source.batch(3, 2, 80, 160)
    assert not batch.valid.any()
    assert not batch.labeled.any()
    assert batch.left.mean() > 50
    assert torch.equal(batch.left, source.batch(3, 2, 80, 160).left)
    mixed = Mixture([source], SceneGenerator(0, bank_size=6), scenes_fraction=0.0, seed=0)
    assert not mixed.batch(0, 1, 32, 64).valid.any()


def test_a_pair_of_two_sizes_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'im0.png'), np.zeros((40, 80, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'im1.png'), np.zeros((40, 90, 3), np.uint8))
    with pytest.raises(DatasetError, match=r'im1\.png.*different sizes'):
        UnlabeledSource([tmp_path], seed=0).batch(0, 1, 32, 64)
