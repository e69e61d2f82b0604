"""What is wrong with a pair, in words: one text for the node, `s2m2 match` and `s2m2 process`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from s2m2_ros.geometry.content_check import ContentCheck
from s2m2_ros.geometry.rectification_check import Examination, ViewOrder


class FindingKind(Enum):
    """What can be wrong with a pair."""

    BLANK = 'blank'
    IDENTICAL = 'identical'
    SWAPPED = 'swapped'
    MISALIGNED = 'misaligned'
    ROTATED = 'rotated'
    UNRELATED = 'unrelated'


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a complete sentence with the likely cause and what to do."""

    kind: FindingKind
    text: str


NOT_TRUSTED = 'the confidence of the whole pair is 0'
BOTH_BLANK = (
    'both images are blank (black, white or one gray value, but for noise), so nothing can be '
    'matched and {not_trusted}: are the lens caps on, is it dark, or are the images overexposed?'
)
ONE_BLANK = (
    'the {side} image is blank (black, white or one gray value, but for noise) and the {other} '
    'one is not, so nothing can be matched and {not_trusted}: is the {side} lens covered, or its '
    'exposure wrong?'
)
IDENTICAL = (
    'both images are the same picture, so every disparity would be 0 and {not_trusted}: is one '
    "topic remapped (or one file given) twice, does the driver copy one camera's image into both, "
    'or is an image that holds both views side by side used on both sides?'
)
SWAPPED = (
    'the left and right images are swapped: most points lie beyond infinity. Exchange the two '
    'image topics (or files) and leave the calibrations as they are; if both cameras are mounted '
    'or read out upside down or mirrored, turn their images in the driver, or exchange them'
)
SWAPPED_UNCALIBRATED = (
    'the left and right images are swapped: most points lie beyond infinity. Exchange the two '
    'image topics (or files); if both cameras are mounted or read out upside down or mirrored, '
    'turn their images in the driver, or exchange them'
)
MISALIGNED = (
    'the views are misaligned vertically by {offset:.1f} px (spread {spread:.1f} px), more than '
    '{limit:g} px, so rows do not correspond and depth is wrong: are the images rectified, is the '
    'calibration still right, and were both images taken at the same time?'
)
ROTATED = (
    'the right image is rotated by about {angle:.0f} degrees against the left one, so rows do not '
    'correspond and depth is wrong: is one camera mounted {position}? Turn its image in the '
    'driver, and calibrate and rectify the images as they then are'
)
UNRELATED = (
    'hardly any detail of the left image is found in the right one, so depth is wrong: do both '
    'images belong to one pair, taken at the same time by two cameras that look the same way, and '
    'is neither of them mirrored?'
)


def findings(
    examination: Examination,
    *,
    allow_negative: bool = False,
    max_vertical_misalignment: float,
    calibrated: bool = True,
) -> tuple[Finding, ...]:
    """Return what is wrong with a pair; empty if nothing is.

    Args:
        examination: what `examine` returned.
        allow_negative: negative disparities are expected (verged cameras), so that images in the
            right order cannot be distinguished from swapped ones.
        max_vertical_misalignment: in pixels; offset plus spread above it are reported.
        calibrated: there is a calibration, which swapped images must not take with them.

    """
    content = content_findings(examination.content)
    order = order_finding(examination.order, allow_negative=allow_negative, calibrated=calibrated)
    return (
        *content,
        *((order,) if order else ()),
        *_geometry_findings(examination, max_vertical_misalignment),
    )


def content_findings(content: ContentCheck) -> tuple[Finding, ...]:
    """Return what is wrong with the content of a pair; cheap enough for every pair."""
    if content.left_blank and content.right_blank:
        return (Finding(FindingKind.BLANK, BOTH_BLANK.format(not_trusted=NOT_TRUSTED)),)
    if content.blank:
        side, other = ('left', 'right') if content.left_blank else ('right', 'left')
        text = ONE_BLANK.format(side=side, other=other, not_trusted=NOT_TRUSTED)
        return (Finding(FindingKind.BLANK, text),)
    if content.identical:
        return (Finding(FindingKind.IDENTICAL, IDENTICAL.format(not_trusted=NOT_TRUSTED)),)
    return ()


def order_finding(
    order: ViewOrder, *, allow_negative: bool = False, calibrated: bool = True
) -> Finding | None:
    """Return what is wrong with the order of the images, or None."""
    if order is not ViewOrder.SWAPPED or allow_negative:
        return None
    return Finding(FindingKind.SWAPPED, SWAPPED if calibrated else SWAPPED_UNCALIBRATED)


def _geometry_findings(examination: Examination, limit: float) -> tuple[Finding, ...]:
    if examination.rotation:
        angle = examination.rotation
        position = (
            'upside down' if abs(angle) > 135 else 'on its side' if abs(angle) > 45 else 'askew'
        )
        return (Finding(FindingKind.ROTATED, ROTATED.format(angle=abs(angle), position=position)),)
    if examination.unrelated:
        return (Finding(FindingKind.UNRELATED, UNRELATED),)
    worst = abs(examination.vertical_offset) + examination.vertical_spread
    if math.isnan(worst) or worst <= limit:
        return ()
    text = MISALIGNED.format(
        offset=examination.vertical_offset, spread=examination.vertical_spread, limit=limit
    )
    return (Finding(FindingKind.MISALIGNED, text),)
