"""All-pairs matching along rows: correlation, optimal transport, the first disparity.

All of it is float32, whatever the precision of the features.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path
from s2m2_ros.network.bands import banding_pays
from s2m2_ros.network.device_matching import (
    EPSILON,
    MASKED,
    SINKHORN_ROUNDS,
    WINDOW,
    match_rows_on_device,
)
from s2m2_ros.network.joined import KeepsWeights, MadeTensors
from s2m2_ros.network.layers import halves, to_tokens
from s2m2_ros.network.precision import full_precision
from s2m2_ros.network.prediction import Prediction

_NEGLIGIBLE = -80.0
# Entries of the volume that one pass of Sinkhorn takes: 1 MiB stays in a core's second cache.
_CHUNK_ENTRIES_CPU = 1 << 20


class Potentials(NamedTuple):
    """Result of Sinkhorn for R rows of width w, without and with the dustbins.

    log P_ij = s_ij + u_i + v_j + log 2w, where s of a dustbin is 0.
    """

    u: Tensor  # (R, w)
    v: Tensor  # (R, w)
    v_dustbin: Tensor  # (R, 1)


class Matcher(KeepsWeights):
    """Match the rows of the left map with those of the right map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels)
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the float32 weights of the normalization."""
        self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, ...]:
        return self.layer_norm.weight.float(), self.layer_norm.bias.float()

    def correlate(self, features: Tensor) -> Tensor:
        """Correlate the normalized features of every two pixels of a row.

        Args:
            features: (2B, C, h, w), left images first.

        Returns: (B, h, w, w) float32, unscaled and unmasked; the last axis is the right column.
        """
        with full_precision(features):
            tokens = to_tokens(features).float()
            weight, bias = self.made(self._make)
            normed = functional.layer_norm(
                tokens, tokens.shape[-1:], weight, bias, self.layer_norm.eps
            )
            left, right = halves(normed)
            return left @ right.transpose(-1, -2)

    def forward(self, correlation: Tensor, *, allow_negative: bool) -> Prediction:
        """Match by transport: (B, h, w, w) -> maps (B, 1, h, w), disparity in map pixels."""
        rows = correlation.flatten(0, 1)
        shape = (correlation.shape[0], 1, *correlation.shape[1:3])
        if device_path.serves(rows):
            found = match_rows_on_device(rows, allow_negative=allow_negative)
            return Prediction(*(maps.view(shape) for maps in found))
        chunks: tuple[Tensor, ...] = (rows,)
        if banding_pays(rows):
            chunks = torch.split(rows, max(1, _CHUNK_ENTRIES_CPU // rows[0].numel()))
        parts = [match_rows(chunk, allow_negative=allow_negative) for chunk in chunks]
        return Prediction(*(torch.cat(maps).view(shape) for maps in zip(*parts, strict=True)))

    def probability(self, correlation: Tensor, *, allow_negative: bool) -> Tensor:
        """Return all P_ij: (B, h, w, w) -> (B, h, w, w), 0 where masked."""
        rows = correlation.flatten(0, 1)
        scores = masked_scores(rows, allow_negative=allow_negative)
        potentials = sinkhorn(scores)
        log_p = scores + potentials.u[..., None] + potentials.v[..., None, :]
        p = (log_p + math.log(2 * rows.shape[-1])).exp()
        if not allow_negative:
            p = p.tril()
        return p.view(correlation.shape)


def match_rows(rows: Tensor, *, allow_negative: bool) -> Prediction:
    """Match the pixels of rows: (R, w, w) correlations -> three (R, w) maps.

    The disparity i − Σ P·j is taken over a window of five columns around the most probable
    match, its weights being the probabilities P; where nothing matches, it tends to i − 1.
    """
    width = rows.shape[-1]
    scores = masked_scores(rows, allow_negative=allow_negative)
    u, v, v_dustbin = sinkhorn(scores)
    best = (scores + v[:, None, :]).argmax(dim=-1, keepdim=True)
    column = best + torch.arange(-WINDOW, WINDOW + 1, device=rows.device)
    pixel = torch.arange(width, device=rows.device)[:, None]
    known = (column >= 0) & (column < (width if allow_negative else pixel + 1))
    inside = column.clamp(0, width - 1)
    v_window = v[:, None, :].expand_as(scores).gather(-1, inside)
    log_p = scores.gather(-1, inside) + u[..., None] + v_window + math.log(2 * width)
    p = torch.where(known, log_p.exp(), 0.0)
    confidence = p.sum(dim=-1)
    mean = ((p * column).sum(dim=-1) + EPSILON) / (confidence + EPSILON)
    # Each row of the transport sums to its marginal, so the dustbin has what the row has not.
    visibility = 1.0 - (u + v_dustbin + math.log(2 * width)).exp()
    return Prediction(pixel[:, 0] - mean, visibility, confidence)


def masked_scores(rows: Tensor, *, allow_negative: bool) -> Tensor:
    """Return correlations (..., w, w) with disparities below 0 excluded unless allowed."""
    if allow_negative:
        return rows
    width = rows.shape[-1]
    behind = torch.ones(width, width, dtype=torch.bool, device=rows.device).triu(1)
    return rows.masked_fill(behind, MASKED)


def sinkhorn(scores: Tensor) -> Potentials:
    """Solve entropic optimal transport with dustbins, three rounds, columns first.

    The problem is that of the (w + 1) × (w + 1) matrix with a row and a column of zeros added
    to the scores, marginals 1/2w for pixels and 1/2 for the dustbins. It is solved in the log
    domain, which no range of scores can underflow, and the dustbins are kept apart instead of
    being copied in.

    Args:
        scores: (R, w, w) float32.
    """
    width = scores.shape[-1]
    marginal, marginal_dustbin = -math.log(2 * width), -math.log(2)
    u = scores.new_zeros(scores.shape[:-1])
    u_dustbin = scores.new_zeros(scores.shape[0], 1)
    v, v_dustbin = u, u_dustbin
    for index in range(SINKHORN_ROUNDS):
        columns = scores if index == 0 else scores + u[..., None]
        v = marginal - log_add_exp(log_sum_exp(columns, -2), u_dustbin)
        v_dustbin = marginal_dustbin - log_add_exp(log_sum_exp(u, -1)[:, None], u_dustbin)
        u = marginal - log_add_exp(log_sum_exp(scores + v[:, None, :], -1), v_dustbin)
        u_dustbin = marginal_dustbin - log_add_exp(log_sum_exp(v, -1)[:, None], v_dustbin)
    return Potentials(u, v, v_dustbin)


def log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """Return log Σ exp(x) along one axis, stable for any range of x.

    Written out, because ``torch.logsumexp`` becomes ``ReduceLogSumExp`` in exported files, which
    TensorRT's parser builds without subtracting the maximum. Terms below e⁻⁸⁰ of the largest are
    raised to that, which float32 cannot distinguish: exponentials that underflow are an order of
    magnitude slower on processors.
    """
    largest = x.detach().amax(dim=dim, keepdim=True)
    below = x - largest
    if x.device.type == 'cpu' or torch.compiler.is_compiling():
        below = below.clamp_min_(_NEGLIGIBLE)
    total = below.exp_().sum(dim=dim)
    return total.log().add_(largest.squeeze(dim))


def log_add_exp(a: Tensor, b: Tensor) -> Tensor:
    """Return log(exp(a) + exp(b)), stable for any a and b.

    Written out for compilers, because ``torch.logaddexp`` is exported as
    ``Log(Add(Exp(a), Exp(b)))``, which overflows above 88.
    """
    if not torch.compiler.is_compiling():
        return torch.logaddexp(a, b)
    return torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))
