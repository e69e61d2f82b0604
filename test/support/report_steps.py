"""Steps of a report that succeed, fail, crash and hang; processes import them by name."""

from __future__ import annotations

import os
import signal
import time

from s2m2_ros.inference.report import Result


def succeed(value: int) -> Result:
    return {'value': value}


def fail() -> Result:
    raise ValueError('no kernel\nfor this device')


def crash() -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def hang() -> Result:
    time.sleep(600)
    return {}
