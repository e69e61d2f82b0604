"""Filling in and refining the disparity of the left view at 1/4."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from s2m2_ros.network import device_path
from s2m2_ros.network.bands import in_bands, in_overlapping_bands
from s2m2_ros.network.device_refinement import (
    CORRELATION_UNIT,
    DISPARITY_UNIT,
    LOGIT_CHANNELS,
    MARGIN,
    DeviceWeights,
    make_weights,
)
from s2m2_ros.network.device_upsampling import empty_maps
from s2m2_ros.network.joined import KeepsWeights, MadeTensors
from s2m2_ros.network.layers import (
    ConvPair,
    apply_conv,
    conv,
    conv_pair,
    to_maps,
    to_tokens,
)
from s2m2_ros.network.lookup import look_up, pool_columns
from s2m2_ros.network.precision import full_precision, in_full_precision
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.products import activate, convolve, product, project
from s2m2_ros.network.recurrent import ConvGRU
from s2m2_ros.network.tables import kept
from s2m2_ros.network.unet import OuterUNet

_TRUSTED = 0.2
# The confidence of what is not trusted, and the least of all.
_UNTRUSTED = 0.1
# Inputs of the first fusing convolution: 96 + 64 + 64 channels, the context, then the logits.
_CONTEXT_AT = 224


def logit(probability: Tensor, margin: float) -> Tensor:
    """Return log(p / (1 − p)) of p limited to margin … 1 − margin."""
    return probability.clamp(margin, 1.0 - margin).logit()


class GlobalRefiner(KeepsWeights):
    """Replace the disparity where the matching found nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.init_feat = conv_pair(2 + channels, channels, channels, (3, 1))
        self.refine_unet = OuterUNet((channels, channels, channels), 1)
        self.out_feat = nn.Sequential(conv(channels, 1, 3))
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make weights for disparities in pixels."""
        self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, ...]:
        first, last = self.init_feat.first, cast(nn.Conv2d, self.out_feat[0])
        weight = first.weight.clone(memory_format=torch.channels_last)
        weight[:, 0] /= DISPARITY_UNIT
        return (
            weight,
            device_path.bias_of(first),
            (last.weight * DISPARITY_UNIT).contiguous(memory_format=torch.channels_last),
            device_path.bias_of(last) * DISPARITY_UNIT,
        )

    def forward(self, matching: Prediction, features: Tensor) -> Tensor:
        """Fill in where the confidence is at most 0.2.

        Args:
            matching: maps (B, 1, h, w) at 1/4.
            features: (B, C, h, w) of the left view.

        Returns: disparity (B, 1, h, w) float32, in pixels of the map.
        """
        trusted = matching.confidence > _TRUSTED
        if device_path.serves(features):
            filled = self._fill_on_device(matching, trusted, features)
            return torch.where(trusted, matching.disparity, filled)
        confidence = logit(torch.where(trusted, matching.confidence, 0.0), _UNTRUSTED)
        disparity = torch.where(trusted, matching.disparity, 0.0) / DISPARITY_UNIT
        hints = torch.cat((disparity, confidence), dim=1).to(features.dtype)
        x = self.init_feat(torch.cat((hints, features), dim=1))
        filled = self.out_feat(self.refine_unet.at_quarter(x)).float() * DISPARITY_UNIT
        return torch.where(trusted, matching.disparity, filled)

    def _fill_on_device(self, matching: Prediction, trusted: Tensor, features: Tensor) -> Tensor:
        """Return a disparity for all pixels, (B, 1, h, w), in the type of the features."""
        weight, bias, last, last_bias = self.made(self._make)
        batch, channels, height, width = features.shape
        shape = batch, 2 + channels, height, width
        joined = empty_maps(shape, features.dtype, features.device)
        torch.mul(matching.disparity, trusted, out=joined[:, :1])
        torch.logit(matching.confidence * trusted, eps=_UNTRUSTED, out=joined[:, 1:2])
        joined[:, 2:] = features
        layer = self.init_feat.first
        wide = convolve(joined, layer, 'gelu', (weight, bias))
        x = apply_conv(self.init_feat.second, wide)
        del joined, wide
        return torch.conv2d(self.refine_unet.at_quarter(x), last, last_bias, padding=[1, 1])


class ContextLayers(ConvPair, KeepsWeights):
    """The two 1×1 layers that give the context."""

    def __init__(self, channels: int) -> None:
        super().__init__(conv(channels, channels, 1), conv(channels, channels, 1))
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the second layer take its bias from a channel of the first."""
        self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, ...]:
        return device_path.chain(self.first, self.second)

    def write(self, out: Tensor, tokens: Tensor) -> None:
        """Write the context of tokens (B, h, w, C) to some channels of wider tokens on a GPU.

        A product without a bias is written there by the kernel itself.
        """
        weight, bias, last = self.made(self._make)
        hidden = device_path.matrix(device_path.gelu_product(tokens, weight, bias))
        torch.mm(hidden, last.t(), out=out.flatten(0, 2))


class Context(NamedTuple):
    """What stays the same in all refinement steps, left view at 1/4."""

    part: Tensor  # (B, 2C, h, w), what the context adds in the first fusing convolution
    correlation: Tensor  # (B, h, w, w) float32
    pooled: Tensor  # (B, h, w, w/2) float32


class State(NamedTuple):
    """What a refinement step changes."""

    hidden: Tensor  # (B, C, h, w)
    estimate: Prediction  # maps (B, 1, h, w) float32, disparity in pixels of the map


