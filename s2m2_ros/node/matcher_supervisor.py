"""Which matcher works on the next pair: the chosen one, or the fallback until it is back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.presets import BY_PRESET
from s2m2_ros.inference.registry import BACKENDS
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.parameters import Settings

FAILURES_BEFORE_FALLBACK = 3
FIRST_RETRY_AFTER = 10.0
LONGEST_RETRY_AFTER = 600.0

Opener = Callable[[Settings, str], StereoMatcher]


def open_matcher(settings: Settings, backend: str) -> StereoMatcher:
    """Open the checkpoint of the settings with this backend and warm it up."""
    matcher = replace(settings.matcher_options(), backend=backend).open()
    try:
        if settings.warm_up_width:
            matcher.warm_up(settings.warm_up_height, settings.warm_up_width)
        elif not BACKENDS[matcher.backend].prepares_sizes:
            # Loads the libraries at least; others would prepare a size that never comes.
            matcher.warm_up(256, 320)
    except BaseException:
        matcher.close()
        raise
    return matcher


@dataclass(frozen=True)
class MatcherState:
    """What works at present, for diagnostics; `backend` is empty while nothing is open."""

    backend: str = ''
    precision: str = ''
    device: str = ''
    fallen_back: bool = False


class MatcherSupervisor:
    """Opens the matcher that is asked for, and the fallback while that fails.

    For one thread, but for `state`. After three failed pairs in a row, or if it cannot be opened
    at all, the chosen backend is replaced by `fallback_backend`; it is tried again after 10
    seconds, then after twice as long each time, up to ten minutes. A chosen backend that came
    back must do a pair right before it gets three failures again.
    """

    def __init__(
        self,
        faults: FaultLog,
        *,
        opener: Opener = open_matcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faults = faults
        self._opener = opener
        self._clock = clock
        self._matcher: StereoMatcher | None = None
        self._preset_width = 0
        self._failures = 0
        # By the faults of each camera: how many of its pairs failed in a row.
        self._failed_pairs: Counter[FaultLog] = Counter()
        self._retry_after = FIRST_RETRY_AFTER
        self._retry_at = 0.0
        self.state = MatcherState()

    def open(self, settings: Settings) -> None:
        """Open the chosen backend, or else the fallback; raises what prevented it."""
        self.close()
        try:
            self._use(self._opener(settings, settings.backend), fallen_back=False)
        except Exception as error:
            if not settings.fallback_backend:
                raise
            self._fall_back(settings, f'cannot be opened: {error}')

    def description(self) -> str:
        """Return what is open, for people."""
        matcher = self._matcher
        if matcher is None:
            return 'no matcher'
        checkpoint = f'checkpoint {matcher.checkpoint}, ' if matcher.checkpoint else ''
        width = f', at most {matcher.max_width} pixels wide' if matcher.max_width else ''
        twice = f', and at {matcher.upsampling:g} times the size' if matcher.upsampling > 1 else ''
        refined = ', refined by sgbm' if matcher.refinement else ''
        return (
            f'{checkpoint}backend {matcher.backend} on {matcher.device} in '
            f'{matcher.precision}{width}{twice}{refined}'
        )

    def get(self, settings: Settings) -> StereoMatcher:
        """Return the matcher for the next pair; after a while in fallback, try the chosen one."""
        if self.state.fallen_back and self._clock() >= self._retry_at:
            self._come_back(settings)
        if self._matcher is None:  # an earlier switch failed half way
            self.open(settings)
        assert self._matcher is not None  # noqa: S101  # open raises otherwise
        self.set_width(self._matcher, settings)
        return self._matcher

    def set_width(self, matcher: StereoMatcher, settings: Settings) -> None:
        """Let the matcher work at the width of these settings, which each camera may set."""
        by_preset = settings.max_width == BY_PRESET
        matcher.max_width = self._preset_width if by_preset else settings.max_width

    def uses(self, matcher: StereoMatcher) -> bool:
        """Return whether this is the matcher for the next pair."""
        return matcher is self._matcher

    def succeeded(self, camera: FaultLog | None = None) -> None:
        """Note that the matcher did its pair, of the camera with these faults."""
        faults = self._faults if camera is None else camera
        self._failures = 0
        self._failed_pairs.pop(faults, None)
        if not self.state.fallen_back:
            self._retry_after = FIRST_RETRY_AFTER
            faults.clear(Fault.MATCHING)
            self._faults.clear(Fault.BACKEND)

    def failed(
        self, settings: Settings, error: BaseException, camera: FaultLog | None = None
    ) -> None:
        """Note that the matcher failed, for the camera with these faults.

        May switch to the fallback, if it fails for all cameras: what one sends may be too large.
        """
        faults = self._faults if camera is None else camera
        self._failures += 1
        self._failed_pairs[faults] += 1
        count = self._failures if faults is self._faults else self._failed_pairs[faults]
        text = f'backend {self.state.backend} failed on {count} pair(s) in a row: {error}'
        faults.report(Fault.MATCHING, text)
        given = settings.fallback_backend
        if self._failures < FAILURES_BEFORE_FALLBACK or self.state.fallen_back or not given:
            return
        self.close()
        self._fall_back(settings, f'failed repeatedly, last error: {error}')

    def close(self) -> None:
        """Free the matcher's memory."""
        if self._matcher is not None:
            self._matcher.close()
        self._matcher = None
        self._forget_failures()
        self.state = MatcherState()

    def _forget_failures(self) -> None:
        self._failures = 0
        self._failed_pairs.clear()

    def _use(self, matcher: StereoMatcher, *, fallen_back: bool) -> None:
        self._matcher = matcher
        self._preset_width = matcher.max_width
        self._forget_failures()
        self.state = MatcherState(
            matcher.backend, matcher.precision, str(matcher.device), fallen_back
        )

    def _fall_back(self, settings: Settings, reason: str) -> None:
        fallback = settings.fallback_backend
        self._use(self._opener(settings, fallback), fallen_back=True)
        self._retry_at = self._clock() + self._retry_after
        text = (
            f'backend {settings.backend} {reason}; using fallback_backend {fallback}, next '
            f'attempt in {self._retry_after:.0f} s'
        )
        self._retry_after = min(2 * self._retry_after, LONGEST_RETRY_AFTER)
        self._faults.report(Fault.BACKEND, text)

    def _come_back(self, settings: Settings) -> None:
        fallback = self._matcher
        self._matcher = None
        if fallback is not None:
            fallback.close()
        try:
            self._use(self._opener(settings, settings.backend), fallen_back=False)
            self._failures = FAILURES_BEFORE_FALLBACK - 1
        except Exception as error:
            self._fall_back(settings, f'still cannot be opened: {error}')
