"""Descriptions of networks in YAML: what is read, and what is said of what is wrong."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.weights.other_networks import (
    DescriptionError,
    NetworkDescription,
    find_description,
    read_description,
    to_yaml,
)
from s2m2_ros.weights.other_networks.description_file import LAYOUT, parse_description

WHOLE = """\
name: Some network
license: MIT
source: https://example.org/some
inputs:
  left: image1
  right: image2
  channels: BGR
  layout: nhwc
  range: 0..1
  mean: [0.485, 0.456, 0.406]
  std: 0.25
size: {height: 480, width: 640, multiple: 16, fit: stretch}
outputs:
  disparity: flow
  confidence: conf
  occlusion: occ
disparity:
  sign: negative
  unit: fraction_of_width
  scale: 4
  largest: 192
planted_check: warning
"""


def test_every_key_is_read() -> None:
    assert parse_description(WHOLE) == NetworkDescription(
        name='Some network',
        license='MIT',
        source='https://example.org/some',
        left='image1',
        right='image2',
        channels='bgr',
        layout='nhwc',
        range=(0.0, 1.0),
        mean=(0.485, 0.456, 0.406),
        std=(0.25,),
        height=480,
        width=640,
        multiple=16,
        fit='stretch',
        disparity='flow',
        confidence='conf',
        occlusion='occ',
        sign='negative',
        unit='fraction_of_width',
        scale=4.0,
        largest=192.0,
        planted_check='warning',
    )


def test_every_field_has_a_key() -> None:
    filled = set()
    for key, entry in LAYOUT.items():
        filled |= {key} if callable(entry) else {field for field, _ in entry.values()}
    assert filled == {field.name for field in fields(NetworkDescription)}


def test_what_is_left_out_has_its_default() -> None:
    assert parse_description('license: MIT') == NetworkDescription(license='MIT')


def test_words_of_yaml_for_truth_and_numbers_stay_text() -> None:
    found = parse_description('name: yes\noutputs: {disparity: 12}\ninputs: {pair: null}')
    assert (found.name, found.disparity, found.pair) == ('yes', '12', 'null')


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('inputs: {lefft: a}', "line 1: unknown key 'inputs.lefft', did you mean 'inputs.left'?"),
        ('licence: MIT', "did you mean 'license'"),
        ('scale: 2', "unknown key 'scale'"),
        ('inputs:\n  left: a\n  left: b', "line 3: 'inputs.left' is there twice"),
        ('[1, 2]', 'must hold keys'),
        ('inputs: left', "'inputs' must hold keys"),
        ('name: [a, b]', "'name' must be one word or text"),
        ('name: "a\\tb"', 'printable'),
        ('name: ' + 'a' * 400, 'at most 300'),
        ('size: {height: 4.5}', "'size.height' must be a whole number, not '4.5'"),
        ('size: {height: 99999999999999}', 'whole number'),
        ('size: {height: 8}', 'height must be 16 to 16384 pixels'),
        ('size: {height: 16384, width: 16384}', '16384x16384 are more than'),
        ('size: {multiple: 0}', 'multiple must be 1 to 1024'),
        ('size: {fit: crop}', "fit must be one of resize, pad, stretch, not 'crop'"),
        ('disparity: {scale: two}', "'disparity.scale' must be a number"),
        ('disparity: {scale: -1}', 'scale must be above 0, not -1: for the opposite sign'),
        ('disparity: {scale: .inf}', "must be a number, not '.inf'"),
        ('disparity: {scale: inf}', 'finite'),
        ('disparity: {scale: nan}', 'finite'),
        ('disparity: {scale: 1e300}', 'at most'),
        ('disparity: {largest: -5}', 'largest must be 0'),
        ('disparity: {sign: minus}', 'sign must be one of positive, negative'),
        ('disparity: {unit: meters}', 'unit must be one of pixels, fraction_of_width'),
        ('inputs: {range: 255}', 'e.g. 0..255 or [0, 1]'),
        ('inputs: {range: [1, 0]}', 'the smaller one first'),
        ('inputs: {range: 0..2.5.5}', 'e.g. 0..255'),
        ('inputs: {std: 0}', 'std must be above 0'),
        ('inputs: {mean: [1, 2]}', 'one for each of 3 channels'),
        ('inputs: {channels: yuv}', 'channels must be one of rgb, bgr, gray'),
        ('inputs: {left: a}', 'both inputs'),
        ('inputs: {left: a, right: a}', 'the same input'),
        ('inputs: {left: a, right: b, pair: c}', 'give it, or left and right'),
        (
            'outputs: {disparity: a, confidence: a}',
            "outputs.disparity and outputs.confidence are both 'a'",
        ),
        ('outputs: {visibility: a, occlusion: b}', 'not both'),
        ('planted_check: never', 'planted_check must be one of error, warning'),
        ('', 'it is empty'),
        ('name: [unclosed', 'no readable YAML: line'),
        ('name: !!python/object:os.system x', 'name'),
        ('a: &a [1]\nb: *a', 'aliases'),
        ('fixed_size: 64x96\nfixed_size: 64x64', "line 2: 'fixed_size' is there twice"),
        ('? [a, b]\n: c', 'unknown key'),
    ],
)
def test_what_is_wrong_is_named(text: str, reason: str) -> None:
    if text.startswith('name: !!python'):
        # The tag is ignored: the value is text, whatever it asks for.
        assert parse_description(text).name == 'x'
        return
    with pytest.raises(DescriptionError) as caught:
        parse_description(text)
    assert reason in str(caught.value)
    assert '\n' not in str(caught.value)


def test_very_many_keys_are_not_read() -> None:
    with pytest.raises(DescriptionError, match='too long'):
        parse_description('\n'.join(f'k{i}: 1' for i in range(2000)))


def test_deep_nesting_ends_with_an_error() -> None:
    with pytest.raises(DescriptionError):
        parse_description('[' * 3000)


def test_a_file_is_named_in_its_error(tmp_path: Path) -> None:
    path = tmp_path / 'net.yaml'
    path.write_text('size: {fit: crop}')
    with pytest.raises(DescriptionError, match=r'net\.yaml: fit must be'):
        read_description(path)


@pytest.mark.parametrize('kind', ['missing', 'folder', 'fifo', 'bytes', 'huge'])
def test_files_that_are_no_text(tmp_path: Path, kind: str) -> None:
    path = tmp_path / 'net.yaml'
    if kind == 'folder':
        path.mkdir()
    elif kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'bytes':
        path.write_bytes(b'\xff\xfe\x00')
    elif kind == 'huge':
        path.write_bytes(b'#' * (1 << 17))
    with pytest.raises(DescriptionError, match=r'net\.yaml'):
        read_description(path)


def test_the_description_is_beside_the_model(tmp_path: Path) -> None:
    model = tmp_path / 'net.onnx'
    assert find_description(model) is None
    (tmp_path / 'net.yml').touch()
    assert find_description(model) == tmp_path / 'net.yml'
    (tmp_path / 'net.yaml').touch()
    with pytest.raises(DescriptionError, match='delete one'):
        find_description(model)


NUMBERS = st.floats(-1e5, 1e5, allow_nan=False)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=30).filter(
    str.isprintable
)


@st.composite
def descriptions(draw: st.DrawFn) -> NetworkDescription:
    low = draw(NUMBERS)
    names: list[str] = draw(st.lists(WORDS.filter(bool), min_size=4, max_size=4, unique=True))
    values: dict[str, Any] = {
        'name': draw(WORDS),
        'left': names[0],
        'right': names[1],
        'disparity': names[2],
        'confidence': draw(st.sampled_from(['', names[3]])),
        'range': (low, low + draw(st.floats(0.5, 1000))),
        'mean': draw(st.sampled_from([(), (0.5,), (0.1, 0.2, 0.3)])),
        'scale': draw(st.floats(1e-5, 1e5)),
        'height': draw(st.sampled_from([0, 480])),
        'sign': draw(st.sampled_from(['positive', 'negative'])),
        'layout': draw(st.sampled_from(['', 'nchw', 'nhwc'])),
        'largest': draw(st.floats(0, 1e4)),
    }
    return NetworkDescription(**values)


@given(descriptions())
def test_a_written_description_is_read_as_it_was(description: NetworkDescription) -> None:
    assert parse_description(to_yaml(description, comments=('made by a\ntest',))) == description


@given(st.text(max_size=200))
def test_any_text_ends_with_a_description_or_its_error(text: str) -> None:
    try:
        parse_description(text)
    except DescriptionError as error:
        assert '\n' not in str(error)
