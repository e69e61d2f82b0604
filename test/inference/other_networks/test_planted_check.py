"""A wrong description is reported when a network is opened, with the one that fits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.engines.made_pairs import PlantedScene, planted_scene
from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, read_onnx
from s2m2_ros.inference.other_networks.planted_check import (
    DescriptionMismatchError,
    check_description,
    scene_for,
)
from s2m2_ros.inference.other_networks.recognition import recognize
from support.onnx_networks import BlockMatcher
from support.shifted_pairs import SHIFT, matched, median, shifted_pair

Writer = Callable[..., Path]


@pytest.mark.parametrize(
    ('network', 'text', 'advice'),
    [
        (BlockMatcher(sign=-1), '', 'disparity.sign: negative'),
        (BlockMatcher(), 'disparity: {sign: negative}', 'disparity.sign: positive'),
        (BlockMatcher(of_width=True), '', 'disparity.unit: fraction_of_width'),
        (BlockMatcher(), 'disparity: {unit: fraction_of_width}', 'disparity.unit: pixels'),
        (
            BlockMatcher(of_width=True, sign=-1),
            '',
            'disparity.sign: negative, disparity.unit: fraction_of_width',
        ),
        (BlockMatcher(scale=0.25), '', 'disparity.scale: 4'),
        (BlockMatcher(), 'disparity: {scale: 3}', 'disparity.scale: 1'),
        (BlockMatcher(scale=-0.5), '', 'disparity.sign: negative, disparity.scale: 2'),
        (BlockMatcher(low=0, high=1), '', 'inputs.range: [0, 1] without mean and std'),
        (
            BlockMatcher(),
            'inputs: {range: 255..5000}',
            'inputs.range: [0, 255] without mean and std',
        ),
        (BlockMatcher(low=-2.2, high=2.7), '', 'inputs.range: [0, 1] without mean and std'),
        (
            BlockMatcher(),
            'inputs: {left: right, right: left}',
            'inputs.left: left, inputs.right: right',
        ),
        (
            BlockMatcher(inputs=('a', 'b'), left='b'),
            '',
            'inputs.left: b, inputs.right: a',
        ),
        (
            BlockMatcher(inputs=('a', 'b'), left='b', sign=-1),
            '',
            'inputs.left: b, inputs.right: a, disparity.sign: negative',
        ),
        (BlockMatcher(with_confidence=True), 'outputs: {disparity: confidence}', 'much the same'),
        (BlockMatcher(count=2), '', 'much the same everywhere'),
        (BlockMatcher(count=20), '', 'set disparity.largest'),
    ],
)
def test_a_wrong_description_is_an_error_that_says_what_fits(
    write: Writer, network: BlockMatcher, text: str, advice: str
) -> None:
    path = write(network, text)
    with pytest.raises(DescriptionMismatchError) as caught:
        StereoMatcher.open(path, device='cpu')
    message = str(caught.value)
    assert str(path) in message
    assert advice in message
    assert 'net.yaml' in message
    assert '\n' not in message


@pytest.mark.parametrize(
    ('low', 'high', 'ways'),
    [
        # Wants -1..1 or what ImageNet's mean and deviation make of white: -2.1 to 2.6; more than
        # one of the usual normalizations stays inside of that.
        (-2.2, 2.7, ('[0, 1] without mean and std', '[-1, 1] without', 'inputs.mean: [0.485, 0')),
        (-1, 1, ('[0, 1] without mean and std', '[-1, 1] without mean and std')),
    ],
)
def test_all_normalizations_that_fit_are_listed(
    write: Writer, low: float, high: float, ways: tuple[str, ...]
) -> None:
    with pytest.raises(DescriptionMismatchError) as caught:
        StereoMatcher.open(write(BlockMatcher(low=low, high=high)), device='cpu')
    message = str(caught.value)
    assert 'this pair cannot show which the network was trained with' in message
    assert 'set in net.yaml (1) inputs.range' in message
    assert all(way in message for way in ways)


def test_of_exchanged_inputs_too_all_normalizations_are_listed(write: Writer) -> None:
    network = BlockMatcher(inputs=('a', 'b'), left='b', low=-2.2, high=2.7)
    with pytest.raises(DescriptionMismatchError) as caught:
        StereoMatcher.open(write(network), device='cpu')
    assert str(caught.value).count('inputs.left: b, inputs.right: a, inputs.range: ') == 3


def test_the_normalization_described_is_kept_if_it_fits(write: Writer) -> None:
    # Others would fit as well: the sign alone is wrong.
    path = write(BlockMatcher(low=-2.2, high=2.7, sign=-1), 'inputs: {range: -1..1}')
    with pytest.raises(DescriptionMismatchError) as caught:
        StereoMatcher.open(path, device='cpu')
    assert str(caught.value).endswith('set it in net.yaml: disparity.sign: negative')


def test_nonsense_that_nothing_fits(write: Writer) -> None:
    # The nearer plane has the smaller disparity.
    nonsense = torch.full((1, 1, 256, 384), 50.0)
    nonsense[..., 64:192, 144:288] = 7.0
    path = write(BlockMatcher(shape=(1, 3, 256, 384)))
    network = ForeignNetwork(recognize(read_onnx(path)), lambda _: [nonsense])
    with pytest.raises(DescriptionMismatchError, match='No other sign, scale, range or order'):
        check_description(network, torch.device('cpu'))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize(
    ('start', 'said'), [(0, 'NaN or infinite and NaN or infinite'), (100, '12 px and NaN or inf')]
)
def test_unknown_values_are_called_so(write: Writer, value: float, start: int, said: str) -> None:
    # From the first row on, or from one in the upper half of the nearer plane on.
    found = torch.full((1, 1, 256, 384), 12.0)
    found[..., 64:192, 144:288] = 24.0
    found[..., start:, :] = value
    path = write(BlockMatcher(shape=(1, 3, 256, 384)))
    network = ForeignNetwork(recognize(read_onnx(path)), lambda _: [found])
    with pytest.raises(DescriptionMismatchError) as caught:
        check_description(network, torch.device('cpu'))
    assert f'comes out as {said}' in str(caught.value)
    assert 'gives NaN or infinite values for most of a plane: check inputs.range' in str(
        caught.value
    )


@pytest.mark.parametrize(
    ('multiple', 'text', 'height', 'width'),
    [
        # The least odd number of multiples that is at least 256 and 384.
        (0, '', 288, 416),
        (1, '', 257, 385),
        (16, '', 272, 400),
        (64, '', 320, 448),
        (0, 'size: {height: 240, width: 320}', 240, 320),
    ],
)
def test_open_sides_are_odd_multiples(
    write: Writer, multiple: int, text: str, height: int, width: int
) -> None:
    path = write(BlockMatcher(), text or (f'size: {{multiple: {multiple}}}' if multiple else ''))
    scene = scene_for(recognize(read_onnx(path)).description)
    assert (scene.height, scene.width) == (height, width)


@pytest.mark.parametrize(('needed', 'given'), [(64, ''), (128, ''), (16, 'size: {multiple: 8}')])
def test_a_network_of_larger_multiples_says_which(write: Writer, needed: int, given: str) -> None:
    path = write(BlockMatcher(coarse=needed), given)
    with pytest.raises(OnnxFileError) as caught:
        StereoMatcher.open(path, device='cpu')
    message = str(caught.value)
    assert 'cannot run it on 1x3x' in message
    advice = f'It runs on sides in multiples of {needed}: set size.multiple: {needed} in net.yaml'
    assert message.endswith(advice)
    path.with_suffix('.yaml').write_text(f'size: {{multiple: {needed}}}')
    assert median(matched(path, shifted_pair()).disparity) == SHIFT


def test_a_network_of_soft_edges_is_right_all_the_same(write: Writer) -> None:
    # Beside its right edge the nearer plane has the disparity of the farther one.
    path = write(BlockMatcher(shape=(1, 3, 256, 384)))
    soft = torch.full((1, 1, 256, 384), 12.0)
    soft[..., 64:192, 144:268] = 24.0
    planted, _ = PlantedScene(256, 384, 12, 24).images()
    # Of exchanged views, or of values in another range, this network makes nothing.
    network = ForeignNetwork(
        recognize(read_onnx(path)),
        lambda images: [soft if torch.equal(images['left'], planted) else soft * 0],
    )
    check_description(network, torch.device('cpu'))


def test_the_advice_can_be_followed(write: Writer) -> None:
    network = BlockMatcher(inputs=('a', 'b'), left='b', sign=-1, scale=0.5)
    with pytest.raises(DescriptionMismatchError) as caught:
        StereoMatcher.open(write(network), device='cpu')
    settings = str(caught.value).partition('net.yaml: ')[2].split(', ')
    sections: dict[str, list[str]] = {}
    for setting in settings:
        key, value = setting.split(': ')
        section, _, name = key.partition('.')
        sections.setdefault(section, []).append(f'{name}: {value}')
    text = '\n'.join(f'{key}: {{{", ".join(values)}}}' for key, values in sections.items())
    assert median(matched(write(network, text), shifted_pair()).disparity) == SHIFT


def test_a_map_of_the_right_view_is_found_though_its_medians_are_right(write: Writer) -> None:
    # A network that gives negative values for swapped views: with the sign as described, both
    # planes come out right, but where the right view has them.
    network = BlockMatcher(inputs=('left', 'right'), left='right')
    with pytest.raises(DescriptionMismatchError, match=r'inputs\.left: right'):
        StereoMatcher.open(write(network), device='cpu')


def test_a_warning_instead_if_the_description_asks_for_it(
    write: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(BlockMatcher(sign=-1), 'planted_check: warning')
    with caplog.at_level(logging.WARNING):
        StereoMatcher.open(path, device='cpu').close()
    assert 'disparity.sign: negative' in caplog.text


def test_the_result_of_the_check_is_logged(
    write: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        StereoMatcher.open(write(BlockMatcher()), device='cpu').close()
    assert 'planted pair of 13 and 26 px: 13.00 and 26.00 px' in caplog.text


def test_a_network_of_few_disparities_is_checked_with_smaller_ones(write: Writer) -> None:
    text = 'disparity: {largest: 12}'
    found = matched(write(BlockMatcher(count=13), text), shifted_pair(shift=6))
    assert median(found.disparity) == 6


def test_the_scene_has_its_planes_where_it_says() -> None:
    scene = PlantedScene(64, 96, behind=3, front=9)
    left, right = scene.images()
    inside = left[..., scene.rows, scene.columns]
    shown = slice(scene.columns.start - 9, scene.columns.stop - 9)
    assert torch.equal(inside, right[..., scene.rows, shown])
    assert torch.equal(left[..., :16, 3:], right[..., :16, :-3])


@pytest.mark.parametrize(
    ('width', 'largest', 'behind', 'front'),
    [(384, 0, 12, 24), (1280, 0, 40, 80), (1280, 64, 24, 48), (64, 0, 2, 5), (640, 8, 3, 6)],
)
def test_planted_disparities(width: int, largest: float, behind: int, front: int) -> None:
    scene = planted_scene(128, width, largest)
    assert (scene.behind, scene.front) == (behind, front)
