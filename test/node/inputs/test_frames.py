"""Frame names that tf2 refuses are corrected or named, and text of peers is made printable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from s2m2_ros.node.faults import Fault, FaultLog, Level
from s2m2_ros.node.inputs.frames import FrameWatch, TopicFrame, explain_frames

TOPICS = ('left', 'right', 'left_info', 'right_info')


def frames(left: str, right: str, left_info: str, right_info: str) -> list[TopicFrame]:
    return [TopicFrame(*f) for f in zip(TOPICS, (left, right, left_info, right_info), strict=True)]


def message(frame: str) -> Any:
    return SimpleNamespace(header=SimpleNamespace(frame_id=frame))


def test_usual_frames_are_fine() -> None:
    assert explain_frames(frames('cam', 'cam', 'cam', 'cam')) is None
    assert explain_frames(frames('l/optical', 'r/optical', 'l/optical', 'r/optical')) is None


@pytest.mark.parametrize('name', ['', ' ', '/', '//'])
def test_an_empty_frame_names_its_topic(name: str) -> None:
    text = explain_frames(frames('cam', name, 'cam', name))
    assert text is not None
    assert 'right has ' in text
    assert 'drop messages without a frame' in text
    assert 'left' not in text.replace('left ', '')


@pytest.mark.parametrize(('came', 'bare'), [('/cam', 'cam'), ('//cam', 'cam'), ('/a/b', 'a/b')])
def test_a_leading_slash_is_named_with_what_is_used(came: str, bare: str) -> None:
    text = explain_frames(frames(came, came, came, came))
    assert text is not None
    assert f"left has the frame_id '{came}'" in text
    assert f"removed ('{bare}')" in text


def test_frames_of_image_and_calibration_that_differ_are_named() -> None:
    text = explain_frames(frames('a', 'b', 'a', 'c'))
    assert text is not None
    assert "right has the frame_id 'b' and right_info 'c'" in text
    # A slash alone is no difference.
    assert 'belong to this camera' not in (explain_frames(frames('/a', 'b', 'a', 'b')) or '')


def test_control_characters_and_endless_names_are_escaped_and_cut() -> None:
    text = explain_frames(frames('a\x1b[31m\n', 'b' * 3_000_000, 'a\x1b[31m\n', 'b' * 3_000_000))
    assert text is not None
    assert '\x1b' not in text
    assert '\n' not in text
    assert '\\x1b[31m\\n' in text
    assert len(text) < 1500


def test_the_watch_corrects_messages_and_reports_once() -> None:
    logged: list[str] = []
    faults = FaultLog(lambda _level, text: logged.append(text))
    watch = FrameWatch(faults)
    for _ in range(3):
        messages = [message('/cam') for _ in TOPICS]
        for topic, one in zip(TOPICS, messages, strict=True):
            watch.correct(topic, one)
        watch.check(TOPICS, messages)
        assert {one.header.frame_id for one in messages} == {'cam'}
    assert len(logged) == 1
    assert faults.current()[Fault.FRAME_ID][0] is Level.WARN
    good = [message('cam') for _ in TOPICS]
    for topic, one in zip(TOPICS, good, strict=True):
        watch.correct(topic, one)
    watch.check(TOPICS, good)
    assert Fault.FRAME_ID not in faults.current()


def test_frames_without_end_take_no_memory_without_end() -> None:
    watch = FrameWatch(FaultLog(lambda _level, _text: None))
    for number in range(1000):
        watch.correct('left', message(f'/frame_{number}'))
    assert len(watch._with_slash) <= 101
