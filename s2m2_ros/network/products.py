"""Matrix products of tokens, on the fastest kernel there is for the case at hand.

PyTorch carries two float32 matrix products for processors. The one that its linear layers use
(MKL) leaves a quarter of the speed on the table for the sizes of this network on current AMD
cores, and needs further passes for the activation and the residual. The other (oneDNN), which
PyTorch's own compiler calls, fuses both. It has no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

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
            result = kernel.binary(tokens, add.contiguous(), weight, bias, 'add')
        else:
            result = kernel(tokens, weight, bias, 'gelu' if gelu else 'none', [], 'none')
        return result
    result = functional.linear(tokens, weight, bias)
    if add is not None:
        return result.add_(add)
    return functional.gelu(result) if gelu else result


def _onednn_serves(tokens: Tensor, weight: Tensor) -> bool:
    return (
        _ONEDNN
        and tokens.device.type == 'cpu'
        and tokens.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
    )
