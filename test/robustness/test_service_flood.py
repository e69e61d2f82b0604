"""Service calls whose clients vanish: images and diagnostics go on meanwhile."""

from __future__ import annotations

import time
from typing import Any

from support.processes import hear, module_process
from support.robot import Robot, robot

RATE = 10.0
SECONDS = 4.0


def test_a_flood_of_calls_by_vanishing_clients_starves_nothing() -> None:
    with robot(topics=('disparity', 'stats'), rate=RATE) as made:
        frame = made.show()
        made.wait_output('stats', frame)
        since = made.mark()
        started = time.monotonic()
        with module_process('support.vanishing_clients', made.name, str(SECONDS)) as flood:
            calls = int(hear(flood))
        # Each vanished client of these would have cost a tenth of a second.
        assert calls > 1000
        spent = time.monotonic() - started
        require_steady(made, since, spent)
        # What is left of the flood does not hold it up later either.
        since, started = made.mark(), time.monotonic()
        for _ in range(round(2 * RATE)):
            made.wait_output('stats', frame, since=made.mark(), patience=2.0)
        require_steady(made, since, time.monotonic() - started)
        # And who waits for an answer gets one.
        assert made.set_parameter('min_depth', 0.5) == ''
        assert made.change_state('deactivate')


def require_steady(made: Robot, since: int, seconds: float) -> None:
    """At least half of the images and diagnostics that the time allows, on a busy computer."""
    events: list[Any] = made.watcher.events.items[since:]
    stats = [e for e in events if e['topic'].endswith('/stats')]
    diagnostics = [e for e in events if e['topic'] == '/diagnostics' and e['node'] == made.name]
    assert len(stats) > RATE * seconds / 2
    # QUICK sends them five times a second.
    assert len(diagnostics) > 5.0 * seconds / 2
