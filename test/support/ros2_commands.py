"""Words behind `ros2` in documents, resolved without ROS: launch arguments, parameters, topics."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path

from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
from s2m2_ros.node.outputs.topic_types import STATS
from s2m2_ros.node.parameters import ALIASES, CONSTRAINTS, Settings
from s2m2_ros.node.sharing_parameters import Sharing
from s2m2_ros.player.player_parameters import PlayerOptions
from support.processes import SOURCE

# Verbs of ros2 whose words are none of ours, with the number of words that follow at least.
ROS2_VERBS = {
    ('topic', 'list'): 0,
    ('topic', 'echo'): 1,
    ('topic', 'hz'): 1,
    ('bag', 'play'): 1,
    ('bag', 'record'): 1,
    ('pkg', 'prefix'): 1,
    ('param', 'dump'): 1,
    ('lifecycle', 'set'): 2,
    ('security', 'create_keystore'): 1,
    ('security', 'create_enclave'): 2,
    ('security', 'create_permission'): 3,
}
INPUTS = {
    f'{side}/{name}'
    for side in ('left', 'right', 'color')
    for name in ('image_rect', 'camera_info')
}


@cache
def launch_arguments(name: str) -> frozenset[str]:
    """Return the arguments of a launch file; those of stereo.launch.py belong to all of them."""
    found = set()
    shared = SOURCE / 's2m2_ros' / 'launch_arguments.py'
    for path in {file_of(name), SOURCE / 'launch' / 'stereo.launch.py', shared}:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, 'id', '') in {'Argument', 'parameter', 'topic'}
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return frozenset(found)


def file_of(name: str) -> Path:
    """Return where a launch file is: beside the others, or among the examples."""
    inside = SOURCE / 'launch' / name
    return inside if inside.is_file() else SOURCE / 'examples' / name


def launch(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2 launch`."""
    if words[0] != 's2m2_ros':
        return []
    if not file_of(words[1]).is_file():
        return [f'no launch file {words[1]}']
    known = launch_arguments(words[1])
    return [f'no launch argument {word}' for word in words[2:]
            if not word.startswith('--') and word.partition(':=')[0] not in known]  # fmt: skip


def parameters_of(executable: str) -> set[str]:
    """Return the parameters that one of our nodes takes."""
    if executable == 'stereo_player':
        return {option.name for option in fields(PlayerOptions)}
    of_cameras = {option.name for option in fields(Settings)} | set(ALIASES)
    return of_cameras | {option.name for option in fields(Sharing)} | {'use_sim_time'}


def run(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2 run`."""
    if words[0] != 's2m2_ros':
        return []
    if words[1] not in {'stereo_node', 'stereo_player'}:
        return [f'no executable {words[1]}']
    found = []
    topics = INPUTS | set(OUTPUT_TOPICS) | {STATS}
    for option, value in pairwise(words[2:]):
        name = value.partition(':=')[0]
        # That of one of several cameras has its name before.
        if option == '-p' and name.rpartition('.')[2] not in parameters_of(words[1]):
            found.append(f'no parameter {name}')
        if option == '-r' and not name.startswith('__') and name not in topics:
            found.append(f'no topic {name}')
    return found


def param(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2 param set`."""
    name = words[1]
    if name not in CONSTRAINTS:
        return [f'no parameter {name}']
    return [f'{name} is fixed'] if CONSTRAINTS[name].read_only else []


def ros2(words: Sequence[str]) -> list[str]:
    """Return what is wrong with the words behind `ros2`."""
    if words[0] in {'launch', 'run'}:
        return (launch if words[0] == 'launch' else run)(words[1:])
    verb = (words[0], words[1])
    if verb == ('param', 'set'):
        return param(words[2:])
    if verb == ('service', 'call'):
        return [] if words[2].endswith('/enable') else [f'no service {words[2]}']
    if verb not in ROS2_VERBS:
        return [f'ros2 {" ".join(verb)}: add it to ROS2_VERBS']
    return [] if len(words) >= 2 + ROS2_VERBS[verb] else ['too few words']
