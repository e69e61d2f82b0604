"""Pairs of one size are matched together, whatever lies between them in the recording."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from s2m2_ros.errors import ImageError
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.errors import DeviceMemoryError
from s2m2_ros.pipeline.preparation import PreparedPair

_logger = logging.getLogger(__name__)

GPU_BATCH = 4
# Items of other kinds that wait with a batch, at most.
MOST_ITEMS = 256


class HasImages(Protocol):
    """A pair that waits."""

    @property
    def images(self) -> PreparedPair:
        """Return what is matched."""
        ...


class Batch:
    """Items in their order; pairs among them, which have images, are matched together.

    Only full batches are: engines that are built for a size of the batch then need two.
    """

    def __init__(self, matcher: StereoMatcher, size: int) -> None:
        """Take the pairs of a batch; 0: 1 on a CPU, `GPU_BATCH` on a GPU."""
        self._matcher = matcher
        self._size = size or (GPU_BATCH if matcher.device.type == 'cuda' else 1)
        self._items: list[Any] = []
        self._pairs: list[HasImages] = []

    @property
    def is_full(self) -> bool:
        """Return whether no more may wait."""
        is_idle = not self._pairs
        return is_idle or len(self._pairs) >= self._size or len(self._items) >= MOST_ITEMS

    def must_end(self, item: Any) -> bool:
        """Return whether an item is a pair that does not fit those that wait."""
        if not self._pairs or not hasattr(item, 'images'):
            return False
        return _format(item) != _format(self._pairs[0])

    def add(self, item: Any) -> None:
        """Add a pair, or an item of another kind."""
        self._items.append(item)
        if hasattr(item, 'images'):
            self._pairs.append(item)

    def matched(self) -> Iterator[tuple[Any, MatchResult | ImageError | None]]:
        """Yield all items with the results of pairs, or why they have none; then it is empty."""
        items, pairs = self._items, self._pairs
        self._items, self._pairs = [], []
        results = iter(self._results(pairs))
        for item in items:
            yield item, next(results) if hasattr(item, 'images') else None

    def _results(self, pairs: Sequence[HasImages]) -> Iterator[MatchResult | ImageError]:
        if len(pairs) == self._size > 1:
            try:
                yield from self._matcher.match_batch(
                    [pair.images.left for pair in pairs], [pair.images.right for pair in pairs]
                )
            except DeviceMemoryError as error:
                _logger.warning('pairs are matched one by one from now on: %s', error)
                self._size = 1
            except ImageError:
                pass  # of one of them: which one shows below
            else:
                return
        for pair in pairs:
            try:
                yield self._matcher.match(pair.images.left, pair.images.right)
            except ImageError as error:
                yield error


def _format(item: Any) -> tuple[Any, ...]:
    image = item.images.left
    return (*image.shape, str(image.dtype), str(getattr(image, 'device', '')))
