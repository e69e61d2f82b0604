"""Batches cut from folders of real pairs, to fine-tune on one's own cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.evaluation.pairs import DatasetError, StereoFiles, StereoPair
from s2m2_ros.evaluation.truth import load_pair, read_images
from s2m2_ros.io.sources.stereo_sources import ImagePair, find_pairs
from s2m2_ros.setting_names import SettingNames
from s2m2_ros.training.batch import BatchSource, StereoBatch, stack
from s2m2_ros.training.pair_check import check_labeled, check_unlabeled
from s2m2_ros.training.procedural.photometric import augment
from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.read_ahead import Cutter, ReadAhead, Request

# Folders of pairs are all that it takes.
FOLDERS = SettingNames(others={'right_source': '', 'input_layout': ''})
LARGEST_ZOOM = 1.4
# A mixture announces so many batches from one source of folders, this one and those to come...
ANNOUNCED = 3
# ...as far as they are among so many indices: with 0.85 of scenes, every seventh is one.
FORESEEN = 32


@runtime_checkable
class ForeseenSource(Protocol):
    """A source that prepares batches before they are asked for."""

    def announce(self, indices: Sequence[int], batch_size: int, height: int, width: int) -> None:
        """Start on these batches, and drop all others that were announced."""


class FolderSource:
    """Random crops of the pairs below some folders, of any layout that `find_labeled_pairs` knows.

    Crops are enlarged by up to 1.4, disparity included, and get the same photometric changes as
    procedural scenes, on ``device``. Batch ``index`` depends on the seed, the index, the sizes
    and the type of the device alone.
    """

    def __init__(
        self, folders: Sequence[Path], *, seed: int, device: torch.device | str = 'cpu'
    ) -> None:
        """Find the pairs.

        Raises:
            DatasetError: if a folder holds none.
        """
        self.files = [files for folder in folders for files in find_labeled_pairs(folder)]
        self.seed, self.device = seed, torch.device(device)
        self._ahead = ReadAhead(self._cutter, pinned=self.device.type == 'cuda')

    def check(self) -> None:
        """Read the pairs once, see `check_labeled`. Raises DatasetError."""
        check_labeled(self.files)

    def announce(self, indices: Sequence[int], batch_size: int, height: int, width: int) -> None:
        """Start to cut these batches in the background; drop all others that were announced."""
        self._ahead.announce([Request(index, batch_size, height, width) for index in indices])

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index`` of crops of height x width pixels, on the device.

        Raises:
            DatasetError: if a pair cannot be read.
        """
        pairs = self._ahead.take(Request(index, batch_size, height, width)).to(self.device)
        random = SeededRandom(self.seed, index, device=self.device)
        left, right = augment(pairs.left / 255, pairs.right / 255, random)
        return StereoBatch(**{**vars(pairs), 'left': left * 255, 'right': right * 255})

    def _cutter(self, request: Request) -> Cutter:
        """Draw the pairs of a batch, and a seed for the crop of each."""
        random = np.random.default_rng((self.seed, request.index))
        count = request.batch_size
        chosen = random.choice(len(self.files), count, replace=count > len(self.files))
        seeds = random.integers(0, 1 << 62, count)

        def cut(number: int) -> StereoBatch:
            files, own = self.files[chosen[number]], np.random.default_rng(seeds[number])
            return crop(files, own, request.height, request.width)

        return cut


