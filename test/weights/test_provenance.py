"""A stop-gap says that it is one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.network import S2M2, S2M2Config, save_network
from s2m2_ros.weights.provenance import caution


@pytest.mark.parametrize('marked', [True, False])
def test_loading_a_stop_gap_logs_a_warning(
    marked: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / 'weights.safetensors'
    network = S2M2(S2M2Config(8, 1))
    save_network(network, file, licence='Apache-2.0', training={'stop_gap': marked})
    with caplog.at_level(logging.WARNING):
        StereoMatcher.open(file, device='cpu', backend='torch').close()
    assert ('stop-gap' in caplog.text) is marked


def test_other_files_give_no_caution(tmp_path: Path) -> None:
    plain = tmp_path / 'plain.safetensors'
    save_network(S2M2(S2M2Config(8, 1)), plain, licence='Apache-2.0')
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes(b'not one')
    assert caution(plain) == ''
    assert caution(damaged) == ''
    assert caution(tmp_path / 'weights.pth') == ''
