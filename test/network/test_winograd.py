"""Convolutions by minimal filtering: the results of plain ones, wherever they are used."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from s2m2_ros.network import S2M2, S2M2Config, prepare_for_inference, products, winograd
from s2m2_ros.network.winograd import ACTIVATIONS, Activation, PackedWeights
from support.torch_defaults import torch_defaults

PLAIN: dict[Activation, Callable[[Tensor], Tensor]] = {
    'none': lambda x: x,
    'relu': torch.relu,
    'gelu': functional.gelu,
    'sigmoid': torch.sigmoid,
    'tanh': torch.tanh,
}
LIBRARY = winograd.library()
WIDEST = 0 if LIBRARY is None else LIBRARY.winograd_vector_bytes()
# With AVX-512 the loops for AVX2 run too.
VECTORS = [size for size in (64, 32) if size <= WIDEST]
KERNELS = [(3, 3), (1, 3), (3, 1)]

pytestmark = pytest.mark.skipif(
    winograd.is_built() and not VECTORS, reason='no loops: they need AVX2 and GCC'
)


def layer_of(
    inputs: int, outputs: int, kernel: tuple[int, int] = (3, 3), *, bias: bool = True
) -> nn.Conv2d:
    padding = (kernel[0] // 2, kernel[1] // 2)
    made = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=bias)
    return made.requires_grad_(False)


def maps(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


def exact(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return the convolution in float64, by PyTorch."""
    weight = layer.weight.double()
    bias = None if layer.bias is None else layer.bias.double()
    return functional.conv2d(x.double(), weight, bias, padding=layer.padding)


def test_the_library_is_built() -> None:
    assert winograd.is_built()


@dataclass(frozen=True)
class Case:
    """A layer and the maps that it gets."""

    seed: int
    vector_bytes: int
    kernel: tuple[int, int]
    shape: tuple[int, int, int]
    parts: tuple[int, ...]
    outputs: int
    bias: bool
    activation: Activation
    threads: int


@given(
    st.builds(
        Case,
        seed=st.integers(0, 1000),
        vector_bytes=st.sampled_from(VECTORS),
        kernel=st.sampled_from(KERNELS),
        shape=st.tuples(st.integers(1, 3), st.integers(1, 41), st.integers(1, 41)),
        parts=st.sampled_from([(16,), (48,), (16, 32), (64, 16)]),
        outputs=st.sampled_from([16, 32, 48, 80]),
        bias=st.booleans(),
        activation=st.sampled_from(ACTIVATIONS),
        threads=st.integers(1, 3),
    )
)
@settings(max_examples=150, deadline=None)
def test_equals_a_plain_convolution(case: Case) -> None:
    torch.manual_seed(case.seed)
    layer = layer_of(sum(case.parts), case.outputs, case.kernel, bias=case.bias)
    batch, height, width = case.shape
    parts = [maps(batch, channels, height, width) for channels in case.parts]
    packed = PackedWeights.of(layer, case.vector_bytes)
    before = torch.get_num_threads()
    torch.set_num_threads(case.threads)
    try:
        found = winograd.convolve_packed(parts, packed, case.activation)
    finally:
        torch.set_num_threads(before)
    expected = PLAIN[case.activation](exact(torch.cat(parts, dim=1), layer))
    # Weights of a new layer keep results below some 4: a few units in the last place of sums.
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('vector_bytes', VECTORS)
@pytest.mark.parametrize('kernel', KERNELS)
def test_by_hand(vector_bytes: int, kernel: tuple[int, int]) -> None:
    """Ones, weights of one: every result counts the pixels of its window that lie in the map."""
    layer = layer_of(16, 16, kernel)
    layer.weight.fill_(1 / 16)
    layer.bias.fill_(0.5)  # type: ignore[union-attr]
    packed = PackedWeights.of(layer, vector_bytes)
    found = winograd.convolve_packed([torch.ones(1, 16, 6, 7)], packed)
    rows, columns = (
        [2] + [3] * (length - 2) + [2] if size == 3 else [1] * length
        for size, length in zip(kernel, (6, 7), strict=True)
    )
    counted = torch.tensor(rows)[:, None] * torch.tensor(columns) + 0.5
    torch.testing.assert_close(found, counted.expand(1, 16, 6, 7), rtol=0, atol=1e-5)


