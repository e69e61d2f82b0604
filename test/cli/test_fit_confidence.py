"""`s2m2 weights fit-confidence`: weights of users bring a table of their own."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import stereo_motorcycle

from s2m2_ros.cli.main import main
from s2m2_ros.confidence_files import read_table
from s2m2_ros.confidence_tables import ConfidenceKind, meaning_of
from s2m2_ros.geometry import Output
from s2m2_ros.geometry.uncertainty import calibrated_confidence
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.image_files import write_pfm, write_png
from s2m2_ros.network import load_network, save_network
from s2m2_ros.offline.result_record import Recipe
from s2m2_ros.pipeline import PairInput, PipelineOptions, PipelineState, StereoPipeline
from s2m2_ros.weights import WeightsError, find_checkpoint
from support.onnx_networks import BlockMatcher

FIT = ('weights', 'fit-confidence')
# Parts of the pair in which the network is right, and in which it is not.
PARTS = {'one': (slice(60, 252), slice(60, 316)), 'two': (slice(250, 442), slice(330, 586))}


@pytest.fixture(scope='module')
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('pairs')
    left, right, truth = stereo_motorcycle()
    for name, part in PARTS.items():
        (folder / name).mkdir()
        write_png(folder / name / 'im0.png', np.ascontiguousarray(left[part]))
        write_png(folder / name / 'im1.png', np.ascontiguousarray(right[part]))
        write_pfm(folder / name / 'disp0.pfm', np.ascontiguousarray(truth[part], np.float32))
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / 'mine.safetensors'
    save_network(load_network(find_checkpoint('starter')), file, licence='mine')
    return file


def match(checkpoint: Path | str, pairs: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence that is published, and that of the network."""
    left, right, _ = stereo_motorcycle()
    part = PARTS['one']
    views = tuple(np.ascontiguousarray(view[part]) for view in (left, right))
    with StereoMatcher.open(checkpoint, device='cpu') as matcher:
        raw = matcher.match(views[0], views[1]).confidence.numpy()
        outputs = StereoPipeline(matcher).process(
            PairInput(views[0], views[1]), (Output.CONFIDENCE,), PipelineOptions(), PipelineState()
        )
    return outputs.host.arrays[Output.CONFIDENCE], raw


