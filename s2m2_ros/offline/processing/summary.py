"""What all segments of an input showed, together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s2m2_ros.offline.processing.segment_facts import SegmentFacts


@dataclass(frozen=True)
class Summary:
    """All segments together."""

    facts: Sequence[SegmentFacts]
    pairs: int
    lost: int
    losses: Sequence[str]


def summarized(facts: Sequence[SegmentFacts], losses: Sequence[str]) -> Summary:
    """Return what the segments showed, and what is lost of the input."""
    rigs = [rig for segment in facts for rig in segment.rigs]
    reasons = [reason for rig in rigs for _, reason in rig.failures]
    damage = [text for segment in facts for text in segment.damage]
    return Summary(
        facts,
        sum(len(rig.pairs) for rig in rigs),
        sum(rig.failed for rig in rigs),
        list(dict.fromkeys([*losses, *damage, *reasons])),
    )


def why_nothing(summary: Summary) -> str:
    """Return why no pair was processed."""
    if summary.losses:
        return summary.losses[0]
    left = sum(rig.left_images for facts in summary.facts for rig in facts.rigs)
    right = sum(rig.right_images for facts in summary.facts for rig in facts.rigs)
    return (
        f'none of {left} left and {right} right images make a pair: were their timestamps set by '
        'different clocks?'
    )
