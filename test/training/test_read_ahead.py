"""Batches of folders that are cut before they are asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.training import folders
from s2m2_ros.training.batch import StereoBatch, stack
from s2m2_ros.training.folders import FolderSource, Mixture, crop
from s2m2_ros.training.procedural.photometric import augment
from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.read_ahead import Cutter, ReadAhead, Request

SIZE = (2, 32, 64)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three pairs of noise in the layout of Middlebury 2014."""
    root = tmp_path_factory.mktemp('pairs')
    for number in range(3):
        random = np.random.default_rng(number)
        scene = root / str(number)
        scene.mkdir()
        for name in ('im0.png', 'im1.png'):
            cv2.imwrite(str(scene / name), random.integers(0, 256, (60, 90, 3), np.uint8))
        cv2.imwrite(str(scene / 'disp0.pfm'), random.uniform(1, 20, (60, 90)).astype(np.float32))
    return root


class Scenes:
    """Batches of zeros."""

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        return zeros(Request(index, batch_size, height, width))


class Recorder(Scenes):
    """Records what is announced."""

    def __init__(self) -> None:
        self.announced: list[list[int]] = []

    def announce(self, indices: Sequence[int], batch_size: int, height: int, width: int) -> None:
        self.announced.append(list(indices))


def zeros(request: Request, count: int = 0) -> StereoBatch:
    size = (count or request.batch_size, 1, request.height, request.width)
    image, plane = torch.zeros(size).repeat(1, 3, 1, 1), torch.zeros(size)
    return StereoBatch(image, image, plane, plane, plane, plane)


def assert_same(a: StereoBatch, b: StereoBatch) -> None:
    for field in fields(StereoBatch):
        assert torch.equal(getattr(a, field.name), getattr(b, field.name)), field.name


