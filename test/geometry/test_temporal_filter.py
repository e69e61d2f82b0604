"""Disparity averaged over pairs: numbers by hand, a loop in plain Python, planted scenes."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from statistics import median

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry.temporal_filter import (
    Estimate,
    Filtered,
    first_estimate,
    measurement_weight,
    update,
)

FRAMES = 20
SIZE = (48, 64)
# The object of the planted scenes, 12 px before the background.
BACKGROUND, OBJECT = 20.0, 32.0


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32)


def estimate(
    disparity: float, weight: float, noise: float, drift: float = 0.0, missed: float = 0.0
) -> Estimate:
    return Estimate(*(row(v) for v in (disparity, weight, noise, drift, missed)))


def values(made: Estimate) -> list[float]:
    return [float(getattr(made, field.name)) for field in fields(Estimate)]


class Camera:
    """A camera with a filter: every measurement has the standard deviation `noise`, white."""

    def __init__(self, noise: float, seed: int = 0, frames: int = FRAMES) -> None:
        self.noise = noise
        self.frames = frames
        self.generator = torch.Generator().manual_seed(seed)
        self.kept: Estimate | None = None
        self.changed = math.nan

    def sees(self, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is measured of a true disparity, and the filtered disparity."""
        measured = truth + self.noise * torch.randn(truth.shape, generator=self.generator)
        weight = measurement_weight(measured, torch.full_like(measured, 0.5))
        if self.kept is None:
            self.kept = first_estimate(measured, weight)
            return measured, measured
        made = update(self.kept, measured, weight, frames=self.frames)
        self.kept, self.changed = made.estimate, float(made.changed)
        return measured, made.disparity


def scene(column: int, *, width: int = 16) -> torch.Tensor:
    """Return the background with an object in front of it that begins at a column."""
    truth = torch.full(SIZE, BACKGROUND)
    truth[10:40, max(column, 0) : max(column + width, 0)] = OBJECT
    return truth


def test_a_measurement_that_agrees_by_hand() -> None:
    """With 2 frames half of the weight fades: W' = 4/2 + 6 = 8, K = 6/8, m' = 10 + 0.3 * 3/4."""
    made = update(estimate(10, 4, 0.1, drift=0.05), row(10.3), row(6), frames=2)
    assert float(made.disparity) == pytest.approx(10.225, abs=1e-6)
    # e = 0.3 * sqrt(1/4) = 0.15. The noise goes 3/8 of the way, half of the gain, from 0.1 to
    # 1.2533 * 0.8660 * |0.15 - 0.05| = 0.10854.
    noise = 0.1 + (0.10854 - 0.1) * 3 / 8
    assert values(made.estimate) == pytest.approx([10.225, 8, noise, 0.1, 0], abs=1e-5)
    assert float(made.changed) == 0


def test_what_disagrees_comes_back_as_it_is_and_is_forgotten_the_second_time() -> None:
    before = estimate(10, 4, 0.1, drift=0.01)
    first = update(before, row(12), row(4), frames=2)
    assert float(first.disparity) == 12
    assert values(first.estimate) == pytest.approx([10, 4, 0.1, 0.01, 1])
    assert float(first.changed) == 1
    second = update(first.estimate, row(12.5), row(5), frames=2)
    assert float(second.disparity) == 12.5
    assert values(second.estimate) == pytest.approx([12.5, 5, 0.1, 0, 0])


def test_one_wrong_match_does_not_end_an_estimate() -> None:
    first = update(estimate(10, 4, 0.1), row(12), row(4), frames=2)
    second = update(first.estimate, row(10.06), row(4), frames=2)
    assert float(second.disparity) == pytest.approx(10 + 0.06 * 4 / 6)
    assert float(second.estimate.missed) == 0


def test_the_gate_by_hand() -> None:
    """K = 4 / (2 + 4), so the gate of noise 0.1 is 4 * 0.1 / sqrt(1/3) = 0.6928 px."""
    for step, averaged in ((0.69, True), (0.696, False), (-0.69, True), (-0.696, False)):
        made = update(estimate(10, 4, 0.1, drift=-0.1 * step), row(10 + step), row(4), frames=2)
        assert (float(made.disparity) != pytest.approx(10 + step)) == averaged


def test_the_drift_gate_by_hand() -> None:
    """The mean is (drift + e) / 2, e = 0.3 * sqrt(1/3) = 0.1732; the limit is 2.5 * 0.1."""
    for drift, averaged in ((0.32, True), (0.33, False), (-0.2, True)):
        made = update(estimate(10, 4, 0.1, drift=drift), row(10.3), row(4), frames=2)
        assert (float(made.disparity) != pytest.approx(10.3)) == averaged


