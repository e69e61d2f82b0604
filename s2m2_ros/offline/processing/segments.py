"""Where an input is cut into segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from s2m2_ros.offline.processing.streams import Segment

# A part of a file that lasts longer than so many segments holds a time from another clock.
LONGEST_SPAN = 10_000


def time_segments(spans: Sequence[tuple[int, int]], length_ns: int) -> list[Segment]:
    """Return segments of at least ``length_ns`` that cover all times, and begin where data is.

    ``spans`` are first and last times of what is recorded, in nanoseconds. The first segment has
    no beginning and the last no end, so that nothing is left out.
    """
    cuts: list[int] = []
    for time_ns in _candidates(sorted(spans), length_ns):
        if not cuts or time_ns >= cuts[-1] + length_ns:
            cuts.append(time_ns)
    starts = [None, *cuts[1:]]
    ends = [*cuts[1:], None]
    return [
        Segment(number, start, end)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def count_segments(count: int, length: int) -> list[Segment]:
    """Return segments of ``length`` pairs of a sequence of ``count``."""
    starts = range(0, max(count, 1), length)
    return [Segment(n, start, min(start + length, count)) for n, start in enumerate(starts)]


def _candidates(spans: Sequence[tuple[int, int]], length_ns: int) -> Iterator[int]:
    """Yield times at which a segment may begin, in order."""
    last = None
    for first_ns, last_ns in spans:
        steps = (last_ns - first_ns) // length_ns
        count = steps + 1 if steps < LONGEST_SPAN else 1
        for step in range(count):
            time_ns = first_ns + step * length_ns
            if last is None or time_ns > last:
                last = time_ns
                yield time_ns
