"""What one pass of the network asks of a GPU, counted without one: launches, bytes and memory.

The network runs on the device `meta`: shapes and types, no values. Every operator of PyTorch
that is not a view counts as one kernel launch that reads its inputs and writes its outputs once;
attention is one operator, as the fused kernel is. Peak memory follows the lifetimes of the
tensors, weights included and images excluded, in blocks of 512 bytes as PyTorch's allocator has
them. Not counted: workspaces of libraries, and the second launch with which cuDNN adds a bias.

    PYTHONPATH=. python benchmark/device_budget.py
    PYTHONPATH=. python benchmark/device_budget.py --variants S --sizes 640x480 --operators
"""

from __future__ import annotations

import argparse
import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from s2m2_ros.network import S2M2, S2M2Config, device_path, prepare_for_inference

BLOCK_BYTES = 512
PRECISIONS = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}
# These reserve memory and start nothing.
_ALLOCATIONS = {'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided'}
# A Python number that becomes an argument of the next kernel.
_NUMBERS = {'scalar_tensor'}
# These read as much of their first tensor as they write: neighbors share what they read.
_LOOK_UPS = {'gather', 'grid_sampler_2d', 'index', 'index_select'}
# Arguments that are written to and not read.
_WRITTEN = {'out', 'grad_input'}
# Operators which read no values of their first tensor, or only write to it.
_WRITES_FIRST = {'copy_', 'fill_', 'full_like', 'new_full', 'new_zeros', 'zero_', 'zeros_like'}


class Budget(NamedTuple):
    """What a function asks of a device."""

    launches: int
    bytes_touched: int
    peak_bytes: int


