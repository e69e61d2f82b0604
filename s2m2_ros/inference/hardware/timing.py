"""How long the stages of one match took, without slowing it down.

On a CUDA device the marks are events on the current stream: recording one costs microseconds and
waits for nothing. Only reading a duration waits, until the marked work is done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

Mark = float | torch.cuda.Event


def new_event(*, timed: bool = False) -> torch.cuda.Event:
    """Return a CUDA event, cheaper where it need not be `timed`."""
    return torch.cuda.Event(enable_timing=timed)  # type: ignore[no-untyped-call]


def mark(device: torch.device) -> Mark:
    """Return a mark of this moment on `device`'s own time line."""
    if device.type == 'cuda':
        event = new_event(timed=True)
        event.record(torch.cuda.current_stream(device))
        return event
    return time.perf_counter()


def milliseconds_between(start: Mark, end: Mark) -> float:
    """Return the milliseconds from one mark to a later one; waits for a CUDA device."""
    if isinstance(start, float) and isinstance(end, float):
        return (end - start) * 1e3
    if isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        if not end.query():  # type: ignore[no-untyped-call]
            end.synchronize()
        return float(start.elapsed_time(end))
    raise TypeError('the two marks are of different devices')


@dataclass(frozen=True)
class StageTimings:
    """Durations of one match's stages in milliseconds; reading one may wait for the device."""

    started: Mark
    uploaded: Mark
    inferred: Mark

    @property
    def upload_ms(self) -> float:
        """Checking the images and bringing them to the device."""
        return milliseconds_between(self.started, self.uploaded)

    @property
    def inference_ms(self) -> float:
        """Scaling, padding, network, unpadding, scaling back."""
        return milliseconds_between(self.uploaded, self.inferred)
