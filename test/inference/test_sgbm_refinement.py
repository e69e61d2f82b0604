"""Semi-global matching takes the last pixels of a network's disparity."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.confidence_tables import Agreement, meaning_of
from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import Output
from s2m2_ros.inference import BackendUnavailableError, Maps, StereoMatcher, matcher_options
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.inference.neighborhoods import farther_neighbors
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.inference.sgbm_refinement import SgbmRefinement
from s2m2_ros.network import S2M2, S2M2Config, save_network
from s2m2_ros.pipeline import PairInput, PipelineOptions, PipelineState, StereoPipeline

HEIGHT, WIDTH = 96, 256
TRUTH = 8.25


def views() -> tuple[torch.Tensor, torch.Tensor]:
    """Return smooth noise and the same 8.25 px further left: (1, 1, H, W) float32."""
    white = np.random.default_rng(3).uniform(0, 255, (HEIGHT, WIDTH + 32)).astype(np.float32)
    noise = cv2.GaussianBlur(white, (0, 0), 1.5)
    cv2.normalize(noise, noise, 0, 255, cv2.NORM_MINMAX)
    columns = np.tile(np.arange(WIDTH, dtype=np.float32), (HEIGHT, 1))
    rows = np.tile(np.arange(HEIGHT, dtype=np.float32)[:, None], (1, WIDTH))
    left, right = (
        cv2.remap(noise, columns + shift, rows, cv2.INTER_CUBIC) for shift in (0.0, TRUTH)
    )
    return torch.from_numpy(left)[None, None], torch.from_numpy(right)[None, None]


def maps(disparity: float, confidence: float, *, truth: float = TRUTH) -> Maps:
    """Return what a network may say: the truth, surely, but for a region with this instead."""
    made = Maps(*(torch.full((1, HEIGHT, WIDTH), value) for value in (truth, 0.75, 0.95)))
    made.disparity[INNER], made.confidence[INNER] = disparity, confidence
    # What only one view shows.
    made.visibility[..., :40] = made.visibility[..., -24:] = 0.0
    return made


# A part of what both views show.
INNER = np.s_[0, 16:-16, 64:-40]


@pytest.mark.parametrize(
    ('disparity', 'confidence', 'matched_width', 'refined'),
    [
        (TRUTH + 3.5, 0.9, WIDTH, True),
        (TRUTH - 3.5, 0.9, WIDTH, True),
        (TRUTH + 4.5, 0.9, WIDTH, False),
        # 4 px of half the width are 8 px.
        (TRUTH + 7.5, 0.9, WIDTH // 2, True),
        (TRUTH + 8.5, 0.9, WIDTH // 2, False),
        # And of twice the width 2 px.
        (TRUTH + 2.5, 0.9, 2 * WIDTH, False),
        # A doubtful estimate gives way, however far it is away.
        (60.0, 0.79, WIDTH, True),
        (60.0, 0.81, WIDTH, False),
        (math.nan, 0.0, WIDTH, True),
    ],
)
def test_it_is_taken_where_the_network_agrees_or_doubts(
    disparity: float, confidence: float, matched_width: int, refined: bool
) -> None:
    before = maps(disparity, confidence)
    after = SgbmRefinement().refine(before, *views(), matched_width=matched_width).maps
    found = after.disparity[INNER]
    if refined:
        assert (found - TRUTH).abs().median().item() < 0.1
        assert ((found - TRUTH).abs() < 0.5).float().mean().item() > 0.95
    else:
        # But for the little that the network is off around.
        assert (found - disparity).abs().max().item() < 0.2
    assert torch.equal(after.visibility, before.visibility)
    assert torch.equal(after.confidence, before.confidence)


def test_what_cannot_be_matched_stays_the_networks() -> None:
    blank = torch.full((1, 1, HEIGHT, WIDTH), 128.0)
    before = maps(TRUTH, 0.3)
    after = SgbmRefinement().refine(before, blank, blank, matched_width=WIDTH).maps
    assert torch.equal(after.disparity, before.disparity)


def test_views_that_do_not_agree_row_by_row_are_left_to_the_network() -> None:
    left, right = views()
    before = maps(TRUTH + 2, 0.9)
    after = (
        SgbmRefinement()
        .refine(before, left, torch.roll(right, 3, dims=2), matched_width=WIDTH)
        .maps
    )
    assert torch.equal(after.disparity, before.disparity)


def test_each_pair_of_a_batch_gets_its_own() -> None:
    left, right = views()
    blank = torch.full_like(left, 128.0)
    before = Maps(*(torch.cat((one, one)) for one in maps(TRUTH + 2, 0.9)))
    after = (
        SgbmRefinement()
        .refine(before, torch.cat((blank, left)), torch.cat((blank, right)), matched_width=WIDTH)
        .maps
    )
    assert torch.equal(after.disparity[0], before.disparity[0])
    assert (after.disparity[1:][INNER] - TRUTH).abs().median().item() < 0.1


def test_half_of_the_fine_errors_of_a_real_pair_go(
    motorcycle: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    left, right, truth = motorcycle
    wrong = {}
    for refined in (False, True):
        with StereoMatcher.open(device='cpu', sgbm_refinement=refined, max_width=448) as matcher:
            error = np.abs(matcher.match(left, right).disparity.numpy() - truth)
        wrong[refined] = np.mean(error[np.isfinite(truth)] > 2)
    # doc/presets.md: 22.6 % with three steps, and 9.2 %.
    assert wrong[True] < 0.6 * wrong[False]


def test_negative_disparities_are_refined_only_where_they_are_allowed() -> None:
    right, left = views()
    before = maps(-TRUTH - 2, 0.9, truth=-TRUTH)
    refined = (
        SgbmRefinement(allow_negative=True).refine(before, left, right, matched_width=WIDTH).maps
    )
    assert (refined.disparity[INNER] + TRUTH).abs().median().item() < 0.1
    kept = SgbmRefinement().refine(before, left, right, matched_width=WIDTH).maps
    assert torch.equal(kept.disparity[INNER], before.disparity[INNER])


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Return weights that nobody marked as trained too briefly."""
    file = tmp_path / 'published.safetensors'
    save_network(S2M2(S2M2Config.named('XS')), file, licence='none')
    return file


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, 'always'),
        ({'preset': 'finest'}, 'always'),
        ({'sgbm_refinement': 'never'}, 'never'),
        ({'backend': 'sgbm'}, 'never'),
        ({'checkpoint': 'published'}, 'never'),
        ({'checkpoint': 'published', 'sgbm_refinement': 'always'}, 'always'),
    ],
)
def test_auto_refines_baseline_weights(
    given: Mapping[str, Any], expected: str, published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = given.get('checkpoint', 'starter').replace('published', str(published))
    options = MatcherOptions(**{'device': 'cpu', **given, 'checkpoint': checkpoint})
    with caplog.at_level(logging.INFO):
        resolved = options.resolved()
    assert resolved.sgbm_refinement == expected
    assert resolved.resolved() == resolved
    said = [line for line in caplog.messages if 'sgbm_refinement' in line]
    # 'auto' says what it does, and what turns it off.
    assert len(said) == (expected == 'always' and 'sgbm_refinement' not in given)
    assert all('never turns this off' in line for line in said)


def test_a_gpu_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for a GPU, which is not here: nothing is computed.
    monkeypatch.setattr(matcher_options, 'resolve_device', lambda _: torch.device('cuda'))
    assert MatcherOptions().resolved().sgbm_refinement == 'never'


def test_the_sgbm_backend_is_not_refined_by_itself() -> None:
    with StereoMatcher.open(backend='sgbm', sgbm_refinement=True) as matcher:
        assert matcher.refinement is None


def test_the_options_of_sgbm_hold_for_the_refinement() -> None:
    left, right = views()
    far = torch.roll(right, -22, dims=3)  # 30.25 px
    before = maps(60.0, 0.3, truth=30.25)
    # A search of 16 px does not reach that far, and one of 64 px does.
    found = {
        reach: SgbmRefinement(SgbmOptions(search_fraction=reach / WIDTH))
        .refine(before, left, far, matched_width=WIDTH)
        .maps.disparity[INNER]
        for reach in (16, 64)
    }
    assert (found[16] - 30.25).abs().min().item() > 10
    assert (found[64] - 30.25).abs().median().item() < 0.1


def test_an_unknown_choice_is_an_error_that_lists_them() -> None:
    with pytest.raises(S2M2Error, match="must be one of auto, always, never, not 'yes'"):
        MatcherOptions(sgbm_refinement='yes').resolved()


def test_without_opencv_auto_does_without_and_always_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == 'cv2' else find(name)
    )
    assert MatcherOptions(device='cpu').resolved().sgbm_refinement == 'never'
    with pytest.raises(BackendUnavailableError, match=r'sgbm_refinement.*OpenCV is missing'):
        MatcherOptions(device='cpu', sgbm_refinement='always').open()


