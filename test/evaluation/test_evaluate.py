"""Evaluation of a matcher that is known to be right, or wrong by a known amount."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from s2m2_ros.evaluation.baseline import open_baseline
from s2m2_ros.evaluation.evaluate import PairReport, evaluate_pairs, visible_mask
from s2m2_ros.evaluation.pairs import DatasetError, StereoPair
from s2m2_ros.evaluation.pictures import error_picture
from s2m2_ros.evaluation.report import table, write_json, write_picture

HEIGHT, WIDTH = 40, 120


class Maps(NamedTuple):
    disparity: Tensor
    visibility: Tensor
    confidence: Tensor


def make_pair(name: str = 'shelf/one') -> StereoPair:
    """Return a textured plane at 8 px whose leftmost 8 columns the right view cannot show."""
    wide = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH + 8, 3), dtype=np.uint8)
    visible = np.ones((HEIGHT, WIDTH), bool)
    visible[:, :8] = False
    return StereoPair(
        name,
        np.ascontiguousarray(wide[:, :WIDTH]),
        np.ascontiguousarray(wide[:, 8:]),
        np.full((HEIGHT, WIDTH), 8.0, np.float32),
        visible,
    )


def match(left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> Maps:
    """Return the truth, 10 px wrong in the leftmost 12 columns, and masks that know."""
    assert left.shape == right.shape == (HEIGHT, WIDTH, 3)
    disparity = torch.full((HEIGHT, WIDTH), 8.0)
    disparity[:, :12] = 18.0
    visibility = torch.ones(HEIGHT, WIDTH)
    visibility[:, :8] = 0.2
    confidence = torch.where(disparity == 8.0, 0.9, 0.1)
    return Maps(disparity, visibility, confidence)


@pytest.fixture(scope='module')
def report() -> PairReport:
    with open_baseline() as sgbm:
        (found,) = evaluate_pairs([make_pair()], match, sgbm=sgbm.match)
    return found


def test_scores_of_a_known_estimate(report: PairReport) -> None:
    scores = report.scores['S2M2']
    assert scores.every.bad_2 == pytest.approx(12 / 120)
    assert scores.every.epe == pytest.approx(10 * 12 / 120)
    assert scores.visible.bad_2 == pytest.approx(4 / 112)
    assert scores.visibility_ap == pytest.approx(1.0)
    assert scores.occlusion_ap == pytest.approx(1.0)
    assert scores.confidence_ap == pytest.approx(1.0)
    assert scores.sparsification == pytest.approx(0.0, abs=1e-6)
    assert scores.seconds > 0


def test_sgbm_stands_beside_it_with_holes_wrong_and_filled(report: PairReport) -> None:
    assert list(report.scores) == ['S2M2', 'SGBM', 'SGBM filled']
    raw, filled = report.scores['SGBM'], report.scores['SGBM filled']
    assert raw.visible.bad_2 < 0.1
    assert filled.every.density == 1.0
    assert filled.every.bad_2 <= raw.every.bad_2


@pytest.mark.parametrize('name', ['SGBM', 'SGBM filled', 'sgbm'])
def test_a_network_of_the_name_of_the_baseline_keeps_its_row(name: str) -> None:
    with open_baseline() as sgbm:
        (found,) = evaluate_pairs([make_pair()], match, name=name, sgbm=sgbm.match)
    assert list(found.scores) == [f'{name} (network)', 'SGBM', 'SGBM filled']
    assert list(found.estimates) == list(found.scores)
    # The known estimate of `match`: 12 of 120 columns are wrong.
    assert found.scores[f'{name} (network)'].every.bad_2 == pytest.approx(12 / 120)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_truth_without_a_known_pixel_is_named(value: float) -> None:
    unknown = np.full((HEIGHT, WIDTH), value, np.float32)
    pairs = [make_pair(), replace(make_pair('shelf/two'), disparity=unknown)]
    reports = evaluate_pairs(pairs, match)
    assert next(reports).pair.name == 'shelf/one'
    with pytest.raises(DatasetError, match='shelf/two: not one pixel of the truth is known'):
        next(reports)


def test_table_json_and_picture(report: PairReport, tmp_path: Path) -> None:
    lines = table([report, report]).splitlines()
    assert len(lines) == 2 + 6 + 3
    assert lines[2].startswith('| shelf/one | S2M2 | 1.00 |')
    assert lines[-3].startswith('| mean | S2M2 | 1.00 |')
    write_json(tmp_path / 'scores.json', [report], {'dataset': 'shelf'})
    content = json.loads((tmp_path / 'scores.json').read_text())
    assert content['dataset'] == 'shelf'
    assert content['mean']['S2M2']['every']['bad_2'] == pytest.approx(0.1)
    assert content['pairs']['shelf/one']['SGBM filled']['confidence_ap'] is None
    file = write_picture(tmp_path, report)
    picture = cv2.imread(str(file))
    assert picture is not None
    assert picture.shape == (4 * HEIGHT, 2 * WIDTH, 3)
    assert np.array_equal(picture[:HEIGHT, :WIDTH, ::-1], report.pair.left)


def test_dense_truth_tells_what_is_hidden() -> None:
    # A box of disparity 10 at columns 40 to 59 over a wall of 2: it covers right columns 30 to
    # 49, where the wall of left columns 32 to 51 would be seen; of that wall the left view shows
    # columns 32 to 39 only. The wall's columns 0 and 1 match outside of the right image.
    disparity = np.full((4, WIDTH), 2.0, np.float32)
    disparity[:, 40:60] = 10.0
    pair = StereoPair('', np.zeros((4, WIDTH, 3), np.uint8), np.zeros((4, WIDTH, 3), np.uint8),
                      disparity, None)  # fmt: skip
    visible = visible_mask(pair)
    assert visible is not None
    hidden = np.flatnonzero(~visible[0])
    assert hidden.tolist() == [0, 1, *range(32, 40)]
    disparity[:, 30:] = np.nan
    assert visible_mask(pair) is None


def test_error_classes_and_unknown_pixels() -> None:
    truth = np.array([[10.0, 10.0, np.nan, 10.0]], np.float32)
    estimate = np.array([[10.3, 20.0, 1.0, np.nan]], np.float32)
    colors = error_picture(estimate, truth)
    assert colors[0, 0].tolist() == [49, 54, 149]
    assert colors[0, 1].tolist() == colors[0, 3].tolist() == [165, 0, 38]
    assert colors[0, 2].tolist() == [0, 0, 0]
