"""What the host does for a pair on a GPU, and that it waits once, tried with a fake device.

Tensors of the fake, on `meta`, have shapes and types, but no values: whoever asks for a number,
or for pixels chosen by their values, gets an exception. Events record who waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from s2m2_ros.geometry import CameraModel, Output, RegionOfInterest, outputs
from s2m2_ros.geometry.content_check import check_content
from s2m2_ros.geometry.download import Downloaded, copy_from_cuda
from s2m2_ros.geometry.image_mask import ImageMask
from s2m2_ros.inference import MatchResult
from s2m2_ros.inference.hardware.timing import StageTimings, mark
from s2m2_ros.pipeline import (
    PairInput,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    preparation,
    stereo_pipeline,
)
from s2m2_ros.pipeline.device_check import PlantedMatcher

# Its tensors have no values.
META = torch.device('meta')
CUDA = torch.device('cuda:0')
HEIGHT, WIDTH = 48, 64


class FakeDevice:
    """What happened in which order; work is done once the host has waited for it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.done = False

    def wait(self, why: str) -> None:
        self.log.append(why)
        self.done = True

    def noting(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, which notes when the host runs it."""

        def noted(*arguments: Any) -> Any:
            self.log.append(what)
            return function(*arguments)

        return noted


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()

    class FakeEvent:
        def __init__(self, *, enable_timing: bool = False) -> None:
            self.timed = enable_timing

        def record(self, stream: object) -> None:
            fake.done = False

        def query(self) -> bool:
            return fake.done

        def synchronize(self) -> None:
            fake.wait('event')

        def elapsed_time(self, other: FakeEvent) -> float:
            assert fake.done
            assert self.timed
            assert other.timed
            return 2.0

    monkeypatch.setattr(torch.cuda, 'Event', FakeEvent)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device=None: None)
    monkeypatch.setattr(stereo_pipeline, 'mark', lambda _: mark(CUDA))
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda device=None: fake.wait('device'))
    return fake


class FakeMatcher(PlantedMatcher):
    """Queues a match and returns at once, as a matcher on a GPU does."""

    def __init__(self, fake: FakeDevice) -> None:
        super().__init__(META)
        self._fake = fake

    def match(self, left: Any, right: Any, *, timed: bool) -> MatchResult:
        self._fake.log.append('match')
        disparity, visibility, confidence = torch.rand(3, HEIGHT, WIDTH, device=META)
        image = torch.zeros(HEIGHT, WIDTH, 3, dtype=torch.uint8, device=META)
        times = StageTimings(mark(CUDA), mark(CUDA), mark(CUDA))
        return MatchResult(disparity, visibility, confidence, times, image)


def pair() -> PairInput:
    def model(shift: float) -> CameraModel:
        P = (60.0, 0.0, 32.0, shift, 0.0, 60.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        return CameraModel(P, WIDTH, HEIGHT, source='info')

    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return PairInput(image, np.roll(image, -4, axis=1), (model(0.0), model(-6.0)))


@pytest.mark.parametrize('masked', [False, True])
def test_the_host_waits_once_for_a_pair(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    def fake_download(tensors: Sequence[torch.Tensor]) -> Downloaded:
        assert all(tensor.device == META for tensor in tensors)
        began = mark(CUDA)
        device.wait('download')
        types = [str(tensor.dtype).removeprefix('torch.') for tensor in tensors]
        arrays = [
            np.zeros(tuple(tensor.shape), kind)
            for tensor, kind in zip(tensors, types, strict=True)
        ]
        return Downloaded(arrays, began, 1.0)

    monkeypatch.setattr(outputs, 'download', fake_download)
    uploads: list[torch.device] = []

    def fake_upload(image: torch.Tensor, at: torch.device) -> torch.Tensor:
        uploads.append(image.device)
        return image.to(at)

    monkeypatch.setattr(outputs, 'upload', fake_upload)
    monkeypatch.setattr(preparation, 'check_content', device.noting('content', check_content))
    mask = ImageMask(RegionOfInterest(8, 0, 32, 0) if masked else RegionOfInterest())
    wanted = set(Output) - {Output.REGISTERED_DEPTH}
    state, pipeline = PipelineState(), StereoPipeline(FakeMatcher(device))  # type: ignore[arg-type]
    for _ in range(2):
        found = pipeline.process(pair(), wanted, PipelineOptions(mask=mask), state)
    # The content is checked while the device matches.
    assert device.log == 2 * ['match', 'content', 'download']
    # The left image is there already.
    assert set(uploads) == {META}
    assert found.times.upload_ms == found.times.inference_ms == found.times.geometry_ms == 2.0
    assert found.times.download_ms == 1.0
    assert found.mean_confidence == 0.0


def test_the_copy_to_the_host_waits_for_its_end_alone(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, asked = torch.empty, []

    def pinned(*shape: Any, pin_memory: bool, **options: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*shape, **options)

    monkeypatch.setattr(torch, 'empty', pinned)
    host, _, milliseconds = copy_from_cuda(torch.arange(5, dtype=torch.uint8))
    assert host.tolist() == [0, 1, 2, 3, 4]
    assert (asked, milliseconds) == ([True], 2.0)
    assert device.log == ['event']
