"""What the confidence of a network means: counted tables, and which of them holds for what.

Tables are fitted by `s2m2_ros.evaluation.confidence_fit` on pairs with truth that were not
trained on; ``doc/accuracy.md`` names the pairs of those below, and shows how well they hold on
others. Count again when weights change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from itertools import pairwise

from s2m2_ros.errors import S2M2Error

FEWEST_KNOTS, MOST_KNOTS = 3, 64


class ConfidenceTableError(S2M2Error):
    """A table of confidence that cannot hold; says which and why."""


@dataclass(frozen=True)
class ConfidenceTable:
    """What the confidence of one network means, between knots by straight lines.

    Attributes:
        confidence: the network's own confidence, rising, above 0 to 1.
        likely: fraction of errors below 4 px at each of these knots, not falling.
        deviation: standard deviation of the disparity at each knot in pixels, not rising: 68.3 %
            of the errors are smaller.

    """

    confidence: tuple[float, ...]
    likely: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ConfidenceTableError for knots that no count can have given."""
        sizes = {len(self.confidence), len(self.likely), len(self.deviation)}
        if len(sizes) > 1 or not FEWEST_KNOTS <= len(self.confidence) <= MOST_KNOTS:
            raise ConfidenceTableError(
                f"'confidence', 'likely' and 'deviation' must hold as many numbers each, "
                f'{FEWEST_KNOTS} to {MOST_KNOTS}'
            )
        if not _within(self.confidence, 0.0, 1.0) or not _rises(self.confidence, strictly=True):
            raise ConfidenceTableError("'confidence' must rise, from above 0 to 1 at most")
        if not _within(self.likely, 0.0, 1.0, lowest_counts=True) or not _rises(self.likely):
            raise ConfidenceTableError("'likely' must hold fractions of 0 to 1 that do not fall")
        if not _within(self.deviation, 0.0, math.inf) or not _rises(self.deviation[::-1]):
            raise ConfidenceTableError("'deviation' must hold pixels above 0 that do not rise")


def _within(
    values: Sequence[float], low: float, high: float, *, lowest_counts: bool = False
) -> bool:
    above = min(values) >= low if lowest_counts else min(values) > low
    return above and max(values) <= high and all(map(math.isfinite, values))


def _rises(values: Sequence[float], *, strictly: bool = False) -> bool:
    return all(a < b if strictly else a <= b for a, b in pairwise(values))


class Agreement(IntEnum):
    """What semi-global matching says of a pixel of a network (`sgbm_refinement`)."""

    NOT_COMPARED = 0
    """It was not asked, or knows too little of the pair."""
    CONFIRMED = 1
    """Both agree."""
    CONTRADICTED = 2
    """They do not."""
    UNCONFIRMED = 3
    """It does not know the pixel."""


@dataclass(frozen=True)
class RefinedTables:
    """The tables of a network for pixels of pairs that semi-global matching refined."""

    confirmed: ConfidenceTable
    contradicted: ConfidenceTable
    unconfirmed: ConfidenceTable


class ConfidenceKind(Enum):
    """What is done with the confidence of a matcher."""

    COUNTED = 'counted'
    """It is looked up in the table."""
    CALIBRATED = 'calibrated'
    """The backend has looked it up: the table gives the deviation alone."""
    UNCOUNTED = 'uncounted'
    """Published as it is: the table, of another network, gives the deviation."""


@dataclass(frozen=True)
class ConfidenceMeaning:
    """What the confidence of one matcher means.

    Attributes:
        source: where the table is from: a name in `TABLES`, or a file.
        table: the table.
        kind: what it is used for.
        sha256: of the file; empty for a table of this package.
        refined: the tables for pairs that were refined; None: `table` serves them too.

    """

    source: str
    table: ConfidenceTable
    kind: ConfidenceKind = ConfidenceKind.COUNTED
    sha256: str = ''
    refined: RefinedTables | None = None

    @property
    def tables(self) -> tuple[ConfidenceTable, ...]:
        """The tables in the order of `Agreement`, or the only one."""
        refined = self.refined
        if refined is None:
            return (self.table,)
        return self.table, refined.confirmed, refined.contradicted, refined.unconfirmed


