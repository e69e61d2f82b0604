"""Matrix products and convolutions with what follows them, on the fastest kernel there is.

PyTorch carries two float32 matrix products for processors. The one that its linear layers use
(MKL) leaves a quarter of the speed on the table for the sizes of this network on current AMD
cores, and needs further passes for the activation and the residual. The other (oneDNN), which
PyTorch's own compiler calls, fuses both. It has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal['gelu', 'sigmoid', 'tanh']
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    'gelu': functional.gelu,
    'sigmoid': torch.sigmoid,
    'tanh': torch.tanh,
}
_ONEDNN = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def project(
    tokens: Tensor, layer: nn.Linear | nn.Conv2d, *, gelu: bool = False, add: Tensor | None = None
) -> Tensor:
    """Apply a linear layer or a 1×1 convolution to tokens.

    Args:
        tokens: (..., in).
        layer: its weights.
        gelu: whether the exact GELU follows.
        add: (..., out), what is added in the end instead, or None.

    Returns: (..., out).
    """
    return product(tokens, layer.weight.flatten(1), layer.bias, gelu=gelu, add=add)


def product(
    tokens: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    gelu: bool = False,
    add: Tensor | None = None,
) -> Tensor:
    """Return tokens · weightᵀ + bias, with what ``project`` offers; weight is (out, in)."""
    if _onednn_serves(tokens, weight):
        kernel = torch.ops.mkldnn._linear_pointwise
        result: Tensor
        if add is not None:
            result = kernel.binary(
                tokens.contiguous(), add.contiguous(), weight.contiguous(), bias, 'add'
            )
        else:
            activation = 'gelu' if gelu else 'none'
            result = kernel(tokens.contiguous(), weight.contiguous(), bias, activation, [], 'none')
        return result
    result = functional.linear(tokens, weight, bias)
    if add is not None:
        return result.add_(add)
    return functional.gelu(result) if gelu else result


def convolve(x: Tensor, layer: nn.Conv2d, activation: Activation) -> Tensor:
    """Apply a convolution and an activation: (N, in, h, w) -> (N, out, h', w')."""
    if not _onednn_serves(x, layer.weight):
        return _ACTIVATIONS[activation](layer(x))
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x,
        layer.weight,
        layer.bias,
        list(layer.padding),
        list(layer.stride),
        list(layer.dilation),
        layer.groups,
        activation,
        [],
        'none',
    )
    return result


def _onednn_serves(x: Tensor, weight: Tensor) -> bool:
    return (
        _ONEDNN
        and x.device.type == 'cpu'
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
    )
