"""Whether there is any pair in an input, found out before the first is matched."""

from __future__ import annotations

from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.processing.segment_facts import RigFacts, SegmentFacts
from s2m2_ros.offline.processing.streams import ImageCount, Segment, StampedPair, Stream
from s2m2_ros.offline.processing.summary import summarized, why_nothing


def require_pairs(stream: Stream, source: str) -> None:
    """Raise PlaybackError, which says why, if no pair of an input can be decoded.

    Reads the whole input only where its first pairs cannot be decoded.
    """
    if any(stream.first_pair(rig) for rig in range(len(stream.rigs))):
        return
    facts = [_read(stream, segment) for segment in stream.segments]
    summary = summarized(facts, stream.losses)
    raise PlaybackError(f"'{source}': {why_nothing(summary)}")


def _read(stream: Stream, segment: Segment) -> SegmentFacts:
    """Return what a segment without any pair holds."""
    facts = SegmentFacts([RigFacts() for _ in stream.rigs])
    for item in stream.items(segment):
        if isinstance(item, ImageCount):
            found = facts.rigs[item.rig]
            found.left_images, found.right_images = item.left, item.right
        elif isinstance(item, StampedPair) and item.error:
            facts.rigs[item.rig].fail(item.log_ns, item.error)
    facts.damage = stream.take_damage()
    return facts
