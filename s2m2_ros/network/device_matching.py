"""Optimal transport between rows on a GPU: the same as `matching`, by fewer and larger operators.

The dustbins are a row and a column of the matrix, and the logarithm of a sum of exponentials is
what a log-softmax subtracts: one kernel, stable for any range. It is read where the score is 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.tables import kept

SINKHORN_ROUNDS = 3
MASKED = -1e4
WINDOW = 2
EPSILON = 1e-4


class _Tables(NamedTuple):
    """Constants for rows of a width w."""

    behind: Tensor  # (w, w) float32, MASKED where the disparity is negative, else 0
    marginals: Tensor  # (w + 1,) float32, logarithms
    pixel: Tensor  # (w,) float32
    window: Tensor  # (2·WINDOW + 1,) int64


def match_rows_on_device(rows: Tensor, *, allow_negative: bool) -> Prediction:
    """Match the pixels of rows: (R, w, w) correlations -> three (R, w) maps.

    Numbers are those of `matching.match_rows`, but for rounding.
    """
    width = rows.shape[-1]
    tables = kept(_tables, width, rows.device)
    scores, u, v = _transport(rows, tables, allow_negative=allow_negative)
    inner = scores[:, :width, :width]
    column = inner.argmax(dim=-1, keepdim=True) + tables.window
    inside = column.clamp(0, width - 1)
    offset = u[:, :width, None] + math.log(2 * width)
    p = inner.gather(-1, inside).add_(offset).exp_().mul_(column == inside)
    confidence = p.sum(dim=-1)
    mean = p.mul_(column).sum(dim=-1).add_(EPSILON).div_(confidence + EPSILON)
    # Each row of the transport sums to its marginal, so the dustbin has what the row has not.
    visibility = 1.0 - (offset[..., 0] + v[:, -1:]).exp_()
    return Prediction(tables.pixel - mean, visibility, confidence)


def _transport(
    rows: Tensor, tables: _Tables, *, allow_negative: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Solve the transport; see `matching.sinkhorn`.

    Returns: the scores with the potentials v added, (R, w + 1, w + 1), dustbins last, and the
        potentials u and v, (R, w + 1) each.
    """
    count, width, _ = rows.shape
    scores = rows.new_zeros(count, width + 1, width + 1)
    if allow_negative:
        scores[:, :width, :width] = rows
    else:
        torch.add(rows, tables.behind, out=scores[:, :width, :width])
    u = v = scores[:, -1]
    shifted = scores
    for index in range(SINKHORN_ROUNDS):
        if index:
            shifted = scores + u[..., None]
        sums = shifted.log_softmax(dim=-2)[:, -1]
        # What was added to the score of 0 minus the logarithm of the sum.
        v = torch.sub(sums, shifted[:, -1]).add_(tables.marginals)
        shifted = scores + v[:, None, :]
        sums = shifted.log_softmax(dim=-1)[..., -1]
        u = torch.sub(sums, shifted[..., -1]).add_(tables.marginals)
    return shifted, u, v


def _tables(width: int, device: torch.device) -> _Tables:
    behind = torch.full((width, width), MASKED, device=device).triu(1)
    marginals = torch.full((width + 1,), -math.log(2 * width), device=device)
    marginals[-1] = -math.log(2)
    return _Tables(
        behind,
        marginals,
        torch.arange(width, device=device, dtype=torch.float32),
        torch.arange(-WINDOW, WINDOW + 1, device=device),
    )
