"""The network as every backend loads it, and the padding around whatever form runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from s2m2_ros.inference.backend import PRECISIONS, BackendOptions, Maps
from s2m2_ros.inference.backends.devices import on_device
from s2m2_ros.inference.errors import ClosedError, InferenceError
from s2m2_ros.inference.hardware.float32_arithmetic import without_tf32
from s2m2_ros.inference.padding import Padding, PaddingMode
from s2m2_ros.network import S2M2, load_network, prepare_for_inference

# Takes (B, 3, H', W') float32 images in 0..255, H' and W' multiples of 32; returns disparity,
# visibility and confidence, each (B, 1, H', W') float32.
Network = Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor]]


def load_for_inference(options: BackendOptions) -> S2M2:
    """Return the network as `load_for_export` does, prepared to run."""
    network = load_for_export(options)
    prepare_for_inference(network)
    return network


def load_for_export(options: BackendOptions) -> S2M2:
    """Return the network on the device, in the precision asked for, without gradients.

    Raises CheckpointError if the file is not a checkpoint.
    """
    if options.checkpoint is None:
        raise InferenceError('this backend needs a checkpoint')
    network = load_network(
        options.checkpoint,
        refine_iterations=options.refine_iterations,
        allow_negative=options.allow_negative,
        device=options.device,
    )
    # Coordinates, matching and disparity stay float32 inside whatever the parameters' type is.
    return network.to(PRECISIONS[options.precision]).requires_grad_(False)


class PaddedBackend:
    """Pads, runs the network in whatever form it has, crops."""

    def __init__(self, name: str, network: Network, options: BackendOptions) -> None:
        self.name = name
        self.device = options.device
        self.precision = options.precision
        self._padding = options.padding
        self._network: Network | None = network

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs; see `Backend.infer`."""
        if self._network is None:
            raise ClosedError
        with on_device(self.device), self._arithmetic():
            return match_padded(self._network, left, right, self._padding)

    def close(self) -> None:
        """Free the network."""
        self._network = None

    def _arithmetic(self) -> AbstractContextManager[object]:
        return without_tf32() if self.precision == 'float32' else nullcontext()


def match_padded(
    network: Network, left: torch.Tensor, right: torch.Tensor, mode: PaddingMode = 'center'
) -> Maps:
    """Pad, run `network`, and crop; arguments and result are those of `Backend.infer`."""
    padding = Padding(left.shape[-2], left.shape[-1], mode)
    maps = network(padding.pad(_as_rgb(left)), padding.pad(_as_rgb(right)))
    disparity, visibility, confidence = (padding.crop(m)[:, 0].contiguous() for m in maps)
    return Maps(disparity, visibility, confidence)


def _as_rgb(images: torch.Tensor) -> torch.Tensor:
    """Return (B, 3, H, W) images, gray ones with three equal channels."""
    return images.expand(-1, 3, -1, -1)