@pytest.mark.parametrize('unknown', [math.nan, math.inf, -math.inf])
def test_unknown_stays_unknown(unknown: float) -> None:
    kept = estimate(10, 4, 0.1)
    for expected in (4, 0, 0):
        weight = measurement_weight(row(unknown), row(0.5))
        made = update(kept, row(unknown), weight, frames=FRAMES)
        np.testing.assert_array_equal(made.disparity, [[unknown]])
        kept = made.estimate
        assert float(kept.weight) == expected
        assert all(math.isfinite(value) for value in values(kept))
        assert math.isnan(made.changed)


def test_what_the_network_does_not_know_is_not_filled_in() -> None:
    """Confidence 0 is an infinite deviation: the network's guess comes back untouched."""
    kept = estimate(10, 4, 0.1)
    for guess in (10.05, 9.95, 10.05):
        made = update(kept, row(guess), measurement_weight(row(guess), row(math.inf)), frames=9)
        assert float(made.disparity) == np.float32(guess)
        kept = made.estimate
    assert float(kept.weight) == 0


def test_weights_follow_the_deviation() -> None:
    made = measurement_weight(row(1, 1, math.nan, 1, -3), row(0.5, 2, 1, math.inf, 1))
    assert made.tolist() == [[4, 0.25, 0, 0, 1]]


def test_a_doubtful_measurement_counts_little() -> None:
    """Deviation 0.4 against 2.0: a 25th. W' = 0.95 * 6.25 + 0.25, K = 0.25 / 6.1875."""
    doubtful = measurement_weight(row(10.2), row(2.0))
    made = update(estimate(10, 6.25, 0.3), row(10.2), doubtful, frames=20)
    assert float(made.disparity) == pytest.approx(10 + 0.2 * 0.25 / 6.1875, abs=1e-6)


def test_nothing_is_shared_and_nothing_is_changed() -> None:
    measured, weight = row(1, math.nan), row(4, 0)
    first = first_estimate(measured, weight)
    before = [getattr(first, field.name).clone() for field in fields(Estimate)]
    made = update(first, row(1.1, 2), row(4, 4), frames=3)
    for old, field in zip(before, fields(Estimate), strict=True):
        assert torch.equal(old, getattr(first, field.name))
        assert getattr(made.estimate, field.name).data_ptr() != measured.data_ptr()
    measured.fill_(7)
    weight.fill_(7)
    assert first.disparity.tolist() == [[1, 0]]
    assert first.weight.tolist() == [[4, 0]]


@pytest.mark.parametrize('noise', [0.05, 0.3, 1.0])
def test_flicker_of_a_still_scene_falls_by_far_more_than_three(noise: float) -> None:
    camera, truth = Camera(noise), scene(20)
    pairs = [camera.sees(truth) for _ in range(3 * FRAMES)]
    measured, filtered = (torch.stack(maps) for maps in zip(*pairs, strict=True))
    late = slice(FRAMES, None)
    flicker = [float(maps[late].std(dim=0).mean()) for maps in (measured, filtered)]
    steps = [float(maps[late].diff(dim=0).std()) for maps in (measured, filtered)]
    assert flicker[0] > 5 * flicker[1]
    assert steps[0] > 6 * steps[1]
    # From the first pair on, with all that it takes to begin.
    assert float(measured.std(dim=0).mean()) > 3 * float(filtered.std(dim=0).mean())
    error = filtered[-1] - truth
    assert abs(float(error.mean())) < 0.02 * noise
    # White noise falls by sqrt(2 * 20 - 1) = 6.2; some pixels began anew.
    assert noise / 6.5 < float(error.std()) < noise / 5


def test_edges_stay_where_they_are() -> None:
    camera = Camera(0.3)
    for _ in range(2 * FRAMES):
        _, filtered = camera.sees(scene(20))
    between = (filtered > BACKGROUND + 1.5) & (filtered < OBJECT - 1.5)
    assert not between.any()
    assert torch.equal(filtered > 26, scene(20) > 26)


@pytest.mark.parametrize('speed', [1, 4, 16])
def test_a_moving_object_leaves_no_trail_at_all(speed: int) -> None:
    """Not even in the first frame; what it uncovers has the noise of one measurement."""
    camera = Camera(0.3)
    for _ in range(2 * FRAMES):
        camera.sees(scene(-16))
    for column in range(-16, 80, speed):
        measured, filtered = camera.sees(scene(column))
        assert float((filtered - scene(column)).abs().max()) < 2.5
        assert float((filtered - measured).abs().max()) < 2.5
    for _ in range(2):
        camera.sees(scene(80))
    assert camera.changed < 0.01


