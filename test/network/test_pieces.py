"""Every rewritten piece of mathematics against the plain form it stands for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import bands
from s2m2_ros.network.attention import CrossBlock, SelfAttention
from s2m2_ros.network.bands import in_bands, in_overlapping_bands
from s2m2_ros.network.layers import ConvBlock, Down, GatedFusion, Up
from s2m2_ros.network.lookup import look_up, pool_columns
from s2m2_ros.network.matching import Matcher, match_rows, sinkhorn
from s2m2_ros.network.positional import positional_tables
from s2m2_ros.network.prediction import Prediction
from s2m2_ros.network.refinement import bound
from s2m2_ros.network.upsampling import doubling, flipped, window_means

CPU = torch.device('cpu')


def maps(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(math.prod(shape))
    values = torch.randn(*shape, generator=generator)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def positional_code_by_hand(height: int, width: int) -> Tensor:
    """Return (h·w, h·w, 32) by the definition, one pair at a time."""

    def row(offset: int, n: int) -> list[float]:
        p = math.tanh(-3 + 6 * (offset + n - 1) / (2 * n))
        z = [(-1 + 2 * k / 15 - p) / (5 / 32) for k in range(16)]
        v = [1.0 if abs(q) < 1e-6 else math.sin(3.1415 * q) / (3.1415 * q) for q in z]
        norm = math.sqrt(sum(q * q for q in v))
        return [0.5 * q / norm for q in v]

    tokens = [(y, x) for y in range(height) for x in range(width)]
    return torch.tensor(
        [[row(x - u, width) + row(y - v, height) for v, u in tokens] for y, x in tokens]
    )


def test_positional_tables_hold_the_code_of_every_pair() -> None:
    height, width = 2, 3
    tables = positional_tables(height, width, CPU)
    code = positional_code_by_hand(height, width)
    for query in range(height * width):
        for key in range(height * width):
            column = tables.columns[query % width, key % width]
            row = tables.rows[query // width, key // width]
            torch.testing.assert_close(torch.cat((column, row)), code[query, key])


def test_attention_with_marginals_equals_attention_with_the_full_table() -> None:
    torch.manual_seed(0)
    height, width, heads, depth = 3, 4, 2, 8
    layer = SelfAttention(heads * depth, heads, positional=True).eval()
    tokens = maps(2, height, width, heads * depth)
    projections = layer.attn
    flat = functional.layer_norm(tokens, tokens.shape[-1:]).flatten(1, 2)
    q, k, v = (
        part(flat).unflatten(-1, (heads, depth)).transpose(1, 2)
        for part in (projections.q, projections.k, projections.v)
    )
    share = (q @ k.transpose(-1, -2) / math.sqrt(depth)).softmax(dim=-1)
    code = torch.einsum('nhij,ijc->nhic', share, positional_code_by_hand(height, width))
    assert projections.pe_proj is not None
    attended = share @ v + projections.pe_proj(code)
    wanted = tokens + projections.proj(attended.transpose(1, 2).flatten(-2)).view(tokens.shape)
    torch.testing.assert_close(layer(tokens), wanted, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(layer(tokens), wanted.detach(), atol=1e-5, rtol=1e-5)


def test_tables_made_in_inference_serve_training_after_it() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16, 2, positional=True)
    tokens = maps(1, 5, 7, 16)
    with torch.inference_mode():
        layer(tokens)
    layer(tokens).sum().backward()
    assert layer.attn.q.weight.grad is not None


@pytest.mark.parametrize('shape', [(2, 16, 9, 5), (1, 16, 6, 7)])
def test_bands_change_nothing(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, y = maps(*shape), maps(*shape).flip(0, 3)
    blocks = (GatedFusion(16), GatedFusion(16, kernel=3))
    with torch.inference_mode():
        whole = [block(x, y) for block in blocks] + [ConvBlock(16).eval()(x)]
        torch.manual_seed(0)
        blocks = (GatedFusion(16), GatedFusion(16, kernel=3))
        monkeypatch.setattr(bands, '_BAND_VALUES', 2 * x[:, :, 0].numel())
        banded = [block(x, y) for block in blocks] + [ConvBlock(16).eval()(x)]
    for one, other in zip(whole, banded, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_a_row_block_in_bands_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block, x = CrossBlock(16, 2, rows=True), maps(2, 16, 7, 6)
    with torch.inference_mode():
        whole = block(x)
        monkeypatch.setattr(bands, '_BAND_VALUES', 3 * x[:, :, 0].numel())
        torch.testing.assert_close(block(x), whole, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(block(x).detach(), whole.clone(), atol=1e-5, rtol=1e-5)


def test_in_bands_writes_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, '_BAND_VALUES', 1)
    x, out = maps(1, 5, 3, 2), torch.empty(1, 5, 3, 2)
    with torch.inference_mode():
        in_bands(lambda t: 2 * t, x, out=out)
    torch.testing.assert_close(out, 2 * x)


@settings(deadline=None, max_examples=40)
@given(
    half=st.integers(1, 12),
    rows=st.integers(1, 6),
    halo=st.integers(1, 3),
    scale=st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(2)]),
    count=st.integers(1, 2),
)
def test_overlapping_bands_equal_the_whole(
    half: int, rows: int, halo: int, scale: Fraction, count: int
) -> None:
    full, small = maps(count, 2, 2 * half, 5), maps(count, 2, half, 3)
    kernel = maps(2, 2, 3, 3)

    def blur(a: Tensor, b: Tensor) -> Tensor:
        wide = functional.interpolate(b, size=a.shape[2:], mode='nearest')
        mixed = functional.conv2d(a, kernel, padding=1) + wide
        return mixed[:, :, :: scale.denominator].repeat_interleave(scale.numerator, dim=2)

    values = 2 * rows * 4 * 5
    with torch.inference_mode(), mock.patch.object(bands, '_MAP_VALUES', values):
        banded = in_overlapping_bands(blur, full, small, halo=2 * halo, channels=4)
        torch.testing.assert_close(banded, blur(full, small), atol=1e-5, rtol=1e-5)


def test_up_convolves_before_it_interpolates() -> None:
    layer, x = Up(6, 4), maps(2, 6, 3, 5)
    wanted = layer[1](functional.interpolate(x, scale_factor=2.0, mode='bilinear'))
    torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)


def test_down_averages_and_convolves() -> None:
    layer, x = Down(6, 4), maps(2, 6, 4, 6)
    torch.testing.assert_close(
        layer(x), layer[1](functional.avg_pool2d(x, 2)), atol=1e-5, rtol=1e-5
    )


def test_transposed_convolutions_are_rewritten_exactly() -> None:
    x = maps(2, 5, 4, 6)
    twice, same = nn.ConvTranspose2d(5, 3, 2, stride=2), nn.ConvTranspose2d(5, 3, 3, padding=1)
    torch.testing.assert_close(doubling(twice, x), twice(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(flipped(same, x), same(x), atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.floats(-2000.0, 2000.0), st.integers(0, 5))
def test_look_up_interpolates_with_zeros_outside(columns: int, at: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    row = torch.randn(columns, generator=generator)
    position = torch.tensor(at, dtype=torch.float32)
    found = look_up(row.view(1, 1, 1, columns), position.view(1, 1, 1, 1)).flatten()
    for k in range(-4, 5):
        low = math.floor(position.item())
        fraction = position.item() - low
        values = [row[j].item() if 0 <= j < columns else 0.0 for j in (low + k, low + k + 1)]
        wanted = (1 - fraction) * values[0] + fraction * values[1]
        assert found[k + 4].item() == pytest.approx(wanted, abs=1e-5)


def test_look_up_survives_absurd_positions() -> None:
    row = torch.ones(1, 1, 1, 8)
    for at in (1e30, -1e30):
        assert look_up(row, torch.full((1, 1, 1, 1), at)).abs().max() == 0


def test_pooled_columns_are_means_of_pairs() -> None:
    row = torch.tensor([1.0, 3.0, 5.0, 9.0]).view(1, 1, 1, 4)
    assert pool_columns(row).flatten().tolist() == [2.0, 7.0]


def transport_by_hand(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return P (w, w) and the row sums, from the padded matrix in float64."""
    width = scores.shape[0]
    padded = functional.pad(scores.double(), (0, 1, 0, 1))
    marginal = torch.full((width + 1,), -math.log(2 * width), dtype=torch.float64)
    marginal[-1] = -math.log(2)
    u = torch.zeros(width + 1, dtype=torch.float64)
    v = u
    for _ in range(3):
        v = marginal - (padded + u[:, None]).logsumexp(0)
        u = marginal - (padded + v[None]).logsumexp(1)
    p = (padded + u[:, None] + v[None] + math.log(2 * width)).exp()[:-1, :-1]
    return p, p.sum(1)