def test_what_it_says_of_each_pixel() -> None:
    before = maps(60.0, 0.9)
    before.disparity[0, 16:40, 64:-40] = TRUTH + 1
    found = SgbmRefinement().refine(before, *views(), matched_width=WIDTH).agreement[0]
    assert found.dtype == torch.int8
    inner = found[42:-18, 68:-44]
    assert (inner == Agreement.CONTRADICTED).float().mean().item() > 0.95
    assert (found[18:38, 68:-44] == Agreement.CONFIRMED).float().mean().item() > 0.95
    # Left of the first column that both views show.
    assert (found[:, :6] == Agreement.UNCONFIRMED).float().mean().item() > 0.95


def test_pairs_that_it_knows_too_little_of_are_not_compared() -> None:
    left, right = views()
    shifted = torch.roll(right, 3, dims=2)
    refined = SgbmRefinement().refine(maps(TRUTH, 0.9), left, shifted, matched_width=WIDTH)
    assert (refined.agreement == Agreement.NOT_COMPARED).all()


@pytest.mark.parametrize(('known', 'weight'), [(0.55, 0.0), (0.69, 0.3), (0.84, 0.8), (0.95, 1.0)])
def test_the_less_it_knows_of_a_pair_the_less_it_counts(known: float, weight: float) -> None:
    left, right = views()
    # Of the rows that both views show the last ones are noise in the right one.
    shown = np.s_[0, :, 40:-24]
    found = sgbm(left, right)[shown].isfinite()
    assert found.all()
    noisy = HEIGHT - round(known * HEIGHT)
    noise = np.random.default_rng(7).uniform(0, 255, (noisy, WIDTH)).astype(np.float32)
    right[0, 0, HEIGHT - noisy :] = torch.from_numpy(noise)
    fraction = float(sgbm(left, right)[shown].isfinite().float().mean())
    assert fraction == pytest.approx(known, abs=0.05)
    before = maps(TRUTH + 3, 0.95, truth=TRUTH + 3)
    # Far from the truth, and doubtful: another surface.
    before.disparity[0, 8:24, 100:130], before.confidence[0, 8:24, 100:130] = 60.0, 0.5
    after = SgbmRefinement().refine(before, left, right, matched_width=WIDTH)
    # That region is not among what the network is sure of.
    sure = before.confidence[shown] > 0.9
    measured = float(sgbm(left, right)[shown].isfinite()[sure].float().mean())
    expected = min(max((measured - 0.6) / 0.3, 0.0), 1.0)
    assert expected == pytest.approx(weight, abs=0.2)
    agreeing = after.maps.disparity[0, 26:40, 64:-40]
    assert (agreeing - (TRUTH + 3 - 3 * expected)).abs().median().item() < 0.1
    # No mean of two surfaces.
    doubted = after.maps.disparity[0, 12:20, 104:126]
    assert (doubted - (TRUTH if expected >= 0.5 else 60.0)).abs().median().item() < 0.2
    compared = (after.agreement != Agreement.NOT_COMPARED).any().item()
    assert compared == (expected >= 0.5)


