"""Reading the pairs of a run before its first step: what is wrong must not show after hours."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from s2m2_ros.evaluation.pairs import StereoFiles, StereoPair
from s2m2_ros.evaluation.truth import better_factor, load_pair, require_truth

_logger = logging.getLogger(__name__)

MOST_READ = 1000
"""Of more pairs, so many are read, evenly spread: some tens of milliseconds each."""
# A truth that is wrong in some pairs only may be a surface that matches itself.
DOUBTFUL_FRACTION = 0.5

File = TypeVar('File')
Result = TypeVar('Result')


def check_labeled(files: Sequence[StereoFiles]) -> None:
    """Read pairs; warn if in most of them the views contradict the truth.

    Raises:
        DatasetError: if one cannot be read, its sizes differ or no pixel has a known truth.
    """

    def factor_of(pair: StereoFiles) -> float | None:
        loaded = load_pair(pair)
        require_truth(loaded)
        return better_factor(loaded)

    factors = _each(files, factor_of)
    doubts = Counter(factor for factor in factors if factor is not None)
    if doubts.total() <= DOUBTFUL_FRACTION * len(factors):
        return
    factor, count = doubts.most_common(1)[0]
    _logger.warning(
        'the truth of %d of %d pairs contradicts their images; times %g it brings the views of '
        '%d of them together clearly better: %s',
        *(doubts.total(), len(factors), factor, count),
        'left and right seem to be exchanged' if factor < 0 else 'is it in pixels of the images?',
    )


def check_unlabeled(files: Sequence[File], load: Callable[[File], StereoPair]) -> None:
    """Read pairs. Raises DatasetError if one cannot be read or its sizes differ."""
    _each(files, load)


def _each(files: Sequence[File], use: Callable[[File], Result]) -> list[Result]:
    """Return what a function makes of every file, or of `MOST_READ`, in their order."""
    count = min(len(files), MOST_READ)
    chosen = [files[number * len(files) // count] for number in range(count)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as readers:
        # Each result alone is kept: pairs would fill the memory.
        futures = [readers.submit(use, file) for file in chosen]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
