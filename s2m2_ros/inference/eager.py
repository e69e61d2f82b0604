"""The `torch` backend: the network as it stands, run by PyTorch."""

from __future__ import annotations

import torch

from s2m2_ros.inference.backend import BackendOptions, Maps


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    del options
    return None


def open_backend(options: BackendOptions) -> EagerBackend:
    """Load the network."""
    return EagerBackend(options)


class EagerBackend:
    """Pads, runs the network, crops."""

    name = 'torch'

    def __init__(self, options: BackendOptions) -> None:
        self.device = options.device
        self.precision = options.precision

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs; see `Backend.infer`."""
        raise NotImplementedError  # until the network lands

    def close(self) -> None:
        """Free the weights."""
