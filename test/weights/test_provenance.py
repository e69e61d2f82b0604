"""Baseline weights say that they are, and weights of `s2m2 train` get the padding they know."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.padding import Padding
from s2m2_ros.network import S2M2, S2M2Config, load_network, save_network
from s2m2_ros.training.checkpoints import save_weights
from s2m2_ros.weights.provenance import caution, is_trained_by_us, license_of
from s2m2_ros.weights.registry import CHECKPOINTS


@pytest.mark.parametrize('key', ['baseline_weights', 'stop_gap'])
@pytest.mark.parametrize('marked', [True, False])
def test_loading_baseline_weights_logs_a_warning(
    key: str, marked: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / 'weights.safetensors'
    network = S2M2(S2M2Config(8, 1))
    save_network(network, file, licence='Apache-2.0', training={key: marked})
    with caplog.at_level(logging.WARNING):
        StereoMatcher.open(file, device='cpu', backend='torch').close()
    assert ('baseline weights' in caplog.text) is marked


def test_other_files_give_no_caution(tmp_path: Path) -> None:
    plain = tmp_path / 'plain.safetensors'
    save_network(S2M2(S2M2Config(8, 1)), plain, licence='Apache-2.0')
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes(b'not one')
    assert caution(plain) == ''
    assert caution(damaged) == ''
    assert caution(tmp_path / 'weights.pth') == ''


def test_our_weights_get_margins_beyond_the_image_and_others_around(tmp_path: Path) -> None:
    network = S2M2(S2M2Config(8, 1))
    ours, plain = tmp_path / 'ours.safetensors', tmp_path / 'plain.safetensors'
    save_network(network, ours, licence='Apache-2.0', training={'steps': 1})
    save_network(network, plain, licence='Apache-2.0')
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(40, 50, 3, generator=generator) * 255 for _ in range(2))
    found = {}
    for file in (ours, plain):
        with StereoMatcher.open(
            file, device='cpu', backend='torch', precision='float32'
        ) as matcher:
            found[file] = matcher.match(left, right).disparity
    for file, place in ((ours, (0, 0)), (plain, (12, 7))):
        padding = Padding(40, 50, 'bottom_right' if file == ours else 'center')
        assert (padding.top, padding.left) == place
        planes = [padding.pad(image.permute(2, 0, 1)[None]) for image in (left, right)]
        with torch.no_grad():
            expected = padding.crop(load_network(file).eval()(*planes).disparity)[0, 0]
        assert torch.allclose(found[file], expected, atol=1e-3)
    assert not torch.allclose(found[ours], found[plain], atol=0.1)


def test_who_trained_a_pth_file(tmp_path: Path) -> None:
    weights = S2M2(S2M2Config(8, 1)).state_dict()
    published, ours = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save({'state_dict': weights}, published)
    save_weights(ours, weights, {'steps': 1})
    (tmp_path / 'damaged.pth').write_bytes(b'not one')
    assert not is_trained_by_us(published)
    assert is_trained_by_us(ours)
    assert not is_trained_by_us(tmp_path / 'damaged.pth')
    assert not is_trained_by_us(tmp_path / 'absent.safetensors')


def test_the_license_is_what_the_file_says(tmp_path: Path) -> None:
    network = S2M2(S2M2Config(8, 1))
    said, facts, plain = (tmp_path / name for name in ('a.safetensors', 'b.pth', 'c.pth'))
    save_network(network, said, licence='MIT')
    save_weights(facts, network.state_dict(), {'license': 'CC BY-NC 4.0'})
    torch.save(network.state_dict(), plain)
    assert [license_of(file) for file in (said, facts, plain)] == ['MIT', 'CC BY-NC 4.0', '']


def test_a_published_file_is_known_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / 'CH128NTR1.pth'
    file.write_bytes(b'weights')
    digest = hashlib.sha256(b'weights').hexdigest()
    published = replace(CHECKPOINTS['S'], sha256_prefix=digest[:12])
    monkeypatch.setitem(CHECKPOINTS, 'S', published)
    assert license_of(file) == 'CC BY-NC 4.0'
