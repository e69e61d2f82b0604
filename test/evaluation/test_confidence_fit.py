"""What confidence is worth, counted on planted errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.confidence_tables import Agreement, ConfidenceMeaning
from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.confidence_fit import (
    MatchedPair,
    Sample,
    fit_refined,
    fit_table,
    isotonic,
    reliability_table,
    weighted_quantile,
)

# Of each thousand pixels: how confident, how many are off by 10 px, and by how much the rest is.
PLANTED = ((0.15, 750, 3.0), (0.55, 450, 2.0), (0.97, 70, 0.5))

WORSE = ((0.15, 900, 3.0), (0.55, 790, 2.0), (0.97, 710, 0.5))


def planted(
    lines: Sequence[tuple[float, int, float]] = PLANTED, *, thousands: int = 4, scale: float = 1.0
) -> MatchedPair:
    """Return a pair of known errors, one row for each line."""
    width = 1000 * thousands
    truth = np.full((3, width), 20.0, np.float32)
    error = np.zeros_like(truth)
    for row, (_, wrong, small) in zip(error, lines, strict=True):
        row[:] = small
        row.reshape(thousands, 1000)[:, :wrong] = -10.0
    confidence = np.repeat(np.array([[c] for c, _, _ in lines], np.float32), width, axis=1)
    return MatchedPair(truth + error, confidence, truth, scale)


def test_the_table_of_planted_errors() -> None:
    table = fit_table(Sample.of_pairs([planted()]))
    assert table.confidence == pytest.approx((0.15, 0.55, 0.97), abs=1e-4)
    assert table.likely == pytest.approx((0.25, 0.55, 0.93))
    # 68.3 % of the errors: with 75 and 45 % of 10 px that is one of those.
    assert table.deviation == pytest.approx((10.0, 10.0, 0.5))


def test_the_deviation_is_that_of_the_images_that_are_matched() -> None:
    # Matched at half the width, 10 px are 5 px there; what counts as right stays 4 px.
    table = fit_table(Sample.of_pairs([planted(scale=2.0)]))
    assert table.likely == pytest.approx((0.25, 0.55, 0.93))
    assert table.deviation == pytest.approx((5.0, 5.0, 0.25))


def test_bins_that_are_equally_likely_share_a_deviation() -> None:
    # That at 0.55 is right less often than that at 0.15: they are pooled. Of both, 47.5 % are off
    # by 10 px.
    lines = ((0.15, 400, 3.0), (0.55, 550, 2.0), (0.97, 70, 0.5))
    table = fit_table(Sample.of_pairs([planted(lines)]))
    assert table.likely == pytest.approx((0.525, 0.525, 0.93))
    assert table.deviation == pytest.approx((10.0, 10.0, 0.5))
    # Of 20.5 %, 68.3 % of the errors reach the larger one of the others.
    lines = ((0.15, 200, 3.0), (0.55, 210, 2.0), (0.97, 70, 0.5))
    table = fit_table(Sample.of_pairs([planted(lines)]))
    assert table.deviation == pytest.approx((3.0, 3.0, 0.5))


def planted_agreement() -> MatchedPair:
    """Return a pair whose pixels semi-global matching confirmed, contradicted or did not know."""
    parts = [planted(PLANTED), planted(WORSE), planted(PLANTED)]
    kinds = Agreement.CONFIRMED, Agreement.CONTRADICTED, Agreement.UNCONFIRMED
    disparity, confidence, truth = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ('disparity', 'confidence', 'truth')
    )
    agreement = np.repeat(np.array(kinds, np.int8), 3)[:, None]
    wide = np.broadcast_to(agreement, truth.shape)
    return MatchedPair(disparity, confidence, truth, 2.0, wide, 1.25)


def test_refined_pixels_are_counted_by_what_semi_global_matching_says() -> None:
    found = Sample.of_pairs([planted_agreement()])
    refined = fit_refined(found)
    assert refined is not None
    assert refined.confirmed.likely == pytest.approx((0.25, 0.55, 0.93))
    assert refined.contradicted.likely == pytest.approx((0.1, 0.21, 0.29))
    assert refined.unconfirmed.likely == refined.confirmed.likely
    # The scale of semi-global matching is 1.25 px, that of the network 2 px.
    assert refined.confirmed.deviation == pytest.approx((8.0, 8.0, 0.4))
    assert refined.unconfirmed.deviation == pytest.approx((5.0, 5.0, 0.25))
    # What is counted there is said of the same pixels.
    meaning = ConfidenceMeaning('here', fit_table(found), refined=refined)
    rows = [row.split(' | ') for row in reliability_table(found, meaning).splitlines()[2:]]
    assert [(row[0], row[3]) for row in rows] == [
        ('| 0 to 0.2', '10.0%'),
        # 25 % twice, 21 and 29 %.
        ('| 0.2 to 0.4', '25.0%'),
        ('| 0.4 to 0.6', '55.0%'),
        ('| 0.9 to 0.95', '93.0%'),
    ]


def test_without_refined_pixels_there_are_no_tables_of_them() -> None:
    assert fit_refined(Sample.of_pairs([planted()])) is None


def test_networks_that_hardly_distinguish_pixels_get_a_table() -> None:
    lines = ((1e-5, 750, 3.0), (0.94999, 450, 2.0), (0.95001, 70, 0.5))
    table = fit_table(Sample.of_pairs([planted(lines)]))
    assert table.confidence == pytest.approx((1e-5, 0.94999, 0.95001), abs=2e-6)


def test_each_set_counts_alike_whatever_its_size() -> None:
    right = planted(thousands=40)
    right = MatchedPair(right.truth, right.confidence, right.truth)
    both = Sample.joined([Sample.of_pairs([planted()]), Sample.of_pairs([right])])
    assert fit_table(both).likely == pytest.approx((0.625, 0.775, 0.965))


def test_unknown_pixels_are_left_out() -> None:
    pair = planted(thousands=8)
    disparity, truth = pair.disparity.copy(), pair.truth.copy()
    disparity[:, :2000], truth[:, 2000:3000], truth[:, 3000:4000] = np.nan, np.inf, np.nan
    found = Sample.of_pairs([MatchedPair(disparity, pair.confidence, truth)])
    assert len(found.error) == 3 * 4000
    assert fit_table(found) == fit_table(Sample.of_pairs([planted()]))


def test_of_large_pairs_only_some_pixels_are_kept() -> None:
    pair = planted(thousands=140)
    found = Sample.of_pairs([pair])
    # 420 000 pixels, every second one.
    assert len(found.error) == 210_000
    assert found.weight.sum() == pytest.approx(1)
    assert fit_table(found).likely == pytest.approx((0.25, 0.55, 0.93))


def test_too_few_pixels_are_told() -> None:
    pair = planted(thousands=1)
    with pytest.raises(S2M2Error, match='no pixel of these pairs'):
        Sample.of_pairs([MatchedPair(pair.disparity, pair.confidence, pair.truth * np.nan)])
    few = MatchedPair(pair.disparity[:, :999], pair.confidence[:, :999], pair.truth[:, :999])
    with pytest.raises(S2M2Error, match=r'2997 pixels with truth are too few .* 0 of 15 bins'):
        fit_table(Sample.of_pairs([few]))
    assert fit_table(Sample.of_pairs([pair])).likely == pytest.approx((0.25, 0.55, 0.93))


def test_what_the_table_is_worth_on_the_pairs_it_was_counted_on() -> None:
    found = Sample.of_pairs([planted(scale=2.0)])
    text = reliability_table(found, ConfidenceMeaning('here', fit_table(found)))
    rows = [row.split(' | ') for row in text.splitlines()[2:]]
    assert [row[0] for row in rows] == ['| 0.2 to 0.4', '| 0.4 to 0.6', '| 0.9 to 0.95']
    assert [row[1] for row in rows] == ['33.3%'] * 3
    assert [row[3] for row in rows] == ['25.0%', '55.0%', '93.0%']
    # An error is below 2 sigma of 5 px everywhere; of 0.25 px in 93 % of the pixels.
    assert [row[5] for row in rows] == ['100.0% |', '100.0% |', '93.0% |']


def test_isotonic_by_hand() -> None:
    # 3 and 1 with weights 1 and 3 are pooled to 1.5, which stands below 2.
    found = isotonic(np.array([0.0, 3.0, 1.0, 2.0]), np.array([1.0, 1.0, 3.0, 1.0]))
    assert found.tolist() == [0.0, 1.5, 1.5, 2.0]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_isotonic_never_falls_and_keeps_the_mean(values: list[float]) -> None:
    given_ = np.array(values)
    found = isotonic(given_, np.ones(len(values)))
    assert (np.diff(found) >= -1e-9).all()
    assert found.mean() == pytest.approx(given_.mean(), abs=1e-9)
    if (np.diff(given_) >= 0).all():
        assert found.tolist() == values


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=50), st.floats(0.01, 1))
def test_the_quantile_of_equal_weights_is_that_of_counting(
    values: list[float], fraction: float
) -> None:
    found = weighted_quantile(np.array(values), np.ones(len(values)), fraction)
    assert (np.array(values) <= found).mean() >= fraction - 1e-9
    assert (np.array(values) < found).mean() <= fraction + 1e-9
