"""What inference on a GPU does differently: fewer launches and fewer passes over memory.

A GPU is launch-bound where PyTorch runs operator by operator, and most operators between products
are bound by memory. So products add to what they are added to, biases become channels, layers that
read the same input are one, and activations are part of products. Numbers differ by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.backends import cudnn

from s2m2_ros.network.joined import Layer

# GELU, its approximation and ReLU leave this as it is in every precision: a channel that holds it
# carries a bias through an activation. A power of two, so that dividing by it is exact.
CONSTANT = 8.0
# Products of GPUs want multiples of this many channels.
MULTIPLE = 8
# From here on a sigmoid is 1 to the last bit of float32.
_SIGMOID_IS_ONE = 20.0
_HALF = (torch.float16, torch.bfloat16)
# So many numbers of a type add up to one of float32, with 22 bits or more.
_PARTS = {torch.float16: 2, torch.bfloat16: 3}


def serves(x: Tensor) -> bool:
    """Return whether work on ``x`` takes this path: inference on a device, no compiler at work."""
    return (
        x.device.type != 'cpu'
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
        and not _autocasts(x.device.type)
    )


def _autocasts(device_type: str) -> bool:
    # Tensors without data, of the device 'meta', know no autocast.
    return device_type != 'meta' and torch.is_autocast_enabled(device_type)


def owned(x: Tensor) -> Tensor:
    """Return a copy on this path, whose operators may write to what they get; else ``x``."""
    return x.clone(memory_format=torch.preserve_format) if serves(x) else x


def matrix(tokens: Tensor) -> Tensor:
    """(..., C) -> (rows, C)."""
    return tokens.reshape(-1, tokens.shape[-1])


def product(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return tokens · weightᵀ + bias: (..., in) -> (..., out)."""
    result = torch.addmm(bias, matrix(tokens), weight.t())
    return result.view(*tokens.shape[:-1], -1)


def gelu_product(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return GELU(tokens · weightᵀ + bias), in half precision as one kernel.

    That kernel, the only one with a GELU, approximates it by a tanh, which is off by at most
    0.0005: what float16 rounds numbers near 1 by. In float32 the GELU is exact.
    """
    if tokens.dtype not in _HALF:
        exact: Tensor = torch.ops.aten.gelu_(product(tokens, weight, bias))
        return exact
    return _activated(tokens, weight, bias, gelu=True)


def relu_product(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return max(0, tokens · weightᵀ + bias)."""
    return _activated(tokens, weight, bias, gelu=False)


def _activated(tokens: Tensor, weight: Tensor, bias: Tensor, *, gelu: bool) -> Tensor:
    result = torch._addmm_activation(bias, matrix(tokens), weight.t(), use_gelu=gelu)
    return result.view(*tokens.shape[:-1], -1)


def add_product(total: Tensor, tokens: Tensor, weight: Tensor) -> Tensor:
    """Return total + tokens · weightᵀ, (..., out), in the memory of ``total`` if in one piece."""
    total = total.contiguous()
    total.view(-1, total.shape[-1]).addmm_(matrix(tokens), weight.t())
    return total


def with_constant(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a weight (out, in, ...) and a bias with outputs more: ``CONSTANT`` and zeros."""
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
    constant = weight.new_zeros(MULTIPLE)
    constant[0] = CONSTANT
    extra = weight.new_zeros(MULTIPLE, *weight.shape[1:])
    return torch.cat((weight, extra)), torch.cat((bias, constant))


def reading_constant(weight: Tensor, bias: Tensor) -> Tensor:
    """Return a weight (out, in) that takes its bias from the channels of ``with_constant``."""
    extra = weight.new_zeros(weight.shape[0], MULTIPLE)
    extra[:, 0] = bias / CONSTANT
    return torch.cat((weight, extra), dim=1)


def chain(first: Layer, second: Layer, extra_bias: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the weights of two 1×1 layers with an activation between them.

    They are the first weight and bias, and the second weight, which takes its bias, and the extra
    one, from a constant channel.
    """
    bias = bias_of(second) if extra_bias is None else bias_of(second) + extra_bias
    wide = with_constant(first.weight.flatten(1), first.bias)
    return *wide, reading_constant(second.weight.flatten(1), bias)


def bias_of(layer: Layer | nn.ConvTranspose2d) -> Tensor:
    """Return the bias of a layer, zeros if it has none."""
    if layer.bias is not None:
        return layer.bias
    outputs = layer.weight.shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
    return layer.weight.new_zeros(outputs)


def block_diagonal(*weights: Tensor) -> Tensor:
    """Return one weight (sum of outputs, sum of inputs, ...) that keeps the inputs apart."""
    inputs, outputs = (sum(w.shape[axis] for w in weights) for axis in (1, 0))
    result = weights[0].new_zeros(outputs, inputs, *weights[0].shape[2:])
    row = column = 0
    for weight in weights:
        height, width = weight.shape[:2]
        result[row : row + height, column : column + width] = weight
        row, column = row + height, column + width
    return result


def part_count(dtype: torch.dtype) -> int:
    """Return how many numbers of a type hold one of float32, as ``write_parts`` writes them."""
    return _PARTS.get(dtype, 1)


def write_parts(parts: Sequence[Tensor], x: Tensor) -> None:
    """Write float32 values as sums of numbers of another type, one to each of ``parts``.

    A layer with the same weight for all parts reads the values as exactly as in float32: products
    of half precision are exact, and GPUs sum them in float32.
    """
    parts[0].copy_(x)
    for index in range(1, len(parts)):
        rest = x
        for part in parts[: index - 1]:
            rest = rest - part
        torch.sub(rest, parts[index - 1], out=parts[index])


def gated(x: Tensor, logits: Tensor, out: Tensor) -> None:
    """Write x · sigmoid(logits), by the one kernel that has both: the derivative of softplus."""
    torch.ops.aten.softplus_backward.grad_input(x, logits, 1.0, _SIGMOID_IS_ONE, grad_input=out)


def relu_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve by an odd square kernel, keep the size, and return what is above 0.

    cuDNN adds the bias and cuts off in the kernel that convolves; other libraries in passes of
    their own.
    """
    if fuses_relu(x, weight):
        return _fused_relu_convolution(x, weight, bias)
    return torch.conv2d(x, weight, bias, padding=[weight.shape[-1] // 2] * 2).relu_()


def _fused_relu_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    ones = [1, 1]
    margin = [weight.shape[-1] // 2] * 2
    return torch.cudnn_convolution_relu(x, weight, bias, ones, margin, ones, 1)


def fuses_relu(x: Tensor, weight: Tensor) -> bool:
    """Return whether cuDNN convolves and cuts off in one: on NVIDIA's GPUs, where it can."""
    nvidia = x.device.type == 'cuda' and torch.version.hip is None
    # bfloat16 is not among the types that PyTorch calls acceptable.
    acceptable = nvidia and cudnn.is_acceptable(x)  # type: ignore[no-untyped-call]
    return acceptable and _cudnn_fuses(x.device, x.dtype, tuple(weight.shape))


@cache
def _cudnn_fuses(device: torch.device, dtype: torch.dtype, shape: tuple[int, ...]) -> bool:
    """Return whether cuDNN has a fused kernel for weights of a shape, by trying a small map."""
    order = torch.channels_last
    weight = torch.zeros(shape, dtype=dtype, device=device).contiguous(memory_format=order)
    maps = torch.zeros(1, shape[1], 8, 8, dtype=dtype, device=device)
    try:
        _fused_relu_convolution(
            maps.contiguous(memory_format=order), weight, weight.new_zeros(shape[0])
        )
    except RuntimeError:
        return False
    return True
