"""Steps of the local refinement on a GPU: the same as `refinement`, by fewer and larger operators.

Between the steps confidence and visibility are logits: the limits of the probabilities are limits
of the logits, so no step turns one into the other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from s2m2_ros.network import device_path
from s2m2_ros.network.device_upsampling import windows_within
from s2m2_ros.network.joined import join
from s2m2_ros.network.layers import to_maps, to_tokens
from s2m2_ros.network.lookup import look_up_twice
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.products import activate
from s2m2_ros.network.tables import kept

if TYPE_CHECKING:
    from s2m2_ros.network.refinement import ContextLayers, Refiner

DISPARITY_UNIT = 100.0
CORRELATION_UNIT = 16.0
# Confidence and visibility that a step reads are at least this far from 0 and from 1.
MARGIN = 0.01
LOGIT_CHANNELS = 32
# Features of the disparity, of the logits and of both look-ups.
_DISPARITY, _OTHERS = 96, 64 + 2 * 96
_VARYING = _DISPARITY + _OTHERS
_MAPS, _WINDOW, _LOOK_UPS = 3, 9, 18


class DeviceContext(NamedTuple):
    """What stays the same in all refinement steps on a GPU, left view at 1/4."""

    joined: Tensor  # (B, h, w, 96 + 256 + C), what the fusing layer reads, the context last
    correlation: Tensor  # (B, h, w, w) float32


class DeviceWeights(NamedTuple):
    """What a refinement step on a GPU makes of its weights.

    Two 1×1 layers without an activation between them are one.
    """

    disparity: Tensor  # (96, n), first layer of the disparity; n as in `_read`
    disparity_bias: Tensor
    others: Tensor  # (64 + 192, n), first layers of the logits and of both look-ups
    others_bias: Tensor
    fusing: Tensor  # (2C, 96 + 64 + 192 + C), of disparity, logits, look-ups and context
    fusing_bias: Tensor
    heads: Tensor  # (2C, C, 3, 3), first layer of both update heads
    heads_bias: Tensor
    updates: Tensor  # (3, 2C, 3, 3), second layer


class DeviceState(NamedTuple):
    """What a refinement step changes; the maps in their memory."""

    hidden: Tensor  # (B, C, h, w)
    padded: Tensor  # (B, 3, h + 2, w + 2) float32, the maps within a border of zeros

    @property
    def maps(self) -> Tensor:
        """(B, 3, h, w) float32: disparity, logits of visibility and of confidence."""
        return self.padded[..., 1:-1, 1:-1]


def shared_context(layers: ContextLayers, fused: Tensor, correlation: Tensor) -> DeviceContext:
    """Return what all steps share, the context where they read it.

    Args:
        layers: of the context.
        fused: (B, C, h, w), what they read.
        correlation: (B, h, w, w) float32.
    """
    tokens = to_tokens(fused)
    joined = tokens.new_empty(*tokens.shape[:-1], _VARYING + tokens.shape[-1])
    layers.write(joined[..., _VARYING:], tokens)
    return DeviceContext(joined, correlation)


def first_state(context: DeviceContext, estimate: Prediction) -> DeviceState:
    """Return the state before the first step."""
    hidden = to_maps(context.joined[..., _VARYING:].tanh())
    batch, _, height, width = estimate.disparity.shape
    padded = estimate.disparity.new_zeros(batch, _MAPS, height + 2, width + 2)
    state = DeviceState(hidden, padded)
    torch.cat(tuple(estimate), dim=1, out=state.maps)
    state.maps[:, 1:].logit_(eps=MARGIN)
    return state


def estimates(maps: Tensor, *, allow_negative: bool, unit: float = 1.0) -> Tensor:
    """Return disparity (in units of ``1 / unit`` pixels), visibility and confidence of a state.

    Args:
        maps: (B, 3, h, w), after a step.
        allow_negative: whether disparities may be negative.
        unit: by what the disparity is multiplied.

    Returns: maps (B, 3, h, w).
    """
    found = torch.empty_like(maps)
    torch.sigmoid(maps[:, 1:], out=found[:, 1:])
    disparity = found[:, :1]
    torch.clamp(maps[:, :1], min=-math.inf if allow_negative else 0.0, out=disparity)
    if unit != 1.0:
        disparity.mul_(unit)
    return found


def limit(maps: Tensor, *, allow_negative: bool) -> None:
    """Keep disparity and logits of a state in the limits of what a step reads."""
    maps.clamp_(*kept(_limits, allow_negative, maps.device))


def step(refiner: Refiner, state: DeviceState, context: DeviceContext) -> DeviceState:
    """Refine once from limited maps; what matches left of the image is called hidden."""
    made = DeviceWeights(*refiner.made(refiner.make_device_weights))
    features = _fuse(refiner, made, state, context)
    hidden = refiner.gru(state.hidden, refiner.refine_unet.at_quarter(features))
    padding = [1, 1]
    wide = activate(torch.conv2d(hidden, made.heads, made.heads_bias, padding=padding), 'gelu')
    maps = state.maps.add_(torch.conv2d(wide, made.updates, padding=padding))
    column = kept(_columns, maps.shape[-1], maps.device)
    maps[:, 1].masked_fill_(maps[:, 0] > column, -math.inf)
    return state._replace(hidden=hidden)


def _fuse(
    refiner: Refiner, made: DeviceWeights, state: DeviceState, context: DeviceContext
) -> Tensor:
    """Return the features (B, C, h, w) of the current estimate and of its costs."""
    read = _read(state, context)
    wide = device_path.gelu_product(read, made.disparity, made.disparity_bias)
    sources = (
        to_tokens(refiner.disp_feat.second(to_maps(wide))),
        device_path.gelu_product(read, made.others, made.others_bias),
    )
    joined = context.joined
    torch.cat(sources, dim=-1, out=joined[..., :_VARYING])
    mixed = device_path.gelu_product(joined, made.fusing, made.fusing_bias)
    return cast(Tensor, refiner.disp_corr_ctx_cat.second(to_maps(mixed)))


def _read(state: DeviceState, context: DeviceContext) -> Tensor:
    """Return what the first layers read, as tokens (B, h, w, n) in the type of the features.

    These are the 3×3 windows of the three maps, in parts that add up to float32, and the look-ups.
    """
    features = context.joined
    widths = [_MAPS * _WINDOW] * device_path.part_count(features.dtype) + [_LOOK_UPS]
    read = features.new_empty(*features.shape[:3], sum(widths))
    *parts, costs = torch.split(read, widths, dim=-1)
    device_path.write_parts(
        [part.view(*part.shape[:-1], _MAPS, 3, 3) for part in parts],
        windows_within(state.padded).permute(0, 2, 3, 1, 4, 5),
    )
    look_up_twice(costs, context.correlation, state.maps[:, :1], CORRELATION_UNIT)
    return read


def make_weights(refiner: Refiner) -> DeviceWeights:
    """Make the weights of a step."""
    heads = refiner.disp_update, refiner.conf_occ_update
    last = device_path.block_diagonal(*(pair.second.weight for pair in heads))[[0, 2, 1]]
    head_weight, head_bias = join(tuple(pair.first for pair in heads))
    return DeviceWeights(
        *_first_layers(refiner),
        *_fusing_layer(refiner),
        head_weight.contiguous(memory_format=torch.channels_last),
        device_path.bias_of(heads[0].first) if head_bias is None else head_bias,
        last.contiguous(memory_format=torch.channels_last),
    )


def _first_layers(refiner: Refiner) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return weight and bias of the disparity's first layer, and of the others, for `_read`."""
    disparity, logits = refiner.disp_feat.first, refiner.conf_occ_feat.first
    lookups = [pair.first for pair in (refiner.corr_feat1, refiner.corr_feat2)]
    dtype = disparity.weight.dtype
    count = device_path.part_count(dtype)
    # Disparities are in pixels. The published layers have confidence before visibility.
    of_maps = device_path.block_diagonal(
        disparity.weight.float().flatten(1) / DISPARITY_UNIT,
        logits.weight.flip(1).flatten(1).float(),
    )
    of_costs = device_path.block_diagonal(*(layer.weight.flatten(1) for layer in lookups))
    weight = device_path.block_diagonal(of_maps.to(dtype).repeat(1, count), of_costs)
    bias = torch.cat([device_path.bias_of(layer) for layer in (disparity, logits, *lookups)])
    own, own_bias = weight[:_DISPARITY].clone(), bias[:_DISPARITY].clone()
    return own, own_bias, weight[_DISPARITY:].clone(), bias[_DISPARITY:].clone()


