"""What all segments of an input showed, together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from s2m2_ros.io.recordings.pairing import LONGEST_WAIT_NS, QUEUE_BYTES, SHORTEST_WAIT_NS
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, seconds_text
from s2m2_ros.offline.processing.segment_facts import Occurrences, SegmentFacts, recorded_apart

# Why pairs are none though both images are recorded.
APART = (
    'both images are recorded, but too far from each other: more than '
    f'{LONGEST_WAIT_NS / NANOSECONDS:g} s, with more than {QUEUE_BYTES >> 20} MiB of images '
    'between them, or after later ones by more than twice the usual delay '
    f'(at least {SHORTEST_WAIT_NS / NANOSECONDS:g} s)'
)


@dataclass(frozen=True)
class Summary:
    """All segments together.

    Attributes:
        facts: of each segment.
        pairs: how many were processed.
        lost: how many could not be.
        incomplete: how many of the processed ones lack something.
        losses: what was damaged, failed or is lacking, each once, with how often and when.
        reasons: why pairs could not be processed, each once.

    """

    facts: Sequence[SegmentFacts]
    pairs: int
    lost: int
    incomplete: int
    losses: Sequence[str]
    reasons: Sequence[str]


def summarized(facts: Sequence[SegmentFacts], losses: Sequence[str]) -> Summary:
    """Return what the segments showed, and what is lost of the input."""
    rigs = [rig for segment in facts for rig in segment.rigs]
    damage = [text for segment in facts for text in segment.damage]
    known = dict.fromkeys([*losses, *damage])
    failures = _joined(rig.failures for rig in rigs)
    lacks = _joined(rig.lacks for rig in rigs)
    by_rig = zip(*(segment.rigs for segment in facts), strict=True)
    apart = [found for found in map(recorded_apart, by_rig) if found]
    return Summary(
        facts,
        sum(len(rig.pairs) for rig in rigs),
        sum(rig.failed for rig in rigs) + sum(found.count for found in apart),
        sum(rig.incomplete for rig in rigs),
        [
            *known,
            *(f'{_counted(found)} lost: {reason}' for reason, found in failures.items()),
            *(f'{_counted(found)} lost: {APART}' for found in apart),
            *(f'{_counted(found)} {reason}' for reason, found in lacks.items()),
        ],
        [*known, *failures, *([APART] if apart else [])],
    )


def _joined(found: Iterable[Mapping[str, Occurrences]]) -> dict[str, Occurrences]:
    """Return what happened in several segments, together."""
    joined: dict[str, Occurrences] = {}
    for reason, occurrences in (item for one in found for item in one.items()):
        before = joined.get(reason)
        joined[reason] = before.joined(occurrences) if before else occurrences
    return joined


def _counted(found: Occurrences) -> str:
    first, last = seconds_text(found.first_ns), seconds_text(found.last_ns)
    if found.count == 1:
        return f'1 pair, at {first} s,'
    return f'{found.count} pairs, from {first} to {last} s,'


def why_nothing(summary: Summary) -> str:
    """Return why no pair was processed."""
    if summary.reasons:
        return summary.reasons[0]
    left = sum(rig.left_images for facts in summary.facts for rig in facts.rigs)
    right = sum(rig.right_images for facts in summary.facts for rig in facts.rigs)
    return (
        f'none of {left} left and {right} right images make a pair: were their timestamps set by '
        'different clocks?'
    )
