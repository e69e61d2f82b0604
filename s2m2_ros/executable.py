"""What the executables of ROS share: `--help`, and an end with status 0 when asked to stop."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from s2m2_ros.errors import S2M2Error, reason_of
from s2m2_ros.home_folder import provide_home
from s2m2_ros.text_safety import utf8_text

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ROS_ARGUMENTS = """
ROS arguments, each after --ros-args:
  -p NAME:=VALUE          set a parameter
  --params-file FILE      set parameters from YAML
  -r FROM:=TO             remap a topic, or the namespace: -r __ns:=/front
  --log-level LEVEL       debug, info, warn, error or fatal
"""


class StopSignals:
    """Handles SIGINT and SIGTERM, so that not even a second one ends in a traceback.

    rclpy's own handlers, installed later, end the spinning and call these too. Without them
    Python would raise KeyboardInterrupt, again for each signal, anywhere in the shutdown.
    """

    def __init__(self) -> None:
        self.asked = False
        self._starting = True
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if first and self._starting:
            raise SystemExit(0)

    def started(self) -> None:
        """Leave the end to rclpy from now on; raises SystemExit if it was asked for already."""
        self._starting = False
        if self.asked:
            raise SystemExit(0)

    def ignore(self) -> None:
        """Ignore both from now on, in the interpreter's own shutdown too."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def run_executable(
    body: Callable[[Sequence[str] | None, StopSignals], int],
    arguments: Sequence[str] | None,
    *,
    usage: str,
) -> int:
    """Return the exit status of `body`, or 0 if a signal ended it, or help was asked for.

    `arguments` are None for those of the command line. `body` calls `StopSignals.started` before
    it spins.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if {'-h', '--help'} & set(given):
        sys.stdout.write(f'{usage}\n{ROS_ARGUMENTS}')
        return 0
    stop = StopSignals()
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        # A crash in a library would else leave no word on where it was.
        faulthandler.enable(sys.__stderr__)
    try:
        provide_home()
        return body(arguments, stop)
    except (ImportError, MemoryError, S2M2Error) as error:
        if not stop.asked:
            sys.stderr.write(f'cannot start: {utf8_text(reason_of(error))}\n')
            return 2
    except BaseException:
        # The end that was asked for, or what failed because it made rclpy's context invalid.
        if not stop.asked:
            raise
    finally:
        stop.ignore()
    return 0
