"""Each thing that can be wrong with a pair has a sentence that leads to the right set-up."""

from __future__ import annotations

import pytest

from s2m2_ros.geometry.content_check import ContentCheck
from s2m2_ros.geometry.pair_findings import Finding, FindingKind, findings, order_finding
from s2m2_ros.geometry.rectification_check import Examination, ViewOrder


def found(
    examination: Examination, *, allow_negative: bool = False, baseline: float | None = 0.1
) -> tuple[Finding, ...]:
    return findings(
        examination,
        allow_negative=allow_negative,
        max_vertical_misalignment=2.0,
        baseline=baseline,
    )


def only(examination: Examination, **options: float | bool | None) -> Finding:
    (finding,) = found(examination, **options)  # type: ignore[arg-type]
    return finding


def test_a_good_pair_has_no_findings() -> None:
    assert found(Examination(100, 0.5, 0.4, ViewOrder.CORRECT)) == ()
    assert found(Examination()) == ()


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (ContentCheck(left_blank=True, right_blank=True), ('both images are blank',)),
        (ContentCheck(left_blank=True), ('the left image is blank', 'left lens')),
        (ContentCheck(right_blank=True), ('the right image is blank', 'right lens')),
    ],
)
def test_blank_images(content: ContentCheck, words: tuple[str, ...]) -> None:
    finding = only(Examination(content=content))
    assert finding.kind is FindingKind.BLANK
    assert all(word in finding.text for word in (*words, 'confidence of the whole pair is 0'))


def test_the_same_picture() -> None:
    finding = only(Examination(content=ContentCheck(identical=True)))
    assert finding.kind is FindingKind.IDENTICAL
    assert 'the same picture' in finding.text
    assert 'remapped' in finding.text


@pytest.mark.parametrize(
    ('order', 'baseline', 'kind', 'words', 'never'),
    [
        # Only the images are exchanged, or turned upside down in the driver.
        (ViewOrder.SWAPPED, 0.1, 'swapped', 'leave the calibrations as they are', 'alike'),
        (ViewOrder.SWAPPED, None, 'swapped', 'upside down', 'calibration'),
        # Everything is exchanged.
        (ViewOrder.SWAPPED, -0.1, 'swapped', 'images and calibrations alike', 'wrong in'),
        # The driver writes +fx * baseline, or the images of an upside-down rig were exchanged.
        (ViewOrder.CORRECT, -0.1, 'calibration_sign', 'Do not exchange the images', 'alike'),
        (ViewOrder.CORRECT, -0.1, 'calibration_sign', 'P[3] belongs to the right image', 'alike'),
        (ViewOrder.UNKNOWN, -0.1, 'calibration_sign', 'the images do not show which', 'Do not'),
    ],
)
def test_order_of_images_and_sign_of_the_calibration(
    order: ViewOrder, baseline: float | None, kind: str, words: str, never: str
) -> None:
    finding = order_finding(order, baseline=baseline)
    assert finding is not None
    assert finding.kind.value == kind
    assert words in finding.text
    assert never not in finding.text


def test_right_order_and_sign_need_no_words() -> None:
    for baseline in (0.1, None):
        assert order_finding(ViewOrder.CORRECT, baseline=baseline) is None
        assert order_finding(ViewOrder.UNKNOWN, baseline=baseline) is None


def test_with_negative_disparities_allowed_images_do_not_show_their_order() -> None:
    assert found(Examination(100, 0.0, 0.0, ViewOrder.SWAPPED), allow_negative=True) == ()
    finding = order_finding(ViewOrder.CORRECT, allow_negative=True, baseline=-0.1)
    assert finding is not None
    assert 'the images do not show which' in finding.text


def test_misaligned_rows_by_offset_or_spread() -> None:
    finding = only(Examination(100, -6.0, 0.5, ViewOrder.CORRECT))
    assert finding.kind is FindingKind.MISALIGNED
    assert 'misaligned vertically by -6.0 px' in finding.text
    assert only(Examination(100, 0.5, 1.6, ViewOrder.CORRECT)).kind is FindingKind.MISALIGNED


@pytest.mark.parametrize(
    ('angle', 'words'), [(180, 'upside down'), (-90, 'on its side'), (30, 'askew')]
)
def test_a_rotated_camera(angle: float, words: str) -> None:
    finding = only(Examination(matches=50, rotation=angle))
    assert finding.kind is FindingKind.ROTATED
    assert words in finding.text


def test_unrelated_images() -> None:
    assert only(Examination(matches=2, unrelated=True)).kind is FindingKind.UNRELATED


def test_several_findings_stand_side_by_side() -> None:
    kinds = [f.kind for f in found(Examination(100, 6.0, 0.2, ViewOrder.SWAPPED))]
    assert kinds == [FindingKind.SWAPPED, FindingKind.MISALIGNED]
