"""Networks in many conventions give the planted disparity, whatever theirs is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto

from s2m2_ros.inference import DeviceMemoryError, StereoMatcher
from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork, as_input
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, read_onnx
from s2m2_ros.inference.other_networks.recognition import recognize
from s2m2_ros.inference.other_networks.sessions import HostSession
from s2m2_ros.weights.other_networks import NetworkDescription
from support.onnx_networks import BlockMatcher
from support.shifted_pairs import SHIFT, matched, median, shifted_pair

Writer = Callable[..., Path]
IMAGENET = 'mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]'


@pytest.mark.parametrize(
    ('network', 'text'),
    [
        (BlockMatcher(), ''),
        (BlockMatcher(shape=(0, 3, 0, 0)), ''),
        (BlockMatcher(shape=(1, 3, 96, 160)), ''),
        (BlockMatcher(shape=(1, 3, 128, 192)), 'size: {fit: pad}'),
        (BlockMatcher(shape=(1, 3, 0, 192)), 'size: {fit: pad}'),
        (BlockMatcher(shape=(1, 1, 0, 0)), ''),
        (BlockMatcher(rank=3), ''),
        (BlockMatcher(rank=2), ''),
        (BlockMatcher(rank=3, shape=(1, 3, 96, 160)), ''),
        (BlockMatcher(inputs=('right', 'left')), ''),
        (BlockMatcher(inputs=('image1', 'image2'), left='image1'), ''),
        (BlockMatcher(inputs=('imgR', 'imgL'), left='imgL'), ''),
        (BlockMatcher(inputs=('right_image', 'left_image'), left='left_image'), ''),
        (
            BlockMatcher(inputs=('a', 'b'), left='b', names={'disparity': 'out'}),
            'inputs: {left: b, right: a}',
        ),
        (BlockMatcher(sign=-1), 'disparity: {sign: negative}'),
        (BlockMatcher(of_width=True), 'disparity: {unit: fraction_of_width}'),
        (
            BlockMatcher(of_width=True, sign=-1, shape=(1, 3, 96, 160)),
            'disparity: {unit: fraction_of_width, sign: negative}',
        ),
        (BlockMatcher(scale=0.25), 'disparity: {scale: 4}'),
        (BlockMatcher(low=0, high=1), 'inputs: {range: 0..1}'),
        (BlockMatcher(low=0, high=1), 'inputs: {range: [0, 1], channels: bgr}'),
        (BlockMatcher(low=-1, high=1), 'inputs: {range: -1..1}'),
        (BlockMatcher(low=-2.2, high=2.7), f'inputs: {{range: 0..1, {IMAGENET}}}'),
        (BlockMatcher(low=-2.2, high=2.7), f'inputs: {{range: 0..1, channels: bgr, {IMAGENET}}}'),
        (BlockMatcher(nhwc=True, shape=(1, 0, 0, 3)), ''),
        (BlockMatcher(nhwc=True, shape=(1, 96, 160, 3)), ''),
        (BlockMatcher(nhwc=True, shape=(1, 0, 0, 0)), 'inputs: {layout: nhwc}'),
        (BlockMatcher(pair=True, inputs=('images',), shape=(1, 6, 0, 0)), ''),
        (BlockMatcher(pair=True, inputs=('images',), shape=(1, 2, 0, 0)), ''),
        (BlockMatcher(element=TensorProto.UINT8), ''),
        (BlockMatcher(element=TensorProto.FLOAT16), ''),
        (BlockMatcher(element=TensorProto.DOUBLE), ''),
        (BlockMatcher(element_out=TensorProto.INT32), ''),
        (BlockMatcher(element_out=TensorProto.INT64, rank=3), ''),
        (BlockMatcher(shape=(3, 0, 0)), ''),
        (BlockMatcher(shape=(3, 96, 160), rank=2), ''),
        (BlockMatcher(nhwc=True, shape=(96, 160, 3), element=TensorProto.UINT8, rank=2), ''),
        (BlockMatcher(with_confidence=True), ''),
        (BlockMatcher(with_confidence=True, with_visibility=True), ''),
        (BlockMatcher(with_confidence=True, with_occlusion=True), ''),
        (BlockMatcher(names={'disparity': 'output_disp'}, with_confidence=True), ''),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_the_planted_disparity_comes_out(write: Writer, network: BlockMatcher, text: str) -> None:
    found = matched(write(network, text), shifted_pair())
    assert found.disparity.shape == (96, 160)
    assert found.disparity.dtype == torch.float32
    assert median(found.disparity) == pytest.approx(SHIFT, abs=0.02)
    assert float((found.disparity[:, SHIFT:] - SHIFT).abs().median()) < 0.02
    # Left of that column the right view shows nothing of the wall.
    assert float(found.visibility[4:-4, SHIFT + 8 : -8].mean()) > 0.99
    assert median(found.confidence[:, SHIFT + 8 : -8]) > 0.7


def test_an_output_of_a_fraction_of_the_size_is_enlarged(write: Writer) -> None:
    # A quarter of the rows and columns; values are pixels of the small map.
    path = write(BlockMatcher(step=4, scale=0.25), 'disparity: {scale: 4}')
    found = matched(path, shifted_pair())
    assert found.disparity.shape == (96, 160)
    assert float((found.disparity[8:-8, 24:-8] - SHIFT).abs().max()) < 0.01


@pytest.mark.parametrize(
    'shape',
    [
        (256, 320),  # cut off at the right
        (252, 380),  # 2 px cut off at each side
        (128, 96),  # a half and a quarter
        (512, 768),  # larger than the input
        (170, 256),  # two thirds
        (255, 383),
    ],
)
def test_an_output_of_another_shape_is_not_stretched(
    write: Writer, shape: tuple[int, int]
) -> None:
    found = recognize(read_onnx(write(BlockMatcher())))
    network = ForeignNetwork(found, lambda _: [torch.zeros(1, 1, *shape)])
    images = [torch.zeros(1, 3, 256, 384)] * 2
    with pytest.raises(OnnxFileError) as caught:
        network(*images)
    message = str(caught.value)
    assert message.startswith(
        f"{found.model.path}: its output 'disparity' is {shape[1]}x{shape[0]}"
    )
    assert 'for images of 384x256' in message
    assert 'Export it without cropping' in message


@pytest.mark.parametrize('shape', [(256, 384), (128, 192), (64, 96), (2, 3)])
def test_an_output_of_a_whole_fraction_is_taken(write: Writer, shape: tuple[int, int]) -> None:
    network = ForeignNetwork(
        recognize(read_onnx(write(BlockMatcher()))), lambda _: [torch.full((1, 1, *shape), 7.0)]
    )
    disparity = network(*[torch.zeros(1, 3, 256, 384)] * 2)[0]
    assert disparity.shape == (1, 1, 256, 384)
    assert (disparity == 7).all()


def test_an_output_of_several_values_per_pixel_names_the_file(write: Writer) -> None:
    found = recognize(read_onnx(write(BlockMatcher())))
    network = ForeignNetwork(found, lambda _: [torch.zeros(1, 2, 32, 48)])
    with pytest.raises(
        OnnxFileError, match=r"net\.onnx: its output 'disparity' has shape \(1, 2,"
    ):
        network(*[torch.zeros(1, 3, 32, 48)] * 2)


@pytest.mark.parametrize(
    ('size', 'fit', 'expected'),
    [
        # 160x96 at 320x192: twice as large, disparities of 24 px there.
        ((192, 320), 'resize', SHIFT),
        ((192, 320), 'stretch', SHIFT),
        # 160x96 in 128x128: 128x77 with padding below, 9.6 px there.
        ((128, 128), 'resize', SHIFT),
        ((128, 128), 'pad', SHIFT),
        ((128, 128), 'stretch', SHIFT),
    ],
)
def test_images_are_scaled_to_a_fixed_size_and_the_disparity_back(
    write: Writer, size: tuple[int, int], fit: str, expected: float
) -> None:
    path = write(BlockMatcher(shape=(1, 3, *size)), f'size: {{fit: {fit}}}')
    # A smooth texture survives being scaled.
    coarse = torch.rand(1, 3, 24, 43, generator=torch.Generator().manual_seed(1)) * 255
    smooth = torch.nn.functional.interpolate(coarse, (96, 172), mode='bilinear')[0]
    wide = smooth.permute(1, 2, 0).numpy().astype(np.uint8)
    found = matched(path, [wide[:, :160], wide[:, SHIFT:]])
    assert found.disparity.shape == (96, 160)
    # The matcher finds whole pixels of its own size.
    assert median(found.disparity[:, 24:]) == pytest.approx(expected, abs=0.65)


def test_gray_images_are_matched_by_networks_of_color_and_of_gray(write: Writer) -> None:
    images = [image[..., 0].copy() for image in shifted_pair()]
    for network in (BlockMatcher(), BlockMatcher(shape=(1, 1, 0, 0))):
        assert median(matched(write(network), images).disparity) == SHIFT


def test_a_batch_is_matched_pair_by_pair(write: Writer) -> None:
    left, right = shifted_pair()
    with StereoMatcher.open(write(BlockMatcher()), device='cpu') as matcher:
        first, second = matcher.match_batch([left, left], [right, left])
    assert (median(first.disparity), median(second.disparity)) == (SHIFT, 0)


def test_own_confidence_and_visibility_are_taken_and_save_the_second_run(write: Writer) -> None:
    images = shifted_pair()
    images[1][:, :40] = images[0][:, :40]  # no disparity there
    network = BlockMatcher(with_confidence=True, with_occlusion=True)
    with StereoMatcher.open(write(network), device='cpu') as matcher:
        found = matcher.match(*images)
        assert matcher.confidence_table == matcher.checkpoint
    assert (found.confidence == 0.75).all()
    # Occluded is what has no disparity.
    assert found.visibility[8:-8, 4:32].mean() == 0
    assert found.visibility[8:-8, 60:].mean() == 1


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        # Red 255, green 102, blue 0.
        ({'channels': 'rgb'}, [255, 102, 0]),
        ({'channels': 'bgr'}, [0, 102, 255]),
        ({'channels': 'gray'}, [0.299 * 255 + 0.587 * 102]),
        ({'channels': 'rgb', 'range': (0.0, 1.0)}, [1, 0.4, 0]),
        ({'channels': 'bgr', 'range': (-1.0, 1.0)}, [-1, -0.2, 1]),
        (
            {
                'channels': 'rgb',
                'range': (0.0, 1.0),
                'mean': (0.5, 0.3, 0.2),
                'std': (0.25, 0.5, 2),
            },
            [2, 0.2, -0.1],
        ),
        # Mean and deviation are in the network's own order of channels.
        (
            {'channels': 'bgr', 'mean': (1.0, 2.0, 5.0)},
            [-1, 100, 250],
        ),
        ({'channels': 'rgb', 'std': (2.0,)}, [127.5, 51, 0]),
    ],
)
def test_values_that_the_network_gets(given: dict[str, object], expected: list[float]) -> None:
    image = torch.tensor([255.0, 102.0, 0.0])[None, :, None, None].expand(1, 3, 32, 48)
    description = NetworkDescription(layout='nchw', **given)  # type: ignore[arg-type]
    values = as_input(image, description, 'float32')
    assert values.shape == (1, len(expected), 32, 48)
    assert values[0, :, 5, 7].tolist() == pytest.approx(expected, abs=1e-4)


def test_channels_last_and_bytes() -> None:
    image = torch.tensor([254.6, 102.2, 0.0])[None, :, None, None].expand(1, 3, 32, 48)
    description = NetworkDescription(layout='nhwc', channels='rgb')
    values = as_input(image, description, 'uint8')
    assert (values.shape, values.dtype) == ((1, 32, 48, 3), torch.uint8)
    assert values[0, 5, 7].tolist() == [255, 102, 0]


def test_negative_disparities_only_if_allowed(write: Writer) -> None:
    # Verged cameras: the network of the opposite sign, mirrored, would find them; here its output
    # is moved by a scale, so that the clamp alone can be seen.
    left, right = shifted_pair()
    path = write(BlockMatcher(sign=-1), 'planted_check: warning')
    assert median(matched(path, [left, right]).disparity) == 0
    assert median(matched(path, [left, right], allow_negative=True).disparity) == -SHIFT


def test_what_the_network_does_not_know_is_unknown(write: Writer) -> None:
    left, right = shifted_pair()
    right[:40, :] = left[:40, :]  # disparity 0 there, which this network gives as NaN
    for network in (
        BlockMatcher(zero_is_nan=True),
        BlockMatcher(zero_is_nan=True, with_confidence=True, with_visibility=True),
    ):
        found = matched(write(network), [left, right])
        top = slice(4, 32)
        assert found.disparity[top, 8:-8].isnan().all()
        assert (found.visibility[top, 8:-8] == 0).all()
        assert (found.confidence[top, 8:-8] == 0).all()
        assert median(found.disparity[48:]) == SHIFT


def test_a_lack_of_memory_at_the_opening_is_an_error_in_words(
    write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError('Failed to allocate memory for requested buffer of size 1')

    monkeypatch.setattr(HostSession, '__call__', fail)
    with pytest.raises(DeviceMemoryError, match='cpu ran out of memory at 416x288'):
        StereoMatcher.open(write(BlockMatcher()), device='cpu')
