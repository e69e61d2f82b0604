"""A FAKE of launch and launch_ros, which have no wheel: it records what a launch file builds.

It knows the few names that our launch files use, with the arguments of the real ones, and
nothing of what they do. Where the real packages are installed, test_launch_files.py runs those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass
class LaunchContext:
    launch_configurations: dict[str, str] = field(default_factory=dict)


@dataclass
class LaunchDescription:
    entities: Sequence[Any]


@dataclass
class DeclareLaunchArgument:
    name: str
    default_value: str | None = None
    description: str | None = None
    choices: list[str] | None = None


@dataclass
class LaunchConfiguration:
    name: str

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.name]


@dataclass
class OpaqueFunction:
    function: Callable[[LaunchContext], Any]


@dataclass
class SetEnvironmentVariable:
    name: str
    value: str


@dataclass
class PythonLaunchDescriptionSource:
    location: str


@dataclass
class IncludeLaunchDescription:
    source: PythonLaunchDescriptionSource
    launch_arguments: Sequence[tuple[str, Any]] = ()


@dataclass(kw_only=True)
class Node:
    package: str
    executable: str
    name: str
    namespace: str = ''
    parameters: Sequence[Any] = ()
    remappings: Sequence[tuple[str, str]] = ()
    arguments: Sequence[str] = ()
    output: str = 'log'


MODULES: dict[str, tuple[type, ...]] = {
    'launch': (LaunchContext, LaunchDescription),
    'launch.actions': (
        DeclareLaunchArgument,
        IncludeLaunchDescription,
        OpaqueFunction,
        SetEnvironmentVariable,
    ),
    'launch.launch_description_sources': (PythonLaunchDescriptionSource,),
    'launch.substitutions': (LaunchConfiguration,),
    'launch_ros': (),
    'launch_ros.actions': (Node,),
}


@contextmanager
def installed() -> Iterator[None]:
    """Put the fakes where `import launch` finds them, and take them away again."""
    before = {name: sys.modules.get(name) for name in MODULES}
    for name, members in MODULES.items():
        module = ModuleType(name)
        module.__dict__.update({member.__name__: member for member in members})
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, original in before.items():
            if original is None:
                del sys.modules[name]
            else:
                sys.modules[name] = original
