"""Steps of the local refinement on a GPU: the same as `refinement`, by fewer and larger operators.

Between the steps confidence and visibility are logits: the limits of the probabilities are limits
of the logits, so no step turns one into the other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.network import device_path
from s2m2_ros.network.joined import join
from s2m2_ros.network.layers import to_maps, to_tokens
from s2m2_ros.network.lookup import look_up_twice
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.products import activate
from s2m2_ros.network.tables import kept

if TYPE_CHECKING:
    from s2m2_ros.network.refinement import Refiner

DISPARITY_UNIT = 100.0
CORRELATION_UNIT = 16.0
# Confidence and visibility that a step reads are at least this far from 0 and from 1.
MARGIN = 0.01
LOGIT_CHANNELS = 32


class DeviceContext(NamedTuple):
    """What stays the same in all refinement steps on a GPU, left view at 1/4."""

    features: Tensor  # (B, h, w, C), tokens of the context
    correlation: Tensor  # (B, h, w, w) float32


class DeviceWeights(NamedTuple):
    """What a refinement step on a GPU makes of its weights.

    Two 1×1 layers without an activation between them are one.
    """

    maps: Tensor  # (160, 3, 3, 3) float32, first layers of disparity (in pixels) and of logits
    maps_bias: Tensor  # float32
    disparity: Tensor  # (96, 160, 3, 3), second layer of the disparity
    disparity_bias: Tensor
    costs: Tensor  # (192, 18), first layer of both look-ups
    costs_bias: Tensor
    fusing: Tensor  # (2C, 96 + 192 + 64 + C), of disparity, look-ups, logits and context
    fusing_bias: Tensor
    heads: Tensor  # (2C, C, 3, 3), first layer of both update heads
    heads_bias: Tensor
    updates: Tensor  # (3, 2C, 3, 3), second layer


class DeviceState(NamedTuple):
    """What a refinement step changes."""

    hidden: Tensor  # (B, C, h, w)
    maps: Tensor  # (B, 3, h, w) float32: disparity, logits of visibility and of confidence


def first_state(hidden: Tensor, estimate: Prediction) -> DeviceState:
    """Return the state before the first step."""
    maps = torch.cat(tuple(estimate), dim=1)
    maps[:, 1:].logit_(eps=MARGIN)
    return DeviceState(hidden, maps)


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


def limited(maps: Tensor, *, allow_negative: bool) -> Tensor:
    """Return maps of a state with disparity and logits in the limits of what a step reads."""
    lower, upper = kept(_limits, allow_negative, maps.device)
    return torch.clamp(maps, lower, upper)


def step(refiner: Refiner, state: DeviceState, context: DeviceContext) -> DeviceState:
    """Refine once from limited maps; what matches left of the image is called hidden."""
    made = DeviceWeights(*refiner.made(refiner.make_device_weights))
    features = _fuse(refiner, made, state.maps, context)
    hidden = refiner.gru(state.hidden, refiner.refine_unet.at_quarter(features))
    padding = [1, 1]
    wide = activate(torch.conv2d(hidden, made.heads, made.heads_bias, padding=padding), 'gelu')
    updates = torch.conv2d(wide, made.updates, padding=padding)
    maps = state.maps + updates
    column = kept(_columns, maps.shape[-1], maps.device)
    maps[:, 1].masked_fill_(maps[:, 0] > column, -math.inf)
    return DeviceState(hidden, maps)


def _fuse(refiner: Refiner, made: DeviceWeights, maps: Tensor, context: DeviceContext) -> Tensor:
    """Return the features (B, C, h, w) of the current estimate and of its costs."""
    dtype, order, padding = context.features.dtype, torch.channels_last, [1, 1]
    wide = torch.conv2d(maps, made.maps, made.maps_bias, padding=padding)
    wide = activate(wide.to(dtype, memory_format=order), 'gelu')
    disparity = torch.conv2d(wide, made.disparity, made.disparity_bias, padding=padding)
    costs = look_up_twice(context.correlation, maps[:, :1], CORRELATION_UNIT, dtype)
    sources = (
        to_tokens(disparity),
        device_path.gelu_product(costs, made.costs, made.costs_bias),
        to_tokens(wide[:, disparity.shape[1] :]),
        context.features,
    )
    both = torch.cat(sources, dim=-1)
    mixed = device_path.gelu_product(both, made.fusing, made.fusing_bias)
    return cast(Tensor, refiner.disp_corr_ctx_cat.second(to_maps(mixed)))


def make_weights(refiner: Refiner) -> DeviceWeights:
    """Make the weights of a step."""
    disparity = refiner.disp_feat
    lookups, logits = (refiner.corr_feat1, refiner.corr_feat2), refiner.conf_occ_feat
    heads = refiner.disp_update, refiner.conf_occ_update
    layer = refiner.disp_corr_ctx_cat.first
    weight = layer.weight.flatten(1).float()
    widths = [96, 64, 64, refiner.gru.convz1.weight.shape[0], LOGIT_CHANNELS]
    parts = torch.split(weight, widths, dim=1)
    seconds = [pair.second for pair in (*lookups, logits)]
    composed = [
        part @ second.weight.flatten(1).float()
        for part, second in zip((parts[1], parts[2], parts[4]), seconds, strict=True)
    ]
    bias = device_path.bias_of(layer).float()
    for part, second in zip((parts[1], parts[2], parts[4]), seconds, strict=True):
        bias = bias + part @ device_path.bias_of(second).float()
    dtype = layer.weight.dtype
    wide = torch.cat((parts[0], *composed, parts[3]), dim=1)
    # The published layers have confidence before visibility; the estimates have it last.
    known, known_bias = logits.first.weight.flip(1), device_path.bias_of(logits.first)
    last = device_path.block_diagonal(*(pair.second.weight for pair in heads))[[0, 2, 1]]
    head_weight, head_bias = join(tuple(pair.first for pair in heads))
    return DeviceWeights(
        device_path.block_diagonal(disparity.first.weight.float() / DISPARITY_UNIT, known.float()),
        torch.cat((device_path.bias_of(disparity.first), known_bias)).float(),
        # A map is read whole: what begins within one would be copied.
        functional.pad(
            disparity.second.weight, (0, 0, 0, 0, 0, logits.first.weight.shape[0])
        ).contiguous(memory_format=torch.channels_last),
        device_path.bias_of(disparity.second),
        device_path.block_diagonal(*(pair.first.weight.flatten(1) for pair in lookups)),
        torch.cat([device_path.bias_of(pair.first) for pair in lookups]),
        wide.to(dtype),
        bias.to(dtype),
        head_weight.contiguous(memory_format=torch.channels_last),
        device_path.bias_of(heads[0].first) if head_bias is None else head_bias,
        last.contiguous(memory_format=torch.channels_last),
    )


def _limits(allow_negative: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the least and the largest values of maps, (3, 1, 1) each."""
    largest = math.log((1.0 - MARGIN) / MARGIN)
    lower = [-math.inf if allow_negative else 0.0, -largest, -largest]
    upper = [math.inf, largest, largest]
    least, most = (torch.tensor(values, device=device) for values in (lower, upper))
    return least.view(3, 1, 1), most.view(3, 1, 1)


def _columns(width: int, device: torch.device) -> Tensor:
    return torch.arange(width, device=device, dtype=torch.float32)