def stacked(folder: Path, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
    """Return the batch of seed 3 cut and stacked pair by pair in this thread."""
    source = FolderSource([folder], seed=3)
    random = np.random.default_rng((3, index))
    chosen = random.choice(3, batch_size, replace=batch_size > 3)
    seeds = random.integers(0, 1 << 62, batch_size)
    pairs = stack(
        [
            crop(source.files[number], np.random.default_rng(seed), height, width)
            for number, seed in zip(chosen, seeds, strict=True)
        ]
    )
    left, right = augment(pairs.left / 255, pairs.right / 255, SeededRandom(3, index))
    return StereoBatch(**{**vars(pairs), 'left': left * 255, 'right': right * 255})


@pytest.mark.parametrize('batch_size', [2, 5])
def test_batches_are_those_cut_one_by_one(folder: Path, batch_size: int) -> None:
    source = FolderSource([folder], seed=3)
    source.announce([7, 8], batch_size, 32, 64)
    for index in (8, 9, 7):
        expected = stacked(folder, index, batch_size, 32, 64)
        assert_same(source.batch(index, batch_size, 32, 64), expected)


@pytest.mark.parametrize('stride', [1, 3])
def test_a_mixture_gives_the_batches_of_each_index_alone(folder: Path, stride: int) -> None:
    def mixture() -> Mixture:
        source = FolderSource([folder], seed=3)
        return Mixture([source], Scenes(), scenes_fraction=0.5, seed=3)

    along = mixture()
    for step in range(12):
        # The size changes on the way, as a schedule changes it.
        size = SIZE if step < 6 else (3, 40, 80)
        index = 5 + step * stride
        assert_same(along.batch(index, *size), mixture().batch(index, *size))


@pytest.mark.parametrize('stride', [1, 4])
def test_coming_batches_are_announced_along_the_stride(stride: int) -> None:
    recorder = Recorder()
    mixture = Mixture([recorder], Scenes(), scenes_fraction=0.0, seed=0)
    for step in range(3):
        mixture.batch(2 + step * stride, *SIZE)
    following = [[2 + (step + ahead) * stride for ahead in range(3)] for step in range(3)]
    # The first index does not say what the next one will be.
    assert recorder.announced == [[2], *following[1:]]
    mixture.batch(0, *SIZE)
    assert recorder.announced[-1] == [0]


def test_only_batches_of_the_source_are_announced_to_it() -> None:
    first, second = Recorder(), Recorder()
    mixture = Mixture([first, second], Scenes(), scenes_fraction=0.6, seed=0)
    for index in range(40):
        mixture.batch(index, *SIZE)
    announced = [{i for indices in s.announced for i in indices} for s in (first, second)]
    assert all(announced)
    assert not announced[0] & announced[1]
    assert len((announced[0] | announced[1]) & set(range(40))) < 30
    assert max(len(indices) for indices in first.announced) == folders.ANNOUNCED


def test_pairs_are_cut_before_they_are_asked_for() -> None:
    cut: set[tuple[int, int]] = set()
    ready = threading.Event()

    def cutter(request: Request) -> Cutter:
        def one(number: int) -> StereoBatch:
            cut.add((request.index, number))
            if len(cut) == 4:
                ready.set()
            return zeros(request, 1)

        return one

    ahead = ReadAhead(cutter)
    requests = [Request(index, *SIZE) for index in (4, 6)]
    ahead.announce(requests)
    assert ready.wait(60)
    assert cut == {(4, 0), (4, 1), (6, 0), (6, 1)}
    cut.clear()
    for request in requests:
        assert not ahead.take(request).left.any()
    assert cut == set()


def test_what_is_no_longer_announced_is_dropped() -> None:
    started: list[Request] = []

    def cutter(request: Request) -> Cutter:
        started.append(request)
        return lambda _: zeros(request, 1)

    ahead = ReadAhead(cutter)
    small, large = Request(1, *SIZE), Request(1, 2, 64, 96)
    ahead.announce([small])
    ahead.announce([large])
    ahead.announce([large])
    assert ahead.take(large).left.shape == (2, 3, 64, 96)
    assert started == [small, large]
    ahead.take(small)
    assert started == [small, large, small]


def test_an_error_is_raised_for_the_batch_that_has_it(folder: Path, tmp_path: Path) -> None:
    scene = tmp_path / 'bad'
    scene.mkdir()
    for name in ('im0.png', 'im1.png', 'disp0.pfm'):
        (scene / name).write_bytes((folder / '0' / name).read_bytes())
    source = FolderSource([tmp_path], seed=0)
    (scene / 'im1.png').write_bytes(b'no image')
    source.announce([1, 2], *SIZE)
    with pytest.raises(DatasetError, match=r'im1\.png'):
        source.batch(2, *SIZE)
    (scene / 'im1.png').write_bytes((folder / '0' / 'im1.png').read_bytes())
    assert source.batch(3, *SIZE).valid.any()


def test_crops_are_augmented_on_the_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []

    def record(
        left: torch.Tensor, right: torch.Tensor, random: SeededRandom
    ) -> tuple[torch.Tensor, torch.Tensor]:
        devices.extend([left.device.type, right.device.type, random.device.type])
        return left, right

    # The meta device computes nothing, but is another one than the host.
    monkeypatch.setattr(folders, 'augment', record)
    monkeypatch.setattr(folders, 'SeededRandom', MetaRandom)
    batch = FolderSource([folder], seed=0, device='meta').batch(0, *SIZE)
    assert devices == ['meta'] * 3
    assert {value.device.type for value in vars(batch).values()} == {'meta'}


class MetaRandom:
    """Takes the place of a generator, which the meta device does not have."""

    def __init__(self, seed: int, stream: int, *, device: torch.device) -> None:
        self.device = device


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_batches_on_a_gpu_have_the_same_truth(folder: Path) -> None:
    source = FolderSource([folder], seed=3, device='cuda')
    source.announce([1, 2], *SIZE)
    for index in (1, 2):
        batch, expected = source.batch(index, *SIZE), stacked(folder, index, *SIZE)
        assert batch.left.device.type == 'cuda'
        for name in ('disparity', 'visibility', 'valid', 'labeled'):
            assert torch.equal(getattr(batch, name).cpu(), getattr(expected, name))
        repeated = FolderSource([folder], seed=3, device='cuda').batch(index, *SIZE)
        assert torch.equal(batch.left, repeated.left)


ENDING = """
from s2m2_ros.training.read_ahead import ReadAhead, Request

ahead = ReadAhead(lambda request: lambda number: 1 / 0)
ahead.announce([Request(index, 20, 8, 8) for index in range(3)])
"""


def test_a_process_ends_although_batches_were_announced() -> None:
    ended = subprocess.run(
        [sys.executable, '-c', ENDING], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stderr == ''
