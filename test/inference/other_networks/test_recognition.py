"""What is obvious of an ONNX file is recognized and logged; what is not is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import TensorProto

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, OnnxModel, Port, read_onnx
from s2m2_ros.inference.other_networks.recognition import recognize
from s2m2_ros.weights.other_networks import DescriptionError
from support.onnx_networks import BlockMatcher

Writer = Callable[..., Path]
OPEN = (1, 3, None, None)


def model(
    inputs: dict[str, tuple[int | None, ...] | None],
    outputs: dict[str, tuple[int | None, ...] | None],
    path: str = 'net.onnx',
    element: str = 'float32',
) -> OnnxModel:
    """Return a model with these ports and nothing in it."""
    return OnnxModel(
        Path('/nowhere') / path,
        b'',
        tuple(Port(name, shape, element) for name, shape in inputs.items()),
        tuple(Port(name, shape, element) for name, shape in outputs.items()),
        False,
        False,
    )


PAIR = {'left': OPEN, 'right': OPEN}


def test_what_was_assumed_is_logged(write: Writer, caplog: pytest.LogCaptureFixture) -> None:
    path = write(BlockMatcher(inputs=('x', 'y'), left='x', with_confidence=True))
    with caplog.at_level(logging.INFO):
        StereoMatcher.open(path, device='cpu').close()
    assert "left image to 'x', right image to 'y' (by their order)" in caplog.text
    assert "disparity from 'disparity', in pixels of its input" in caplog.text
    assert "confidence from 'confidence'" in caplog.text
    assert 'values 0 to 255, channels rgb, without mean and std' in caplog.text
    assert 'open sides in multiples of 32' in caplog.text
    assert 'license: unknown' in caplog.text
    assert 'each pair takes two runs' in caplog.text


NAMES = "left image to 'left', right image to 'right'"
OUT = "disparity from 'disparity', in pixels of its input, positive for x_left - x_right"
VALUES = 'values 0 to 255, channels rgb, without mean and std'
SIZE = 'open sides in multiples of 32'


@pytest.mark.parametrize(
    ('text', 'network', 'assumed'),
    [
        ('', BlockMatcher(), [NAMES, OUT, VALUES, SIZE]),
        # Each key that is stated is assumed no longer, even with the default's value.
        (
            'disparity: {sign: positive}',
            BlockMatcher(),
            [NAMES, "disparity from 'disparity', in pixels of its input", VALUES, SIZE],
        ),
        (
            'disparity: {sign: negative, unit: fraction_of_width}',
            BlockMatcher(),
            [NAMES, "disparity from 'disparity'", VALUES, SIZE],
        ),
        (
            'disparity: {unit: pixels, scale: 4}',
            BlockMatcher(),
            [NAMES, "disparity from 'disparity', positive for x_left - x_right", VALUES, SIZE],
        ),
        (
            'outputs: {disparity: disparity}',
            BlockMatcher(),
            [
                NAMES,
                'disparity in pixels of its input, positive for x_left - x_right',
                VALUES,
                SIZE,
            ],
        ),
        # Names of inputs say nothing of their values.
        ('inputs: {left: left, right: right}', BlockMatcher(), [OUT, VALUES, SIZE]),
        (
            'inputs: {range: 0..1}',
            BlockMatcher(),
            [NAMES, OUT, 'channels rgb, without mean and std', SIZE],
        ),
        (
            'inputs: {mean: 0.5, channels: bgr}',
            BlockMatcher(),
            [NAMES, OUT, 'values 0 to 255, without std', SIZE],
        ),
        (
            'inputs: {range: 0..1, mean: 0.5, std: 1, channels: rgb}\nsize: {multiple: 16}',
            BlockMatcher(),
            [NAMES, OUT],
        ),
        # What the file itself says is not assumed.
        ('', BlockMatcher(shape=(1, 3, 96, 160)), [NAMES, OUT, VALUES]),
        (
            '',
            BlockMatcher(shape=(1, 1, 0, 0)),
            [NAMES, OUT, 'values 0 to 255, without mean and std', SIZE],
        ),
        ('', BlockMatcher(element=TensorProto.UINT8), [NAMES, OUT, 'channels rgb', SIZE]),
        ('', BlockMatcher(shape=(1, 0, 0, 0)), [NAMES, OUT, VALUES, f'layout nchw, {SIZE}']),
        (
            'outputs: {disparity: disparity}\ndisparity: {sign: positive, unit: pixels}\n'
            'inputs: {left: left, right: right, range: 0..255, mean: 0, std: 1, channels: rgb}\n'
            'size: {multiple: 32}',
            BlockMatcher(),
            [],
        ),
    ],
)
def test_only_what_nothing_states_is_assumed(
    write: Writer, text: str, network: BlockMatcher, assumed: list[str]
) -> None:
    assert list(recognize(read_onnx(write(network, text))).assumed) == assumed


def test_a_ready_made_description_leaves_nothing_to_assume(write: Writer) -> None:
    assert recognize(read_onnx(write(BlockMatcher(), name='las2_s.onnx'))).assumed == ()


def test_license_and_name_are_logged(write: Writer, caplog: pytest.LogCaptureFixture) -> None:
    path = write(BlockMatcher(), 'name: Mine\nlicense: Apache-2.0')
    with caplog.at_level(logging.INFO):
        StereoMatcher.open(path, device='cpu').close()
    assert 'Mine, described by net.yaml; license: Apache-2.0' in caplog.text


@pytest.mark.parametrize('stem', ['LAS2_M', 'liteanystereo_v2_m_480x640'])
def test_lite_any_stereo_needs_no_description(
    write: Writer, caplog: pytest.LogCaptureFixture, stem: str
) -> None:
    # Fixed size, and found by its name: 192 px at 640 are 384 px in images twice as wide.
    path = write(BlockMatcher(shape=(1, 3, 96, 640), count=60), name=f'{stem}.onnx')
    with caplog.at_level(logging.INFO), StereoMatcher.open(path, device='cpu') as matcher:
        remarks = matcher.remarks(192, 1280)
    assert 'the ready-made description of LiteAnyStereo V2 M; license: MIT' in caplog.text
    assert '1280x192 are scaled to 640x96 inside of the backend' in remarks[0]
    assert 'up to 384 px' in remarks[1]
    assert 'nearer than fx * baseline / 384' in remarks[1]


def test_a_file_that_is_only_called_so_is_taken_as_unknown(
    write: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    network = BlockMatcher(inputs=('l', 'r'), left='l')
    StereoMatcher.open(write(network, name='las2_s.onnx'), device='cpu').close()
    assert 'named like LiteAnyStereo V2 S, but has other inputs or outputs' in caplog.text


def test_a_yaml_beside_it_overrides_the_ready_made_description(write: Writer) -> None:
    path = write(BlockMatcher(), 'disparity: {largest: 39}', name='las2_s.onnx')
    found = recognize(read_onnx(path))
    assert (found.description.largest, found.origin) == (39.0, 'las2_s.yaml')


@pytest.mark.parametrize(
    ('outputs', 'disparity', 'confidence', 'visibility', 'occlusion'),
    [
        ({'out': (1, 1, None, None)}, 'out', '', '', ''),
        ({'out': None}, 'out', '', '', ''),
        (
            {'disp_pred': (*OPEN[:1], None, None), 'features': (1, 64, 8, 8)},
            'disp_pred',
            '',
            '',
            '',
        ),
        ({'occ': None, 'disp': None, 'conf': None}, 'disp', 'conf', '', 'occ'),
        (
            {'finalDisparity': None, 'visibility_map': None},
            'finalDisparity',
            '',
            'visibility_map',
            '',
        ),
        ({'y': (1, 96, 160, 1)}, 'y', '', '', ''),
        # What may be the opposite is not taken.
        ({'disp': None, 'non_occluded': None, 'inv_conf': None}, 'disp', '', '', ''),
        ({'disp': None, 'notVisible': None, 'un-occluded': None}, 'disp', '', '', ''),
        ({'disp': None, 'invisible': None, 'uncertainty': None}, 'disp', '', '', ''),
        ({'disp': None, 'occluded': None, 'non_occluded': None}, 'disp', '', '', 'occluded'),
    ],
)
def test_outputs_by_shape_and_name(
    outputs: dict[str, tuple[int | None, ...] | None],
    disparity: str,
    confidence: str,
    visibility: str,
    occlusion: str,
) -> None:
    given = recognize(model(dict(PAIR), outputs)).description
    assert (given.disparity, given.confidence) == (disparity, confidence)
    assert (given.visibility, given.occlusion) == (visibility, occlusion)


@pytest.mark.parametrize(
    ('inputs', 'outputs', 'reason'),
    [
        ({'left': OPEN}, {'d': None}, '1 of its inputs can be images, not 2: export it with two'),
        ({**PAIR, 'third': OPEN}, {'d': None}, '3 of its inputs can be images, not 2: export it'),
        (
            {**PAIR, 'iters': (1,)},
            {'d': None},
            "its input 'iters' is no image, and only two images are given to a network: export it "
            'with that input fixed',
        ),
        (
            {'features': (1, 64, 8, 8), 'g': (1, 64, 8, 8)},
            {'d': None},
            'is no image: export it with images of 1 or 3 channels',
        ),
        (
            {'images': (2, 3, 96, 160)},
            {'d': None},
            "'images' is no image, but 2 in one batch: export it for one pair at a time",
        ),
        ({'left': (4, 3, 8, 8), 'right': (4, 3, 8, 8)}, {'d': None}, 'but 4 in one batch: export'),
        ({'left': None, 'right': None}, {'d': None}, 'is no image: export it with images'),
        (
            {'left': OPEN, 'right': (3, None, None)},
            {'d': None},
            'differ in shape: export it with images of one shape',
        ),
        ({'a': (1, 3, 96, 160), 'b': (1, 3, 96, 128)}, {'d': None}, 'differ in shape: export it'),
        (
            PAIR,
            {'flow': (1, 2, None, None)},
            "'flow float32 (1, 2, ?, ?)' is no map of one value for each pixel: export it with "
            'the disparity as an output of shape (1, 1, rows, columns), of an optical flow the',
        ),
    ],
)
def test_what_no_description_can_help_says_how_to_export_it(
    inputs: dict[str, tuple[int | None, ...] | None],
    outputs: dict[str, tuple[int | None, ...] | None],
    reason: str,
) -> None:
    message = said_of(inputs, outputs)
    assert reason in message
    assert 'net.yaml' not in message


def test_values_of_no_known_type_are_to_be_exported_again() -> None:
    found = model(dict(PAIR), {})
    output = Port('d', (1, 1, None, None), 'int16')
    with pytest.raises(OnnxFileError, match=r"'d int16 .* export it as float32"):
        recognize(replace(found, outputs=(output,)))


def test_types_have_names(write: Writer) -> None:
    path = write(BlockMatcher(element_out=TensorProto.INT16))
    with pytest.raises(OnnxFileError, match=r"'disparity int16 .*export it as float32"):
        recognize(read_onnx(path))


@pytest.mark.parametrize(
    ('outputs', 'reason'),
    [
        ({'a': None, 'b': None}, '2 of its outputs can be maps, and none of them is called disp'),
        ({'disp1': None, 'disp2': None, 'x': None}, '3 of its outputs can be maps, and 2 of them'),
    ],
)
def test_which_output_is_the_disparity_is_asked_for(
    outputs: dict[str, tuple[int | None, ...] | None], reason: str
) -> None:
    message = said_of(dict(PAIR), outputs)
    assert reason in message
    assert 'in net.yaml set outputs.disparity to the name of the right one' in message


def said_of(
    inputs: dict[str, tuple[int | None, ...] | None],
    outputs: dict[str, tuple[int | None, ...] | None],
) -> str:
    """Return what is said of a model: in one line, with the file and what it has, once."""
    with pytest.raises(OnnxFileError) as caught:
        recognize(model(dict(inputs), outputs))
    message = str(caught.value)
    assert message.startswith('/nowhere/net.onnx: ')
    assert 'doc/other_networks.md' in message
    assert message.count('It has inputs: ') == 1
    assert all(name in message for name in (*inputs, *outputs))
    assert '\n' not in message
    return message


def test_many_ports_are_not_all_listed() -> None:
    outputs: dict[str, tuple[int | None, ...] | None] = {f'out{i}': None for i in range(200)}
    with pytest.raises(OnnxFileError, match='and 188 more'):
        recognize(model(dict(PAIR), outputs))


def test_wrong_types_are_named() -> None:
    with pytest.raises(OnnxFileError, match='type bool, not float32, float16'):
        recognize(model(dict(PAIR), {'d': None}, element='bool'))


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('inputs: {left: a, right: right}', "has no input 'a': correct inputs.left in net.yaml"),
        (
            'outputs: {disparity: depth}',
            "no output 'depth': correct outputs.disparity in net.yaml",
        ),
        ('outputs: {disparity: disparity, confidence: conf}', 'correct outputs.confidence in net'),
        ('inputs: {channels: gray}', 'has 3 channels in layout nchw, not 1: set inputs.channels'),
        (
            'inputs: {layout: nhwc}',
            'channels in layout nhwc, not 3: set inputs.channels and input',
        ),
        ('size: {height: 100}', 'net.yaml: its height is 96 pixels, not 100 as described: remove'),
        (
            'inputs: {pair: left}',
            "its input 'right': only the two images are given to a network. ",
        ),
        (
            'outputs: {confidence: disparity}',
            "net.yaml: outputs.disparity and outputs.confidence are both 'disparity': each must",
        ),
    ],
)
def test_descriptions_that_do_not_fit_the_file(write: Writer, text: str, reason: str) -> None:
    path = write(BlockMatcher(shape=(1, 3, 96, 160)), text)
    with pytest.raises((OnnxFileError, DescriptionError)) as caught:
        StereoMatcher.open(path, device='cpu')
    assert reason in str(caught.value)


@pytest.mark.parametrize('name', ['net.yaml', 'net.yml'])
@pytest.mark.parametrize(
    'text',
    [
        'inputs: {range: 0..1}',
        'inputs: {mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375]}',
        'inputs: {std: 2}',
    ],
)
def test_bytes_cannot_hold_normalized_images(write: Writer, text: str, name: str) -> None:
    path = write(BlockMatcher(element=TensorProto.UINT8))
    (path.parent / name).write_text(text)
    with pytest.raises(DescriptionError) as caught:
        StereoMatcher.open(path, device='cpu')
    message = str(caught.value)
    assert message.startswith(f"{path.parent / name}: the input 'left uint8 (1, 3, ?, ?)' takes")
    assert 'remove inputs.range, inputs.mean and inputs.std' in message
    assert '\n' not in message


def test_bytes_may_be_described_as_what_they_are(write: Writer) -> None:
    path = write(BlockMatcher(element=TensorProto.UINT8), 'inputs: {range: 0..255}')
    assert recognize(read_onnx(path)).description.range == (0, 255)


def test_half_floats_cannot_hold_values_of_sixteen_bits(write: Writer) -> None:
    # White becomes (65535 - 0) / 0.5.
    path = write(BlockMatcher(element=TensorProto.FLOAT16), 'inputs: {range: 0..65535, std: 0.5}')
    with pytest.raises(DescriptionError, match=r'net\.yaml: .* up to 65504, .* up to 131070'):
        StereoMatcher.open(path, device='cpu')


def test_a_wrong_description_file_is_named(write: Writer) -> None:
    path = write(BlockMatcher(), 'inputs: {lefft: a}')
    with pytest.raises(DescriptionError, match=r"net\.yaml: line 1: unknown key 'inputs\.lefft'"):
        StereoMatcher.open(path, device='cpu')


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'backend': 'torch'}, 'set backend to auto, onnxruntime or tensorrt'),
        ({'backend': 'compiled'}, 'set backend to auto'),
        ({'backend': 'cudagraph'}, 'set backend to auto'),
        ({'precision': 'float16'}, 'leave precision at auto'),
        ({'precision': 'bfloat16', 'backend': 'onnxruntime'}, 'leave precision at auto'),
        ({'backend': 'tensorrt'}, 'needs a CUDA device'),
    ],
)
def test_options_that_do_not_go_with_a_file_say_what_to_set(
    write: Writer, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(S2M2Error, match=reason):
        StereoMatcher.open(write(BlockMatcher()), device='cpu', **options)  # type: ignore[arg-type]


def test_without_the_packages_it_says_how_to_get_them(
    write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        's2m2_ros.inference.backends.foreign_onnx.missing_packages',
        lambda *names: f'{names[0]} not installed (pip install {names[0]})',
    )
    with pytest.raises(S2M2Error, match='pip install onnxruntime'):
        StereoMatcher.open(write(BlockMatcher()), device='cpu')


def test_sgbm_ignores_the_file(write: Writer) -> None:
    with StereoMatcher.open(write(BlockMatcher()), backend='sgbm') as matcher:
        assert (matcher.backend, matcher.checkpoint) == ('sgbm', '')


def test_the_suffix_may_be_in_capitals(write: Writer) -> None:
    path = write(BlockMatcher(element=TensorProto.FLOAT), name='NET.ONNX')
    with StereoMatcher.open(path, device='cpu') as matcher:
        assert matcher.backend == 'onnxruntime'
