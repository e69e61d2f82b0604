"""The networks and images of `support.filled_networks`, and the recorded results for them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from s2m2_ros.network import S2M2
from support.filled_networks import filled_network, stereo_pairs

DATA = Path(__file__).parents[1] / 'data' / 'network'


class Golden(NamedTuple):
    """One recorded result."""

    name: str
    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def read_golden(name: str) -> Golden:
    with np.load(DATA / f'{name}.npz') as content:
        arrays = dict(content)
    return Golden(name, json.loads(str(arrays.pop('meta'))), arrays)


@pytest.fixture(scope='session')
def pairs() -> Callable[..., tuple[Tensor, Tensor]]:
    """Give ``stereo_pairs``."""
    return stereo_pairs


@pytest.fixture(scope='session')
def filled() -> Callable[..., S2M2]:
    """Give ``filled_network``."""
    return filled_network


@pytest.fixture(scope='session')
def golden() -> Callable[[str], Golden]:
    """Give ``read_golden``."""
    return read_golden


@pytest.fixture(scope='session')
def published_keys() -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """Give the keys and shapes of the published state dicts by variant."""
    content = json.loads(gzip.decompress((DATA / 'state_dicts.json.gz').read_bytes()))
    return {
        variant: [(key, tuple(map(int, shape.split('x')))) for key, shape in entries]
        for variant, entries in content.items()
    }