def test_weights_get_a_table_that_counts_from_then_on(
    pairs: Path, mine: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    published, raw = match(mine, pairs)
    assert np.array_equal(published, raw)
    fit = [*FIT, str(pairs), '--checkpoint', str(mine), '--sgbm-refinement', 'never']
    assert main([*fit, '--check', str(pairs)]) == 0
    shown = capsys.readouterr().out
    table_file = mine.with_name('mine.safetensors.confidence.yaml')
    assert f'{table_file}: corrects the confidence of {mine}' in shown
    assert '| confidence | of all | mean | within 4 px |' in shown
    counted = read_table(table_file)
    assert counted.counted_on[0].startswith(f'{pairs}: ')
    with caplog.at_level(logging.INFO):
        corrected, raw = match(mine, pairs)
    assert f'confidence is corrected by {table_file}' in caplog.text
    expected = np.interp(raw, (0, *counted.table.confidence), (0, *counted.table.likely))
    assert np.abs(corrected - expected).max() < 5e-3
    assert np.abs(corrected - raw).max() > 0.02


def test_results_of_before_do_not_count_as_made_with_the_table(pairs: Path, mine: Path) -> None:
    with StereoMatcher.open(mine, device='cpu') as matcher:
        before = Recipe.of_matcher(matcher, {})
    main([*FIT, str(pairs), '--checkpoint', str(mine)])
    with StereoMatcher.open(mine, device='cpu') as matcher:
        after = Recipe.of_matcher(matcher, {})
    assert before.to_json() != after.to_json()
    assert 'confidence_table_sha256' not in before.matcher


def test_a_table_is_replaced_only_when_asked(
    pairs: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table_file = mine.with_name('mine.safetensors.confidence.yaml')
    table_file.write_text('damaged')
    fit = [*FIT, str(pairs), '--checkpoint', str(mine)]
    assert main(fit) == 2
    assert '--replace' in capsys.readouterr().err
    assert table_file.read_text() == 'damaged'
    assert main([*fit, '--replace']) == 0
    assert read_table(table_file).weights


def test_a_table_of_other_weights_is_an_error(
    pairs: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table_file = mine.with_name('mine.safetensors.confidence.yaml')
    table_file.write_text(
        f'weights: {"ab" * 32}\nconfidence: [0.1, 0.5, 0.9]\nlikely: [0.1, 0.5, 0.9]\n'
        'deviation: [9, 2, 1]\n'
    )
    image = str(pairs / 'one' / 'im0.png')
    words = ['match', image, image, '--checkpoint', str(mine), '--output', str(pairs / 'out')]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f'{table_file}: counted for other weights' in told
    assert 'delete it, or count again' in told


def test_what_is_too_little_leaves_nothing(
    pairs: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'sparse'
    shutil.copytree(pairs / 'one', folder / 'one')
    truth = np.full((192, 256), np.inf, np.float32)
    truth[::20, ::20] = 30
    write_pfm(folder / 'one' / 'disp0.pfm', truth)
    assert main([*FIT, str(folder), '--checkpoint', str(mine)]) == 2
    assert '130 pixels with truth are too few' in capsys.readouterr().err
    assert not mine.with_name('mine.safetensors.confidence.yaml').exists()


def test_the_weights_of_the_package_have_their_table_under_any_name(
    pairs: Path, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / 'copy.safetensors'
    shutil.copy(find_checkpoint('starter'), copy)
    with StereoMatcher.open(copy, device='cpu') as matcher:
        assert matcher.confidence_meaning == meaning_of('starter')
    with StereoMatcher.open(mine, device='cpu') as matcher:
        assert matcher.confidence_meaning.kind is ConfidenceKind.UNCOUNTED
    assert main([*FIT, str(pairs), '--checkpoint', str(copy)]) == 2
    assert 'starter has a table in this package' in capsys.readouterr().err


@pytest.mark.parametrize('words', [['--checkpoint', 'starter'], ['--backend', 'sgbm'], []])
def test_what_has_a_table_in_the_package_is_refused(
    pairs: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, str(pairs), *words]) == 2
    assert 'has a table in this package' in capsys.readouterr().err


def test_networks_of_others_get_one_too_and_keep_it_under_a_name(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path / 'cache'))
    network = BlockMatcher(count=64).write(tmp_path / 'blocks.onnx')
    assert main([*FIT, str(pairs), '--checkpoint', str(network)]) == 0
    table = read_table(tmp_path / 'blocks.onnx.confidence.yaml').table
    for checkpoint in (network, 'renamed'):
        if checkpoint == 'renamed':
            assert main(['weights', 'add', str(network), '--name', 'renamed']) == 0
        with StereoMatcher.open(checkpoint, device='cpu') as matcher:
            meaning = matcher.confidence_meaning
            assert meaning.table == table
            knots = torch.tensor(table.confidence)
            likely = calibrated_confidence(knots, meaning)
            assert likely.tolist() == pytest.approx(table.likely, abs=5e-3)
    assert main(['weights', 'verify']) == 0
    # Replacing the file takes its table along.
    other = BlockMatcher(count=32).write(tmp_path / 'other.onnx')
    assert main(['weights', 'add', str(other), '--name', 'renamed', '--replace']) == 0
    with StereoMatcher.open('renamed', device='cpu') as matcher:
        assert matcher.confidence_meaning.source == 'left_right_check'


def test_sets_without_pairs_are_told_before_anything_is_matched(
    pairs: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'empty').mkdir()
    fit = [*FIT, str(pairs), '--checkpoint', str(mine), '--check', str(tmp_path / 'empty')]
    assert main(fit) == 2
    assert str(tmp_path / 'empty') in capsys.readouterr().err
    assert not mine.with_name('mine.safetensors.confidence.yaml').exists()


def test_unrefined_pixels_are_counted_unrefined(
    pairs: Path, mine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit = [*FIT, str(pairs), '--checkpoint', str(mine), '--replace', '--sgbm-refinement']
    assert main([*fit, 'never']) == 0
    file = mine.with_name('mine.safetensors.confidence.yaml')
    alone = read_table(file)
    assert main([*fit, 'always']) == 0
    both = read_table(file)
    assert both.table == alone.table
    # Of so few pixels, too few are contradicted.
    assert both.refined is None
    assert 'too few pixels to count refined pairs' in caplog.text


def test_an_added_file_keeps_the_table_of_its_weights(
    pairs: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path / 'cache'))
    add = ['weights', 'add', str(mine), '--name', 'kept']
    assert main(add) == 0
    assert main([*FIT, str(pairs), '--checkpoint', 'kept']) == 0
    table = find_checkpoint('kept').with_name('kept.safetensors.confidence.yaml')
    counted = read_table(table)
    assert main(['weights', 'verify']) == 0
    # The same file again, and a new count, leave it intact.
    assert main(add) == 0
    assert read_table(table) == counted
    assert main([*FIT, str(pairs), '--checkpoint', 'kept', '--replace']) == 0
    assert main(['weights', 'verify']) == 0
    # A table of other weights is not taken along.
    other = tmp_path / 'other.safetensors'
    save_network(load_network(mine), other, licence='other')
    shutil.copy(table, tmp_path / 'other.safetensors.confidence.yaml')
    capsys.readouterr()
    assert main(['weights', 'add', str(other)]) == 2
    assert 'counted for other weights' in capsys.readouterr().err
    with pytest.raises(WeightsError):
        find_checkpoint('other')
