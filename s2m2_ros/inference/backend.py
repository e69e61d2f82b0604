"""The one small interface between `StereoMatcher` and whatever computes a disparity."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from s2m2_ros.inference.padding import PaddingMode
from s2m2_ros.inference.sgbm_options import SgbmOptions

PRECISIONS = {
    'float32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


class Maps(NamedTuple):
    """What a backend returns for a batch: each (B, H, W) float32, on the backend's device."""

    disparity: torch.Tensor
    visibility: torch.Tensor
    confidence: torch.Tensor


@dataclass(frozen=True)
class BackendOptions:
    """What a backend is opened with; no value is 'auto'.

    Attributes:
        checkpoint: file of the weights; None for a backend that needs none.
        device: where images are expected and results are left.
        precision: a key of `PRECISIONS`, that of convolutions and attention.
        refine_iterations: number of local refinement steps, >= 0.
        allow_negative: whether disparities below 0 may come out.
        cache_folder: where engines and compiled code are kept between runs.
        padding: that which the network was trained for, where a size is no multiple of 32.
        sgbm: how the `sgbm` backend matches.

    """

    checkpoint: Path | None
    device: torch.device
    precision: str
    refine_iterations: int
    allow_negative: bool
    cache_folder: Path
    padding: PaddingMode = 'center'
    sgbm: SgbmOptions = field(default_factory=SgbmOptions)


@runtime_checkable
class Backend(Protocol):
    """A way to compute disparity, e.g. the network under torch, or semi-global matching.

    `name` is one of the keys of `s2m2_ros.inference.registry.BACKENDS`, `precision` a key of
    `PRECISIONS`, `device` where images go in and maps come out.
    """

    name: str
    precision: str
    device: torch.device

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B rectified pairs.

        Args:
            left: (B, C, H, W) on `device`, C 1 (gray) or 3 (RGB), uint8 or float32, values
                0..255, H and W >= 32 of any remainder. Never written to.
            right: the same shape and type.

        Returns:
            Fresh tensors that a later call does not overwrite.

        """

    def close(self) -> None:
        """Free the device memory; the backend is not used afterwards."""
