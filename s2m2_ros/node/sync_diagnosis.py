"""Why no pair comes together, in words that say what to do."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import RateMeter

# Stamps further apart than this are not the jitter of two cameras but two clocks.
DIFFERENT_CLOCKS = 1.0
# Rates are compared from this many hertz on, and taken as the same down to this ratio.
LOWEST_TELLING_RATE = 2.0
SAME_RATE = 0.75


@dataclass
class InputTopic:
    """What arrived on one input lately: stamps in nanoseconds, and when, in monotonic seconds."""

    name: str
    recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=10))
    rate: RateMeter = field(default_factory=RateMeter)

    @property
    def newest_stamp(self) -> int | None:
        """The stamp of the last message, if there is one."""
        return self.recent[-1][0] if self.recent else None

    def stamps_since(self, moment: float) -> list[int]:
        """Return the last few stamps that arrived after that moment."""
        return [stamp for stamp, arrived in self.recent if arrived > moment]

    def take(self, stamp: int, now: float) -> None:
        """Note a message with this stamp."""
        self.recent.append((stamp, now))
        self.rate.tick()


def explain_silence(
    topics: Sequence[InputTopic], publishers: Sequence[int], settings: Settings, now: float
) -> str:
    """Return why `topics` gave no pair for `sync_timeout` seconds.

    `publishers` tells how many publishers each topic has at the moment.
    """
    since = now - settings.sync_timeout
    silent = [
        (topic.name, count)
        for topic, count in zip(topics, publishers, strict=True)
        if not topic.stamps_since(since)
    ]
    if not silent:
        return _stamps_apart(topics, settings, since)
    unpublished = ', '.join(name for name, count in silent if not count)
    published = ', '.join(name for name, count in silent if count)
    reasons = []
    if unpublished:
        reasons.append(f'nobody publishes {unpublished} (remapped to the camera?)')
    if published:
        reasons.append(
            f'{published} silent though published: the camera has stopped, or large messages are '
            'lost on the way (see config/fastdds_large_messages.xml), or the QoS differs (see '
            'qos_overrides)'
        )
    return f'no pairs: {"; ".join(reasons)}'


def explain_rates(topics: Sequence[InputTopic]) -> str | None:
    """Return which topic is much slower than another, or None if they keep step."""
    rates = [(topic.rate.rate(), topic.name) for topic in topics]
    slowest, fastest = min(rates), max(rates)
    if fastest[0] < LOWEST_TELLING_RATE or slowest[0] > SAME_RATE * fastest[0]:
        return None
    return (
        f'{slowest[1]} comes at {slowest[0]:.3g} Hz and {fastest[1]} at {fastest[0]:.3g} Hz, so '
        'messages remain without partners: set both cameras to one rate, or find where messages '
        'are lost (best-effort transport, a busy computer)'
    )


def _stamps_apart(topics: Sequence[InputTopic], settings: Settings, since: float) -> str:
    (first, second), apart = max(
        ((pair, _smallest_difference(*pair, since)) for pair in itertools.combinations(topics, 2)),
        key=lambda found: found[1],
    )
    found = (
        f'no pairs: the stamps of {first.name} and {second.name} are at least '
        f'{_duration(apart)} apart'
    )
    if apart >= DIFFERENT_CLOCKS:
        return f'{found}: their clocks differ; synchronise them, or stamp both in one driver'
    if apart == 0 and not settings.approximate_sync:
        return (
            f'{found}, yet no stamp was common to all four topics: raise sync_queue_size '
            f'({settings.sync_queue_size}) or set approximate_sync to true'
        )
    advised = math.ceil(apart * 1.5e3 + 1) / 1e3
    if not settings.approximate_sync:
        return (
            f'{found}: trigger the cameras together, or set approximate_sync to true and slop '
            f'to {max(advised, settings.slop):g}'
        )
    if apart >= settings.slop:
        return f'{found}, and slop is {settings.slop:g}: set slop to {advised:g}'
    return (
        f'{found}: raise sync_queue_size ({settings.sync_queue_size}) or slop ({settings.slop:g})'
    )


def _smallest_difference(first: InputTopic, second: InputTopic, since: float) -> float:
    pairs = itertools.product(first.stamps_since(since), second.stamps_since(since))
    return min((abs(a - b) for a, b in pairs), default=0) / 1e9


def _duration(seconds: float) -> str:
    return f'{seconds:.3g} s' if seconds >= 1 else f'{seconds * 1e3:.3g} ms'
