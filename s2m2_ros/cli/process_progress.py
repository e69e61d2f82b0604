"""How far `s2m2 process` is: a bar on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from s2m2_ros.cli.command_process import complain

if TYPE_CHECKING:
    from s2m2_ros.offline.processing.processor import Progress

# Seconds between two lines where standard error is no terminal.
LINE_PERIOD_S = 30.0


class ProgressDisplay:
    """Shows pairs per second and the time left; a context manager.

    Inputs that are processed side by side are shown together.
    """

    def __init__(self, *, together: bool = False) -> None:
        self._together = together
        self._inputs: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._bar: Any = None
        self._stack = ExitStack()
        self._name = ''
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        if sys.stderr.isatty():
            from tqdm.contrib.logging import logging_redirect_tqdm

            self._stack.enter_context(logging_redirect_tqdm())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._stack.close()

    def show(self, progress: Progress) -> None:
        """Show where an input is; called after each pair, from any thread."""
        with self._lock:
            self._inputs[progress.name] = progress
            self._show(_summed(self._inputs.values()) if self._together else progress)

    def _show(self, progress: Progress) -> None:
        if progress.name != self._name:
            self.close()
            self._name = progress.name
            self._started = self._shown = time.monotonic()
        if sys.stderr.isatty():
            self._draw(progress)
        elif time.monotonic() >= self._shown + LINE_PERIOD_S:
            self._shown = time.monotonic()
            complain(progress_line(progress, self._shown - self._started))

    def close(self) -> None:
        """End the bar of the input that is shown."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, progress: Progress) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=max(progress.expected, progress.done),
                initial=progress.resumed,
                unit='pair',
                desc=progress.name,
            )
        self._bar.total = max(progress.expected, progress.done)
        self._bar.update(progress.done - self._bar.n)


def _summed(inputs: Collection[Progress]) -> Progress:
    """Return the progress of several inputs as one."""
    return replace(
        next(iter(inputs)),
        name='all recordings',
        done=sum(p.done for p in inputs),
        expected=sum(p.expected for p in inputs),
        resumed=sum(p.resumed for p in inputs),
    )


def progress_line(progress: Progress, elapsed_s: float) -> str:
    """Return a line that says how far an input is after so many seconds."""
    rate = (progress.done - progress.resumed) / max(elapsed_s, 1e-9)
    left = max(0, progress.expected - progress.done)
    text = f'{progress.name}: {progress.done} of about {progress.expected} pairs'
    if not rate:
        return text
    minutes, seconds = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{text}, {rate:.2f} pairs per second, {hours}:{minutes:02d}:{seconds:02d} left'
