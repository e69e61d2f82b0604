"""Layers that read the same input, as one layer: one kernel instead of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from s2m2_ros.network import winograd

Layer = nn.Linear | nn.Conv2d


class JoinedLayers(nn.Module):
    """The weights of layers below each other, made for every pass, or kept for inference.

    It has no entry in a state dict. What is kept follows the module to other types and devices.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('weight', None, persistent=False)
        self.register_buffer('bias', None, persistent=False)

    def forward(self, *layers: Layer) -> tuple[Tensor, Tensor | None]:
        """Return the weight (sum of outputs, in, ...) and the bias (sum of outputs,) of layers."""
        return join(layers) if self.weight is None else (self.weight, self.bias)

    def keep(self, *layers: Layer) -> None:
        """Make them once; the layers' own weights become views of them."""
        weight, bias = join(layers)
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        widths = [layer.weight.shape[0] for layer in layers]
        for layer, part in zip(layers, torch.split(self.weight, widths), strict=True):
            layer.weight.data = part
        if self.bias is not None:
            for layer, part in zip(layers, torch.split(self.bias, widths), strict=True):
                if layer.bias is not None:
                    layer.bias.data = part


def join(layers: tuple[Layer, ...]) -> tuple[Tensor, Tensor | None]:
    """Return weights and biases of layers below each other; a bias that is missing counts as 0."""
    weight = torch.cat([layer.weight for layer in layers])
    if all(layer.bias is None for layer in layers):
        return weight, None
    biases = [
        layer.weight.new_zeros(layer.weight.shape[0]) if layer.bias is None else layer.bias
        for layer in layers
    ]
    return weight, torch.cat(biases)


class MadeTensors(nn.Module):
    """Tensors made of parameters, for every pass, or kept for inference.

    It has no entry in a state dict. What is kept follows the module to other devices.
    """

    def forward(self, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return what ``make`` returned when it was kept, or returns now."""
        kept = cast(tuple[Tensor, ...], tuple(self._buffers.values()))
        return kept or make()

    def keep(self, make: Callable[[], tuple[Tensor, ...]]) -> None:
        """Call ``make`` once."""
        with torch.no_grad():
            for index, tensor in enumerate(make()):
                self.register_buffer(f'tensor{index}', tensor, persistent=False)


class KeepsWeights(nn.Module):
    """A module with weights that are made of others, once for inference."""

    def keep_weights(self) -> None:
        """Make them from the present parameters, which must not change afterwards."""

    def keep_device_weights(self) -> None:
        """Make those that the path of devices alone uses (`device_path`)."""


def share(layer: Layer, weight: Tensor, bias: Tensor | None = None) -> None:
    """Let a layer's weight and bias be views of tensors with the same values."""
    layer.weight.data = weight.view(layer.weight.shape)
    if bias is not None and layer.bias is not None:
        layer.bias.data = bias


def prepare_for_inference(network: nn.Module) -> None:
    """Make once what otherwise every pass makes of the parameters, in place.

    Call it on a network without gradients, in its final type and on its device. On a GPU,
    convolutions get the memory order of the maps, into which cuDNN would else copy them in every
    pass. oneDNN reorders for itself, and sums in another order then. On a processor, 3×3
    convolutions get other weights beside theirs (`winograd`).
    """
    on_device = next(network.parameters()).device.type != 'cpu'
    for module in network.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if on_device:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            winograd.prepare(module)
    for module in network.modules():
        if isinstance(module, KeepsWeights):
            module.keep_weights()
            if on_device:
                module.keep_device_weights()