def test_an_object_hardly_before_the_background_leaves_no_trail() -> None:
    """1.5 px apart, with noise 0.2: the gate is 4 times the noise."""
    camera = Camera(0.2)
    background = torch.full(SIZE, 20.0)
    for _ in range(2 * FRAMES):
        camera.sees(background)
    for column in range(0, 48, 2):
        truth = background.clone()
        truth[10:40, column : column + 8] = 21.5
        _, filtered = camera.sees(truth)
        passed = filtered[10:40, max(column - 8, 0) : column]
        if passed.numel():
            assert abs(float(passed.mean()) - 20) < 0.1
        assert abs(float(filtered[10:40, column : column + 8].mean()) - 21.5) < 0.1


@pytest.mark.parametrize('speed', [0.05, -0.2, 0.5])
def test_what_comes_slowly_nearer_does_not_lag(speed: float) -> None:
    """A mean over 20 frames would be 19 frames late: by 1, 3.8 and 9.5 px."""
    noise = 0.1
    camera, late = Camera(noise), []
    for frame in range(80):
        truth = torch.full(SIZE, 20.0)
        truth[10:40, 20:36] = 60 + speed * frame
        _, filtered = camera.sees(truth)
        late.append(float((truth - filtered)[10:40, 20:36].mean()))
    assert max(abs(lag) for lag in late) < 3 * noise
    assert abs(np.mean(late)) < 2 * noise


def test_where_everything_comes_nearer_the_lag_is_bounded() -> None:
    """Noise and motion look alike then: 2.5 times the largest first noise, 0.5 px."""
    camera = Camera(0.1)
    for frame in range(60):
        truth = torch.full(SIZE, 60.0 + 0.5 * frame)
        _, filtered = camera.sees(truth)
        late = abs(float((truth - filtered).mean()))
        assert late < 1.25


def test_noise_that_grows_is_learned() -> None:
    """Light fades: the noise is 5 times what it was, and is averaged again after a while."""
    camera, truth = Camera(0.1), scene(20)
    for _ in range(2 * FRAMES):
        camera.sees(truth)
    camera.noise = 0.5
    for _ in range(8 * FRAMES):
        _, filtered = camera.sees(truth)
    assert float((filtered - truth).std()) < 0.5 / 4


def test_the_fraction_that_changed() -> None:
    camera = Camera(0.0)
    camera.sees(torch.full(SIZE, 20.0))
    camera.sees(torch.full(SIZE, 20.0))
    truth = torch.full(SIZE, 20.0)
    truth[:12] = 25  # a quarter of the rows
    truth[40:] = math.nan  # is compared with nothing
    camera.sees(truth)
    assert camera.changed == pytest.approx(12 / 40)


def test_a_moved_camera_is_noticed_at_the_second_pair() -> None:
    camera = Camera(0.1)
    rows = torch.arange(SIZE[0], dtype=torch.float32)[:, None].expand(SIZE)
    camera.sees(20 + rows)
    measured, filtered = camera.sees(24 + rows)
    assert camera.changed == 1
    assert torch.equal(measured, filtered)


def test_limits_follow_the_size_that_was_matched() -> None:
    """Quarters of a pixel, as steps of 1/16 at a quarter of the width: no noise of their own."""
    steps = [20.0, 20.25, 20.0, 20.25, 20.0, 20.25]
    for scale, averaged in ((1.0, False), (4.0, True)):
        kept = estimate(steps[0], 4, 0.04 * scale)
        made: Filtered | None = None
        for step in steps[1:]:
            made = update(kept, row(step), row(4), frames=FRAMES, scale=scale)
            kept = made.estimate
        assert made is not None
        assert (float(made.disparity) != steps[-1]) == averaged


def plain(
    kept: list[float], measured: float, weight: float, frames: int, first_noise: float
) -> tuple[float, list[float]]:
    """Do what `update` does at one pixel, with branches."""
    disparity, old_weight, own_noise, drift, missed = kept
    known, seen = old_weight > 0, weight > 0
    agrees = False
    if known and seen:
        total = old_weight * (1 - 1 / frames) + weight
        gain = weight / total
        innovation = measured - disparity
        e = innovation * math.sqrt(1 - gain)
        noise = own_noise or first_noise
        new_drift = 0.5 * drift + 0.5 * e
        agrees = abs(e) <= 4 * noise and abs(new_drift) <= 2.5 * noise
    if agrees:
        estimated = disparity + gain * innovation
        spread = math.sqrt(math.pi / 2 * 3 / 4) * abs(e - drift)
        learned = noise + (spread - noise) * max(gain / 2, 1 / 16) if drift else noise
        return estimated, [estimated, total, min(max(learned, 0.04), 1.5), new_drift, 0.0]
    if known and not missed:
        return measured, [disparity, old_weight, own_noise, drift, 1.0]
    return measured, [0.0 if math.isnan(measured) else measured, weight, own_noise, 0.0, 0.0]