class Refiner(KeepsWeights):
    """One step of local refinement; the same weights serve every step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.disp_feat = conv_pair(1, 96, 96, (3, 3))
        self.corr_feat1 = conv_pair(9, 96, 64, (1, 1))
        self.corr_feat2 = conv_pair(9, 96, 64, (1, 1))
        self.conf_occ_feat = conv_pair(2, 64, 32, (3, 1))
        self.disp_corr_ctx_cat = conv_pair(256 + channels, 2 * channels, channels, (1, 3))
        self.refine_unet = OuterUNet((channels, channels, 2 * channels), 1)
        self.disp_update = update_head(channels, 1)
        self.conf_occ_update = update_head(channels, 2)
        self.gru = ConvGRU(channels)
        self.made = MadeTensors()

    def keep_device_weights(self) -> None:
        """Make the joined layers of a step."""
        self.made.keep(self.make_device_weights)

    def context(self, features: Tensor, correlation: Tensor) -> Context:
        """Return what all steps share.

        Args:
            features: (B, C, h, w), the context.
            correlation: (B, h, w, w) float32.
        """
        return Context(self.context_part(features), correlation, pool_columns(correlation))

    def context_part(self, context: Tensor) -> Tensor:
        """Return what the context adds to the first fusing convolution, bias included."""
        layer = self.disp_corr_ctx_cat.first
        channels = context.shape[1]
        weight = layer.weight.flatten(1)[:, _CONTEXT_AT : _CONTEXT_AT + channels]
        return to_maps(product(to_tokens(context), weight.contiguous(), layer.bias))

    def forward(self, state: State, context: Context) -> State:
        """Refine once: disparity, confidence and visibility change by small updates."""
        disparity, visibility, confidence = state.estimate
        logits = torch.cat((logit(confidence, MARGIN), logit(visibility, MARGIN)), dim=1)
        features = self._fuse(disparity, logits, context)
        hidden = self.gru(state.hidden, self.refine_unet.at_quarter(features))
        updates = in_overlapping_bands(self._updates, hidden, halo=2)
        changed = (logits + updates[:, 1:]).sigmoid()
        estimate = Prediction(disparity + updates[:, :1], changed[:, 1:], changed[:, :1])
        return State(hidden, estimate)

    def _updates(self, hidden: Tensor) -> Tensor:
        """Return what is added to the disparity and to both logits: (B, 3, h, w) float32."""
        heads = self.disp_update, self.conf_occ_update
        return torch.cat([head(hidden).float() for head in heads], dim=1)

    def make_device_weights(self) -> DeviceWeights:
        """Make the joined layers of a step on a GPU."""
        return make_weights(self)

    def _fuse(self, disparity: Tensor, logits: Tensor, context: Context) -> Tensor:
        """Return the features (B, C, h, w) of the current estimate and of its costs."""
        full, pooled = self._read(disparity, context)
        dtype = context.part.dtype
        sources = (
            self._disparity_features(disparity / DISPARITY_UNIT, dtype),
            full.to(dtype),
            pooled.to(dtype),
            apply_conv(self.conf_occ_feat.first, logits.to(dtype), gelu=True),
            context.part,
        )
        mixed = in_bands(self._mix, *map(to_tokens, sources))
        return apply_conv(self.disp_corr_ctx_cat.second, to_maps(mixed))

    def _mix(
        self, disparity: Tensor, full: Tensor, pooled: Tensor, logits: Tensor, part: Tensor
    ) -> Tensor:
        """Embed what is looked up and join it with the rest: tokens (B, rows, w, 2C)."""
        parts = (
            disparity,
            project(project(full, self.corr_feat1.first, gelu=True), self.corr_feat1.second),
            project(project(pooled, self.corr_feat2.first, gelu=True), self.corr_feat2.second),
            project(logits, self.conf_occ_feat.second),
        )
        weight = self.disp_corr_ctx_cat.first.weight.flatten(1)
        varying = torch.cat((weight[:, :_CONTEXT_AT], weight[:, -LOGIT_CHANNELS:]), dim=1)
        mixed = product(torch.cat(parts, dim=-1), varying, None, add=part)
        return activate(mixed, 'gelu')

    def _read(self, disparity: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Return both cost look-ups, (B, 9, h, w) float32 each."""
        column = kept(columns, disparity.shape[-1], disparity.device) - disparity
        full = look_up(context.correlation, column)
        pooled = look_up(context.pooled, column / 2)
        return full / CORRELATION_UNIT, pooled / CORRELATION_UNIT

    def _disparity_features(self, scaled: Tensor, dtype: torch.dtype) -> Tensor:
        """Embed the disparity; its first layer is float32, as differences of pixels matter."""
        first = self.disp_feat.first
        with full_precision(scaled):
            wide = in_full_precision(first, scaled, first.weight)
        return apply_conv(self.disp_feat.second, activate(wide, 'gelu').to(dtype))


def columns(width: int, device: torch.device) -> Tensor:
    """Return the columns of a map: (w,) int64."""
    return torch.arange(width, device=device)


def update_head(channels: int, out_channels: int) -> ConvPair:
    """Return the two convolutions from the hidden state to an update."""
    last = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    return ConvPair(conv(channels, channels, 3), last)


def bound(estimate: Prediction, *, allow_negative: bool) -> Prediction:
    """Limit the disparity to what is allowed, and call hidden what matches left of the image."""
    disparity = estimate.disparity if allow_negative else estimate.disparity.clamp_min(0.0)
    column = kept(columns, disparity.shape[-1], disparity.device)
    visible = torch.where(column >= disparity, estimate.visibility, 0.0)
    return Prediction(disparity, visible, estimate.confidence)
