"""Blocks of work that threads share."""

from __future__ import annotations

import threading

import pytest
import torch

from s2m2_ros.geometry.threads import for_each


@pytest.mark.parametrize('threads', [1, 2])
def test_every_item_is_taken_once(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    counts = torch.zeros(100)

    def add(index: int) -> None:
        counts[index] += 1

    for_each(add, range(100))
    assert torch.equal(counts, torch.ones(100))


def test_two_threads_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    both = threading.Barrier(2, timeout=60)
    for_each(lambda _: both.wait(), range(2))  # each waits for the other


def test_an_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)

    def fail(index: int) -> None:
        if index == 7:
            raise ValueError('seven')

    with pytest.raises(ValueError, match='seven'):
        for_each(fail, range(20))
