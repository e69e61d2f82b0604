"""Why no pair was matched, and what to do about it."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import RateMeter

# Timestamps further apart than this are not the jitter of two cameras but two clocks.
DIFFERENT_CLOCKS = 1.0
# Rates are compared from this many hertz on, and taken as the same down to this ratio.
LOWEST_COMPARED_RATE = 2.0
SAME_RATE = 0.75
# A rate counts after so many messages, and until so many periods have passed without one.
ENOUGH_MESSAGES = 10
STOPPED_PERIODS = 5
# Pairs that come seldom are missing after so many of their periods.
MISSING_PERIODS = 2


@dataclass
class InputTopic:
    """What arrived on one input lately: timestamps in nanoseconds, and when, in monotonic seconds.

    `publishers` counts those that can be received from; `problem` says why there is none, if
    that is more than a lack of publishers.
    """

    name: str
    recent: deque[tuple[int, float]] = field(
        default_factory=lambda: deque(maxlen=2 * ENOUGH_MESSAGES)
    )
    rate: RateMeter = field(default_factory=RateMeter)
    publishers: int = 0
    problem: str = ''

    @property
    def newest_stamp(self) -> int | None:
        """The timestamp of the last message, if there is one."""
        return self.recent[-1][0] if self.recent else None

    def timestamps_since(self, moment: float) -> list[int]:
        """Return the last few timestamps that arrived after that moment."""
        return [stamp for stamp, arrived in self.recent if arrived > moment]

    def take(self, stamp: int, now: float) -> None:
        """Note a message with this timestamp."""
        self.recent.append((stamp, now))
        self.rate.tick()

    def steady_rate(self, now: float) -> float | None:
        """Return the messages per second; None before there are enough, or when they stopped."""
        if len(self.recent) < ENOUGH_MESSAGES:
            return None
        first, last = self.recent[0][1], self.recent[-1][1]
        rate = (len(self.recent) - 1) / max(last - first, 1e-6)
        return rate if now - last < STOPPED_PERIODS / rate else None


class PairProgress:
    """When pairs came, in monotonic seconds: whether one is missing by now."""

    def __init__(self, now: float) -> None:
        self._latest = now
        # The shortest of these is the period: others may have an outage between them.
        self._intervals: deque[float] = deque(maxlen=2)
        self._any = False

    def note(self, now: float) -> None:
        """Note a pair."""
        if self._any:
            self._intervals.append(now - self._latest)
        self._latest, self._any = now, True

    def is_missing(self, now: float, timeout: float) -> bool:
        """Return whether there was none for the timeout, nor for two periods of a slow camera."""
        known = len(self._intervals) == self._intervals.maxlen
        period = min(self._intervals) if known else 0.0
        return now - self._latest >= max(timeout, MISSING_PERIODS * period)


def explain_silence(
    images: Sequence[InputTopic],
    infos: Sequence[InputTopic],
    settings: Settings,
    now: float,
) -> str:
    """Return why `images` (left, right) and `infos` gave no pair for `sync_timeout` seconds."""
    since = now - settings.sync_timeout
    missing = [topic for topic in images if not topic.timestamps_since(since)]
    # One camera_info is enough, whenever it came, if it is kept.
    missing += [
        topic
        for topic in infos
        if not (topic.recent if settings.cache_camera_info else topic.timestamps_since(since))
    ]
    if missing:
        images_come = not any(topic in missing for topic in images)
        return f'no pairs: {"; ".join(explain_missing(missing, images_come=images_come))}'
    return f'no pairs: {_explain_timestamps(images, infos, settings, since)}'


def explain_rates(topics: Sequence[InputTopic], now: float) -> str | None:
    """Return which topic is much slower than another; None if the rates agree, or one stopped."""
    rates = [(topic.steady_rate(now), topic.name) for topic in topics]
    known = [(rate, name) for rate, name in rates if rate is not None]
    if len(known) < len(rates):
        return None
    slowest, fastest = min(known), max(known)
    if fastest[0] < LOWEST_COMPARED_RATE or slowest[0] > SAME_RATE * fastest[0]:
        return None
    return (
        f'{slowest[1]} comes at {slowest[0]:.3g} Hz and {fastest[1]} at {fastest[0]:.3g} Hz, so '
        'messages remain without matching messages: set both cameras to one rate, or find where '
        'messages are lost (best-effort transport, a busy computer)'
    )


_PROFILE = '(see config/fastdds_large_messages.xml)'
_WHY_NO_MESSAGE = f'the camera has stopped, or large messages are lost on the way {_PROFILE}'
_WHY_NO_INFO = (
    'its images come, so it was sent before this node subscribed, if at all (let the driver '
    f'repeat it, or keep it by transient local), or large images hold it up {_PROFILE}'
)


def explain_missing(missing: Sequence[InputTopic], *, images_come: bool = False) -> list[str]:
    """Return why there are no messages of these topics; with `images_come` all are camera_info."""
    cause = _WHY_NO_INFO if images_come else _WHY_NO_MESSAGE
    reasons = [topic.problem for topic in missing if topic.problem]
    unpublished = [t.name for t in missing if not t.problem and not t.publishers]
    if unpublished:
        reasons.append(f'no publishers on {", ".join(unpublished)} (remapped to the camera?)')
    published = [t for t in missing if not t.problem and t.publishers]
    for count, group in itertools.groupby(
        sorted(published, key=lambda t: t.publishers), key=lambda t: t.publishers
    ):
        names = ', '.join(topic.name for topic in group)
        exist = '1 publisher exists' if count == 1 else f'{count} publishers exist'
        reasons.append(f'no messages received on {names} although {exist}: {cause}')
    return reasons


def _explain_timestamps(
    images: Sequence[InputTopic],
    infos: Sequence[InputTopic],
    settings: Settings,
    since: float,
) -> str:
    left, right = images
    apart = _smallest_difference(left, right, since)
    if not settings.cache_camera_info and apart < (
        settings.slop if settings.approximate_sync else 1e-9
    ):
        for image, info in zip(images, infos, strict=True):
            off = _smallest_difference(image, info, since)
            if off:
                return (
                    f'the timestamps of {info.name} are at least {_duration(off)} off those of '
                    f'{image.name}: set cache_camera_info to true, or have the driver give both '
                    'the same timestamp'
                )
    period = min(_smallest_period(topic, since) for topic in images)
    return _explain_images(left, right, apart, period, settings)


def _explain_images(
    left: InputTopic, right: InputTopic, apart: float, period: float, settings: Settings
) -> str:
    found = f'the timestamps of {left.name} and {right.name} are at least {_duration(apart)} apart'
    if apart >= DIFFERENT_CLOCKS:
        return (
            f'{found}: their clocks differ; synchronize them, or set both timestamps in one driver'
        )
    if apart == 0 and not settings.approximate_sync:
        return (
            f'{found}, yet too few of them find their matching messages: raise sync_queue_size '
            f'({settings.sync_queue_size}) or set approximate_sync to true'
        )
    if apart >= period / 2:
        return (
            f'{found}, half a period or more, so they show different moments: find where the '
            'images between are lost (best-effort transport, a busy computer), or '
            'hardware-synchronize the cameras'
        )
    advised = math.ceil(apart * 1.5e3 + 1) / 1e3
    if not settings.approximate_sync:
        return (
            f'{found}: hardware-synchronize the cameras, or set approximate_sync to true and slop '
            f'to {max(advised, settings.slop):g}'
        )
    if apart >= settings.slop:
        return f'{found}, and slop is {settings.slop:g}: set slop to {advised:g}'
    return (
        f'{found}: raise sync_queue_size ({settings.sync_queue_size}) or slop '
        f'({settings.slop:g}); images half a period apart or more are never joined'
    )


def _smallest_difference(first: InputTopic, second: InputTopic, since: float) -> float:
    pairs = itertools.product(first.timestamps_since(since), second.timestamps_since(since))
    return min((abs(a - b) for a, b in pairs), default=0) / 1e9


def _smallest_period(topic: InputTopic, since: float) -> float:
    timestamps = sorted(set(topic.timestamps_since(since)))
    return min((b - a for a, b in itertools.pairwise(timestamps)), default=math.inf) / 1e9


def _duration(seconds: float) -> str:
    return f'{seconds:.3g} s' if seconds >= 1 else f'{seconds * 1e3:.3g} ms'
