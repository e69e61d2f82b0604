"""What becomes of a message that is published while the process ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from s2m2_ros.node.outputs.publishers import Publishers


class Publisher:
    """Stands for one of rclpy whose context is gone, or whose message is wrong."""

    def publish(self, message: Any) -> None:
        raise RuntimeError("publisher's context is invalid")


def publishers(*, running: bool) -> Publishers:
    node = SimpleNamespace(
        context=SimpleNamespace(ok=lambda: running),
        create_lifecycle_publisher=lambda *_, **__: Publisher(),
        resolve_topic_name=lambda name, **_: f'/{name}',
    )
    made = Publishers(node, lambda: None)
    made.open()
    return made


def test_a_pair_at_shutdown_is_no_error() -> None:
    publishers(running=False).send('depth', None)


def test_other_failures_are_errors() -> None:
    with pytest.raises(RuntimeError, match='invalid'):
        publishers(running=True).send('depth', None)
