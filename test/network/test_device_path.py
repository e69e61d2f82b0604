"""The path of GPUs gives what the plain one gives, tried on a processor, as no GPU is there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from s2m2_ros.network import device_path, prepare_for_inference


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a processor stand in for the GPU that is not there."""
    monkeypatch.setattr(device_path, 'serves', lambda x: not torch.is_grad_enabled())
    with torch.inference_mode():
        yield


@pytest.mark.parametrize('allow_negative', [False, True])
def test_network(filled: Any, pairs: Any, device: None, monkeypatch: pytest.MonkeyPatch, allow_negative: bool) -> None:
    network = filled('XS', refine_iterations=2, allow_negative=allow_negative)
    images = pairs(64, 96)
    found = network(*images)
    monkeypatch.undo()
    with torch.inference_mode():
        wanted = network(*images)
    for one, other in zip(found, wanted, strict=True):
        print((one - other).abs().median(), (one - other).abs().max())
