"""Running on the right CUDA device, and on a stream of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which `device` is the current one of CUDA.

    Streams, captures and foreign libraries use the current device, whatever device the tensors
    are on.
    """
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()


class OwnStream:
    """A CUDA stream whose work takes its turn between that of torch's current stream.

    Torch's default stream has the handle 0, which ONNX Runtime takes for none and TensorRT
    synchronizes around.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @property
    def handle(self) -> int:
        """The address of CUDA's stream, never 0."""
        return int(self._stream.cuda_stream)

    @property
    def stream(self) -> torch.cuda.Stream:
        """The stream itself, to capture its work."""
        return self._stream

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Give the handle: what is queued on it runs after what was queued on torch's stream.

        What torch queues later runs after it, so that torch's allocator may reuse the memory of
        tensors that were used in between.
        """
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            yield self.handle
        finally:
            current.wait_stream(self._stream)
