"""The gated recurrent unit of the refinement."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from s2m2_ros.network import device_path
from s2m2_ros.network.bands import in_overlapping_bands
from s2m2_ros.network.joined import JoinedLayers, KeepsWeights
from s2m2_ros.network.layers import conv
from s2m2_ros.network.precision import promoting_lerp
from s2m2_ros.network.products import convolve, convolve_joined


class ConvGRU(KeepsWeights):
    """Gated recurrent unit with vertical and then horizontal convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convz1 = conv(2 * channels, channels, (3, 1))
        self.convr1 = conv(2 * channels, channels, (3, 1))
        self.convq1 = conv(2 * channels, channels, (3, 1))
        self.convz2 = conv(2 * channels, channels, (1, 3))
        self.convr2 = conv(2 * channels, channels, (1, 3))
        self.convq2 = conv(2 * channels, channels, (1, 3))
        self.gates1, self.gates2 = JoinedLayers(), JoinedLayers()

    def keep_weights(self) -> None:
        """Join the weights of the update and of the reset."""
        self.gates1.keep(self.convz1, self.convr1)
        self.gates2.keep(self.convz2, self.convr2)

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        """(B, C, h, w), (B, C, h, w) -> the new hidden state (B, C, h, w)."""
        if device_path.serves(hidden):
            return self._step_on_device(hidden, x)
        return in_overlapping_bands(self._step, hidden, x, halo=2)

    @property
    def _halves(self) -> tuple[tuple[JoinedLayers, tuple[nn.Conv2d, ...]], ...]:
        return (
            (self.gates1, (self.convz1, self.convr1, self.convq1)),
            (self.gates2, (self.convz2, self.convr2, self.convq2)),
        )

    def _step_on_device(self, hidden: Tensor, x: Tensor) -> Tensor:
        """Step with one map that holds both inputs of all convolutions, one after the other."""
        both = torch.cat((hidden, x), dim=1)
        changing = both[:, : hidden.shape[1]]
        for index, (gates, layers) in enumerate(self._halves):
            if index:
                changing.copy_(hidden)
            padding = cast(list[int], layers[0].padding)
            weight, bias = gates(*layers[:2])
            logits = torch.conv2d(both, weight, bias, padding=padding)
            update, reset = torch.split(logits, hidden.shape[1], dim=1)
            device_path.gated(hidden, reset, out=changing)
            candidate = convolve(both, layers[2], 'tanh')
            hidden = torch.lerp(hidden, candidate, update.sigmoid_())
        return hidden

    def _step(self, hidden: Tensor, x: Tensor) -> Tensor:
        for gates, layers in self._halves:
            update, reset = convolved_gates(hidden, x, layers[:2], gates)
            candidate = convolve_joined((reset * hidden, x), layers[2], 'tanh')
            hidden = promoting_lerp(hidden, candidate, update)
        return hidden


def convolved_gates(
    hidden: Tensor, x: Tensor, layers: tuple[nn.Conv2d, ...], joined: JoinedLayers
) -> tuple[Tensor, ...]:
    """Return the update and the reset of a hidden state: (B, C, h, w) each, in 0..1.

    Both read the same, so a GPU convolves once. On a processor that saves nothing, and what
    follows reads halves of a map more slowly than whole ones.
    """
    if hidden.device.type == 'cpu':
        return tuple(convolve_joined((hidden, x), layer, 'sigmoid') for layer in layers)
    return joined_gates(torch.cat((hidden, x), dim=1), layers, joined)


def joined_gates(
    both: Tensor, layers: tuple[nn.Conv2d, ...], joined: JoinedLayers
) -> tuple[Tensor, ...]:
    """Return what ``convolved_gates`` does, by one convolution of both maps joined."""
    gates = convolve(both, layers[0], 'sigmoid', joined(*layers))
    return torch.split(gates, layers[0].weight.shape[0], dim=1)
