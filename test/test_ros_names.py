"""Names of topics, namespaces and frames, compared with what ROS 2 itself takes."""

from __future__ import annotations

import pytest
from rclpy.exceptions import InvalidNamespaceException, InvalidTopicNameException
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace

from s2m2_ros.errors import S2M2Error
from s2m2_ros.ros_names import require_topic, why_no_frame, why_no_namespace, why_no_topic

NAMES = (
    'front', '/front', 'front/left', '/front/left', '/a1/b_2', '/_hidden', '/a__b', '/end_',
    '/bad name!', '/1st', '/a/1st', '/a//b', '//a', '/a/', '/ä', '/a-b', '/a.b', '/a\n',
    '/' + 'a' * 244, '/' + 'a' * 245, '/' + 'a' * 246, '/' + 'a' * 247,
)  # fmt: skip


def absolute(name: str) -> str:
    return name if name.startswith('/') else f'/{name}'


@pytest.mark.parametrize('name', NAMES)
def test_a_topic_is_taken_where_ros_takes_it(name: str) -> None:
    try:
        taken = validate_full_topic_name(absolute(name))
    except InvalidTopicNameException:
        taken = False
    assert (why_no_topic(name) is None) == taken, why_no_topic(name)


@pytest.mark.parametrize('name', [*NAMES, '', '/'])
def test_a_namespace_is_taken_where_ros_takes_it(name: str) -> None:
    try:
        taken = validate_namespace(absolute(name))
    except InvalidNamespaceException:
        taken = False
    assert (why_no_namespace(name) is None) == taken, why_no_namespace(name)


@pytest.mark.parametrize('name', ['', '/', '//'])
def test_a_topic_has_a_name(name: str) -> None:
    assert why_no_topic(name) == 'it is empty'


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('left_optical', None),
        ('robot 1/camera', None),
        ('', 'empty'),
        ('/map', 'slash'),
        (' map', 'blanks'),
        ('m\x1b[2J', 'printed'),
        ('m' * 200, None),
        ('m' * 201, '200'),
    ],
)
def test_frames(name: str, reason: str | None) -> None:
    found = why_no_frame(name)
    assert found is None if reason is None else reason in str(found)


def test_the_message_names_the_setting_and_shows_the_name_safely() -> None:
    with pytest.raises(S2M2Error, match=r"--points = '/a\\x1b' is not the name of a topic: use"):
        require_topic('--points', '/a\x1b')
