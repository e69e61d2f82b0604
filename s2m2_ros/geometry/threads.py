"""Sharing independent blocks of work among the cores of the processor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

# More than that wait for each other in the interpreter.
MAX_THREADS = 2

Item = TypeVar('Item')


def for_each(function: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Call a function of tensors for every item, on this thread and those that torch may use.

    Torch's own threads meet at the end of every operation; these only at the end of all. The
    order is open, gradients are off, and the first exception is raised when all threads are done.
    """
    waiting = deque(items)

    def work() -> None:
        with torch.no_grad():
            while waiting:
                try:
                    item = waiting.popleft()
                except IndexError:
                    return
                function(item)

    helpers = min(torch.get_num_threads(), len(waiting), MAX_THREADS) - 1
    futures = [_pool().submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        for future in futures:
            future.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_THREADS - 1, thread_name_prefix='geometry')