def sgbm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    with StereoMatcher.open(backend='sgbm') as matcher:
        return matcher.match(left[0, 0], right[0, 0]).disparity[None]


def hidden_strip() -> tuple[torch.Tensor, torch.Tensor]:
    """Return views of a near square, 24.25 px, before a wall at 8.25 px: (1, 1, H, W)."""
    wall, _ = views()
    near = views()[0].flip(2)
    left, right = wall.clone(), torch.roll(wall, -8, dims=3)
    left[..., 24:72, 120:200] = near[..., 24:72, 120:200]
    right[..., 24:72, 96:176] = near[..., 24:72, 120:200]
    return left, right


def test_what_only_one_view_shows_continues_the_farther_surface() -> None:
    left, right = hidden_strip()
    before = maps(TRUTH, 0.95)
    before.disparity[:] = 9.5
    before.disparity[0, 24:72, 120:200] = 25.5
    before.visibility[:] = 1.0
    # The wall that the square hides from the right camera; the network is off by 1.5 px.
    strip = np.s_[0, 28:68, 106:118]
    before.visibility[strip] = 0.0
    after = SgbmRefinement().refine(before, left, right, matched_width=WIDTH)
    assert (after.agreement[strip] == Agreement.UNCONFIRMED).all()
    behind = farther_neighbors(sgbm(left, right))
    # But for the noise.
    assert (after.maps.disparity[strip] - behind[strip]).abs().median().item() < 0.5
    assert (after.maps.disparity[strip] - 8.0).abs().median().item() < 1
    # And where the network says something else, that stays.
    before.disparity[strip] = 16.0
    kept = SgbmRefinement().refine(before, left, right, matched_width=WIDTH)
    assert (kept.maps.disparity[strip] == 16.0).all()


