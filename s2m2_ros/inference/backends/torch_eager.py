"""The `torch` backend: the network as it stands, run by PyTorch operation by operation."""

from __future__ import annotations

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.network import PaddedBackend, load_for_inference
from s2m2_ros.inference.engines.versions import OLDEST_TORCH, torch_too_old


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    del options
    return torch_too_old(OLDEST_TORCH, 'the network')


def open_backend(options: BackendOptions) -> Backend:
    """Load the network."""
    return PaddedBackend('torch', load_for_inference(options), options)
