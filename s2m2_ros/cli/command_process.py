"""The `s2m2` command as a process: interrupts, streams that are closed or full, exit status."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from s2m2_ros.freed_memory import keep_freed_memory
from s2m2_ros.home_folder import provide_home
from s2m2_ros.text_safety import utf8_text

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
# Seconds between two attempts to interrupt an import, and after which it is no longer awaited.
REPEAT_AFTER = 0.1
LONGEST_IMPORT = 3.0


def run_as_process(command: Callable[[], int]) -> int:
    """Return the exit status of a command; nothing that happens to the process shows a traceback.

    1 if what it printed could not be written, 130 if Ctrl-C ended it.
    """
    interrupts = Interrupts()
    try:
        _replace_missing_streams()
        sys.stdout = _Output(sys.stdout)
        provide_home()
        keep_freed_memory()
        status = command()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else EXIT_FAILED
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except Exception:
        # An import that was interrupted may fail with an error of its own.
        if not interrupts.asked:
            raise
        status = EXIT_INTERRUPTED
    finally:
        interrupts.ignore()
    if status == 0 and not output_is_written():
        return EXIT_FAILED
    return status


class Interrupts:
    """Ctrl-C that ends a command at any moment, during imports too.

    Imports of torch run Python from native code, where the exception aborts the process: it waits
    for their end. And packages that catch every error of an optional import swallow it: `s2m2
    train` then ran on. So it is raised until it gets through.
    """

    def __init__(self) -> None:
        self.asked = False
        self._wait_until = 0.0
        # A shell lets commands in the background ignore it.
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
            signal.signal(signal.SIGALRM, self._interrupt_again)

    def ignore(self) -> None:
        """Ignore Ctrl-C from now on: the command has ended, and the interpreter is about to."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self.asked:
            import logging

            # What a half imported package logs at the end of the interpreter.
            logging.disable()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        is_first, self.asked = not self.asked, True
        # Elsewhere whoever catches the exception means to.
        if _is_importing(frame):
            signal.setitimer(signal.ITIMER_REAL, REPEAT_AFTER, REPEAT_AFTER)
            if is_first:
                self._wait_until = time.monotonic() + LONGEST_IMPORT
                return
        raise KeyboardInterrupt

    def _interrupt_again(self, number: int, frame: FrameType | None) -> None:
        if _is_importing(frame) and time.monotonic() < self._wait_until:
            return
        if not _is_being_handled():
            raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith('<frozen importlib'):
            return True
        frame = frame.f_back
    return False


def _is_being_handled() -> bool:
    """Return whether an `except` or `finally` is at work on the interrupt."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _replace_missing_streams() -> None:
    """Open the null device in place of streams that were closed (`>&-`).

    Otherwise the next file that is opened takes the number of standard output, and what a library
    prints goes into it.
    """
    for number, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (to the end)


class _Output:
    """Standard output that remembers the error of a write, which argparse ignores."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self.error = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def output_is_written() -> bool:
    """Write out what was printed; False, and a line that says so, if that cannot be done."""
    error: OSError | None = getattr(sys.stdout, 'error', None)
    try:
        sys.stdout.flush()
    except OSError as failed:
        # Python flushes once more at its end, and would report the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        error = failed
    if error is not None and not isinstance(error, BrokenPipeError):
        complain(f's2m2: the output cannot be written: {error.strerror}')
    return error is None


def complain(text: str) -> None:
    """Print a line on standard error, if it is open."""
    try:
        print(utf8_text(text), file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
