"""What can go wrong between two images and their disparity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    from s2m2_ros.inference.engines.proof import Proof


class InferenceError(S2M2Error):
    """Base of the errors of `s2m2_ros.inference`."""


class OptionError(InferenceError, ValueError):
    """An option has a value that does not exist or is out of range."""


class BackendUnavailableError(InferenceError):
    """A backend or its device cannot be used: something is missing, or its results are wrong.

    Attributes:
        backend: name of the backend, or of the device that is not there.
        reason: what is missing or wrong, and what to do.

    """

    def __init__(self, backend: str, reason: str, *, subject: str = 'backend') -> None:
        super().__init__(f"{subject} '{backend}' is unavailable: {reason}")
        self.backend = backend
        self.reason = reason


class WrongResultsError(BackendUnavailableError):
    """A backend gives results too far from those of torch; `proof` holds the figures."""

    def __init__(self, backend: str, reason: str, proof: Proof) -> None:
        super().__init__(backend, reason)
        self.proof = proof


class DeviceMemoryError(InferenceError):
    """The device ran out of memory; what was taken is free again and the matcher still works.

    Attributes:
        height, width: size in pixels that was tried.
        max_width: a working width that should fit, or 0 if none of at least 32 pixels does.

    """

    def __init__(self, *, height: int, width: int, max_width: int, device: str) -> None:
        advice = (
            f'try a max width of {max_width}'
            if max_width
            else 'no smaller size would fit either: free memory or choose a smaller checkpoint'
        )
        super().__init__(f'{device} ran out of memory at {width}x{height}: {advice}')
        self.height = height
        self.width = width
        self.max_width = max_width


class ClosedError(InferenceError):
    """The matcher was closed and cannot match any more."""

    def __init__(self) -> None:
        super().__init__('this matcher is closed: open another one')


class ProcessError(InferenceError):
    """A matcher was taken to another process than the one that opened it."""