@pytest.mark.parametrize('strength', [1.0, 30.0, 150.0, 600.0, 3000.0])
@pytest.mark.parametrize('training', [False, True])
def test_sinkhorn_is_that_of_the_padded_matrix(strength: float, training: bool) -> None:
    scores = strength * maps(3, 12, 12)
    with torch.set_grad_enabled(training):
        u, v, _ = sinkhorn(scores)
    log_p = (scores + u[..., None] + v[:, None] + math.log(24)).exp()
    for index in range(3):
        wanted, _ = transport_by_hand(scores[index])
        # Float32 holds a score of 3000 to 2e-4, and so its exponential.
        torch.testing.assert_close(
            log_p[index].double(), wanted, atol=1e-6 * max(1.0, strength), rtol=1e-5 * strength
        )


def test_match_rows_follows_its_definition() -> None:
    width = 9
    scores = 6.0 * maps(1, width, width)
    found = match_rows(scores, allow_negative=True)
    p, visible = transport_by_hand(scores[0])
    for i in range(width):
        k = int(p[i].argmax())
        window = range(max(0, k - 2), min(width, k + 3))
        confidence = sum(p[i, j].item() for j in window)
        mean = (sum(p[i, j].item() * j for j in window) + 1e-4) / (confidence + 1e-4)
        assert found.disparity[0, i].item() == pytest.approx(i - mean, abs=1e-4)
        assert found.confidence[0, i].item() == pytest.approx(confidence, abs=1e-5)
        assert found.visibility[0, i].item() == pytest.approx(visible[i].item(), abs=1e-5)


