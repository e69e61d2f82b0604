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
            0.0683, 0.1513, 0.249, 0.3508, 0.452, 0.5529, 0.652, 0.7538, 0.8568, 0.9292, 0.9676,
            0.986, 0.9931, 0.9962, 0.9983,
        ),
        likely=(
            0.1768, 0.2087, 0.2087, 0.3032, 0.4343, 0.515, 0.638, 0.7073, 0.7774, 0.8669, 0.9345,
            0.9609, 0.9707, 0.9992, 0.9998,
        ),
        deviation=(
            18.83, 13.909, 13.909, 11.794, 8.324, 6.178, 4.515, 3.682, 2.647, 1.587, 1.075, 0.868,
            0.58, 0.324, 0.324,
        ),
    ),
    'sgbm': ConfidenceTable(
        confidence=(0.4717, 0.559, 0.6574, 0.7543, 0.8551, 0.9251, 0.9662, 0.9871, 0.996),
        likely=(0.4989, 0.5661, 0.6532, 0.7555, 0.8563, 0.9254, 0.9599, 0.9881, 0.9955),
        deviation=(14.376, 10.088, 6.175, 1.499, 0.641, 0.418, 0.364, 0.237, 0.182),
    ),
    # Of networks of others without a confidence of their own: counted with the disparity of
    # starter, whose own confidence was left aside. How exact another network is, is not known:
    # the deviation is the largest one of three versions of starter.
    'left_right_check': ConfidenceTable(
        confidence=(
            0.008, 0.1512, 0.252, 0.352, 0.4528, 0.5542, 0.6534, 0.7525, 0.8514, 0.925, 0.965,
            0.985, 0.9925, 0.9965, 0.999,
        ),
        likely=(
            0.6187, 0.8328, 0.8685, 0.9, 0.9188, 0.9337, 0.9541, 0.9689, 0.9759, 0.9784, 0.9796,
            0.9796, 0.9796, 0.9796, 0.982,
        ),
        deviation=(
            7.43, 2.53, 1.8665, 1.4856, 1.11, 0.886, 0.6883, 0.563, 0.4871, 0.45, 0.45, 0.45, 0.45,
            0.45, 0.45,
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
                0.3569, 0.4513, 0.5545, 0.6555, 0.7573, 0.8586, 0.9302, 0.9679, 0.9861, 0.9932,
                0.9961, 0.9983,
            ),
            likely=(
                0.703, 0.7295, 0.8668, 0.8863, 0.8906, 0.9011, 0.9224, 0.9596, 0.9839, 0.9942,
                0.9999, 1.0,
            ),
            deviation=(
                1.762, 1.332, 0.642, 0.533, 0.533, 0.435, 0.404, 0.387, 0.338, 0.229, 0.159,
                0.159,
            ),
        ),
        contradicted=ConfidenceTable(
            confidence=(
                0.0682, 0.1453, 0.2506, 0.3501, 0.4499, 0.5532, 0.651, 0.7519, 0.8572, 0.9276,
                0.9672, 0.9852, 0.9924, 0.9961,
            ),
            likely=(
                0.565, 0.565, 0.565, 0.565, 0.565, 0.565, 0.565, 0.565, 0.5691, 0.7499, 0.8655,
                0.9361, 0.9705, 0.9973,
            ),
            deviation=(
                16.471, 16.471, 16.471, 16.471, 16.471, 16.471, 16.471, 16.471, 4.858, 3.369,
                2.148, 1.537, 1.041, 1.005,
            ),
        ),
        unconfirmed=ConfidenceTable(
            confidence=(
                0.0714, 0.1506, 0.2524, 0.3504, 0.4518, 0.5529, 0.6515, 0.7532, 0.8551, 0.9287,
                0.9673, 0.9857, 0.9928, 0.9962, 0.9983,
            ),
            likely=(
                0.1554, 0.1564, 0.2432, 0.3471, 0.4068, 0.4563, 0.6191, 0.6962, 0.7687, 0.8583,
                0.9183, 0.9716, 0.983, 0.9945, 0.9996,
            ),
            deviation=(
                19.534, 16.577, 14.503, 11.561, 8.982, 7.802, 4.786, 3.727, 2.641, 1.508, 1.043,
                0.819, 0.643, 0.567, 0.567,
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