# Fitted on Middlebury's motorcycle (741x500) and ten procedural scenes of 512x256 with seed
# 20271126, which no training drew, each set counting half:
# python -m benchmark.confidence --fit motorcycle scenes:20271126:10x256x512
# fmt: off
TABLES = {
    'starter': ConfidenceTable(
        confidence=(
            0.0564, 0.1515, 0.2492, 0.3504, 0.4516, 0.5522, 0.6527, 0.753, 0.8552, 0.9284,
            0.9676, 0.9858, 0.9934, 0.9964, 0.9985,
        ),
        likely=(
            0.137, 0.1741, 0.23, 0.2965, 0.4061, 0.5859, 0.6441, 0.7026, 0.7827, 0.8637,
            0.937, 0.9561, 0.9759, 0.9874, 1.0,
        ),
        deviation=(
            24.139, 22.443, 19.043, 15.219, 9.812, 5.47, 4.439, 3.68, 2.513, 1.665, 1.16,
            0.952, 0.649, 0.394, 0.304,
        ),
    ),
    'sgbm': ConfidenceTable(
        confidence=(0.4717, 0.559, 0.6574, 0.7543, 0.8551, 0.9251, 0.9662, 0.9871, 0.996),
        likely=(0.4989, 0.5661, 0.6532, 0.7555, 0.8563, 0.9254, 0.9599, 0.9881, 0.9955),
        deviation=(14.376, 10.088, 6.175, 1.499, 0.641, 0.418, 0.364, 0.237, 0.182),
    ),
    # Of networks of others without a confidence of their own: counted with the disparity of
    # starter, whose own confidence was left aside. How exact another network is, is not known:
    # the deviation is the larger one of two versions of starter.
    'left_right_check': ConfidenceTable(
        confidence=(
            0.0093, 0.1509, 0.2516, 0.3524, 0.4524, 0.5525, 0.6528, 0.7525, 0.8516, 0.9251,
        ),
        likely=(
            0.5796, 0.7746, 0.8466, 0.8841, 0.9193, 0.9435, 0.9601, 0.9703, 0.9773, 0.9809,
        ),
        deviation=(
            7.43, 2.532, 1.868, 1.484, 1.089, 0.851, 0.689, 0.563, 0.487, 0.45,
        ),
    ),
}
# Fitted on motorcycle and forty of these scenes, of which half are refined:
# python -m benchmark.confidence --networks starter_refined \
#     --fit motorcycle scenes:20271126:40x256x512
REFINED: dict[str, RefinedTables] = {
    'starter': RefinedTables(
        confirmed=ConfidenceTable(
            confidence=(
                0.2579, 0.3599, 0.4566, 0.5566, 0.6548, 0.7556, 0.8578, 0.9287, 0.9679, 0.9859,
                0.9934, 0.9964, 0.9985,
            ),
            likely=(
                0.7997, 0.8266, 0.8266, 0.8266, 0.8658, 0.8787, 0.9067, 0.9368, 0.963, 0.9766,
                0.9897, 0.9983, 0.9992,
            ),
            deviation=(
                0.934, 0.663, 0.663, 0.663, 0.623, 0.516, 0.433, 0.401, 0.38, 0.359, 0.268,
                0.191, 0.191,
            ),
        ),
        contradicted=ConfidenceTable(
            confidence=(
                0.0596, 0.1483, 0.2506, 0.3515, 0.4514, 0.5513, 0.6507, 0.7532, 0.8542, 0.9282,
                0.9661, 0.9854, 0.9928, 0.9965, 0.9984,
            ),
            likely=(
                0.5963, 0.5963, 0.5963, 0.5963, 0.5963, 0.5963, 0.5963, 0.5963, 0.5963, 0.6504,
                0.84, 0.8756, 0.9707, 0.9755, 0.9763,
            ),
            deviation=(
                7.505, 7.505, 7.505, 7.505, 7.505, 7.505, 7.505, 7.505, 7.505, 4.405, 2.087,
                1.747, 1.183, 0.74, 0.291,
            ),
        ),
        unconfirmed=ConfidenceTable(
            confidence=(
                0.0596, 0.1508, 0.2474, 0.3506, 0.4543, 0.5503, 0.652, 0.7523, 0.8539, 0.9282,
                0.967, 0.9854, 0.9929, 0.9966, 0.9984,
            ),
            likely=(
                0.1303, 0.1303, 0.1994, 0.275, 0.4325, 0.5471, 0.5844, 0.6829, 0.7579, 0.8438,
                0.9253, 0.9325, 0.9625, 0.9884, 0.9885,
            ),
            deviation=(
                28.381, 28.381, 23.908, 15.762, 8.581, 6.164, 5.865, 4.002, 2.682, 1.715,
                1.097, 0.988, 0.844, 0.723, 0.646,
            ),
        ),
    ),
}
# fmt: on
# Their backend returns calibrated confidence.
CALIBRATED_ALREADY = ('sgbm',)
# Of networks without a table of their own: published weights, and users' weights at first.
FALLBACK = 'starter'


def meaning_of(network: str) -> ConfidenceMeaning:
    """Return what a confidence means by the tables of this package.

    Args:
        network: 'starter', 'sgbm', or 'left_right_check' where the confidence comes from that;
            every other one is uncounted.

    """
    if network not in TABLES:
        return ConfidenceMeaning(FALLBACK, TABLES[FALLBACK], ConfidenceKind.UNCOUNTED)
    is_calibrated = network in CALIBRATED_ALREADY
    kind = ConfidenceKind.CALIBRATED if is_calibrated else ConfidenceKind.COUNTED
    return ConfidenceMeaning(network, TABLES[network], kind, refined=REFINED.get(network))