def test_what_is_unknown_is_off_as_the_same_surface_around() -> None:
    left, right = views()
    # A part that is different in both views, as a reflection is.
    noise = np.random.default_rng(5).uniform(0, 255, (2, 16, 24)).astype(np.float32)
    left[..., 40:56, 120:144] = torch.from_numpy(noise[0])
    right[..., 40:56, 112:136] = torch.from_numpy(noise[1])
    before = maps(TRUTH, 0.9, truth=TRUTH + 2)
    before.disparity[:] = TRUTH + 2
    before.visibility[:] = 1.0
    refined = SgbmRefinement().refine(before, left, right, matched_width=WIDTH)
    part = np.s_[0, 42:54, 124:140]
    unknown = refined.agreement[part] == Agreement.UNCONFIRMED
    assert unknown.float().mean().item() > 0.5
    found = refined.maps.disparity[part][unknown]
    # It was off by 2 px everywhere.
    assert (found - TRUTH).abs().median().item() < 0.3


def test_results_say_what_was_compared(
    motorcycle: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    left, right = (np.ascontiguousarray(view[100:260, 200:456]) for view in motorcycle[:2])
    flat = np.full_like(left, 128)
    with StereoMatcher.open(device='cpu', sgbm_refinement=True, max_width=200) as matcher:
        results = matcher.match_batch([left, left], [right, np.roll(right, 5, axis=0)])
        assert matcher.refined_width(160, 256) == 256
        assert matcher.match(flat, flat).cpu().agreement is not None
    refined, other = (result.cpu().agreement for result in results)
    assert refined is not None
    assert refined.shape == left.shape[:2]
    assert set(refined.flatten().tolist()) == {1, 2, 3}
    assert other is not None
    assert (other == Agreement.NOT_COMPARED).all()
    with StereoMatcher.open(device='cpu', max_width=200) as matcher:
        assert matcher.match(left, right).agreement is None


def test_published_confidence_is_that_of_what_was_compared(
    motorcycle: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    left, right = (np.ascontiguousarray(view[100:260, 200:456]) for view in motorcycle[:2])
    with StereoMatcher.open(device='cpu', sgbm_refinement=True) as matcher:
        result = matcher.match(left, right)
        outputs = StereoPipeline(matcher).process(
            PairInput(left, right), (Output.CONFIDENCE,), PipelineOptions(), PipelineState()
        )
    published = outputs.host.arrays[Output.CONFIDENCE]
    raw, agreement = result.confidence.numpy(), result.agreement
    assert agreement is not None
    tables = meaning_of('starter').tables
    for kind in (Agreement.CONFIRMED, Agreement.CONTRADICTED, Agreement.UNCONFIRMED):
        chosen = agreement.numpy() == kind
        assert chosen.sum() > 100
        table = tables[kind]
        expected = np.interp(raw[chosen], (0, *table.confidence, 1), (0, *table.likely, 1))
        assert np.abs(published[chosen] - expected).max() < 5e-3


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_nothing_gets_below_zero(precision: str) -> None:
    """Where the disparity is 0, what is found differs from it to both sides."""
    rng = np.random.default_rng(0)
    left = cv2.GaussianBlur(rng.uniform(0, 255, (96, 160)).astype(np.float32), (0, 0), 1.2)
    left = cv2.normalize(left, left, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    right = np.clip(left + rng.normal(0, 2, left.shape), 0, 255).astype(np.uint8)
    with StereoMatcher.open(device='cpu', precision=precision, sgbm_refinement=True) as matcher:
        result = matcher.match(left, right)
    assert result.agreement is not None
    assert (result.agreement == Agreement.CONFIRMED).any()
    assert result.disparity.min().item() >= 0


def test_words_of_the_command_line_are_no_answers_of_the_library() -> None:
    with pytest.raises(ValueError, match="must be True or False, not 'never'"):
        StereoMatcher.open(device='cpu', sgbm_refinement='never')  # type: ignore[arg-type]
