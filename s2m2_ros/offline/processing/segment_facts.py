"""What is noted of a segment, for the report and the result's record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

# Texts of failures that are kept of each segment; all are counted.
TEXTS_KEPT = 20


@dataclass
class Occurrences:
    """How often something happened, and when first and last, in nanoseconds."""

    count: int
    first_ns: int
    last_ns: int

    def joined(self, other: Occurrences) -> Occurrences:
        """Return both together."""
        return Occurrences(
            self.count + other.count,
            min(self.first_ns, other.first_ns),
            max(self.last_ns, other.last_ns),
        )


@dataclass
class RigFacts:
    """What one rig showed in a segment; times in nanoseconds.

    Attributes:
        left_images, right_images: how many there are.
        left_alone, right_alone: timestamps of those that are in no pair of this segment.
        pairs: (timestamp, mean confidence or None) of each processed pair.
        failed: how many pairs could not be processed.
        failures: why, of pairs that could not be processed.
        incomplete: how many processed pairs lack something.
        lacks: what they lack and why.
        examinations: (timestamp, vertical offset in pixels or None, matching features, order).
        findings: (timestamp, kind) of what is wrong with pairs.
        remarks: warnings, each once, with the count of pairs.
        notes: what is worth knowing, each once.
        camera: of the images that were matched; None without a pair.
        picture: of one pair; None without any.

    """

    left_images: int = 0
    right_images: int = 0
    left_alone: list[int] = field(default_factory=list)
    right_alone: list[int] = field(default_factory=list)
    pairs: list[tuple[int, float | None]] = field(default_factory=list)
    failed: int = 0
    failures: dict[str, Occurrences] = field(default_factory=dict)
    incomplete: int = 0
    lacks: dict[str, Occurrences] = field(default_factory=dict)
    examinations: list[tuple[int, float | None, int, str]] = field(default_factory=list)
    findings: list[tuple[int, str]] = field(default_factory=list)
    remarks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    camera: dict[str, float] | None = None
    picture: dict[str, Any] | None = None

    def fail(self, stamp_ns: int, reason: str) -> None:
        """Count a pair that could not be processed."""
        self.failed += 1
        _count(self.failures, reason, stamp_ns)

    def lack(self, stamp_ns: int, reasons: Collection[str]) -> None:
        """Count a processed pair that lacks something, if it does."""
        self.incomplete += bool(reasons)
        for reason in reasons:
            _count(self.lacks, reason, stamp_ns)

    def remark(self, text: str) -> None:
        """Count a warning."""
        if text in self.remarks or len(self.remarks) < TEXTS_KEPT:
            self.remarks[text] = self.remarks.get(text, 0) + 1


@dataclass
class SegmentFacts:
    """What one segment showed: of each rig, and what was damaged."""

    rigs: list[RigFacts]
    damage: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SegmentFacts:
        """Return what `to_json` gave."""
        return cls([_rig_facts(rig) for rig in content['rigs']], content['damage'])


def recorded_apart(segments: Iterable[RigFacts]) -> Occurrences | None:
    """Return how many images of a rig have their counterpart elsewhere in the recording."""
    left, right = Counter[int](), Counter[int]()
    for facts in segments:
        left.update(facts.left_alone)
        right.update(facts.right_alone)
    both = left & right
    return Occurrences(both.total(), min(both), max(both)) if both else None


def _count(found: dict[str, Occurrences], reason: str, stamp_ns: int) -> None:
    once = Occurrences(1, stamp_ns, stamp_ns)
    if reason in found:
        found[reason] = found[reason].joined(once)
    elif len(found) < TEXTS_KEPT:
        found[reason] = once


def _rig_facts(content: dict[str, Any]) -> RigFacts:
    """Return the facts of a rig, with tuples where JSON has lists."""
    facts = RigFacts(**content)
    facts.pairs = [(stamp, confidence) for stamp, confidence in facts.pairs]
    facts.failures = {text: Occurrences(**found) for text, found in content['failures'].items()}
    facts.lacks = {text: Occurrences(**found) for text, found in content['lacks'].items()}
    facts.examinations = [(s, offset, n, order) for s, offset, n, order in facts.examinations]
    facts.findings = [(stamp, kind) for stamp, kind in facts.findings]
    return facts


def finite(value: float) -> float | None:
    """Return a number as JSON has it: None for NaN and infinity."""
    return value if math.isfinite(value) else None
