"""Filling in and refining the disparity of the left view at 1/4."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network.layers import conv
from s2m2_ros.network.lookup import look_up
from s2m2_ros.network.precision import full_precision
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.unet import UNet

_DISPARITY_UNIT = 100.0
_CORRELATION_UNIT = 16.0
_TRUSTED = 0.2


def head(in_channels: int, hidden: int, out_channels: int, kernels: tuple[int, int]) -> nn.Module:
    """Return two convolutions with a GELU between them."""
    return nn.Sequential(
        conv(in_channels, hidden, kernels[0]), nn.GELU(), conv(hidden, out_channels, kernels[1])
    )


def logit(probability: Tensor, margin: float) -> Tensor:
    """Return log(p / (1 − p)) of p limited to margin … 1 − margin."""
    return probability.clamp(margin, 1.0 - margin).logit()


class GlobalRefiner(nn.Module):
    """Replace the disparity where the matching found nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.init_feat = head(2 + channels, channels, channels, (3, 1))
        self.refine_unet = UNet((channels, channels, channels), 1)
        self.out_feat = nn.Sequential(conv(channels, 1, 3))

    def forward(self, matching: Prediction, features: Tensor) -> Tensor:
        """Fill in where the confidence is at most 0.2.

        Args:
            matching: maps (B, 1, h, w) at 1/4.
            features: (B, C, h, w) of the left view.

        Returns: disparity (B, 1, h, w) float32, in pixels of the map.
        """
        trusted = matching.confidence > _TRUSTED
        confidence = logit(torch.where(trusted, matching.confidence, 0.0), 0.1)
        disparity = torch.where(trusted, matching.disparity, 0.0) / _DISPARITY_UNIT
        hints = torch.cat((disparity, confidence), dim=1).to(features.dtype)
        x = self.init_feat(torch.cat((hints, features), dim=1))
        filled = self.out_feat(self.refine_unet(x).quarter).float() * _DISPARITY_UNIT
        return torch.where(trusted, matching.disparity, filled)


class ConvGRU(nn.Module):
    """Gated recurrent unit with vertical and then horizontal convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for index, kernel in ((1, (3, 1)), (2, (1, 3))):
            for gate in 'zrq':
                self.add_module(f'conv{gate}{index}', conv(2 * channels, channels, kernel))

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        """(B, C, h, w), (B, C, h, w) -> the new hidden state (B, C, h, w)."""
        for index in '12':
            z, r, q = (self.get_submodule(f'conv{gate}{index}') for gate in 'zrq')
            both = torch.cat((hidden, x), dim=1)
            update = z(both).sigmoid_()
            reset = r(both).sigmoid_()
            candidate = q(torch.cat((reset * hidden, x), dim=1)).tanh_()
            hidden = torch.lerp(hidden, candidate, update)
        return hidden


class Context(NamedTuple):
    """What stays the same in all refinement steps, left view at 1/4."""

    share: Tensor  # (B, 2C, h, w), share of the context in the first fusing convolution
    correlation: Tensor  # (B, h, w, w) float32
    pooled: Tensor  # (B, h, w, w/2) float32


class State(NamedTuple):
    """What a refinement step changes."""

    hidden: Tensor  # (B, C, h, w)
    estimate: Prediction  # maps (B, 1, h, w) float32, disparity in pixels of the map


class Refiner(nn.Module):
    """One step of local refinement; the same weights serve every step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.disp_feat = head(1, 96, 96, (3, 3))
        self.corr_feat1 = head(9, 96, 64, (1, 1))
        self.corr_feat2 = head(9, 96, 64, (1, 1))
        self.conf_occ_feat = head(2, 64, 32, (3, 1))
        self.disp_corr_ctx_cat = head(256 + channels, 2 * channels, channels, (1, 3))
        self.refine_unet = UNet((channels, channels, 2 * channels), 1)
        self.disp_update = update_head(channels, 1)
        self.conf_occ_update = update_head(channels, 2)
        self.gru = ConvGRU(channels)

    def context_share(self, context: Tensor) -> Tensor:
        """Return what the context adds to the first fusing convolution, bias included."""
        layer = self.disp_corr_ctx_cat[0]
        channels = context.shape[1]
        weight = layer.weight[:, 224 : 224 + channels]
        return functional.conv2d(context, weight, layer.bias)

    def forward(self, state: State, context: Context) -> State:
        """Refine once: disparity, confidence and visibility change by small updates."""
        disparity, visibility, confidence = state.estimate
        logits = torch.cat((logit(confidence, 0.01), logit(visibility, 0.01)), dim=1)
        features = self._fuse(disparity, logits, context)
        hidden = self.gru(state.hidden, self.refine_unet(features).quarter)
        changed = (logits + self.conf_occ_update(hidden).float()).sigmoid()
        estimate = Prediction(
            disparity + self.disp_update(hidden).float(), changed[:, 1:], changed[:, :1]
        )
        return State(hidden, estimate)

    def _fuse(self, disparity: Tensor, logits: Tensor, context: Context) -> Tensor:
        full, pooled = self._read(disparity, context)
        dtype = context.share.dtype
        parts = (
            self._disparity_features(disparity / _DISPARITY_UNIT, dtype),
            self.corr_feat1(full.to(dtype)),
            self.corr_feat2(pooled.to(dtype)),
            self.conf_occ_feat(logits.to(dtype)),
        )
        first, activation, second = self.disp_corr_ctx_cat
        weight = first.weight
        varying = torch.cat((weight[:, :224], weight[:, -32:]), dim=1)
        mixed = functional.conv2d(torch.cat(parts, dim=1), varying).add_(context.share)
        return second(activation(mixed))

    def _read(self, disparity: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Return both cost look-ups, (B, 9, h, w) float32 each."""
        column = torch.arange(disparity.shape[-1], device=disparity.device) - disparity
        full = look_up(context.correlation, column)
        pooled = look_up(context.pooled, column / 2)
        return full / _CORRELATION_UNIT, pooled / _CORRELATION_UNIT

    def _disparity_features(self, scaled: Tensor, dtype: torch.dtype) -> Tensor:
        """Embed the disparity; its first layer is float32, as differences of pixels matter."""
        first, activation, second = self.disp_feat
        with full_precision(scaled):
            wide = functional.conv2d(scaled, first.weight.float(), first.bias.float(), padding=1)
        return second(activation(wide).to(dtype))


def update_head(channels: int, out_channels: int) -> nn.Sequential:
    """Return the two convolutions from the hidden state to an update."""
    return nn.Sequential(
        conv(channels, channels, 3),
        nn.GELU(),
        nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
    )


def bound(estimate: Prediction, *, allow_negative: bool) -> Prediction:
    """Limit the disparity to what is allowed, and call hidden what matches left of the image."""
    disparity = estimate.disparity if allow_negative else estimate.disparity.clamp_min(0.0)
    column = torch.arange(disparity.shape[-1], device=disparity.device)
    visible = torch.where(column >= disparity, estimate.visibility, 0.0)
    return Prediction(disparity, visible, estimate.confidence)
