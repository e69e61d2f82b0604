"""The example of fine-tuning: sparse truth from points, and what it says of a network."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.network import S2M2, S2M2Config
from s2m2_ros.training.checkpoints import save_weights
from support.scripts import load_script


@pytest.fixture(scope='module')
def example() -> ModuleType:
    """Import examples/fine_tune.py, which is no part of the package."""
    return load_script('examples/fine_tune.py')


def write_scene(folder: Path, seed: int, *, truth: bool = True) -> None:
    """Write a pair of noise of 96x64 whose disparity is 4 everywhere."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed).integers(0, 256, (64, 100, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / 'im0.png'), noise[:, :96])
    cv2.imwrite(str(folder / 'im1.png'), noise[:, 4:])
    if truth:
        cv2.imwrite(str(folder / 'disp0.pfm'), np.full((64, 96), 4, np.float32))


@pytest.fixture
def run(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the example with these words; return its exit status."""

    def run_with(*words: object) -> int:
        monkeypatch.setattr(sys, 'argv', ['fine_tune.py', *map(str, words)])
        return int(example.main())

    return run_with


def test_points_become_disparities_of_the_nearest(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # f = 100, cx = 10, cy = 5, B = 0.1: 2 m ahead is 5 px at (10, 5); 1 m at x = 0.05 is 10 px
    # at column 15; behind both of them stand others, and one is behind the camera.
    points = [(0, 0, 2), (0, 0, 4), (0.05, 0, 1), (0.1, 0, 2), (0, 0, -1), (9, 0, 1)]
    unknown = [(np.nan, 0, 1), (0, np.inf, 1), (1e300, 0, 1)]
    np.save(tmp_path / 'points.npy', np.array([*points, *unknown], float))
    cv2.imwrite(str(tmp_path / 'im0.png'), np.zeros((10, 20, 3), np.uint8))
    assert run('lidar', tmp_path / 'points.npy', tmp_path, '--calibration', '100,10,5,0.1') == 0
    found = cv2.imread(str(tmp_path / 'disp0.pfm'), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.isfinite(found).sum() == 2
    assert found[5, 10] == pytest.approx(5)
    assert found[5, 15] == pytest.approx(10)
    assert '2 of 9 points are not finite' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'cannot be read (No such file'),
        (b'x y z', 'does not hold numbers as numpy.save writes them'),
        (np.ones((5, 4)), 'holds (5, 4), not (N, 3)'),
        (np.ones(3), 'holds (3), not (N, 3)'),
        (np.array([(9.0, 9.0, 1.0)]), 'no point of'),
    ],
)
def test_points_that_give_no_truth_are_refused_and_nothing_is_written(
    content: Any,
    message: str,
    run: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / 'points.npy'
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.save(file, content)
    cv2.imwrite(str(tmp_path / 'im0.png'), np.zeros((10, 20, 3), np.uint8))
    assert run('lidar', file, tmp_path, '--calibration', '100,10,5,0.1') == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'disp0.pfm').exists()


@pytest.mark.parametrize('text', ['100,10,5', '100,10,5,x', '100,10,5,0', 'nan,10,5,0.1'])
def test_a_wrong_calibration_is_an_error_of_that_option(
    text: str, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run('lidar', 'points.npy', 'scene', '--calibration', text)
    assert f'argument --calibration: {text!r}' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['disp0.pfm', 'disp0GT.npy'])
def test_a_truth_that_is_there_is_not_replaced(
    name: str, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # disp0GT.npy would be read instead of the disp0.pfm that is written.
    np.save(tmp_path / 'points.npy', np.array([(0, 0, 2)], float))
    cv2.imwrite(str(tmp_path / 'im0.png'), np.zeros((10, 20, 3), np.uint8))
    (tmp_path / name).write_bytes(b'dense')
    assert run('lidar', tmp_path / 'points.npy', tmp_path, '--calibration', '100,10,5,0.1') == 1
    assert f"{name}' is a truth already" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b'dense'
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, 'im0.png', 'points.npy'])


def test_pairs_are_scored_with_their_truth_or_by_comparing_the_views(
    example: ModuleType, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = S2M2(S2M2Config(channels=16, transformers=1))
    file = tmp_path / 'small.pth'
    save_weights(file, dict(network.state_dict()), {})
    for seed in range(2):
        write_scene(tmp_path / 'pairs' / str(seed), seed)
    blind = example.check(str(file), tmp_path / 'pairs', [])
    assert set(blind) == {'difference of the views (%)', 'views disagree (%)'}
    assert all(len(values) == 2 for values in blind.values())
    assert all(0 <= value <= 100 for values in blind.values() for value in values)
    labeled = find_labeled_pairs(tmp_path / 'pairs')
    scores = example.check(str(file), tmp_path / 'pairs', labeled)
    assert set(scores) == {'EPE (px)', 'bad 1.0 (%)', 'bad 2.0 (%)'}
    assert all(len(values) == 2 for values in scores.values())
    assert (scores['bad 1.0 (%)'] >= scores['bad 2.0 (%)']).all()
    assert (scores['bad 2.0 (%)'] > 0).all()


@pytest.mark.parametrize(
    ('after', 'said'),
    [
        # Differences -1, -1.1, -0.9, -1.2, -0.8: mean -1, standard error 0.158 / sqrt(5) = 0.07.
        ((9.0, 10.9, 13.1, 14.8, 17.2), 'it helped'),
        ((11.0, 13.1, 14.9, 17.2, 18.8), 'worse in EPE'),
        ((10.0, 12.0, 14.0, 16.0, 18.0), 'not clearly better in EPE'),
        # All fall by 0.1, 0.7 % of the mean of 14: nothing that anybody would notice.
        ((9.9, 11.9, 13.9, 15.9, 17.9), 'not clearly better in EPE'),
        # One pair gains 5, the others lose 0.5: mean -0.6, standard error 1.1.
        ((5.0, 12.5, 14.5, 16.5, 18.5), 'not clearly better in EPE'),
    ],
)
def test_it_helped_if_every_score_fell_by_more_than_chance(
    after: tuple[float, ...], said: str, example: ModuleType
) -> None:
    before = {'EPE': np.array([10.0, 12.0, 14.0, 16.0, 18.0]), 'bad 2': np.zeros(5)}
    assert example.verdict(before, {**before, 'EPE': np.array(after)}).startswith(said)


def test_one_score_that_falls_and_one_that_does_not_is_no_help(example: ModuleType) -> None:
    before = {'EPE': np.full(5, 2.0), 'bad 2': np.full(5, 10.0)}
    said = example.verdict(before, {'EPE': np.full(5, 1.0), 'bad 2': np.full(5, 10.0)})
    assert said.startswith('not clearly better in bad 2')


def test_four_pairs_say_nothing(example: ModuleType) -> None:
    said = example.verdict({'EPE': np.full(4, 2.0)}, {'EPE': np.full(4, 1.0)})
    assert said.startswith('4 pairs cannot say')


@pytest.mark.parametrize('option', ['--data', '--unlabeled'])
def test_pairs_to_check_must_not_be_trained_on_under_any_name(
    option: str, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        write_scene(tmp_path / 'learn' / f'place {seed}', seed, truth=option == '--data')
    write_scene(tmp_path / 'check' / 'other', 5, truth=option == '--data')
    shutil.copytree(tmp_path / 'learn' / 'place 1', tmp_path / 'check' / 'the same')
    words = ('train', tmp_path / 'run', option, tmp_path / 'learn', '--check', tmp_path / 'check')
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert '1 of 2 pairs of --check are trained on as well' in error
    assert 'the same' in error
    assert not (tmp_path / 'run').exists()


def test_pairs_to_learn_from_are_needed(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene(tmp_path / 'check' / 'a', 0)
    assert run('train', tmp_path / 'run', '--check', tmp_path / 'check') == 1
    assert '--data (with truth) or --unlabeled (without)' in capsys.readouterr().err


def test_a_run_of_a_moment_did_not_help_and_is_not_overwritten(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene(tmp_path / 'learn' / 'a', 9)
    for seed in range(5):
        write_scene(tmp_path / 'check' / str(seed), seed)
    words = ['train', tmp_path / 'run', '--data', tmp_path / 'learn', '--check']
    words += [tmp_path / 'check', '--minutes', '1e-6', '--crops', '1:32x64x1']
    assert run(*words) == 0
    said = capsys.readouterr().out
    assert '1 steps, 1 pairs' in said
    assert 'of the 5 pairs of' in said
    assert 'not clearly better in EPE' in said
    tuned = (tmp_path / 'run' / 'fine_tuned.pth').read_bytes()
    assert run(*words) == 1
    assert 'holds a run already' in capsys.readouterr().err
    assert (tmp_path / 'run' / 'fine_tuned.pth').read_bytes() == tuned
