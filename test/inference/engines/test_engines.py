"""Engines prove themselves once, are refused if wrong, and failures are not repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from s2m2_ros.inference import (
    BackendOptions,
    BackendUnavailableError,
    DeviceMemoryError,
    InferenceError,
    StereoMatcher,
)
from s2m2_ros.inference.backends import engines as engines_module
from s2m2_ros.inference.backends.engines import ENGINES_KEPT, Engines
from s2m2_ros.inference.backends.network import Network, PaddedBackend, load_for_inference
from s2m2_ros.inference.engines.exported_models import ExportedModels
from s2m2_ros.inference.engines.made_pairs import made_pair
from s2m2_ros.inference.engines.proof import MEDIAN_LIMIT_PX, Proof, compare, prove
from s2m2_ros.inference.export import ExportSize, ImageSize
from s2m2_ros.inference.first_available import FirstAvailable

CPU = torch.device('cpu')


@pytest.fixture
def options(tmp_path: Path, checkpoint: Path) -> BackendOptions:
    return BackendOptions(checkpoint, CPU, 'float32', 0, False, tmp_path)


class Builder:
    """Builds the network itself, off by `offset` pixels, and counts; may fail first."""

    def __init__(self, options: BackendOptions, offset: float = 0.0, *failures: Exception) -> None:
        self.network = load_for_inference(options)
        self.offset = offset
        self.failures = list(failures)
        self.sizes: list[ImageSize] = []

    def __call__(self, size: ImageSize) -> Network:
        self.sizes.append(size)
        if self.failures:
            raise self.failures.pop(0)
        return self.run

    def run(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        disparity, visibility, confidence = self.network(left, right)
        return [disparity + self.offset, visibility, confidence]


def image(height: int = 64) -> torch.Tensor:
    return torch.full((1, 3, height, 64), 90.0)


@torch.inference_mode()
def test_an_engine_that_agrees_is_built_and_proven_once(
    options: BackendOptions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, 's2m2_ros'):
        Engines('made', options, Builder(options))(image(), image())
    assert [message.split(' in ')[0] for message in caplog.messages] == [
        'preparing made for 64x64, batch 1',
        'prepared made for 64x64, batch 1',
        'made agrees with torch',
    ]
    # Another process finds the figures, so it only builds (or loads) the engine.
    monkeypatch.setattr(engines_module, 'prove', lambda *_: pytest.fail('proven again'))
    again = Builder(options)
    engines = Engines('made', options, again)
    for _ in range(2):
        engines(image(), image())
    assert again.sizes == [ImageSize(64, 64)]


@torch.inference_mode()
def test_memory_of_building_and_proving_goes_back_to_a_gpu_once_a_size(
    options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    builder = Builder(options)

    def build(size: ImageSize) -> Network:
        done.append('build')
        return builder(size)

    def prover(engine: Network, size: ImageSize) -> Proof:
        done.append('prove')
        return Proof(0.0, 0.0, 0.0, 0.0)

    monkeypatch.setattr(engines_module, 'release', lambda device: done.append(device.type))
    # A device that is not here: the release alone asks for it.
    on_gpu = replace(options, device=torch.device('cuda'))
    models = ExportedModels(options)
    engines = Engines('made', on_gpu, build, models=models, prover=prover)
    for height in (64, 64, 96):
        engines(image(height), image(height))
    assert done == 2 * ['cuda', 'build', 'prove', 'cuda']


@pytest.mark.parametrize('precision', MEDIAN_LIMIT_PX)
@torch.inference_mode()
def test_an_engine_beyond_the_limit_is_refused_in_words(
    options: BackendOptions, precision: str
) -> None:
    options = replace(options, precision=precision)
    exact = replace(options, precision='float32')
    limit = MEDIAN_LIMIT_PX[precision]
    Engines('near', options, Builder(exact, 0.9 * limit))(image(), image())
    words = (
        rf"backend 'far' is unavailable: its disparity differs from that of torch in float32 by "
        rf'{1.1 * limit:.3g} px in the median, more than the {limit:g} px allowed in {precision}'
    )
    with pytest.raises(BackendUnavailableError, match=words):
        Engines('far', options, Builder(exact, 1.1 * limit))(image(), image())


@torch.inference_mode()
def test_a_refused_engine_is_not_built_again_not_even_by_another_process(
    options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for processes in range(2):
        builder = Builder(options, 3.0)
        engines = Engines('wrong', options, builder)
        for _ in range(2):
            with pytest.raises(BackendUnavailableError, match='3 px in the median'):
                engines(image(), image())
        assert len(builder.sizes) == 1 - processes
        monkeypatch.setattr(engines_module, '_failures', {})


@torch.inference_mode()
def test_a_failure_to_build_is_remembered_by_the_process(options: BackendOptions) -> None:
    builder = Builder(options, 0.0, ValueError('no kernel\nand a long story'))
    engines = Engines('broken', options, builder)
    for engine in (engines, engines, Engines('broken', options, builder)):
        with pytest.raises(BackendUnavailableError, match='ValueError: no kernel') as caught:
            engine(image(), image())
        assert 'long story' not in str(caught.value)
    assert len(builder.sizes) == 1
    # Of that size only.
    engines(image(96), image(96))


@torch.inference_mode()
def test_a_lack_of_memory_passes_and_is_not_remembered(options: BackendOptions) -> None:
    builder = Builder(options, 0.0, torch.cuda.OutOfMemoryError('CUDA out of memory'))
    matcher = StereoMatcher(PaddedBackend('made', Engines('made', options, builder), options))
    picture = torch.full((64, 64, 3), 90.0)
    with pytest.raises(DeviceMemoryError):
        matcher.match(picture, picture)
    assert matcher.match(picture, picture).disparity.shape == (64, 64)


@torch.inference_mode()
def test_engines_are_kept_for_the_sizes_used_last(
    options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines_module, 'prove', lambda *_: Proof(0.0, 0.0, 0.0, 0.0))
    builder = Builder(options)
    builder.run = lambda left, right: [left[:, :1]] * 3  # type: ignore[method-assign]
    engines = Engines('made', options, builder)
    heights = [64 + 32 * index for index in range(ENGINES_KEPT)]
    for height in [*heights, 64, 992, 64]:
        engines(image(height), image(height))
    assert len(builder.sizes) == ENGINES_KEPT + 1
    engines(image(96), image(96))
    assert len(builder.sizes) == ENGINES_KEPT + 2


class Planted:
    """A backend that gives one value, or raises; `closed` lists what was closed."""

    precision, device = 'float32', CPU
    closed: list[str]

    def __init__(self, name: str, failure: Exception | None = None) -> None:
        self.name = name
        self._failure = failure

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Any:
        if self._failure is not None:
            raise self._failure
        return (left[:, 0],) * 3

    def close(self) -> None:
        self.closed.append(self.name)


@pytest.fixture
def auto(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FirstAvailable]:
    monkeypatch.setattr(Planted, 'closed', [], raising=False)

    def make(**failures: Exception | None) -> FirstAvailable:
        def open_backend(name: str) -> Planted:
            if name == 'missing':
                raise BackendUnavailableError(name, 'not installed')
            return Planted(name, failures[name])

        return FirstAvailable(('missing', *failures), open_backend)

    return make


def test_auto_takes_the_next_backend_when_an_engine_is_wrong(
    auto: Callable[..., FirstAvailable], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, 's2m2_ros'):
        matcher = StereoMatcher(
            auto(engine=BackendUnavailableError('engine', 'is 3 px off'), torch=None)
        )
        assert matcher.backend == 'engine'
        picture = torch.full((64, 64, 3), 90.0)
        assert matcher.match(picture, picture).disparity.mean() == 90
    assert matcher.backend == 'torch'
    assert Planted.closed == ['engine']
    assert caplog.messages == [
        'matching with backend engine on cpu in float32; missing is unavailable: not installed',
        'matching with backend torch on cpu in float32; missing is unavailable: not installed; '
        'engine is unavailable: is 3 px off',
    ]


def test_auto_keeps_its_last_backend_and_says_why_it_fails(
    auto: Callable[..., FirstAvailable],
) -> None:
    backend = auto(engine=BackendUnavailableError('engine', 'is 3 px off'))
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match="backend 'engine' is unavailable: is 3"):
            backend.infer(image(), image())


def test_auto_passes_other_errors_through(auto: Callable[..., FirstAvailable]) -> None:
    backend = auto(engine=InferenceError('the device is gone'), torch=None)
    with pytest.raises(InferenceError, match='gone'):
        backend.infer(image(), image())
    assert backend.name == 'engine'


def test_auto_names_all_reasons_when_nothing_opens(auto: Callable[..., FirstAvailable]) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        auto()
    assert str(caught.value) == (
        "backend 'auto' is unavailable: missing is unavailable: not installed"
    )


def test_differences_are_those_worked_out_by_hand() -> None:
    zeros = torch.zeros(1, 1, 10, 10)
    disparity = zeros.clone().flatten()
    disparity[:51], disparity[98:] = 0.5, 7.0
    found = [disparity.view(1, 1, 10, 10), zeros + 0.25, zeros - 0.125]
    assert compare(found, [zeros] * 3) == Proof(0.5, 7.0, 0.25, 0.125)


def test_what_is_not_a_number_is_beyond_every_limit() -> None:
    zeros = torch.zeros(1, 1, 4, 4)
    for index, name in enumerate(('disparity', 'visibility', 'confidence')):
        found = [zeros, zeros, zeros]
        found[index] = zeros + torch.nan
        assert f'its {name} differs' in compare(found, [zeros] * 3).problem('float16')


def test_the_made_pair_is_the_same_everywhere_and_differs_within_a_batch() -> None:
    left, right = made_pair(ExportSize(64, 96, batch=2))
    assert left.shape == right.shape == (2, 3, 64, 96)
    assert 0 <= left.min() < 60
    assert 200 < left.max() <= 255
    assert torch.equal(left, made_pair(ExportSize(64, 96, batch=2))[0])
    assert not torch.equal(left[0], left[1])
    # 0.06 and 0.12 of 96 pixels: the background by 6, the rectangle by 12.
    assert torch.equal(left[:, :, :16, 6:], right[:, :, :16, :-6])
    assert torch.equal(left[:, :, 16:48, 36:72], right[:, :, 16:48, 24:60])


def test_the_reference_moves_to_the_processor_when_the_device_is_full(
    options: BackendOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device 'meta' stands in for a full GPU; nothing is shown of a real one."""
    from s2m2_ros.inference.engines import proof

    devices: list[str] = []

    def load(options: BackendOptions) -> Network:
        devices.append(f'{options.device} {options.precision}')
        if options.device.type == 'meta':
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return load_for_inference(options)

    monkeypatch.setattr(proof, 'load_for_inference', load)
    full = replace(options, device=torch.device('meta'), precision='float16')
    maps = [torch.zeros(1, 1, 32, 64)] * 3
    found = prove(lambda left, right: maps, full, ExportSize(32, 64))
    assert devices == ['meta float32', 'cpu float32']
    assert found.median_px > 0
