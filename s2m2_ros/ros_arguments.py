"""Arguments of an executable of ROS: what rclpy cannot use, and what it ignores without a word."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.launch_arguments import LaunchArgumentError, parameter_sections
from s2m2_ros.text_safety import utf8_text

BEGIN, END = '--ros-args', '--'
PARAMETER_FILE = '--params-file'


class RosArgumentError(S2M2Error):
    """Arguments with which a node cannot start."""


def init_rclpy(arguments: Sequence[str] | None) -> None:
    """Initialize rclpy by arguments, None for those of the command line.

    Raises RosArgumentError for an argument that is foreign to ROS, which rclpy would leave to the
    program, and for those, and an environment, of which rclpy makes nothing.
    """
    import rclpy

    foreign = next((word for word in _outside(_words(arguments)) if word), None)
    if foreign is not None:
        raise RosArgumentError(
            f"unknown argument '{utf8_text(foreign)}': arguments of ROS come after {BEGIN}"
        )
    try:
        rclpy.init(args=None if arguments is None else list(arguments))
    except (RuntimeError, ValueError) as error:  # what rclpy raises for arguments
        raise RosArgumentError(_reason(error)) from error


@contextmanager
def creating_node(context: Any = None) -> Iterator[None]:
    """Raise RosArgumentError for arguments of which rclpy makes no node.

    They pass `init_rclpy`: a namespace that ends with a slash, a wrong type for a parameter of
    rclpy's own, such as use_sim_time. `context`: the node's, None for the default.
    """
    import rclpy
    from rclpy.exceptions import ParameterException

    try:
        yield
    except (RuntimeError, ParameterException) as error:
        if not rclpy.ok(context=context):
            raise  # asked to stop meanwhile
        raise RosArgumentError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return why, without where in the sources of rcl it was found."""
    return utf8_text(error).partition(', at /')[0]


def unused_parameter_files(arguments: Sequence[str] | None, node: str) -> list[str]:
    """Return what is wrong with files of parameters of which nothing is for the node.

    `arguments` are None for those of the command line; `node` is its full name, with namespace.
    rclpy ignores the sections of others, and so all that a misspelt name holds, or one without
    the namespace.
    """
    reasons = []
    for name in _parameter_files(_words(arguments)):
        try:
            sections = [section for section, _ in parameter_sections(Path(name))]
        except LaunchArgumentError as error:
            reasons.append(str(error))
            continue
        if not any(_pattern(section).fullmatch(node) for section in sections):
            held = ', '.join(f"'{section}'" for section in sections) or 'nothing'
            reasons.append(
                f"'{utf8_text(name)}' sets no parameter of this node: it has sections for "
                f"{utf8_text(held)}, and this is '{node}'; name the section '{node}', or '/**' "
                'for any node'
            )
    return reasons


def _words(arguments: Sequence[str] | None) -> Sequence[str]:
    """Return the arguments without the name of the program, which rclpy allows before them."""
    words = list(sys.argv if arguments is None else arguments)
    return words[1:] if words[:1] == sys.argv[:1] else words


def _outside(words: Sequence[str]) -> Iterator[str]:
    """Yield the arguments that are foreign to ROS."""
    inside = False
    for word in words:
        if word == BEGIN:
            inside = True
        elif inside and word == END:
            inside = False
        elif not inside:
            yield word


def _parameter_files(words: Sequence[str]) -> Iterator[str]:
    for word, following in itertools.pairwise(words):
        if word == PARAMETER_FILE:
            yield following


def _pattern(section: str) -> re.Pattern[str]:
    """Return what a section of a file of parameters matches: * is one name, ** any number."""
    wildcards = {'*': r'/\w+', '**': r'(/\w+)*'}
    parts = (part for part in section.split('/') if part)
    return re.compile(''.join(wildcards.get(part, '/' + re.escape(part)) for part in parts))
