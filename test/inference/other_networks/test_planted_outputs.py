"""Visibility and confidence that do not mean what they are called are reported at the opening."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.engines.made_pairs import planted_scene
from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork
from s2m2_ros.inference.other_networks.onnx_model import read_onnx
from s2m2_ros.inference.other_networks.planted_check import (
    DescriptionMismatchError,
    check_description,
)
from s2m2_ros.inference.other_networks.planted_outputs import wrong_outputs
from s2m2_ros.inference.other_networks.recognition import recognize
from s2m2_ros.weights.other_networks import NetworkDescription
from support.onnx_networks import BlockMatcher

Writer = Callable[..., Path]
NAN = float('nan')
# Planes at 12 and 24 px, the nearer one in rows 64 to 191 and columns 144 to 287 of the left view.
# In the right view it is at columns 120 to 263, and covers what the left one shows at columns
# 132 to 143.
SCENE = planted_scene(256, 384)
HIDDEN = (slice(64, 192), slice(132, 144))


def disparity() -> torch.Tensor:
    found = torch.full((256, 384), 12.0)
    found[SCENE.rows, SCENE.columns] = 24.0
    return found


def painted(seen: float, hidden: float) -> torch.Tensor:
    values = torch.full((256, 384), seen)
    values[HIDDEN] = hidden
    return values


@pytest.mark.parametrize(
    ('key', 'seen', 'hidden', 'text'),
    [
        ('visibility', 1.0, 0.0, ''),
        ('visibility', 1.0, 1.0, ''),
        ('occlusion', 0.0, 1.0, ''),
        ('occlusion', -0.02, 1.02, ''),
        ('confidence', 0.75, 0.75, ''),
        ('confidence', 0.9, 0.1, ''),
        ('visibility', 0.0, 1.0, 'set outputs.occlusion: o instead of outputs.visibility'),
        ('occlusion', 1.0, 0.0, 'set outputs.visibility: o instead of outputs.occlusion'),
        ('confidence', 0.1, 0.9, 'is 0.10 where both views show a point and 0.90 where only one'),
        ('confidence', 10.0, -7.0, 'has values of -7 to 10, not 0 to 1'),
        ('visibility', 255.0, 0.0, 'has values of 0 to 255, not 0 to 1'),
        ('occlusion', 0.0, -1.0, 'has values of -1 to 0, not 0 to 1'),
        # 128 x 12 of 256 x 384 pixels are 1.6 %, more than the 1 % that may be unknown.
        ('confidence', 0.9, NAN, 'is NaN or infinite in 2% of the pixels'),
        ('confidence', NAN, NAN, 'is NaN or infinite in 100% of the pixels'),
        ('visibility', float('inf'), 1.0, 'is NaN or infinite in 98% of the pixels'),
    ],
)
def test_what_is_wrong_with_an_output(key: str, seen: float, hidden: float, text: str) -> None:
    given = replace(NetworkDescription(disparity='d'), **{key: 'o'})  # type: ignore[arg-type]
    wrong = list(wrong_outputs(disparity(), [painted(seen, hidden)], given, SCENE, 'net.yaml'))
    assert len(wrong) == bool(text)
    if text:
        assert wrong[0].startswith(f"outputs.{key} 'o' ")
        assert text in wrong[0]
        assert 'in net.yaml' in wrong[0]


def test_low_confidence_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    given = NetworkDescription(disparity='d', confidence='c')
    with caplog.at_level(logging.WARNING):
        assert not list(wrong_outputs(disparity(), [painted(0.2, 0.1)], given, SCENE, 'net.yaml'))
    assert "outputs.confidence 'c' is 0.20 where a planted pair is matched" in caplog.text


def test_what_has_no_disparity_may_have_no_confidence() -> None:
    unknown = disparity()
    unknown[HIDDEN] = NAN
    given = NetworkDescription(disparity='d', confidence='c')
    assert not list(wrong_outputs(unknown, [painted(0.9, NAN)], given, SCENE, 'net.yaml'))


def test_both_outputs_are_checked(write: Writer) -> None:
    path = write(BlockMatcher(shape=(1, 3, 256, 384), with_confidence=True, with_occlusion=True))
    found = recognize(read_onnx(path))
    maps = [disparity(), painted(1.0, 0.0), painted(NAN, NAN)]
    network = ForeignNetwork(found, lambda _: [values[None, None] for values in maps])
    with pytest.raises(DescriptionMismatchError) as caught:
        check_description(network, torch.device('cpu'))
    assert "outputs.occlusion 'occlusion' calls most of what" in str(caught.value)
    assert "outputs.confidence 'confidence' is NaN" in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('network', 'text', 'advice'),
    [
        (
            BlockMatcher(with_occlusion=True),
            'outputs: {visibility: occlusion}',
            'outputs.occlusion: occlusion instead of outputs.visibility',
        ),
        (
            BlockMatcher(with_visibility=True, names={'visibility': 'occ'}),
            '',
            'outputs.visibility: occ instead of outputs.occlusion',
        ),
        (
            BlockMatcher(with_confidence=True, confidence=-3),
            '',
            'has values of -3 to -3, not 0 to',
        ),
        (BlockMatcher(with_confidence=True, confidence=NAN), '', 'is NaN or infinite in 100%'),
    ],
)
def test_a_file_whose_outputs_mean_something_else_is_not_opened(
    write: Writer, network: BlockMatcher, text: str, advice: str
) -> None:
    path = write(network, text)
    with pytest.raises(DescriptionMismatchError) as caught:
        StereoMatcher.open(path, device='cpu')
    assert str(caught.value).startswith(f'{path}: in a planted pair outputs.')
    assert advice in str(caught.value)


def test_the_advice_is_right(write: Writer, caplog: pytest.LogCaptureFixture) -> None:
    # An output left out is replaced by the left-right check.
    network = BlockMatcher(with_confidence=True, confidence=NAN)
    path = write(network, 'outputs: {disparity: disparity}')
    with caplog.at_level(logging.INFO):
        StereoMatcher.open(path, device='cpu').close()
    assert 'each pair takes two runs' in caplog.text
    path = write(BlockMatcher(with_occlusion=True), 'outputs: {occlusion: occlusion}')
    StereoMatcher.open(path, device='cpu').close()


def test_a_warning_instead_if_the_description_asks_for_it(
    write: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(BlockMatcher(with_confidence=True, confidence=7), 'planted_check: warning')
    with caplog.at_level(logging.WARNING):
        StereoMatcher.open(path, device='cpu').close()
    assert 'has values of 7 to 7, not 0 to 1' in caplog.text
