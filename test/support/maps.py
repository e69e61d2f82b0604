"""Maps as a matcher returns them, for tests of geometry."""

from __future__ import annotations

import torch

from s2m2_ros.inference import MatchResult


def maps(
    disparity: torch.Tensor,
    visibility: torch.Tensor | None = None,
    confidence: torch.Tensor | None = None,
) -> MatchResult:
    """Return maps of this disparity, visible and confident everywhere unless told otherwise."""
    sure = torch.ones_like(disparity)
    return MatchResult(
        disparity,
        sure if visibility is None else visibility,
        sure if confidence is None else confidence,
    )