@pytest.mark.parametrize('vector_bytes', VECTORS)
@pytest.mark.parametrize('kernel', KERNELS)
def test_is_added_to_what_is_there(vector_bytes: int, kernel: tuple[int, int]) -> None:
    torch.manual_seed(1)
    layer, x, total = layer_of(32, 48, kernel), maps(2, 32, 13, 22), maps(2, 48, 13, 22)
    expected = total.double() + exact(x, layer)
    packed = PackedWeights.of(layer, vector_bytes)
    assert winograd.convolve_packed([x], packed, onto=total) is total
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('vector_bytes', VECTORS)
@pytest.mark.parametrize('kernel', KERNELS)
def test_parts_of_larger_maps(vector_bytes: int, kernel: tuple[int, int]) -> None:
    """Bands, halves of the channels, other memory orders: what lies beside them is left alone."""
    torch.manual_seed(2)
    layer, wide, room = layer_of(32, 16, kernel), maps(2, 64, 30, 18), maps(2, 48, 30, 18)
    packed = PackedWeights.of(layer, vector_bytes)
    band, target = wide[:, 16:48, 7:24], room[:, 16:32, 7:24]
    expected = target.double() + exact(band, layer)
    around = room.clone()
    winograd.convolve_packed([band], packed, onto=target)
    torch.testing.assert_close(target.double(), expected, rtol=1e-5, atol=1e-5)
    around[:, 16:32, 7:24] = target
    assert torch.equal(around, room)
    plain = winograd.convolve_packed([band.contiguous()], packed)
    assert torch.equal(plain, winograd.convolve_packed([band], packed))


@pytest.mark.parametrize('vector_bytes', VECTORS)
@pytest.mark.parametrize('kernel', KERNELS)
def test_bfloat16_is_summed_in_float32(vector_bytes: int, kernel: tuple[int, int]) -> None:
    """The result is the exact one, rounded to 8 bits: off by 2^-8 of itself."""
    torch.manual_seed(3)
    layer = layer_of(64, 32, kernel).to(torch.bfloat16)
    x = maps(1, 64, 25, 33, dtype=torch.bfloat16)
    found = winograd.convolve_packed([x], PackedWeights.of(layer, vector_bytes))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact(x, layer), rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize('vector_bytes', VECTORS)
@pytest.mark.parametrize('activation', ACTIVATIONS)
def test_activations_over_their_whole_range(vector_bytes: int, activation: Activation) -> None:
    layer = layer_of(16, 16)
    layer.weight.zero_()
    layer.weight[range(16), range(16), 1, 1] = 1.0
    layer.bias.zero_()  # type: ignore[union-attr]
    values = torch.cat([torch.linspace(-30, 30, 3999), torch.tensor([0.0])])
    x = values.view(1, 1, 40, 100).expand(1, 16, 40, 100)
    found = winograd.convolve_packed([x], PackedWeights.of(layer, vector_bytes), activation)
    # Ten times a unit in the last place of the values around.
    torch.testing.assert_close(found.double(), PLAIN[activation](x.double()), rtol=2e-6, atol=4e-5)
    huge = torch.tensor([-1e4, -100.0, 100.0, 1e4]).view(1, 1, 2, 2).expand(1, 16, 2, 2)
    found = winograd.convolve_packed([huge], PackedWeights.of(layer, vector_bytes), activation)
    torch.testing.assert_close(
        found.double(), PLAIN[activation](huge.double()), rtol=1e-5, atol=2e-2
    )


def test_which_layers_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def served(layer: nn.Conv2d, *parts: Tensor, **more: Any) -> bool:
        with torch.inference_mode():
            return winograd.serves(parts, layer, **more)

    layer, x = layer_of(32, 16), maps(1, 32, 40, 40)
    assert not served(layer, x), 'not prepared'
    winograd.prepare(layer)
    assert served(layer, x)
    assert served(layer, maps(1, 16, 40, 40), maps(1, 16, 40, 40))
    assert not winograd.serves((x,), layer), 'gradients may be asked for'
    assert not served(layer, maps(1, 32, 8, 8)), 'too small'
    assert not served(layer, maps(1, 20, 40, 40), maps(1, 12, 40, 40)), 'channels between vectors'
    assert not served(layer, x.double())
    assert not served(layer, x, onto=torch.zeros(1, 16, 40, 40)), 'another memory order'
    assert not served(copy.deepcopy(layer), x), 'not prepared'
    assert not served(layer, maps(1, 64, 40, 40)), 'too many channels'
    assert not served(layer, x[0]), 'no batch'
    assert not served(layer, maps(1, 16, 40, 40), maps(1, 16, 40, 41))
    assert not served(layer, maps(1, 16, 40, 40), maps(1, 8, 40, 40), maps(1, 8, 40, 40))
    assert not served(layer, maps(2, 32, 40, 40), onto=maps(1, 16, 40, 40))
    assert served(layer, x, onto=maps(1, 16, 40, 40))
    for other in (
        nn.Conv2d(32, 16, 3, padding=1, stride=2),
        nn.Conv2d(32, 16, 3),
        nn.Conv2d(32, 16, 3, padding=2, dilation=2),
        nn.Conv2d(32, 16, 3, padding=1, groups=2),
        nn.Conv2d(32, 16, 3, padding=1, padding_mode='reflect'),
        nn.Conv2d(32, 16, 5, padding=2),
        nn.Conv2d(32, 9, 3, padding=1),
        nn.Conv2d(9, 16, 3, padding=1),
    ):
        winograd.prepare(other)
        assert not served(other, maps(1, other.in_channels, 40, 40))
    half = layer_of(32, 16, (1, 3)).to(torch.bfloat16)
    winograd.prepare(half)
    assert not served(half, x.to(torch.bfloat16)), 'instructions for bfloat16 are as fast'
    layer.to(torch.bfloat16)
    assert not served(layer, x), 'another type than the weights'
    layer.to('meta')
    assert not served(layer, x), 'the weights are on another device'
    monkeypatch.setattr(winograd, 'library', lambda: None)
    layer = layer_of(32, 16)
    winograd.prepare(layer)
    assert not served(layer, x)


