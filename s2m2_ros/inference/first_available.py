"""The `auto` backend: the first of several that can be opened, and that goes on working."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

from s2m2_ros.inference.backend import Backend, Maps
from s2m2_ros.inference.errors import BackendUnavailableError, ClosedError

_logger = logging.getLogger(__name__)


class FirstAvailable:
    """Uses the first backend that can be opened, and the next one where its engines fail.

    `name`, `precision` and `device` are those of the backend in use. Engines are built, and verify
    themselves, when their size is used first: that is when a backend may turn out to be
    unavailable. It is then closed for good.

    Args:
        names: backends, best first.
        open_backend: opens one, or raises BackendUnavailableError.

    Raises:
        BackendUnavailableError: none can be opened.

    """

    def __init__(self, names: Sequence[str], open_backend: Callable[[str], Backend]) -> None:
        self._waiting = list(names)
        self._open = open_backend
        self._passed_over: list[str] = []
        self._backend: Backend | None = None
        self._use_next()

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs; see `Backend.infer`. Raises BackendUnavailableError if none works."""
        while True:
            if self._backend is None:
                raise ClosedError
            try:
                return self._backend.infer(left, right)
            except BackendUnavailableError as error:
                reason = error
            # Outside the handler: the traceback holds tensors of the failed pass.
            if not self._waiting:
                raise BackendUnavailableError(reason.backend, reason.reason)
            self._pass_over(reason)
            self._backend.close()
            self._use_next()

    def close(self) -> None:
        """Free the memory of the backend in use."""
        self._waiting.clear()
        if self._backend is not None:
            self._backend.close()
        self._backend = None

    def _use_next(self) -> None:
        while self._waiting:
            try:
                opened = self._open(self._waiting.pop(0))
            except BackendUnavailableError as error:
                self._pass_over(error)
                continue
            self._backend = opened
            self.name, self.precision, self.device = opened.name, opened.precision, opened.device
            _logger.info(
                'matching with backend %s on %s in %s%s',
                *(opened.name, opened.device, opened.precision),
                ''.join(f'; {reason}' for reason in self._passed_over),
            )
            return
        self._backend = None
        raise BackendUnavailableError('auto', '; '.join(self._passed_over))

    def _pass_over(self, error: BackendUnavailableError) -> None:
        self._passed_over.append(f'{error.backend} is unavailable: {error.reason}')