class DeviceBudget(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count what the operators called in this context would ask of a device.

    Args:
        held: tensors that exist before, e.g. weights; they count for the memory.
        ignored: tensors that do not count for the memory, e.g. inputs of another owner.

    Attributes:
        launches: by name of the operator.
        bytes_touched: by name of the operator.
        peak_bytes: most memory of all living tensors so far.
    """

    def __init__(self, held: Iterable[Tensor] = (), ignored: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches: Counter[str] = Counter()
        self.bytes_touched: Counter[str] = Counter()
        self.peak_bytes = 0
        self._living = 0
        self._storages: dict[int, object] = {}
        self._ignored = [tensor.untyped_storage() for tensor in ignored]
        for storage in self._ignored:
            self._storages[storage._cdata] = storage
        self._hold(held)

    def total(self) -> Budget:
        """Return the sums over all operators so far."""
        return Budget(self.launches.total(), self.bytes_touched.total(), self.peak_bytes)

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count it."""
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            result = _ordered_as_by_cudnn(result, args[:2])
        outputs = _tensors(result)
        self._hold((*_tensors((args, kwargs)), *outputs))
        name = func.overloadpacket.__name__
        inputs = _read(name, args, kwargs or {})
        if not _is_free(func, name, inputs, outputs):
            self.launches[name] += 1
            self.bytes_touched[name] += _touched(name, inputs, outputs)
        return result

    def _hold(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata in self._storages:
                continue
            size = math.ceil(storage.nbytes() / BLOCK_BYTES) * BLOCK_BYTES
            self._living += size
            release = self._release(storage._cdata, size)
            self._storages[storage._cdata] = weakref.ref(storage, release)
        self.peak_bytes = max(self.peak_bytes, self._living)

    def _release(self, key: int, size: int) -> Callable[[object], None]:
        def released(_: object) -> None:
            del self._storages[key]
            self._living -= size

        return released


class KernelsOfGPUs(TorchFunctionMode):
    """Calls what PyTorch calls on a GPU where tensors of `meta` would choose otherwise.

    Attention is fused: by flash attention where the depths of keys and values are equal. A
    convolution with a bias and a ReLU is one kernel. So is a softmax of float16 into float32.
    """

    def __torch_function__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function, or what stands for it."""
        kwargs = kwargs or {}
        if func is torch.cudnn_convolution_relu:
            x, weight, bias, stride, padding, dilation, groups = args
            return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
        if func is functional.softmax and _softmax_converts(*args, **kwargs):
            return torch.ops.aten._softmax(args[0], kwargs['dim'], True)
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        if args[0].shape[-1] == args[2].shape[-1]:
            fused = torch.ops.aten._scaled_dot_product_flash_attention
            return fused(*args[:3], scale=kwargs.get('scale'))[0]
        fused = torch.ops.aten._scaled_dot_product_efficient_attention
        return fused(*args[:3], None, False, scale=kwargs.get('scale'))[0]


def _softmax_converts(
    x: Tensor, *_: object, dtype: torch.dtype | None = None, **__: object
) -> bool:
    return x.dtype is torch.float16 and dtype is torch.float32


def _read(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that an operator reads: not those that it only writes to."""
    read = {key: value for key, value in kwargs.items() if key not in _WRITTEN}
    return _tensors((args[1:] if name in _WRITES_FIRST else args, read))


def _ordered_as_by_cudnn(result: Tensor, operands: Iterable[Tensor]) -> Tensor:
    """Return the result of a convolution in the memory order of GPUs, which `meta` ignores."""
    if any(each.is_contiguous(memory_format=torch.channels_last) for each in operands):
        return result.contiguous(memory_format=torch.channels_last)
    return result


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _is_free(func: Any, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bool:
    if name in _ALLOCATIONS | _NUMBERS:
        return True
    if func._schema.is_mutable:
        return False
    known = {tensor.untyped_storage()._cdata for tensor in inputs}
    return all(tensor.untyped_storage()._cdata in known for tensor in outputs)


def _touched(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    written = sum(map(_distinct_bytes, outputs))
    if name in _LOOK_UPS:
        return 2 * written + sum(map(_distinct_bytes, inputs[1:]))
    return written + sum(map(_distinct_bytes, inputs))


def _distinct_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor, those counted once that an expanded axis or windows repeat."""
    axes = list(zip(tensor.shape, tensor.stride(), strict=True))
    values = math.prod(size for size, stride in axes if stride)
    extent = 1 + sum((size - 1) * stride for size, stride in axes) if values else 0
    return tensor.element_size() * min(values, extent)


@contextmanager
def counted(network: nn.Module, images: Sequence[Tensor]) -> Iterator[DeviceBudget]:
    """Count an inference of a network on the device `meta`."""
    weights = (*network.parameters(), *network.buffers())
    # Tensors of 'meta' are no tensors of cuDNN.
    with (
        patch.object(device_path, 'fuses_relu', lambda x, weight: x.dtype is not torch.bfloat16),
        torch.no_grad(),
        DeviceBudget(held=weights, ignored=images) as budget,
        KernelsOfGPUs(),
    ):
        yield budget


def network_budget(
    variant: str,
    size: tuple[int, int],
    *,
    precision: str = 'float16',
    refine_iterations: int = 3,
) -> DeviceBudget:
    """Return the budget of a pass of the network, as the `torch` backend runs it.

    Args:
        variant: e.g. 'S'.
        size: width and height, multiples of 32.
        precision: of convolutions and attention, a key of ``PRECISIONS``.
        refine_iterations: local refinement steps.
    """
    width, height = size
    with torch.device('meta'):
        network = S2M2(S2M2Config.named(variant), refine_iterations=refine_iterations).eval()
        images = torch.empty(1, 3, height, width), torch.empty(1, 3, height, width)
    network.to(PRECISIONS[precision]).requires_grad_(False)
    prepare_for_inference(network)
    # The first pass makes what later ones of this size use again.
    with counted(network, images):
        network(*images)
    with counted(network, images) as budget:
        network(*images)
    return budget


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--variants', nargs='+', default=['S', 'L'])
    parser.add_argument(
        '--sizes', nargs='+', type=_size, default=[(640, 480), (1280, 736), (1216, 1024)]
    )
    parser.add_argument('--precision', choices=PRECISIONS, default='float16')
    parser.add_argument('--refine-iterations', type=int, default=3)
    parser.add_argument('--operators', action='store_true', help='print what each adds')
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT."""
    width, height = text.lower().split('x')
    return int(width), int(height)


def main() -> None:
    """Print the table that the command line asks for."""
    options = parse_arguments()
    print('| variant | size | launches | touched | peak memory |')
    print('| --- | --- | ---: | ---: | ---: |')
    budgets = []
    for variant in options.variants:
        for size in options.sizes:
            budget = network_budget(
                variant,
                size,
                precision=options.precision,
                refine_iterations=options.refine_iterations,
            )
            launches, touched, peak = budget.total()
            print(
                f'| {variant} | {size[0]}x{size[1]} | {launches} | {touched / 1e9:.1f} GB '
                f'| {peak / 1e6:.0f} MB |'
            )
            budgets.append(budget)
    for budget in budgets if options.operators else ():
        print_operators(budget)


def print_operators(budget: DeviceBudget) -> None:
    """Print launches and bytes by operator, the most bytes first."""
    print('\n| operator | launches | touched |')
    print('| --- | ---: | ---: |')
    for name, touched in budget.bytes_touched.most_common():
        print(f'| `{name}` | {budget.launches[name]} | {touched / 1e9:.2f} GB |')


if __name__ == '__main__':
    main()
