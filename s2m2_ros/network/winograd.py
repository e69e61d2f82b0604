"""3×3, 1×3 and 3×1 convolutions of a processor by Winograd's minimal filtering.

compiled/winograd.cpp does it. They take up to three times less time than plain ones, and are about
as exact (Lavin and Gray 2016). Layers must be prepared: their weights are transformed once, into
up to four times the memory. Around a value that is not finite they lose up to four tiles of 4×4
results, where plain ones lose 3×3.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from s2m2_ros import compiled_library

VERSION = 1
"""Of the structures below; an old library beside new sources must not be called."""
LEAST_PIXELS = 256
"""A smaller map does not use its weights often enough to pay for reading them."""
MOST_INPUTS = 2

Activation = Literal['none', 'relu', 'gelu', 'sigmoid', 'tanh']
ACTIVATIONS: tuple[Activation, ...] = ('none', 'relu', 'gelu', 'sigmoid', 'tanh')
"""In the order of their numbers in the library."""


class _Map(ctypes.Structure):
    _fields_ = (
        ('values', ctypes.c_void_p),
        ('batch', ctypes.c_int64),
        ('row', ctypes.c_int64),
        ('pixel', ctypes.c_int64),
        ('channels', ctypes.c_int32),
    )


class _Convolution(ctypes.Structure):
    _fields_ = (
        ('inputs', _Map * MOST_INPUTS),
        ('out', _Map),
        ('weights', ctypes.c_void_p),
        ('bias', ctypes.c_void_p),
        ('batch', ctypes.c_int32),
        ('height', ctypes.c_int32),
        ('width', ctypes.c_int32),
        ('rows', ctypes.c_int32),
        ('adds', ctypes.c_int32),
        ('activation', ctypes.c_int32),
        ('is_bfloat16', ctypes.c_int32),
    )


@dataclass(frozen=True)
class PackedWeights:
    """What a layer's weights became, for vectors of some size in bytes.

    A 3×1 layer becomes a 1×3 one, for maps whose rows are the columns.
    """

    weights: Tensor
    bias: Tensor | None
    inputs: int
    outputs: int
    vector_bytes: int
    rows: int
    upright: bool

    @classmethod
    def of(cls, layer: nn.Conv2d, vector_bytes: int) -> PackedWeights:
        """Transform the weights of a 3×3, 1×3 or 3×1 layer, in float32 whatever their type."""
        weight = layer.weight.detach().float()
        upright = layer.kernel_size == (3, 1)
        weight = (weight.transpose(2, 3) if upright else weight).contiguous()
        outputs, inputs, rows, _ = weight.shape
        panel = _compiled().winograd_panel(vector_bytes)
        shape = 36 if rows == 3 else 6, -(-outputs // panel), inputs, panel
        # Not the type and the device that the user made the default.
        packed = torch.empty(shape, dtype=torch.float32, device='cpu')
        _compiled().winograd_pack(
            ctypes.c_void_p(weight.data_ptr()),
            outputs,
            inputs,
            rows,
            vector_bytes,
            ctypes.c_void_p(packed.data_ptr()),
        )
        bias = None if layer.bias is None else layer.bias.detach().float().contiguous()
        return cls(packed, bias, inputs, outputs, vector_bytes, rows, upright)


# Where each tensor lies, and how often it was written to.
_State = tuple[tuple[int, int | None], ...]
# None until a map is large enough; then the weights of which state of the parameters.
_prepared: WeakKeyDictionary[nn.Conv2d, tuple[_State, PackedWeights] | None] = WeakKeyDictionary()


@lru_cache(maxsize=1)
def _built() -> ctypes.CDLL | None:
    return compiled_library.load('winograd', VERSION)


def is_built() -> bool:
    """Return whether the library was built."""
    return _built() is not None


def library() -> ctypes.CDLL | None:
    """Return the compiled library; None without one, or without loops for this processor."""
    found = _built()
    return found if found is not None and found.winograd_vector_bytes() else None


def prepare(layer: nn.Conv2d) -> None:
    """Let `serves` take this layer, if it can.

    Each time its parameters changed since the last pass, they are transformed again. It does not
    notice what is written to their ``data``, or to parameters that are inference tensors.
    """
    found = library()
    if found is None or layer.weight.device.type != 'cpu' or not _is_plain(layer):
        return
    lanes = _lanes()
    narrow = layer.in_channels % lanes or layer.out_channels % lanes
    if not narrow and layer.in_channels <= found.winograd_most_channels():
        _prepared[layer] = None


def serves(parts: Sequence[Tensor], layer: nn.Conv2d, onto: Tensor | None = None) -> bool:
    """Return whether `convolve` can take these maps, and is faster than others."""
    first = parts[0]
    # A compiler that got as far as the layers would guard its code by all of them.
    if not is_inference() or first.device.type != 'cpu' or layer not in _prepared:
        return False
    lanes = _lanes()
    return (
        _is_faster(first.dtype, layer)
        # Else a plain convolution broadcasts, or says what is wrong.
        and _fit(parts, layer.in_channels, layer.out_channels, onto)
        and layer.weight.dtype == first.dtype
        and layer.weight.device.type == 'cpu'
        and all(part.shape[1] % lanes == 0 for part in parts)
        and first.shape[0] * first.shape[2] * first.shape[3] >= LEAST_PIXELS
    )


def convolve(
    parts: Sequence[Tensor],
    layer: nn.Conv2d,
    activation: Activation = 'none',
    *,
    onto: Tensor | None = None,
) -> Tensor:
    """Convolve one or two maps, joined along their channels, with a layer that `serves` took.

    Args:
        parts: (N, C₁, h, w) and, maybe, (N, C₂, h, w); fastest in channels-last memory order.
        layer: of C₁ + C₂ inputs.
        activation: what follows.
        onto: (N, D, h, w), what the convolution is added to, in its memory; or None.

    Returns: (N, D, h, w), `onto` if that is given.

    Raises MemoryError.

    """
    state, kept = _state(layer), _prepared[layer]
    if kept is None or kept[0] != state:
        kept = state, PackedWeights.of(layer, _compiled().winograd_vector_bytes())
        _prepared[layer] = kept
    return convolve_packed(parts, kept[1], activation, onto=onto)


def convolve_packed(
    parts: Sequence[Tensor],
    packed: PackedWeights,
    activation: Activation = 'none',
    *,
    onto: Tensor | None = None,
) -> Tensor:
    """Do what `convolve` does with weights that are transformed already.

    Raises MemoryError, and ValueError if the maps do not fit together or do not fit the weights.
    """
    if not _fit(parts, packed.inputs, packed.outputs, onto):
        shapes = [tuple(each.shape) for each in (*parts, *([] if onto is None else [onto]))]
        raise ValueError(
            f'a convolution of {packed.inputs} to {packed.outputs} channels does not fit maps of '
            f'{shapes}'
        )
    by_pixel = [_by_pixel(part) for part in parts]
    batch, _, height, width = by_pixel[0].shape
    out = onto
    if out is None:
        out = torch.empty(
            (batch, packed.outputs, height, width),
            dtype=by_pixel[0].dtype,
            device='cpu',
            memory_format=torch.channels_last,
        )
    none = [_Map()] * (MOST_INPUTS - len(parts))
    maps = [_map(each, upright=packed.upright) for each in (*by_pixel, out)]
    job = _Convolution(
        inputs=(_Map * MOST_INPUTS)(*maps[:-1], *none),
        out=maps[-1],
        weights=packed.weights.data_ptr(),
        bias=None if packed.bias is None else packed.bias.data_ptr(),
        batch=batch,
        height=width if packed.upright else height,
        width=height if packed.upright else width,
        rows=packed.rows,
        adds=onto is not None,
        activation=ACTIVATIONS.index(activation),
        is_bfloat16=out.dtype == torch.bfloat16,
    )
    failed = _compiled().winograd_convolve(
        ctypes.byref(job), packed.vector_bytes, torch.get_num_threads()
    )
    if failed:
        raise MemoryError(f'no memory for a convolution of {tuple(by_pixel[0].shape)}')
    return out


def _is_plain(layer: nn.Conv2d) -> bool:
    height, width = layer.kernel_size
    return (
        layer.kernel_size in ((3, 3), (1, 3), (3, 1))
        and layer.padding == (height // 2, width // 2)
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding_mode == 'zeros'
    )


def _fit(parts: Sequence[Tensor], inputs: int, outputs: int, onto: Tensor | None) -> bool:
    """Return whether the loops, which check nothing, may read and write the memory of these."""
    first, maps = parts[0], [*parts] if onto is None else [*parts, onto]
    if any(
        # Stand-ins for tensors have no memory.
        type(each) is not Tensor or each.ndim != 4 or each.dtype != first.dtype
        for each in maps
    ):
        return False
    batch, _, *size = first.shape
    return (
        len(parts) <= MOST_INPUTS
        and sum(part.shape[1] for part in parts) == inputs
        and all([each.shape[0], *each.shape[2:]] == [batch, *size] for each in maps)
        and (onto is None or (onto.shape[1] == outputs and onto.stride(1) == 1))
    )


def _state(layer: nn.Conv2d) -> _State:
    """Return what changes with the parameters of a layer."""
    return tuple(
        (tensor.data_ptr(), None if tensor.is_inference() else tensor._version)
        for tensor in (layer.weight, layer.bias)
        if tensor is not None
    )


def _is_faster(dtype: torch.dtype, layer: nn.Conv2d) -> bool:
    """Return whether the sums in float32 take less time than plain ones in the maps' type.

    Instructions for bfloat16 do twice as much at once, units for matrices many times as much.
    """
    if dtype == torch.bfloat16:
        return layer.kernel_size == (3, 3) and not _compiled().winograd_has_matrix_units()
    return dtype == torch.float32


def is_inference() -> bool:
    """Return whether kernels without a gradient may run, that torch's own do not stand for.

    Not under autocast, nor where a compiler, an exporter or a counter watches the operations.
    """
    return not (
        torch.compiler.is_compiling()
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled('cpu')
        or torch._C._is_tracing()
        or torch._C._len_torch_dispatch_stack()
    )


def _by_pixel(maps: Tensor) -> Tensor:
    """Return the maps so that the channels of a pixel lie side by side."""
    return maps if maps.stride(1) == 1 else maps.contiguous(memory_format=torch.channels_last)


def _map(maps: Tensor, *, upright: bool) -> _Map:
    batch, _, row, pixel = maps.stride()
    if upright:
        row, pixel = pixel, row
    return _Map(maps.data_ptr(), batch, row, pixel, maps.shape[1])


def _lanes() -> int:
    """Return how many channels are worked on at once: their number must be a multiple."""
    return int(_compiled().winograd_vector_bytes()) // 4


def _compiled() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise RuntimeError('the compiled loops are missing: ask `serves` first')
    return found
