"""A checkpoint of a small, random network, and a real stereo pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from s2m2_ros.network import S2M2, S2M2Config, save_network

ByteImage = npt.NDArray[np.uint8]


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights in the structure of every variant, but narrow."""
    path = tmp_path_factory.mktemp('checkpoint') / 'narrow.safetensors'
    torch.manual_seed(0)
    save_network(S2M2(S2M2Config(channels=16, transformers=1)), path, licence='Apache-2.0')
    return path


@pytest.fixture(scope='session')
def motorcycle() -> tuple[ByteImage, ByteImage, npt.NDArray[np.float32]]:
    """Return left, right and the true disparity (inf = unknown) of Middlebury's motorcycle."""
    from skimage.data import stereo_motorcycle

    left, right, disparity = stereo_motorcycle()
    return left, right, disparity.astype(np.float32)


@pytest.fixture(autouse=True)
def no_remembered_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test begin like a new process, which remembers no engine that failed."""
    monkeypatch.setattr('s2m2_ros.inference.backends.engines._failures', {})
