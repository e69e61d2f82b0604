"""More pairs than can be matched: the newest wins, nothing queues, every pair is counted."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from support.robot import Robot, robot

RATE = 120.0
PAIRS = 40
STAGES = ('decode_ms', 'upload_ms', 'inference_ms', 'geometry_ms', 'download_ms', 'publish_ms')
# What the computer may keep a process waiting when others want its cores, in milliseconds.
PREEMPTION = 1000.0


def test_flood(checkpoint: Path) -> None:
    options: dict[str, Any] = {
        'backend': 'torch',
        'device': 'cpu',
        'checkpoint': checkpoint,
        'max_width': 160,
    }
    with robot(topics=(), rate=0, calibration_check_period=0.0, **options) as made:
        made.listen('disparity', 'stats', depth=1000)
        made.camera.call('stream', rate=10.0)
        made.wait_output('stats', made.show(width=640, height=480))
        frame = made.show(width=640, height=480)
        made.camera.call('stream', rate=RATE)
        require_flat_memory(made, frame)
        flood = made.outputs(frame, 'stats')
        # A pair of another frame after all others: nothing can be left that waits before it.
        made.camera.call('stop')
        since = made.mark()
        made.show(width=640, height=480)
        made.camera.call('send')
        require_exact_counts(made, since)
        require_bounded_latency(flood)
        # The same pair gives the same bytes at any load.
        assert len({output['crc'] for output in made.outputs(topic='disparity')}) == 1


def require_flat_memory(made: Robot, frame: str) -> None:
    made.wait_count('stats', frame, PAIRS // 3)
    early = made.node.memory()
    made.wait_count('stats', frame, PAIRS)
    # One second of this flood is 74 MB.
    assert made.node.memory() - early < 20_000_000


def require_exact_counts(made: Robot, since: int) -> None:
    """Nothing waits at last, and every pair was either processed, as we saw, or dropped."""

    def settled(event: Any) -> bool:
        return bool(event['statuses']['outputs']['values']['pairs waiting'] == '0')

    statuses = made.wait_diagnostics(settled, 'nothing waits', since=since)
    told = {**statuses['inputs']['values'], **statuses['outputs']['values']}
    received, processed = int(told['pairs received']), int(told['pairs processed'])
    stats = made.outputs(topic='stats')
    assert processed == len(stats) == len(made.outputs(topic='disparity'))
    assert received == processed + int(told['pairs dropped'])
    assert received <= made.camera.call('stop')
    assert int(told['dropped: superseded']) > processed
    for event in stats:
        waiting = event['pairs_received'] - event['pairs_processed'] - event['pairs_dropped']
        # At most one next in turn and the synchronizer's ten.
        assert 0 <= waiting <= 11
        assert event['pairs_matched'] <= event['pairs_received']


def require_bounded_latency(stats: list[Any]) -> None:
    longest = max(sum(event[stage] for stage in STAGES) for event in stats)
    latencies = [event['latency_ms'] for event in stats]
    assert statistics.median(latencies) <= 2 * longest
    assert max(latencies) <= 2 * longest + PREEMPTION
