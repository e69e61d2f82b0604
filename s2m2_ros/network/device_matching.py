"""Optimal transport between rows on a GPU: the same as `matching`, by fewer and larger operators.

The dustbins are a row and a column of the matrix. Solving the transport means to give columns and
rows in turn the sums that they should have; in logarithms that is a log-softmax: one kernel,
stable for any range. Of the marginals only the weight of a dustbin beside that of a pixel
matters, as what all have in common is taken out by the next log-softmax.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.tables import kept

SINKHORN_ROUNDS = 3
MASKED = -1e4
WINDOW = 2
EPSILON = 1e-4


class _Tables(NamedTuple):
    """Constants for rows of a width w."""

    behind: Tensor  # (w, w) float32, MASKED where the disparity is negative, else 0
    window: Tensor  # (w, 2·WINDOW + 1) int64, columns around each; w where there is none
    pixel: Tensor  # (w, 1) float32
    sums: Tensor  # (2·WINDOW + 1, 3) float32, see `_window_means`
    sums_bias: Tensor  # (3,) float32


def match_rows_on_device(rows: Tensor, *, allow_negative: bool) -> Prediction:
    """Match the pixels of rows: (R, w, w) correlations -> three (R, w) maps.

    Numbers are those of `matching.match_rows`, but for rounding.
    """
    count, width, _ = rows.shape
    tables = kept(_tables, width, rows.device)
    scores = transport(rows, allow_negative=allow_negative)[:, :width]
    dustbin = scores[..., -1]
    # Each row of the transport sums to its marginal, so the dustbin has what the row has not.
    # That is 1 − exp of what is at most 0, for which one kernel is the ELU.
    visibility = functional.elu(dustbin, alpha=-1.0)
    # Now this is the column to read where the window ends.
    dustbin.fill_(-math.inf)
    best = scores.argmax(dim=-1, keepdim=True)
    index = tables.window.index_select(0, best.flatten()).view(count, width, -1)
    p = scores.gather(-1, index).exp_()
    disparity, confidence = _window_means(p, best, tables)
    return Prediction(disparity, visibility, confidence)


def _window_means(p: Tensor, best: Tensor, tables: _Tables) -> tuple[Tensor, Tensor]:
    """Return the disparity and the confidence of rows, (R, w) each.

    The mean column is (ε + Σ p·(best + k)) / (ε + c), where c is Σ p. That is the best column
    plus (ε·(1 − best) + Σ p·k) / (ε + c). One product gives c, ε + c and ε + Σ p·k.

    Args:
        p: (R, w, 2·WINDOW + 1), probabilities.
        best: (R, w, 1) int64, the column in the middle.
        tables: for this width.
    """
    sums = torch.addmm(tables.sums_bias, p.view(-1, p.shape[-1]), tables.sums)
    confidence, total, moment = sums.view(*p.shape[:2], 3, 1).unbind(dim=-2)
    moment = torch.sub(moment, best, alpha=EPSILON)
    disparity = torch.sub(tables.pixel, best).addcdiv_(moment, total, value=-1.0)
    return disparity.squeeze(-1), confidence.squeeze(-1)


def transport(rows: Tensor, *, allow_negative: bool) -> Tensor:
    """Solve the transport of `matching.sinkhorn`: (R, w, w) -> (R, w + 1, w + 1).

    Returns: logarithms of the transport, dustbins last, in units of a pixel's marginal 1/2w.
    """
    count, width, _ = rows.shape
    scores = rows.new_empty(count, width + 1, width + 1)
    scores[:, -1] = 0.0
    if allow_negative:
        scores[:, :width, :width] = rows
    else:
        tables = kept(_tables, width, rows.device)
        torch.add(rows, tables.behind, out=scores[:, :width, :width])
    for index in range(SINKHORN_ROUNDS):
        if index:
            scores[:, -1].add_(math.log(width))
        scores = scores.log_softmax(dim=-2)
        if index:
            scores[..., -1].add_(math.log(width))
        else:
            # The dustbins of the rows are zeros at first, which need not be written before.
            scores[..., -1] = math.log(width) - math.log(width + 1)
        scores = scores.log_softmax(dim=-1)
    return scores


def _tables(width: int, device: torch.device) -> _Tables:
    behind = torch.full((width, width), MASKED, device=device).triu(1)
    column = torch.arange(width, device=device)
    steps = torch.arange(-WINDOW, WINDOW + 1, device=device)
    window = column[:, None] + steps
    moments = steps.to(torch.float32)
    ones = torch.ones_like(moments)
    return _Tables(
        behind,
        torch.where((window >= 0) & (window < width), window, width),
        column.to(torch.float32)[:, None],
        torch.stack((ones, ones, moments), dim=1),
        torch.tensor([0.0, EPSILON, EPSILON], device=device),
    )
