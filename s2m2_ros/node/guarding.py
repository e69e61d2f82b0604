"""Callbacks whose errors are reported: rclpy would end the node."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.text_safety import safe_text


def guarded(callback: Callable[..., None], report: Callable[[str], None]) -> Callable[..., None]:
    """Return the callback; what it raises goes to `report` in words."""

    @functools.wraps(callback)
    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            expected = isinstance(error, S2M2Error)
            report(f'{callback.__name__}: {error if expected else safe_text(repr(error))}')

    return call
