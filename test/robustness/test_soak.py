"""Hours of work in small: all outputs at full rate while listeners come and go.

`make test` runs it for half a minute, `make soak` for SOAK_MINUTES.
"""

from __future__ import annotations

import itertools
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.robot import Robot, robot

_logger = logging.getLogger(__name__)

MINUTES = float(os.environ.get('SOAK_MINUTES', '0.5'))
# A run of this length tells drift from what libraries take in their first minutes.
TELLING_MINUTES = 10.0
SHORT_GROWTH, LONG_GROWTH = 0.05, 0.02
RATE = 30.0
OUTPUTS = (
    'disparity',
    'depth',
    'depth/camera_info',
    'confidence',
    'confidence_mask',
    'occlusion_mask',
    'points',
    'estimate',
    'stats',
)


@dataclass(frozen=True)
class Sample:
    """What the node held: resident bytes (and those in shared memory), threads, open files."""

    memory: int
    shared: int
    threads: int
    descriptors: int


@pytest.mark.timeout(MINUTES * 60 + 300)
def test_soak(checkpoint: Path) -> None:
    options: dict[str, Any] = {
        'backend': 'torch',
        'device': 'cpu',
        'checkpoint': checkpoint,
        'max_width': 96,
    }
    with robot(topics=OUTPUTS, rate=RATE, **options) as made:
        frame = made.show(width=320, height=240, encoding='rgb8')
        made.wait_output('points', frame)
        # DDS uses more of its fixed segments whenever a process is held up, and keeps it: let it
        # take that now, lest a busy computer makes it look like a leak later.
        for _ in range(3):
            made.node.pause(2.0)
            made.wait_output('points', frame, since=made.mark())
        work_for(MINUTES * 60 * 0.1, made, frame)
        samples = work_for(MINUTES * 60 * 0.9, made, frame)
        report(samples, made)
        tenth = max(1, len(samples) // 10)
        first, last = samples[:tenth], samples[-tenth:]
        allowed = LONG_GROWTH if MINUTES >= TELLING_MINUTES else SHORT_GROWTH
        assert growth(first, last) < allowed
        assert most(last, lambda s: s.threads) <= most(first, lambda s: s.threads)
        assert most(last, lambda s: s.descriptors) <= most(first, lambda s: s.descriptors)


def work_for(seconds: float, made: Robot, frame: str) -> list[Sample]:
    """Let one listener after the other go and come back, sometimes all; sample in between."""
    deadline = time.monotonic() + seconds
    samples: list[Sample] = []
    for number, topic in enumerate(itertools.cycle(OUTPUTS)):
        topics = OUTPUTS if number % 20 == 19 else (topic,)
        made.unlisten(*topics)
        if topics == OUTPUTS:
            made.wait_diagnostics(
                lambda e: e['statuses']['outputs']['values']['topics with subscribers'] == '',
                'no subscribers',
                since=made.mark(),
            )
        since = made.mark()
        made.listen(*topics)
        made.wait_output(topic, frame, since=since)
        samples.append(sample(made))
        if time.monotonic() > deadline:
            break
    return samples


def sample(made: Robot) -> Sample:
    node = made.node
    return Sample(node.memory(), node.shared_memory(), node.threads(), node.descriptors())


def growth(first: Sequence[Sample], last: Sequence[Sample]) -> float:
    """Return by what share the median of the memory grew."""
    early, late = (statistics.median(s.memory for s in part) for part in (first, last))
    return late / early - 1


def most(samples: Sequence[Sample], count: Callable[[Sample], int]) -> int:
    return max(count(s) for s in samples)


def report(samples: Sequence[Sample], made: Robot) -> None:
    tenth = max(1, len(samples) // 10)
    for number, start in enumerate(range(0, len(samples) - tenth + 1, tenth)):
        part = samples[start : start + tenth]
        memory = statistics.median(s.memory for s in part)
        _logger.info(
            'tenth %d: %.1f MB, of which %.1f MB shared memory, %d threads, %d descriptors',
            number + 1,
            memory / 1e6,
            statistics.median(s.shared for s in part) / 1e6,
            most(part, lambda s: s.threads),
            most(part, lambda s: s.descriptors),
        )
    stats = made.outputs(topic='stats')
    _logger.info(
        'memory grew by %.2f %%; %d changes of listeners; %d of %d pairs processed',
        100 * growth(samples[:tenth], samples[-tenth:]),
        len(samples),
        stats[-1]['pairs_processed'],
        stats[-1]['pairs_received'],
    )