def _fusing_layer(refiner: Refiner) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the fusing layer and of those before it, but the disparity's."""
    layer = refiner.disp_corr_ctx_cat.first
    weight = layer.weight.flatten(1).float()
    widths = [_DISPARITY, 64, 64, refiner.gru.convz1.weight.shape[0], LOGIT_CHANNELS]
    disparity, first, second, context, logits = torch.split(weight, widths, dim=1)
    bias = device_path.bias_of(layer).float()
    composed = []
    before = refiner.conf_occ_feat, refiner.corr_feat1, refiner.corr_feat2
    for part, pair in zip((logits, first, second), before, strict=True):
        composed.append(part @ pair.second.weight.flatten(1).float())
        bias = bias + part @ device_path.bias_of(pair.second).float()
    dtype = layer.weight.dtype
    return torch.cat((disparity, *composed, context), dim=1).to(dtype), bias.to(dtype)


def _limits(allow_negative: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the least and the largest values of maps, (3, 1, 1) each."""
    largest = math.log((1.0 - MARGIN) / MARGIN)
    lower = [-math.inf if allow_negative else 0.0, -largest, -largest]
    upper = [math.inf, largest, largest]
    least, most = (torch.tensor(values, device=device) for values in (lower, upper))
    return least.view(3, 1, 1), most.view(3, 1, 1)


def _columns(width: int, device: torch.device) -> Tensor:
    return torch.arange(width, device=device, dtype=torch.float32)
