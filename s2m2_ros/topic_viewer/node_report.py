"""What a stereo node reports about itself, as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from s2m2_ros.text_safety import safe_text
from s2m2_ros.viewer.topics_panel import Row

# As diagnostic_msgs numbers them: name and color of each level.
LEVELS = {
    0: ('OK', 'green'),
    1: ('WARN', 'darkorange'),
    2: ('ERROR', 'red'),
    3: ('STALE', 'gray'),
}
MOST_STATUSES = 12
LONGEST_NAME = 100


class Diagnostics:
    """The newest status of each name, of one node and of whatever else is not OK."""

    def __init__(self, node: str) -> None:
        """Take the full name of the node, e.g. '/stereo_node'."""
        self._prefix = f'{node}: '
        self._statuses: dict[str, tuple[int, str]] = {}

    def update(self, message: Any) -> None:
        """Take a DiagnosticArray."""
        for status in message.status:
            name, level = safe_text(status.name, LONGEST_NAME), _level(status.level)
            if status.name.startswith(self._prefix) or level:
                self._statuses.pop(name, None)
                self._statuses[name] = level, safe_text(status.message)
            else:
                self._statuses.pop(name, None)
        for oldest in list(self._statuses)[:-MOST_STATUSES]:
            del self._statuses[oldest]

    def rows(self) -> list[Row]:
        """Return level, name and message of each."""
        rows = []
        for name, (level, text) in sorted(self._statuses.items()):
            word, color = LEVELS.get(level, LEVELS[3])
            rows.append(Row((word, name.removeprefix(self._prefix), text), color))
        return rows


def stats_rows(stats: Any) -> list[Row]:
    """Return what an InferenceStats message says, or nothing for None."""
    if stats is None:
        return []
    network = ' '.join(filter(None, (stats.checkpoint, stats.backend, stats.precision)))
    figures: Mapping[str, str] = {
        'matcher': f'{network}, {stats.width}x{stats.height}',
        'latency': _milliseconds(stats.latency_ms),
        'inference': _milliseconds(stats.inference_ms),
        'pairs': f'{stats.pairs_processed} processed, {stats.pairs_dropped} dropped',
    }
    return [Row(('', name, text)) for name, text in figures.items()]


def _milliseconds(value: float) -> str:
    return f'{value:.0f} ms' if math.isfinite(value) else 'unknown'


def _level(value: Any) -> int:
    """Return a level, which rclpy gives as one byte."""
    return value[0] if isinstance(value, bytes) else int(value)
