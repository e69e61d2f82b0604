"""Training under the autocast of a GPU, imitated on a processor, as there is no GPU here.

PyTorch's autocast lets other functions give float32 on CUDA than on a processor: layer norms, for
one, so that operands of one operator may have two types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from s2m2_ros.network import S2M2, S2M2Config
from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.losses import LossWeights, total_loss

# 'CUDA Ops that can autocast to float32' in PyTorch's documents, as far as names of functions go.
IN_FLOAT32 = {
    *('acos', 'asin', 'cosh', 'cumprod', 'cumsum', 'dist', 'erfinv', 'exp', 'expm1', 'group_norm'),
    *('interpolate', 'layer_norm', 'log', 'log10', 'log1p', 'log2', 'log_softmax', 'logsumexp'),
    *('norm', 'pow', '__pow__', '__rpow__', 'prod', 'reciprocal', 'rsqrt', 'sinh', 'softmax'),
    *('softplus', 'sum', 'tan'),
}


class CudaAutocast(TorchFunctionMode):
    """Gives these functions float32 where autocast is on."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function."""
        named = kwargs or {}
        if getattr(function, '__name__', '') in IN_FLOAT32 and torch.is_autocast_enabled('cpu'):
            args = [_widened(value) for value in args]
            named = {name: _widened(value) for name, value in named.items()}
        return function(*args, **named)


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.float()
    return value


@pytest.mark.parametrize('kind', [torch.bfloat16, torch.float16])
def test_a_step_under_the_autocast_of_a_gpu(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    network = S2M2(S2M2Config(channels=32, transformers=1)).train()
    network.refine_iterations = 2
    left, right = 255 * torch.rand(2, 1, 3, 64, 96)
    ones = torch.ones(1, 1, 64, 96)
    truth = StereoBatch(left, right, 5 * ones, ones, ones, ones)

    def loss(*, lowered: bool) -> float:
        network.zero_grad()
        with torch.autocast('cpu', kind, enabled=lowered), CudaAutocast():
            stages = network.forward_all(left, right)
        total, _ = total_loss(stages, truth, weights=LossWeights(), visible_only=False)
        torch.autograd.backward(total)
        assert all(
            torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None
        )
        return total.item()

    assert loss(lowered=True) == pytest.approx(loss(lowered=False), rel=1e-3)
