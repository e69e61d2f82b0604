"""Strings of peers (parameters, encodings, frames) in logs and diagnostics: short, one line."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.ros_images import decode_compressed_image, decode_image
from s2m2_ros.node.outputs.transforms import TransformError, Transforms
from s2m2_ros.node.parameter_declaration import unknown_parameters
from s2m2_ros.node.parameters import CONSTRAINTS, ParameterError, Settings
from support.robot import robot

NASTY = '\x1b[2J\nFATAL: all is lost\r\0'
HUGE = 'x' * 3_000_000
# The sentence around what is quoted, which holds the names of all encodings or choices.
SENTENCE = 2000


def require_harmless(error: BaseException) -> None:
    text = str(error)
    assert text.isprintable()
    assert len(text) < SENTENCE


@pytest.mark.parametrize('text', [NASTY, HUGE, 7 * NASTY + HUGE])
def test_errors_quote_harmlessly(text: str) -> None:
    with pytest.raises(ImageError) as image:
        decode_image(Image(width=2, height=2, step=2, encoding=text, data=array('B', bytes(4))))
    require_harmless(image.value)
    for data in (b'', b'junk'):
        message = CompressedImage(format=text, data=array('B', data))
        with pytest.raises(ImageError) as compressed:
            decode_compressed_image(message)
        require_harmless(compressed.value)
    for name in CONSTRAINTS:
        if name in (
            'checkpoint',
            'device',
            'mask_file',
        ):  # fixed at start, by whoever starts the node
            continue
        with pytest.raises(ParameterError) as parameter:
            Settings(**dict[str, Any]({name: text}))
        require_harmless(parameter.value)
    (sentence,) = unknown_parameters({text: 1})
    assert sentence.isprintable()
    assert len(sentence) < SENTENCE


def test_a_frame_that_is_not_known_is_quoted_harmlessly() -> None:
    class Node:
        """Stands in for a node where nothing is ever published."""

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    for frame in (NASTY, HUGE):
        transforms = Transforms(Node())
        with pytest.raises(TransformError) as error:
            transforms.find(Header(frame_id=frame), 'map')
        require_harmless(error.value)
        assert "'map'" in str(error.value)


@pytest.mark.parametrize(
    'frame',
    ['/map', ' map', 'map ', '\t', 'a\nb', 'a\x1b[2J', 'x' * 201, HUGE, '\u202e', '\x00'],
)
def test_points_frame_must_be_the_name_of_a_frame(frame: str) -> None:
    with pytest.raises(ParameterError, match=r'points_frame = .* is not the name of a frame'):
        Settings(points_frame=frame)


@pytest.mark.parametrize('frame', ['', 'map', 'robot_1/base_link', 'x' * 200, 'Kamera links'])
def test_names_of_frames_are_taken(frame: str) -> None:
    assert Settings(points_frame=frame).points_frame == frame


def test_hostile_values_over_dds_leave_log_and_diagnostics_small() -> None:
    with robot(topics=('disparity', 'points')) as made:
        made.wait_output('disparity', made.show())
        for value in (HUGE, NASTY):
            reason = made.set_parameter('points_frame', value)
            assert 'points_frame' in reason
            assert reason.isprintable()
            assert len(reason) < SENTENCE
        since = made.mark()
        made.show(encoding=NASTY.rstrip('\0') + HUGE[:100_000])
        told = made.wait_told('encoding', since=since)
        assert told.isprintable()
        assert len(told) < SENTENCE
        made.wait_output('disparity', made.show())
        assert max(map(len, made.node.log.items)) < 2 * SENTENCE
        assert not any('\x1b[2J' in line for line in made.node.log.items)
