"""Each thing that can be wrong with a pair has a sentence that leads to the right set-up."""

from __future__ import annotations

import pytest

from s2m2_ros.geometry.content_check import ContentCheck
from s2m2_ros.geometry.pair_findings import Finding, FindingKind, findings, order_finding
from s2m2_ros.geometry.rectification_check import Examination, ViewOrder


def found(
    examination: Examination, *, allow_negative: bool = False, calibrated: bool = True
) -> tuple[Finding, ...]:
    return findings(
        examination,
        allow_negative=allow_negative,
        max_vertical_misalignment=2.0,
        calibrated=calibrated,
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
    ('calibrated', 'words', 'never'),
    [(True, 'leave the calibrations as they are', 'alike'), (False, 'upside down', 'calibration')],
)
def test_swapped_images(calibrated: bool, words: str, never: str) -> None:
    finding = order_finding(ViewOrder.SWAPPED, calibrated=calibrated)
    assert finding is not None
    assert finding.kind is FindingKind.SWAPPED
    assert words in finding.text
    assert never not in finding.text


@pytest.mark.parametrize('calibrated', [True, False])
@pytest.mark.parametrize('order', [ViewOrder.CORRECT, ViewOrder.UNKNOWN])
def test_right_order_needs_no_words(order: ViewOrder, calibrated: bool) -> None:
    assert order_finding(order, calibrated=calibrated) is None


def test_with_negative_disparities_allowed_images_do_not_show_their_order() -> None:
    assert found(Examination(100, 0.0, 0.0, ViewOrder.SWAPPED), allow_negative=True) == ()


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