def test_columns_are_exact_far_to_the_right() -> None:
    # Columns in float16 would be 0.5 apart from 512 on.
    width, i = 608, 605
    scores = torch.zeros(1, width, width)
    scores[0, i, 600], scores[0, i, 601] = 30.0, 30.5
    p, _ = transport_by_hand(scores[0])
    window = torch.arange(599, 604) if p[i].argmax() == 601 else torch.arange(598, 603)
    mean = ((p[i, window] * window).sum() + 1e-4) / (p[i, window].sum() + 1e-4)
    found = match_rows(scores, allow_negative=True).disparity[0, i].item()
    assert found == pytest.approx(i - mean.item(), abs=1e-3)


def test_masked_matches_count_for_nothing() -> None:
    scores = torch.zeros(1, 6, 6)
    scores[0].fill_diagonal_(20.0, wrap=False)
    scores[0, 1, 2] = 60.0  # disparity −1, which is not allowed
    found = match_rows(scores, allow_negative=False)
    assert found.disparity.min() > -1e-3
    assert match_rows(scores, allow_negative=True).disparity[0, 1] < -0.3


def test_probability_agrees_with_the_matching() -> None:
    matcher = Matcher(8)
    correlation = 5.0 * maps(2, 3, 10, 10)
    for allow_negative in (False, True):
        p = matcher.probability(correlation, allow_negative=allow_negative)
        matching = matcher(correlation, allow_negative=allow_negative)
        torch.testing.assert_close(p.sum(-1)[:, None], matching.visibility, atol=1e-5, rtol=1e-5)
        assert allow_negative or p.triu(1).abs().max() == 0


def test_window_means_follow_their_definition() -> None:
    values, factor = maps(2, 3, 4, 5), 2
    logits = maps(2, 9, 8, 10)
    found = window_means(values, logits, factor)
    weights = logits.softmax(1)
    for y in range(8):
        for x in range(10):
            wanted = torch.zeros(2, 3)
            for a in range(3):
                for b in range(3):
                    row = min(max(y // factor + a - 1, 0), 3)
                    column = min(max(x // factor + b - 1, 0), 4)
                    wanted += weights[:, 3 * a + b, y, x, None] * values[:, :, row, column]
            torch.testing.assert_close(found[:, :, y, x], wanted, atol=1e-5, rtol=1e-5)


def test_bound_clamps_and_hides_what_matches_left_of_the_image() -> None:
    ones = torch.ones(1, 1, 1, 4)
    disparity = torch.tensor([0.5, 1.0, -1.0, 9.0]).view(1, 1, 1, 4)
    estimate = Prediction(disparity, ones, ones)
    kept = bound(estimate, allow_negative=False)
    assert kept.disparity.flatten().tolist() == [0.5, 1.0, 0.0, 9.0]
    assert kept.visibility.flatten().tolist() == [0.0, 1.0, 1.0, 0.0]
    assert bound(estimate, allow_negative=True).disparity[0, 0, 0, 2] == -1.0


def test_a_correlation_of_half_features_is_float32() -> None:
    matcher: Any = Matcher(8).half()
    features = maps(2, 8, 3, 6)
    found = matcher.correlate(features.half())
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, Matcher(8).correlate(features.half().float()), atol=1e-5, rtol=1e-5
    )
