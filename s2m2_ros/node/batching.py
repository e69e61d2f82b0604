"""Which pairs are matched at once, and what happens when that fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.errors import DeviceMemoryError
from s2m2_ros.inference.registry import BACKENDS
from s2m2_ros.pipeline.preparation import Image, PreparedPair

# Seconds after which a batch that failed is tried again, doubled each time up to the longest.
FIRST_RETRY_AFTER = 60.0
LONGEST_RETRY_AFTER = 3600.0

Size = tuple[int, int]
Outcome = MatchResult | Exception


@dataclass(frozen=True)
class _Limit:
    """How many pairs of a size are matched at once since more have failed."""

    most: int
    retry_at: float
    retry_after: float


class BatchMatcher:
    """Matches pairs of one size at once, as far as memory and backend allow.

    A batch that the memory does not suffice for is halved, down to single pairs; one that fails
    otherwise is matched pair by pair, so that each error is that of its pair. What failed is not
    tried for a while. A backend that prepares each number of pairs works on `full` pairs or on
    one, so that no more than two are prepared for a size. For one thread.
    """

    def __init__(
        self, full: Callable[[], int], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full = full
        self._clock = clock
        self._limits: dict[Size, _Limit] = {}
        self._matcher: StereoMatcher | None = None

    def match(
        self, matcher: StereoMatcher, pairs: Sequence[PreparedPair]
    ) -> Iterator[tuple[int, Outcome]]:
        """Yield each pair's index and result, or the error of matching it alone.

        The pairs are of one size.
        """
        if matcher is not self._matcher:
            # Another backend has other limits.
            self._matcher, self._limits = matcher, {}
        size = size_of(pairs[0])
        waiting = deque(self._parts(matcher, size, len(pairs)))
        while waiting:
            part = waiting.popleft()
            outcome = _try(matcher, [pairs[index] for index in part])
            if not isinstance(outcome, Exception):
                yield from zip(part, outcome, strict=True)
            elif len(part) == 1:
                yield part[0], outcome
            else:
                smaller = (len(part) + 1) // 2 if isinstance(outcome, DeviceMemoryError) else 1
                if not isinstance(outcome, ImageError):
                    self._lower(size, smaller)
                # The other parts may be as large.
                rest = [index for later in waiting for index in later]
                waiting = deque(_cut([*part, *rest], smaller))

    def _parts(self, matcher: StereoMatcher, size: Size, count: int) -> list[list[int]]:
        limit = self._limits.get(size)
        most = count if limit is None or self._clock() >= limit.retry_at else limit.most
        backend = BACKENDS.get(matcher.backend)
        if backend is not None and backend.prepares_sizes:
            most = self._full() if self._full() <= min(most, count) else 1
            whole = count // most * most
            return [*_cut(range(whole), most), *_cut(range(whole, count), 1)]
        return _cut(range(count), most)

    def _lower(self, size: Size, most: int) -> None:
        now, known, after = self._clock(), self._limits.get(size), FIRST_RETRY_AFTER
        if known is not None:
            again = now >= known.retry_at
            after = min(2 * known.retry_after, LONGEST_RETRY_AFTER) if again else known.retry_after
        self._limits[size] = _Limit(most, now + after, after)


def size_of(pair: PreparedPair) -> Size:
    """Return height and width of the images that are matched."""
    height, width = pair.left.shape[:2]
    return int(height), int(width)


def alike(images: Sequence[Image]) -> list[Image]:
    """Return the images as color if one is, as float32 if one is, on a GPU if one is.

    Each is (H, W) or (H, W, 3), uint8 or float32; the cameras of a batch may differ in that.
    """
    color = any(image.ndim == 3 for image in images)
    kinds = {_kind(image) for image in images}
    device = next((i.device for i in images if isinstance(i, torch.Tensor)), None)
    return [_converted(image, color, len(kinds) > 1, device) for image in images]


def _kind(image: Image) -> str:
    return str(image.dtype).removeprefix('torch.')


def _converted(image: Image, color: bool, real: bool, device: torch.device | None) -> Image:
    if device is not None:
        # Images of messages cannot be written to, which torch warns of.
        array = image
        if not isinstance(array, torch.Tensor):
            array = torch.from_numpy(np.require(array, requirements=['C', 'W']))
        tensor = array.to(device)
        tensor = tensor.float() if real else tensor
        return tensor[..., None].expand(*tensor.shape, 3) if color and tensor.ndim == 2 else tensor
    array = image.cpu().numpy() if isinstance(image, torch.Tensor) else image
    array = array.astype(np.float32) if real else array
    return np.stack((array,) * 3, axis=-1) if color and array.ndim == 2 else array


def _try(matcher: StereoMatcher, part: Sequence[PreparedPair]) -> list[MatchResult] | Exception:
    try:
        if len(part) == 1:
            return [matcher.match(part[0].left, part[0].right, timed=True)]
        images = alike([*(pair.left for pair in part), *(pair.right for pair in part)])
        return matcher.match_batch(images[: len(part)], images[len(part) :], timed=True)
    except Exception as error:  # drivers raise errors of many classes
        # Its traceback would keep the tensors of the failed pass.
        return error.with_traceback(None)


def _cut(indices: Sequence[int], most: int) -> list[list[int]]:
    return [list(indices[start : start + most]) for start in range(0, len(indices), most)]
