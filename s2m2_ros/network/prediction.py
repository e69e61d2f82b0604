"""What the network returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """Three maps of the left view, each (B, 1, h, w) float32.

    Attributes:
        disparity: column of the left pixel minus that of its match, in pixels of this map.
            At least 0 unless the network allows negative disparities.
        visibility: 1 visible in both views, 0 occluded or matching outside the right image.
        confidence: probability-like, trained toward 1 where the error is below 4 pixels.
    """

    disparity: Tensor
    visibility: Tensor
    confidence: Tensor

    def detached(self) -> Prediction:
        """Return the maps without their history: refinement does not train what it starts from."""
        return Prediction(*(maps.detach() for maps in self))


class Stages(NamedTuple):
    """Everything that losses need, differentiable; h = H/4, w = W/4.

    Disparities of maps at 1/4 are in pixels of those maps: multiply by 4 for input pixels.

    Attributes:
        probability: (B, h, w, w), the transport P: P[b, y, i, j] is the probability that left
            column i matches right column j; a row sums to at most 1, the rest is occlusion.
        matching: first estimate from the transport, maps (B, 1, h, w).
        global_disparity: (B, 1, h, w), the first estimate with its unmatched parts filled in.
        iterations: estimate after each refinement step, maps (B, 1, h, w).
        upsampled: last estimate ×4, before the edge-guided filter, maps (B, 1, H, W) with the
            disparity in input pixels.
        prediction: what ``forward`` returns, maps (B, 1, H, W).
    """

    probability: Tensor
    matching: Prediction
    global_disparity: Tensor
    iterations: tuple[Prediction, ...]
    upsampled: Prediction
    prediction: Prediction
