"""What one activation counts and measures; gone with the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from s2m2_ros.node.calibration_watch import Examination
from s2m2_ros.node.counters import Counters
from s2m2_ros.node.rates import RateMeter, RecentValues, Trend


@dataclass(eq=False)
class Session:
    """Written by the worker, read by the diagnostics; `ended` by the executor's thread.

    `latency` is from the arrival of the last message of a pair to its last output,
    `stamp_latency` from the left image's stamp, both in milliseconds. `examined_at` is in seconds
    of a monotonic clock.
    """

    counters: Counters = field(default_factory=Counters)
    output_rate: RateMeter = field(default_factory=RateMeter)
    latency: RecentValues = field(default_factory=RecentValues)
    stamp_latency: RecentValues = field(default_factory=RecentValues)
    confidence: Trend = field(default_factory=Trend)
    examination: Examination | None = None
    examined_at: float = -math.inf
    ended: bool = False