class UnlabeledSource:
    """Random crops of pairs without truth, of any naming that `find_pairs` knows.

    No photometric changes: the views are compared with each other.
    """

    def __init__(self, folders: Sequence[Path], *, seed: int) -> None:
        """Find the pairs.

        Raises:
            SourceError: if a folder holds none.
        """
        self.files = [pair for folder in folders for pair in find_pairs(folder, names=FOLDERS)]
        self.seed = seed

    def check(self) -> None:
        """Read the pairs once. Raises DatasetError if one cannot be used."""
        check_unlabeled(self.files, _without_truth)

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index`` of crops of height x width pixels, on the host."""
        random = np.random.default_rng((self.seed, index, 2))
        chosen = random.choice(len(self.files), batch_size, replace=batch_size > len(self.files))
        pairs = [_without_truth(self.files[number]) for number in chosen]
        return stack([crop_pair(pair, random, height, width) for pair in pairs])


class Mixture:
    """Batches from folders and procedural scenes by turns.

    What the next batches from folders will be is announced to their sources. Indices may advance
    by more than one, as they do where several processes take turns.
    """

    def __init__(
        self,
        folders: Sequence[BatchSource],
        scenes: BatchSource,
        *,
        scenes_fraction: float,
        seed: int,
    ) -> None:
        self.folders, self.scenes = folders, scenes
        self.scenes_fraction, self.seed = scenes_fraction, seed
        self._last: int | None = None

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return batch ``index`` of one of the sources, drawn for each index; folders alike."""
        source = self._source(index)
        stride = 0 if self._last is None else index - self._last
        self._last = index
        for folder in self.folders:
            if isinstance(folder, ForeseenSource):
                indices = list(islice(self._indices(folder, index, stride), ANNOUNCED))
                folder.announce(indices, batch_size, height, width)
        return source.batch(index, batch_size, height, width)

    def _source(self, index: int) -> BatchSource:
        random = np.random.default_rng((self.seed, index, 1))
        if random.random() >= self.scenes_fraction:
            return self.folders[int(random.integers(len(self.folders)))]
        return self.scenes

    def _indices(self, source: BatchSource, index: int, stride: int) -> Iterator[int]:
        """Yield which of the coming indices are of a source, this one included."""
        coming = range(index, index + FORESEEN * stride, stride) if stride > 0 else (index,)
        return (number for number in coming if self._source(number) is source)


def crop(files: StereoFiles, random: np.random.Generator, height: int, width: int) -> StereoBatch:
    """Return one random crop of a pair, enlarged where the pair is smaller than the crop."""
    return crop_pair(load_pair(files), random, height, width)


def crop_pair(
    pair: StereoPair, random: np.random.Generator, height: int, width: int
) -> StereoBatch:
    """Return one random crop, enlarged where the pair is smaller than the crop."""
    smallest = max(height / pair.left.shape[0], width / pair.left.shape[1])
    zoom = max(smallest, random.uniform(1.0, LARGEST_ZOOM))
    rows, columns = (-(-length // zoom) for length in (height, width))
    top = int(random.integers(0, max(pair.left.shape[0] - rows, 0) + 1))
    start = int(random.integers(0, max(pair.left.shape[1] - columns, 0) + 1))
    window = slice(top, int(top + rows)), slice(start, int(start + columns))
    return _enlarged(_cut(pair, window), height, width)


def _without_truth(files: ImagePair) -> StereoPair:
    left, right = read_images(files.left, files.right)
    if left.shape != right.shape:
        raise DatasetError(
            f"'{files.left}' and '{files.right}' have different sizes; both images of a pair must "
            'be rectified to one size'
        )
    unknown = np.full(left.shape[:2], np.nan, np.float32)
    return StereoPair(files.name, left, right, unknown, None)


def _cut(pair: StereoPair, window: tuple[slice, slice]) -> StereoBatch:
    """Return a window of a pair as a batch of one; what it cuts off is no longer visible."""
    disparity = pair.disparity[window]
    known = np.isfinite(disparity)
    seen = known if pair.visible is None else known & pair.visible[window]
    inside = np.arange(disparity.shape[1]) - np.nan_to_num(disparity) >= 0
    # A match outside of the crop is hidden, whether or not the data set knows occlusions.
    labeled = known & (~inside if pair.visible is None else True)
    return StereoBatch(
        left=_image(pair.left[window]),
        right=_image(pair.right[window]),
        disparity=_map(np.nan_to_num(disparity)),
        visibility=_map(seen & inside),
        valid=_map(known),
        labeled=_map(labeled),
    )


def _enlarged(pairs: StereoBatch, height: int, width: int) -> StereoBatch:
    """Resize one pair: images bilinearly, truth to the nearest, disparity in the new pixels."""
    size = (height, width)
    scale = width / pairs.left.shape[3]
    nearest = {
        name: functional.interpolate(getattr(pairs, name), size, mode='nearest-exact')
        for name in ('disparity', 'visibility', 'valid', 'labeled')
    }
    images = {
        name: functional.interpolate(
            getattr(pairs, name), size, mode='bilinear', align_corners=False
        )
        for name in ('left', 'right')
    }
    nearest['disparity'] = nearest['disparity'] * scale
    return StereoBatch(**images, **nearest)


def _image(array: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].float()


def _map(array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]