def rewritten(layer: nn.Conv2d) -> None:
    layer.weight.mul_(2.0)


def loaded(layer: nn.Conv2d) -> None:
    layer.load_state_dict(layer_of(32, 32).state_dict())


def replaced(layer: nn.Conv2d) -> None:
    layer.weight.data = layer.weight.data * 2.0


def moved(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    layer.bias = nn.Parameter(layer.bias + 1.0, requires_grad=False)


@pytest.mark.parametrize('change', [rewritten, loaded, replaced, moved])
def test_parameters_that_change_after_a_pass(change: Callable[[nn.Conv2d], None]) -> None:
    torch.manual_seed(6)
    layer, x = layer_of(32, 32), maps(1, 32, 20, 20)
    winograd.prepare(layer)
    with torch.inference_mode():
        before = products.convolve_alone(x, layer)
    with torch.no_grad():
        change(layer)
    with torch.inference_mode():
        after = products.convolve_alone(x, layer)
        assert winograd.serves((x,), layer)
    torch.testing.assert_close(after.double(), exact(x, layer), rtol=1e-5, atol=1e-5)
    assert (after - before).abs().max() > 0.1


@pytest.mark.parametrize('bias', [True, False])
def test_parameters_that_are_inference_tensors(bias: bool) -> None:
    with torch.inference_mode():
        layer, x = layer_of(32, 16, bias=bias), maps(1, 32, 20, 20)
        winograd.prepare(layer)
        assert winograd.serves((x,), layer)
        found = products.convolve_alone(x, layer)
        torch.testing.assert_close(found.double(), exact(x, layer), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('activation', ['relu', None])
def test_tracers_see_a_plain_convolution(activation: products.Activation | None) -> None:
    """What they record would else return the memory that the loops were given, never written."""
    layer, x, other = layer_of(32, 16), maps(1, 32, 20, 20), maps(1, 32, 20, 20)
    winograd.prepare(layer)

    def apply(maps: Tensor) -> Tensor:
        if activation is None:
            return products.convolve_alone(maps, layer)
        return products.convolve(maps, layer, activation)

    with torch.no_grad():
        expected = apply(other)
        traced = torch.jit.trace(apply, (x,), check_trace=False)  # type: ignore[no-untyped-call]
        torch.testing.assert_close(traced(other), expected, rtol=1e-5, atol=1e-5)
        recorded = make_fx(apply)(x)
        torch.testing.assert_close(recorded(other), expected, rtol=1e-5, atol=1e-5)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = mode.from_tensor(x)
            assert apply(fake).shape == (1, 16, 20, 20)
        assert not winograd.serves((fake,), layer), 'it has no memory'


@pytest.fixture(params=[(torch.float16, 'cpu'), (torch.float64, 'cpu'), (torch.float32, 'meta')])
def other_defaults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a program that uses the package have chosen what new tensors are by default."""
    dtype, device = request.param
    with torch_defaults(dtype, device):
        yield


@pytest.mark.usefixtures('other_defaults')
def test_memory_is_not_of_the_default_type_and_device() -> None:
    layer = layer_of(32, 16).to_empty(device='cpu').float()
    layer.weight.fill_(1 / 32)
    layer.bias.fill_(0.5)  # type: ignore[union-attr]
    winograd.prepare(layer)
    with torch.inference_mode():
        x = torch.ones((1, 32, 20, 20), dtype=torch.float32, device='cpu')
        assert winograd.serves((x,), layer)
        found = winograd.convolve((x,), layer)
    assert (found.dtype, found.device.type) == (torch.float32, 'cpu')
    # Nine pixels in a window, six at an edge.
    assert found[0, 5, 7, 7].item() == pytest.approx(9.5, abs=1e-5)
    assert found[0, 15, 0, 7].item() == pytest.approx(6.5, abs=1e-5)


@pytest.mark.parametrize(
    ('parts', 'onto', 'message'),
    [
        ([(1, 16, 20, 20)], None, r'32 to 16 channels does not fit maps of \[\(1, 16, 20, 20\)\]'),
        ([(1, 16, 20, 20), (1, 16, 20, 24)], None, r'\(1, 16, 20, 24\)'),
        ([(2, 16, 20, 20), (1, 16, 20, 20)], None, r'\(1, 16, 20, 20\)'),
        ([(1, 16, 20, 20), (1, 8, 20, 20), (1, 8, 20, 20)], None, r'\(1, 8, 20, 20\)'),
        ([(1, 32, 20, 20)], (1, 16, 8, 8), r'\(1, 16, 8, 8\)'),
        ([(1, 32, 20, 20)], (1, 32, 20, 20), r'\(1, 32, 20, 20\)'),
    ],
)
def test_memory_of_other_sizes_is_not_touched(
    parts: list[tuple[int, ...]], onto: tuple[int, ...] | None, message: str
) -> None:
    packed = PackedWeights.of(layer_of(32, 16), VECTORS[0])
    total = None if onto is None else maps(*onto)
    with pytest.raises(ValueError, match=message):
        winograd.convolve_packed([maps(*part) for part in parts], packed, onto=total)


def test_compilers_do_not_look_at_the_layers() -> None:
    """One that did would compile again, or fail, whenever another network comes or goes."""
    layer, x = layer_of(32, 16), maps(1, 32, 40, 40)
    winograd.prepare(layer)
    compiled = torch.compile(
        lambda x: products.convolve_alone(x, layer) + 1, fullgraph=True, backend='eager'
    )
    with torch.inference_mode():
        found = compiled(x)
        others = [layer_of(32, 16) for _ in range(3)]
        for other in others:
            winograd.prepare(other)
        with torch.compiler.set_stance('fail_on_recompile'):
            assert torch.equal(compiled(x), found)
        assert torch.equal(found, layer(x) + 1)


@pytest.mark.parametrize('activation', ['relu', 'gelu', 'sigmoid', 'tanh'])
def test_products_take_it(activation: products.Activation) -> None:
    torch.manual_seed(4)
    layer = layer_of(32, 32)
    a, b, total = maps(1, 16, 20, 20), maps(1, 16, 20, 20), maps(1, 32, 20, 20)
    both = torch.cat((a, b), dim=1)
    results = []
    for _ in range(2):
        with torch.inference_mode():
            results.append(
                (
                    products.convolve(both, layer, activation),
                    products.convolve_joined((a, b), layer, activation),
                    products.convolve_onto(
                        total.clone(memory_format=torch.preserve_format), both, layer
                    ),
                    products.convolve_alone(both, layer),
                )
            )
        winograd.prepare(layer)
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
        assert not torch.equal(fast, plain), 'the same kernel ran twice'


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_network_gives_the_same(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights amplify what their first layers round: compared by the medians."""
    torch.manual_seed(5)
    network = S2M2(S2M2Config.named('XS')).eval().requires_grad_(False).to(dtype)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(1, 3, 12, 20) * 255
    left = functional.interpolate(image, size=(96, 160), mode='bilinear')
    right = left.roll(-8, dims=3)
    with torch.inference_mode():
        plain = network(left, right)
        calls = []
        original = winograd.convolve_packed

        def counted(*arguments: Any, **options: Any) -> Tensor:
            calls.append(1)
            return original(*arguments, **options)

        monkeypatch.setattr(winograd, 'convolve_packed', counted)
        prepare_for_inference(network)
        fast = network(left, right)
        again = network(left, right)
    # Units for matrices are faster than it in bfloat16, but for the float32 head.
    rarely = (
        dtype == torch.bfloat16 and LIBRARY is not None and LIBRARY.winograd_has_matrix_units()
    )
    assert len(calls) > (0 if rarely else 40)
    limit = 1e-3 if dtype == torch.float32 else 0.3
    for one, other, third in zip(fast, plain, again, strict=True):
        assert (one - other).abs().median() < limit
        assert torch.equal(one, third)


def test_lack_of_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(16, 16)
    monkeypatch.setattr(winograd, '_compiled', _NoMemory)
    with pytest.raises(MemoryError, match=r'no memory for a convolution of \(1, 16, 20, 20\)'):
        winograd.convolve_packed([maps(1, 16, 20, 20)], PackedWeights.of(layer, VECTORS[0]))


class _NoMemory:
    """Stands in for a library that is refused its memory."""

    def __getattr__(self, name: str) -> Any:
        if name == 'winograd_convolve':
            return lambda *_: 1
        return getattr(winograd.library(), name)
