"""`StereoMatcher` around a backend whose answers are known."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2m2_ros.inference import (
    BackendUnavailableError,
    ClosedError,
    DeviceMemoryError,
    ImageError,
    Maps,
    StereoMatcher,
)
from s2m2_ros.inference.errors import OptionError, ProcessError
from s2m2_ros.network import CheckpointError
from s2m2_ros.weights import WeightsError

CPU = torch.device('cpu')


class PlantedBackend:
    """Answers 'disparity = mean of the left image', and fails on request."""

    def __init__(self, *failures: BaseException) -> None:
        self.name = 'planted'
        self.precision = 'float32'
        self.device = CPU
        self.sizes: list[tuple[int, ...]] = []
        self.closed = 0
        self._failures = list(failures)

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        self.sizes.append(tuple(left.shape))
        if self._failures:
            raise self._failures.pop(0)
        ones = torch.ones(left.shape[0], *left.shape[2:])
        means = left.float().mean((1, 2, 3))[:, None, None]
        return Maps(ones * means, ones * 0.5, ones * 0.25)

    def close(self) -> None:
        self.closed += 1


def image(height: int = 48, width: int = 64, value: int = 7) -> Any:
    return np.full((height, width, 3), value, np.uint8)


def test_result_has_the_images_size_and_float32() -> None:
    result = StereoMatcher(PlantedBackend()).match(image(), image())
    for values, expected in (
        (result.disparity, 7.0),
        (result.visibility, 0.5),
        (result.confidence, 0.25),
    ):
        assert values.shape == (48, 64)
        assert values.dtype == torch.float32
        assert (values == expected).all()


def test_batch_answers_in_order() -> None:
    backend = PlantedBackend()
    lefts = [image(value=v) for v in (3, 9)]
    results = StereoMatcher(backend).match_batch(lefts, lefts)
    assert [r.disparity.mean().item() for r in results] == [3, 9]
    assert backend.sizes == [(2, 3, 48, 64)]


def test_working_scale_is_applied_and_undone() -> None:
    backend = PlantedBackend()
    matcher = StereoMatcher(backend, max_width=50)
    result = matcher.match(image(80, 100), image(80, 100))
    assert backend.sizes == [(1, 3, 40, 50)]
    assert matcher.working_size(80, 100) == (40, 50)
    assert result.disparity.shape == (80, 100)
    assert torch.allclose(result.disparity, torch.tensor(14.0))


class TwoSizes(PlantedBackend):
    """Finds half of what images 100 wide have at any other width, with less trust in it."""

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        disparity, visibility, _ = super().infer(left, right)
        # In pixels of the size that is matched; left of the middle the coarse one is trusted.
        disparity = disparity * (left.shape[-1] / 100 if left.shape[-1] == 100 else 0.5)
        confidence = torch.full_like(disparity, 0.5)
        if left.shape[-1] == 100:
            confidence[..., :50] = 0.7
        return Maps(disparity, visibility, confidence)


def test_a_second_size_refines_what_it_is_trusted_with() -> None:
    backend = TwoSizes()
    matcher = StereoMatcher(backend, upsampling=1.5)
    result = matcher.match(image(80, 100, 8), image(80, 100, 8))
    assert backend.sizes == [(1, 3, 80, 100), (1, 3, 120, 150)]
    assert matcher.working_size(80, 100) == (80, 100)
    # Half of 8, and that in pixels of two thirds of the width.
    assert set(result.disparity[:, :50].flatten().tolist()) == {8.0}
    assert result.disparity[:, 50:].mean().item() == pytest.approx(8 / 2 / 1.5)


def test_the_largest_width_also_holds_for_the_second_size() -> None:
    backend = PlantedBackend()
    matcher = StereoMatcher(backend, max_width=50, upsampling=2.0)
    matcher.match(image(80, 100), image(80, 100))
    assert backend.sizes == [(1, 3, 40, 50)]
    backend.sizes.clear()
    matcher.max_width = 120
    matcher.match(image(80, 100), image(80, 100))
    assert backend.sizes == [(1, 3, 80, 100), (1, 3, 96, 120)]


@pytest.mark.parametrize('upsampling', [0.5, 4.1, float('nan')])
def test_upsampling_out_of_range_is_an_error(upsampling: float) -> None:
    with pytest.raises(OptionError, match='upsampling must be 1 to 4'):
        StereoMatcher(PlantedBackend(), upsampling=upsampling)


def test_timings_are_given_only_when_asked_for() -> None:
    matcher = StereoMatcher(PlantedBackend())
    assert matcher.match(image(), image()).timings is None
    timings = matcher.match(image(), image(), timed=True).timings
    assert timings is not None
    assert timings.upload_ms >= 0
    assert timings.inference_ms >= 0


def test_warm_up_runs_the_size_that_will_come() -> None:
    backend = PlantedBackend()
    StereoMatcher(backend).warm_up(40, 70, channels=1, batch=2)
    assert backend.sizes == [(2, 1, 40, 70)]


def test_closing_frees_the_backend_once_and_refuses_more_work() -> None:
    backend = PlantedBackend()
    with StereoMatcher(backend) as matcher:
        matcher.match(image(), image())
    matcher.close()
    assert backend.closed == 1
    with pytest.raises(ClosedError):
        matcher.match(image(), image())


@pytest.mark.parametrize(
    'error',
    [
        # The first stands in for a GPU's: there is none here.
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 8 GiB'),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_says_what_fits_and_the_matcher_lives_on(error: BaseException) -> None:
    matcher = StereoMatcher(PlantedBackend(error))
    with pytest.raises(DeviceMemoryError, match=r'at 256x128: try a max width of 192') as caught:
        matcher.match(image(128, 256), image(128, 256))
    assert (caught.value.height, caught.value.width) == (128, 256)
    assert caught.value.__context__ is None
    assert matcher.match(image(), image()).disparity.mean() == 7


def test_real_exhaustion_of_host_memory_is_recognized() -> None:
    class Greedy(PlantedBackend):
        def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
            torch.empty(1 << 60, dtype=torch.uint8)
            raise AssertionError

    with pytest.raises(DeviceMemoryError):
        StereoMatcher(Greedy()).match(image(), image())


def test_other_errors_of_a_backend_pass_through() -> None:
    with pytest.raises(RuntimeError, match='broken'):
        StereoMatcher(PlantedBackend(RuntimeError('broken'))).match(image(), image())


def test_bad_images_never_reach_the_backend() -> None:
    backend = PlantedBackend()
    with pytest.raises(ImageError):
        StereoMatcher(backend).match(image(), image(value=3)[:40])
    assert backend.sizes == []


def test_threads_take_turns() -> None:
    inside = threading.Semaphore(1)

    class Exclusive(PlantedBackend):
        def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
            assert inside.acquire(blocking=False)
            try:
                return super().infer(left, right)
            finally:
                inside.release()

    matcher = StereoMatcher(Exclusive())
    found: list[float] = []

    def work(value: int) -> None:
        for _ in range(20):
            mean = matcher.match(image(value=value), image(value=value)).disparity.mean()
            found.append(mean.item() - value)

    threads = [threading.Thread(target=work, args=(v,)) for v in (1, 50, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0.0] * 60


FORKED = """
import os, warnings, numpy, torch
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.errors import ProcessError
warnings.simplefilter('ignore')
torch.set_num_threads({threads})
image = numpy.random.default_rng(0).integers(0, 256, (64, 96), numpy.uint8)
matcher = StereoMatcher.open('starter', device='cpu', backend={backend!r})
matcher.match(image, image)
if os.fork() == 0:
    try:
        print(matcher.match(image, image).disparity.numpy().shape, flush=True)
    except ProcessError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='nothing is forked here')
