"""Pairs matched at once: lack of memory, other failures, and images of different kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.inference import Maps, StereoMatcher, registry
from s2m2_ros.node.batching import FIRST_RETRY_AFTER, BatchMatcher, alike
from s2m2_ros.pipeline.preparation import PreparedPair


class Device:
    """A backend whose disparity is the first pixel of each left image; `fits` pairs at most."""

    name, precision, device = 'device', 'float32', torch.device('cpu')

    def __init__(self, fits: int = 64, error: str = 'CUDA out of memory') -> None:
        self.fits = fits
        self.error = error
        self.bad: set[int] = set()
        self.batches: list[list[int]] = []

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        codes = [int(one[0, 0, 0]) for one in left]
        self.batches.append(codes)
        if len(codes) > self.fits or self.bad & set(codes):
            raise RuntimeError(self.error)
        flat = torch.tensor(codes).float()[:, None, None].repeat(1, *left.shape[2:])
        return Maps(flat, torch.ones_like(flat), torch.ones_like(flat))

    def close(self) -> None:
        """Nothing to free."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pair(
    code: int, *, color: bool = False, kind: Any = np.uint8, height: int = 40
) -> PreparedPair:
    shape = (height, 48, 3) if color else (height, 48)
    left, right = np.full(shape, 50, kind), np.full(shape, 60, kind)
    left[0, 0] = code
    return PreparedPair(left, right, None, None, (left, right))


def matched(
    batches: BatchMatcher, matcher: StereoMatcher, pairs: Sequence[PreparedPair]
) -> dict[int, Any]:
    """Return the disparity of each pair by its place, or the text of its error."""
    return {
        index: str(found) if isinstance(found, Exception) else float(found.disparity[5, 5])
        for index, found in batches.match(matcher, pairs)
    }


def test_all_are_matched_at_once_in_their_order() -> None:
    device = Device()
    found = matched(BatchMatcher(lambda: 8), StereoMatcher(device), [pair(c) for c in (7, 8, 9)])
    assert found == {0: 7, 1: 8, 2: 9}
    assert device.batches == [[7, 8, 9]]


def test_a_lack_of_memory_halves_the_batch_and_is_remembered_for_a_while() -> None:
    device, clock = Device(fits=2), Clock()
    batches, matcher = BatchMatcher(lambda: 8, clock=clock), StereoMatcher(device)
    pairs = [pair(code) for code in range(10, 17)]
    expected = {index: 10 + index for index in range(7)}
    assert matched(batches, matcher, pairs) == expected
    # 7 do not fit, nor 4; so they go two by two.
    first = [[10, 11, 12, 13, 14, 15, 16], [10, 11, 12, 13]]
    by_two = [[10, 11], [12, 13], [14, 15], [16]]
    assert device.batches == first + by_two
    device.batches.clear()
    clock.now = FIRST_RETRY_AFTER - 1
    assert matched(batches, matcher, pairs) == expected
    assert device.batches == by_two
    # Other sizes have memory enough, as far as is known.
    device.batches.clear()
    assert matched(batches, matcher, [pair(c, height=32) for c in (1, 2)]) == {0: 1, 1: 2}
    assert device.batches == [[1, 2]]
    # Tried again in the end, since memory may have become free.
    device.batches.clear()
    device.fits, clock.now = 64, FIRST_RETRY_AFTER + 1
    assert matched(batches, matcher, pairs) == expected
    assert device.batches == [list(range(10, 17))]


def test_down_to_one_by_one_and_only_what_does_not_fit_alone_fails() -> None:
    device = Device(fits=0)
    found = matched(BatchMatcher(lambda: 8), StereoMatcher(device), [pair(c) for c in (1, 2)])
    assert device.batches == [[1, 2], [1], [2]]
    assert all('ran out of memory' in text for text in found.values())


def test_a_pair_that_fails_is_the_only_one() -> None:
    device = Device(error='broken')
    device.bad = {8}
    found = matched(BatchMatcher(lambda: 8), StereoMatcher(device), [pair(c) for c in (7, 8, 9)])
    assert found == {0: 7, 1: 'broken', 2: 9}
    assert device.batches == [[7, 8, 9], [7], [8], [9]]


@pytest.mark.parametrize(('bad', 'text'), [(np.nan, 'NaN'), (0.5, 'multiply')])
def test_values_that_are_none_of_an_image_harm_no_other(bad: float, text: str) -> None:
    """Beside a good image one of 0 to 1 looks like a dark one."""
    device = Device()
    wrong = pair(3, kind=np.float32)
    wrong.left[:] = bad
    wrong.right[:] = bad
    wrong.left[1, 1] = 0.0
    batches, matcher = BatchMatcher(lambda: 8), StereoMatcher(device)
    found = matched(batches, matcher, [pair(7), wrong, pair(9)])
    assert (found[0], found[2]) == (7, 9)
    assert text in found[1]
    # It says nothing about how many can be matched.
    device.batches.clear()
    matched(batches, matcher, [pair(7), pair(9)])
    assert device.batches == [[7, 9]]


def test_kinds_of_images_are_brought_together_without_a_change_of_values() -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {'color': True},
        {'kind': np.float32},
        {'color': True, 'kind': np.float32},
    ]
    pairs = [pair(20 + n, **kind) for n, kind in enumerate(kinds)]
    images = alike([one.left for one in pairs])
    assert {(image.shape, str(image.dtype)) for image in images} == {((40, 48, 3), 'float32')}
    for number, image in enumerate(images):
        assert (np.asarray(image)[0, 0] == 20 + number).all()
        assert (np.asarray(image)[1:] == 50).all()
    assert matched(BatchMatcher(lambda: 8), StereoMatcher(Device()), pairs) == {
        n: 20 + n for n in range(4)
    }


def test_a_tensor_takes_the_others_to_its_device() -> None:
    made = alike(
        [torch.full((40, 48), 7, dtype=torch.uint8), np.full((40, 48, 3), 8.0, np.float32)]
    )
    assert all(isinstance(image, torch.Tensor) for image in made)
    assert [(tuple(i.shape), float(i[3, 3, 1])) for i in made] == [
        ((40, 48, 3), 7.0),
        ((40, 48, 3), 8.0),
    ]


def test_a_backend_that_prepares_sizes_works_on_full_batches_or_single_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = registry.BackendEntry('x', 'test', needs_checkpoint=False, prepares_sizes=True)
    monkeypatch.setitem(registry.BACKENDS, 'device', entry)
    device = Device()
    batches, matcher = BatchMatcher(lambda: 2), StereoMatcher(device)
    matched(batches, matcher, [pair(c) for c in (1, 2, 3)])
    matched(batches, matcher, [pair(4)])
    assert device.batches == [[1, 2], [3], [4]]
    device.batches.clear()
    matched(BatchMatcher(lambda: 4), matcher, [pair(c) for c in (1, 2, 3)])
    assert device.batches == [[1], [2], [3]]


def test_an_invalid_image_is_its_own_error() -> None:
    image = np.zeros((40, 48), np.int8)
    small = PreparedPair(image, image, None, None, (image, image))
    found = dict(BatchMatcher(lambda: 8).match(StereoMatcher(Device()), [small]))
    assert isinstance(found[0], ImageError)