# In steps of 1/1024 px: signs of what underflows in float32 would decide.
SEEN = st.one_of(st.integers(9 << 10, 11 << 10), st.integers(0, 200 << 10)).map(lambda v: v / 1024)
MEASURED = st.one_of(SEEN, SEEN, SEEN, st.just(math.nan))
DEVIATIONS = st.sampled_from([0.25, 0.5, 2.0, 8.0, math.inf])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(MEASURED, DEVIATIONS), min_size=3, max_size=3), min_size=2, max_size=12
    ),
    st.integers(2, 40),
)
def test_any_sequence_against_plain_python(
    pairs: list[list[tuple[float, float]]], frames: int
) -> None:
    """Columns 0, 4 and 8, so that every pixel counts for the noise of new ones."""
    maps: Estimate | None = None
    pixels: list[list[float]] = []
    for pair in pairs:
        measured, deviation = torch.full((1, 9), math.nan), torch.full((1, 9), math.inf)
        for column, (value, sigma) in enumerate(pair):
            measured[0, 4 * column], deviation[0, 4 * column] = value, sigma
        weight = measurement_weight(measured, deviation)
        weights = [float(w) for w in weight[0, ::4]]
        if maps is None:
            maps = first_estimate(measured, weight)
            pixels = [
                [0.0 if math.isnan(v) else v, w, 0.0, 0.0, 0.0]
                for (v, _), w in zip(pair, weights, strict=True)
            ]
            continue
        e = []
        for kept, (value, _), w in zip(pixels, pair, weights, strict=True):
            if kept[1] and w:
                gain = w / (kept[1] * (1 - 1 / frames) + w)
                e.append(abs(value - kept[0]) * math.sqrt(1 - gain))
        # torch takes the lower one of two.
        middle = sorted(e)[(len(e) - 1) // 2] if e else 0.0
        assert not e or len(e) % 2 == 0 or middle == median(e)
        first_noise = min(max(1.4826 * middle, 0.04), 0.5) if e else 0.5
        made = update(maps, measured, weight, frames=frames)
        maps = made.estimate
        expected = [
            plain(kept, value, w, frames, first_noise)
            for kept, (value, _), w in zip(pixels, pair, weights, strict=True)
        ]
        if any(_close_to_a_limit(pixels[i], pair[i][0], weights[i], frames, first_noise)
               for i in range(3)):  # fmt: skip
            return
        pixels = [kept for _, kept in expected]
        np.testing.assert_allclose(
            made.disparity[0, ::4], [value for value, _ in expected], rtol=1e-4, atol=1e-4
        )
        stacked = torch.stack([getattr(maps, field.name)[0, ::4] for field in fields(Estimate)])
        np.testing.assert_allclose(stacked.T, pixels, rtol=2e-3, atol=2e-4)


def _close_to_a_limit(
    kept: list[float], measured: float, weight: float, frames: int, first_noise: float
) -> bool:
    """Return whether rounding may decide."""
    if not (kept[1] and weight):
        return False
    e = (measured - kept[0]) * math.sqrt(1 - weight / (kept[1] * (1 - 1 / frames) + weight))
    noise = kept[2] or first_noise
    drift = 0.5 * kept[3] + 0.5 * e
    limits = ((abs(e), 4 * noise), (abs(drift), 2.5 * noise))
    return any(abs(value - limit) < 0.01 * limit for value, limit in limits)


def test_it_is_deterministic() -> None:
    runs = []
    for _ in range(2):
        camera = Camera(0.3)
        runs.append([camera.sees(scene(column))[1] for column in range(12)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_strided_maps_are_taken() -> None:
    camera = Camera(0.3)
    measured, _ = camera.sees(scene(20))
    assert camera.kept is not None
    weight = torch.full(SIZE, 4.0)
    whole = update(camera.kept, measured + 0.1, weight, frames=FRAMES)
    turned = replace(camera.kept, disparity=camera.kept.disparity.mT.contiguous().mT)
    other = update(turned, (measured + 0.1).mT.contiguous().mT, weight, frames=FRAMES)
    assert torch.equal(whole.disparity, other.disparity)
