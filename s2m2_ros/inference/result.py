"""What matching one stereo pair gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from s2m2_ros.inference.hardware.timing import StageTimings


@dataclass(frozen=True, eq=False)
class MatchResult:
    """The three maps of one pair, each float32 (H, W) of the left image's size, on one device.

    The networks fill every pixel with finite values. The `sgbm` backend has pixels without a
    match: there `disparity` is NaN, `confidence` 0 and `visibility` 0. Consumers treat any
    non-finite disparity as unknown.

    Attributes:
        disparity: x_left - x_right in pixels of the images that were given, whatever size the
            network worked at. Never negative unless the matcher was opened with `allow_negative`.
        visibility: in [0, 1]; 1 seen by both cameras, 0 occluded in the right view or outside it.
        confidence: in [0, 1]; the probability that the disparity is wrong by less than 4 pixels.
        timings: durations of the stages, if the match was called with `timed=True`.
        image: the left image on a CUDA device, (H, W, C), C 1 or 3, uint8 or float32 in 0..255,
            so that it need not be uploaded again; None elsewhere.
        agreement: int8 (H, W) of `confidence_tables.Agreement`, what semi-global matching says of
            each pixel; None where it refines nothing.

    """

    disparity: torch.Tensor
    visibility: torch.Tensor
    confidence: torch.Tensor
    timings: StageTimings | None = None
    image: torch.Tensor | None = None
    agreement: torch.Tensor | None = None

    def cpu(self) -> MatchResult:
        """Return the same maps in host memory; waits for the device."""
        return MatchResult(
            self.disparity.cpu(),
            self.visibility.cpu(),
            self.confidence.cpu(),
            self.timings,
            agreement=None if self.agreement is None else self.agreement.cpu(),
        )
