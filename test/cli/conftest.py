"""A checkpoint for commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from s2m2_ros.network import S2M2, S2M2Config, save_network


@pytest.fixture(scope='session')
def narrow_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights in the structure of every variant, but narrow."""
    path = tmp_path_factory.mktemp('checkpoint') / 'narrow.safetensors'
    torch.manual_seed(0)
    save_network(S2M2(S2M2Config(channels=16, transformers=1)), path, licence='Apache-2.0')
    return path
