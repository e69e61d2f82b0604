"""Self and cross attention over the tokens of a map, and the blocks made of them.

Tokens are (N, h, w, D) tensors; N is 2B where left and right images are stacked. What a block gets
it may overwrite on a GPU: give it `device_path.owned` maps where they are used again.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path
from s2m2_ros.network.bands import in_joint_bands
from s2m2_ros.network.joined import JoinedLayers, KeepsWeights, MadeTensors
from s2m2_ros.network.layers import FeedForward, halves, normalize, to_maps, to_tokens
from s2m2_ros.network.positional import JointTables, joint_tables, positional_tables
from s2m2_ros.network.products import product, project

POSITIONAL_CHANNELS = 32
# Of the matrix of all sequences and heads in one call: 16 MiB of float32.
_MATRIX_ENTRIES = 1 << 22


class Projections(KeepsWeights):
    """The linear layers of one attention: queries, keys, values and the output.

    Keys and queries have no bias, nor has the output. With ``positional`` there is a layer that
    maps the mean positional code of a query to the channels of one head.
    """

    def __init__(self, channels: int, heads: int, *, positional: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels, bias=False)
        self.k = nn.Linear(channels, channels, bias=False)
        self.v = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels, bias=False)
        self.pe_proj = nn.Linear(POSITIONAL_CHANNELS, channels // heads) if positional else None
        self.joined = JoinedLayers()
        self.made = MadeTensors()

    def keep_weights(self) -> None:
        """Join the weights of queries, keys and values."""
        self.joined.keep(self.q, self.k, self.v)

    def keep_device_weights(self) -> None:
        """Make the layers of a single head."""
        if self.heads == 1:
            self.made.keep(self._make)

    def _make(self) -> tuple[Tensor, Tensor]:
        """Return a weight and a bias for one head.

        Of queries and keys only the products matter, so the keys take both layers, and the
        tokens themselves are the queries.
        """
        keys = self.q.weight.float().t() @ self.k.weight.float()
        bias = device_path.bias_of(self.v)
        weight = torch.cat((keys.to(self.v.weight.dtype), self.v.weight))
        return weight, torch.cat((torch.zeros_like(bias), bias))

    def _joint_layers(self, *, on_device: bool) -> tuple[Tensor, Tensor]:
        """Return what gives keys and values beside each other, queries before them or not."""
        if on_device and self.heads == 1:
            made: tuple[Tensor, ...] = self.made(self._make)
            return made[0], made[1]
        weight, bias = self.joined(self.q, self.k, self.v)
        return weight, cast(Tensor, bias)

    def split(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(S, length, D) -> queries, keys and values, each (S, heads, length, D/heads)."""
        layers = self._joint_layers(on_device=device_path.serves(sequences))
        joint = product(sequences, *layers)
        shape = (*joint.shape[:2], -1, self.heads, sequences.shape[-1] // self.heads)
        *q, k, v = joint.view(shape).permute(2, 0, 3, 1, 4).unbind()
        return q[0] if q else sequences[:, None], k, v

    def split_exchanged(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what ``split`` does with keys and values of the other half.

        One head has keys and values alone, which are written where the other half reads them.
        With more heads there is a copy: behind left and right lies the left half once more, so
        from the right one on, the order of the halves is exchanged.
        """
        count, length, channels = sequences.shape
        half = count // 2
        weight, bias = self._joint_layers(on_device=True)
        width = weight.shape[0]
        shape = (-1, length, width // channels, self.heads, channels // self.heads)
        if self.heads == 1:
            joint = sequences.new_empty(count, length, width)
            for source, target in zip(halves(sequences), reversed(halves(joint)), strict=True):
                _multiply_into(target, source, weight, bias)
            k, v = joint.view(shape).permute(2, 0, 3, 1, 4)
            return sequences[:, None], k, v
        joint = sequences.new_empty(3 * half, length, width)
        _multiply_into(joint[:count], sequences, weight, bias)
        joint[count:, :, channels:] = joint[:half, :, channels:]
        own, other = (
            part.view(shape).permute(2, 0, 3, 1, 4) for part in (joint[:count], joint[half:])
        )
        return own[0], other[1], other[2]

    def merge(self, attended: Tensor, residual: Tensor) -> Tensor:
        """(S, heads, length, D/heads) -> shape of the residual, which is added."""
        tokens = attended.transpose(1, 2).reshape(residual.shape)
        if device_path.serves(residual):
            return device_path.add_product(residual, tokens, self.proj.weight)
        return project(tokens, self.proj, add=residual)


class SelfAttention(nn.Module):
    """Residual self attention of normalized tokens, along the rows or over the whole map."""

    def __init__(
        self, channels: int, heads: int, *, rows: bool = False, positional: bool = False
    ) -> None:
        super().__init__()
        self.rows = rows
        self.attn = Projections(channels, heads, positional=positional)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, h, w, D) -> (N, h, w, D)."""
        q, k, v = self.attn.split(sequences(normalize(tokens), rows=self.rows))
        if self.attn.pe_proj is None:
            attended = attend(q, k, v)
        else:
            attended = self._attend_with_positions(q, k, v, self.attn.pe_proj, tokens.shape)
        return self.attn.merge(attended, tokens)

    def _attend_with_positions(
        self, q: Tensor, k: Tensor, v: Tensor, layer: nn.Linear, shape: torch.Size
    ) -> Tensor:
        """Attend over maps (N, h, w, ...) and add the layer of the mean positional codes."""
        batch, height, width = shape[:3]
        if device_path.serves(q):
            tables = joint_tables(batch, height, width, q.device, v.dtype)
            if tables is not None:
                return _attend_with_joint_codes(q, k, v, tables, layer)
        attended, codes = _attend_with_codes(q, k, v, height, width)
        return attended + project(codes, layer)


class CrossAttention(nn.Module):
    """Residual attention of left tokens to right ones and of right to left, same weights."""

    def __init__(self, channels: int, heads: int, *, rows: bool = False) -> None:
        super().__init__()
        self.rows = rows
        self.attn = Projections(channels, heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """(2B, h, w, D), left images first -> (2B, h, w, D)."""
        normed = sequences(normalize(tokens), rows=self.rows)
        if device_path.serves(tokens):
            attended = attend(*self.attn.split_exchanged(normed))
        else:
            q, k, v = self.attn.split(normed)
            attended = attend(q, exchange_halves(k), exchange_halves(v))
        return self.attn.merge(attended, tokens)


class GlobalBlock(nn.Module):
    """Self attention over the whole map and a feed-forward layer: (N, D, h, w) -> same."""

    def __init__(self, channels: int, heads: int, *, positional: bool = False) -> None:
        super().__init__()
        self.self_attn = SelfAttention(channels, heads, positional=positional)
        self.ffn = FeedForward(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, D, h, w) -> (N, D, h, w)."""
        return to_maps(self.ffn(self.self_attn(to_tokens(maps))))


class CrossBlock(nn.Module):
    """Cross attention, feed-forward, self attention, feed-forward: (2B, D, h, w) -> same.

    With ``rows`` every image row is a sequence of its own; otherwise the whole map is one.
    """

    def __init__(self, channels: int, heads: int, *, rows: bool) -> None:
        super().__init__()
        self.rows = rows
        # The published state dict lists the self attention of a global block first.
        if rows:
            self.cross_attn = CrossAttention(channels, heads, rows=True)
            self.self_attn = SelfAttention(channels, heads, rows=True)
        else:
            self.self_attn = SelfAttention(channels, heads)
            self.cross_attn = CrossAttention(channels, heads)
        self.ffn_c = FeedForward(channels)
        self.ffn = FeedForward(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(2B, D, h, w), left images first -> (2B, D, h, w)."""
        tokens = to_tokens(maps)
        # Rows meet no other rows, so the whole block can run band by band.
        return to_maps(in_joint_bands(self.attend, tokens) if self.rows else self.attend(tokens))

    def attend(self, tokens: Tensor) -> Tensor:
        """(2B, h, w, D), left images first -> (2B, h, w, D)."""
        for layer in (self.cross_attn, self.ffn_c, self.self_attn, self.ffn):
            tokens = layer(tokens)
        return tokens


def _multiply_into(out: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Write tokens · weightᵀ + bias to memory in one piece."""
    matrix = device_path.matrix
    torch.addmm(bias, matrix(tokens), weight.t(), out=matrix(out))


def sequences(tokens: Tensor, *, rows: bool) -> Tensor:
    """(N, h, w, D) -> (N·h, w, D) with ``rows``, else (N, h·w, D)."""
    return tokens.flatten(0, 1) if rows else tokens.flatten(1, 2)


def exchange_halves(stacked: Tensor) -> Tensor:
    """Swap the left and the right half of the first axis."""
    left, right = halves(stacked)
    return torch.cat((right, left))


def attend(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """Return softmax(q · kᵀ · scale) · v, (S, heads, length, d); scale is d^−½ by default.

    On a processor, PyTorch's fused kernel takes up to three times as long as forming the matrix
    while that stays in the caches, and its gradient takes 15 % of a training step.
    """
    if not _matrix_pays(q, k):
        return functional.scaled_dot_product_attention(q, k, v, scale=scale)
    scores = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.transpose(-1, -2)
    return scores.softmax(dim=-1).to(v.dtype) @ v


def _matrix_pays(q: Tensor, k: Tensor) -> bool:
    """Return whether attention is faster with its matrix formed."""
    if q.device.type != 'cpu':
        return False
    if torch.is_grad_enabled():
        return True
    small = q.shape[:-1].numel() * k.shape[-2] <= _MATRIX_ENTRIES
    return small and not torch.compiler.is_compiling()


def _attend_with_joint_codes(
    q: Tensor, k: Tensor, v: Tensor, tables: JointTables, layer: nn.Linear
) -> Tensor:
    """Return what ``_attend_with_codes`` and the layer of the codes do, on a GPU.

    Returns: (N, heads, h·w, d), in the order of tokens in memory.
    """
    depth = v.shape[-1]
    indicators = tables.indicators.expand(*v.shape[:2], -1, -1)
    mixed = attend(q, k, torch.cat((v, indicators), dim=-1)).transpose(1, 2)
    result = mixed[..., :depth] + device_path.bias_of(layer)
    codes = torch.bmm(mixed[..., depth:].flatten(0, 1), tables.codes)
    result = device_path.add_product(result, codes, layer.weight)
    return result.transpose(1, 2)


def _attend_with_codes(
    q: Tensor, k: Tensor, v: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Attend over a map and average the relative positional codes with the same weights.

    The code of a pair of tokens is a function of x − x' beside one of y − y'. So the mean code
    needs only how much attention each key column and each key row got: two marginals of the
    attention. Indicators of the columns and rows, appended to the values, make the attention
    deliver them itself, and no (h·w, h·w) matrix is ever formed.

    Returns: the attended values (N, heads, h·w, d) and the mean codes (N, heads, h·w, 32).
    """
    depth, extra = q.shape[-1], height + width
    tables = positional_tables(height, width, q.device, v.dtype)
    indicators = tables.indicators.expand(*v.shape[:2], -1, -1)
    values = torch.cat((v, indicators), dim=-1)
    # Equal depths of keys and values keep the fused kernels; zeros leave the products alone.
    mixed = attend(
        functional.pad(q, (0, extra)), functional.pad(k, (0, extra)), values, scale=depth**-0.5
    )
    attended, columns, rows = torch.split(mixed, [depth, width, height], dim=-1)
    grid = (*q.shape[:2], height, width, -1)
    mean_x = torch.einsum('nhyxk,xkc->nhyxc', columns.reshape(grid), tables.columns)
    mean_y = torch.einsum('nhyxk,ykc->nhyxc', rows.reshape(grid), tables.rows)
    return attended, torch.cat((mean_x, mean_y), dim=-1).flatten(2, 3)
