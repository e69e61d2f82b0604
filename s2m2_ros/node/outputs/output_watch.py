"""Whether another node publishes the same outputs, whose subscribers get the messages of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from s2m2_ros.node.inputs.endpoints import Endpoint, node_names

# The middleware forgets the publishers of a process that died after twenty seconds at most.
LINGERING = 25.0


class OutputWatch:
    """Notes since when topics have had more than one publisher."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take seconds from the clock."""
        self._clock = clock
        self._since: dict[str, float] = {}

    def explain(self, outputs: Mapping[str, tuple[Endpoint, ...]]) -> str | None:
        """Return which outputs others publish too; None if there is none, or only since lately.

        `outputs` are the publishers of each, by full name.
        """
        shared = {name: found for name, found in outputs.items() if len(found) > 1}
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in shared}
        lasting = [name for name, since in self._since.items() if now - since >= LINGERING]
        if not lasting:
            return None
        first = shared[lasting[0]]
        return (
            f'{", ".join(lasting)}: {len(first)} publishers each ({node_names(first)}), and '
            'subscribers get the messages of all: was this node started twice? Stop the others, '
            'give each a namespace, or remap the outputs'
        )