@pytest.mark.parametrize(
    ('backend', 'threads', 'said'),
    [('torch', 2, 'open one in each process'), ('torch', 1, '(64, 96)'), ('sgbm', 2, '(64, 96)')],
)
def test_a_forked_process_is_told_to_open_its_own(backend: str, threads: int, said: str) -> None:
    command = [sys.executable, '-c', FORKED.format(backend=backend, threads=threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert said in done.stdout


@pytest.mark.parametrize('take', [pickle.dumps, copy.deepcopy])
def test_a_matcher_that_is_pickled_says_what_to_do(take: Callable[[Any], Any]) -> None:
    with pytest.raises(ProcessError, match='open one in each process'):
        take(StereoMatcher(PlantedBackend()))


def test_negative_max_width_is_refused() -> None:
    with pytest.raises(ValueError, match='max_width'):
        StereoMatcher(PlantedBackend(), max_width=-1)


def test_open_refuses_options_out_of_range(checkpoint: Path) -> None:
    for options in (
        {'backend': 'magic'},
        {'precision': 'float8'},
        {'device': 'toaster'},
        {'device': 'gpu'},
        {'device': 'cuda:x'},
        {'device': 'hip:0'},
        {'refine_iterations': -1},
    ):
        with pytest.raises(OptionError, match=f"not '?{next(iter(options.values()))}"):
            StereoMatcher.open(checkpoint, **options)


def test_open_says_how_to_get_a_missing_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path))
    with pytest.raises(WeightsError, match='s2m2 weights download XL'):
        StereoMatcher.open('XL')


def test_open_refuses_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / 'garbage.safetensors'
    path.write_bytes(b'garbage')
    with pytest.raises(CheckpointError, match=r'garbage\.safetensors'):
        StereoMatcher.open(path)


@pytest.mark.parametrize('backend', ['cudagraph', 'tensorrt'])
def test_gpu_backends_say_that_they_need_one(checkpoint: Path, backend: str) -> None:
    with pytest.raises(BackendUnavailableError, match='needs a CUDA device, not cpu'):
        StereoMatcher.open(checkpoint, backend=backend, device='cpu')


def test_missing_package_comes_with_the_command_that_installs_it(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(BackendUnavailableError, match='pip install onnxruntime'):
        StereoMatcher.open(checkpoint, backend='onnxruntime', device='cpu')


def test_auto_says_in_one_line_what_it_picked_and_passed_over(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order = {'cpu': ('tensorrt', 'torch', 'sgbm')}
    monkeypatch.setattr('s2m2_ros.inference.selection.AUTOMATIC_ORDER', order)
    with caplog.at_level('INFO', 's2m2_ros'):
        matcher = StereoMatcher.open(checkpoint, device='cpu', precision='float32')
    assert (matcher.backend, matcher.precision) == ('torch', 'float32')
    assert caplog.messages == [
        'matching with backend torch on cpu in float32; tensorrt is unavailable: it needs a CUDA '
        'device, not cpu'
    ]


@pytest.mark.parametrize('device', ['auto', 'cuda', 'cuda:7', 'mps', 'no such device'])
def test_sgbm_needs_neither_checkpoint_nor_device(device: str) -> None:
    matcher = StereoMatcher.open('/nowhere.pth', backend='sgbm', device=device)
    assert (matcher.backend, matcher.checkpoint) == ('sgbm', '')
    assert matcher.device == CPU
