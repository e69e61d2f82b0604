"""Names of topics, namespaces and frames: what ROS 2 and tf2 take, and why a text is none."""

from __future__ import annotations

import re

from s2m2_ros.errors import S2M2Error
from s2m2_ros.text_safety import safe_text

LONGEST_FRAME_NAME = 200
# A name of DDS has 255 characters at most; ROS puts up to 8 before a topic.
LONGEST_TOPIC = 247
# A slash and one character must fit behind it.
LONGEST_NAMESPACE = LONGEST_TOPIC - 2
FORBIDDEN = re.compile(r'[^A-Za-z0-9_/]', re.ASCII)


def why_no_topic(name: str) -> str | None:
    """Return why ROS 2 takes no such name of a topic, absolute or relative; None if it does."""
    if not name.strip('/'):
        return 'it is empty'
    return _why_no_name(name, LONGEST_TOPIC)


def why_no_namespace(name: str) -> str | None:
    """Return why ROS 2 takes no such namespace; None if it does. '' and '/' are the root."""
    return None if name in ('', '/') else _why_no_name(name, LONGEST_NAMESPACE)


def why_no_frame(name: str) -> str | None:
    """Return why tf2 knows no such frame; None if it may. '' is none too."""
    if not name:
        return 'it is empty'
    if name.startswith('/'):
        return 'tf2 knows no names with a slash in front'
    if len(name) > LONGEST_FRAME_NAME:
        return f'it is longer than {LONGEST_FRAME_NAME} characters'
    if not name.isprintable() or name != name.strip():
        return 'it has blanks at an end, or characters that cannot be printed'
    return None


def wrong_frame(called: str, name: str) -> str | None:
    """Say that a setting names no frame, and why; None if it does."""
    return _wrong(called, name, 'a frame', why_no_frame(name))


def require_topic(called: str, name: str) -> None:
    """Raise S2M2Error, which names the setting, for what is no name of a topic or node."""
    _require(called, name, 'a topic', why_no_topic(name))


def require_namespace(called: str, name: str) -> None:
    """Raise S2M2Error, which names the setting, for what is no namespace."""
    _require(called, name, 'a namespace', why_no_namespace(name))


def require_frame(called: str, name: str) -> None:
    """Raise S2M2Error, which names the setting, for what is no frame."""
    _require(called, name, 'a frame', why_no_frame(name))


def _require(called: str, name: str, kind: str, reason: str | None) -> None:
    if wrong := _wrong(called, name, kind, reason):
        raise S2M2Error(wrong)


def _wrong(called: str, name: str, kind: str, reason: str | None) -> str | None:
    return reason and f"{called} = '{safe_text(name)}' is not the name of {kind}: {reason}"


def _why_no_name(name: str, longest: int) -> str | None:
    if FORBIDDEN.search(name):
        return 'use letters, digits, underscores and slashes'
    if name.endswith('/'):
        return 'it ends with a slash'
    if '//' in name:
        return 'it has two slashes in sequence'
    if any(part[0].isdigit() for part in name.split('/') if part):
        return 'a digit follows a slash or stands in front'
    if len(name) + (not name.startswith('/')) > longest:
        return f'it is longer than {longest} characters'
    return None
