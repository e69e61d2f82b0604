"""A place for ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.onnx_networks import BlockMatcher


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a network and, if there is a text, its description."""

    def write(network: BlockMatcher, text: str = '', name: str = 'net.onnx') -> Path:
        path = network.write(tmp_path / name)
        if text:
            path.with_suffix('.yaml').write_text(text)
        return path

    return write
