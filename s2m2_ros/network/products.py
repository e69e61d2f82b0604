"""Matrix products and convolutions with what follows them, on the fastest kernel there is.

PyTorch carries two float32 matrix products for processors. The one that its linear layers use
(MKL) reaches three quarters of the possible speed at the sizes of this network on current AMD
cores, and needs further passes for the activation and the residual. The other (oneDNN), which
PyTorch's own compiler calls, fuses both. It has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path, winograd

Activation = Literal['relu', 'gelu', 'sigmoid', 'tanh']
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    'relu': torch.relu,
    'gelu': functional.gelu,
    'sigmoid': torch.sigmoid,
    'tanh': torch.tanh,
}
_IN_PLACE: dict[Activation, Callable[[Tensor], Tensor]] = {
    'relu': torch.relu_,
    'gelu': torch.ops.aten.gelu_,
    'sigmoid': torch.sigmoid_,
    'tanh': torch.tanh_,
}
_ONEDNN = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, '_linear_pointwise')
_ONEDNN_TYPES = [torch.float32]
if _ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported():
    _ONEDNN_TYPES.append(torch.bfloat16)


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
    if bias is not None and add is None and device_path.serves(tokens):
        applied = device_path.gelu_product if gelu else device_path.product
        return applied(tokens, weight, bias)
    result = functional.linear(tokens, weight, bias)
    if add is not None:
        return result.add_(add)
    return activate(result, 'gelu') if gelu else result


def activate(fresh: Tensor, activation: Activation) -> Tensor:
    """Apply an activation to a tensor that nothing else uses, in its memory if possible."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return _ACTIVATIONS[activation](fresh)
    return _IN_PLACE[activation](fresh)


def convolve(
    x: Tensor,
    layer: nn.Conv2d,
    activation: Activation,
    weights: tuple[Tensor, Tensor | None] | None = None,
) -> Tensor:
    """Apply a convolution and an activation: (N, in, h, w) -> (N, out, h', w').

    With ``weights``, a weight and a bias, only the geometry is that of the layer.
    """
    if weights is None and winograd.serves((x,), layer):
        return winograd.convolve((x,), layer, activation)
    weight, bias = weights or (layer.weight, layer.bias)
    if not _onednn_serves(x, weight):
        return activate(functional.conv2d(x, weight, bias, *_geometry(layer)), activation)
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x,
        weight,
        bias,
        *_onednn_geometry(layer),
        activation,
        [],
        'none',
    )
    return result


def convolve_joined(
    parts: tuple[Tensor, ...],
    layer: nn.Conv2d,
    activation: Activation,
    weights: tuple[Tensor, Tensor | None] | None = None,
) -> Tensor:
    """Apply a convolution and an activation to maps joined along their channels.

    A convolution is linear: where a kernel adds its result to memory, the maps are taken one
    after the other and never joined.

    Args:
        parts: maps (N, C₁, h, w), (N, C₂, h, w) and so on.
        layer: convolution of C₁ + C₂ + … channels.
        activation: what follows.
        weights: a weight and a bias to use in place of those of the layer, or None.
    """
    if weights is None and winograd.serves(parts, layer):
        return winograd.convolve(parts, layer, activation)
    weight, bias = weights or (layer.weight, layer.bias)
    if not _onednn_serves(parts[0], weight):
        return convolve(torch.cat(parts, dim=1), layer, activation, weights)
    split = torch.split(weight, [part.shape[1] for part in parts], dim=1)
    result = functional.conv2d(parts[0], split[0], bias, *_geometry(layer))
    for part, weight in zip(parts[1:], split[1:], strict=True):
        _add_convolution(result, part, weight, None, layer)
    return _IN_PLACE[activation](result)


def convolve_onto(total: Tensor, x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return total + convolution of x, in the memory of ``total`` where a kernel offers that."""
    if winograd.serves((x,), layer, total):
        return winograd.convolve((x,), layer, onto=total)
    if not _onednn_serves(x, layer.weight):
        result: Tensor = layer(x)
        return result.add_(total)
    _add_convolution(total, x, layer.weight, layer.bias, layer)
    return total


def convolve_alone(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Apply a convolution: (N, in, h, w) -> (N, out, h', w')."""
    return winograd.convolve((x,), layer) if winograd.serves((x,), layer) else layer(x)


def _add_convolution(
    total: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d
) -> None:
    """Add the convolution of x, with the geometry of a layer, to ``total``."""
    torch.ops.mkldnn._convolution_pointwise_.binary(
        total,
        x,
        weight,
        bias,
        *_onednn_geometry(layer),
        'add',
        1.0,
        None,
        [],
        None,
    )


def _geometry(layer: nn.Conv2d) -> tuple[list[int], list[int], list[int], int]:
    """Return stride, padding, dilation and groups."""
    padding = cast(tuple[int, int], layer.padding)
    return list(layer.stride), list(padding), list(layer.dilation), layer.groups


def _onednn_geometry(layer: nn.Conv2d) -> tuple[list[int], list[int], list[int], int]:
    """Return padding, stride, dilation and groups, as oneDNN's convolutions want them."""
    stride, padding, dilation, groups = _geometry(layer)
    return padding, stride, dilation, groups


def _onednn_serves(x: Tensor, weight: Tensor) -> bool:
    return (
        _ONEDNN
        and x.device.type == 'cpu'
        and x.dtype == weight.dtype
        and x.dtype in _ONEDNN_TYPES
        and winograd.is_inference()
    )
