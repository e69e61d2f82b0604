"""A FAKE of launch and launch_ros, which have no wheel: it records what a launch file builds.

It knows the few names that our launch files use, with the arguments of the real ones, and of
what they do only the order: entities are visited depth first, a declared argument keeps a value
that it has, and an exception ends everything. A node is started when its turn comes. Where the
real packages are installed, test_launch_files.py runs those.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass
class LaunchContext:
    launch_configurations: dict[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    started: list[Any] = field(default_factory=list)  # of the fake: the nodes, in order


@dataclass
class LaunchDescription:
    entities: Sequence[Any]

    def visit(self, context: LaunchContext) -> Sequence[Any]:
        return self.entities


@dataclass
class DeclareLaunchArgument:
    name: str
    default_value: str | None = None
    description: str | None = None
    choices: list[str] | None = None

    def visit(self, context: LaunchContext) -> Sequence[Any]:
        if self.default_value is not None:
            context.launch_configurations.setdefault(self.name, self.default_value)
        return ()


@dataclass
class LaunchConfiguration:
    name: str

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.name]


@dataclass
class OpaqueFunction:
    function: Callable[[LaunchContext], Any]

    def visit(self, context: LaunchContext) -> Sequence[Any]:
        entities: Sequence[Any] = self.function(context)
        return entities


@dataclass
class PythonLaunchDescriptionSource:
    location: str


@dataclass
class IncludeLaunchDescription:
    source: PythonLaunchDescriptionSource
    launch_arguments: Sequence[tuple[str, Any]] = ()

    def visit(self, context: LaunchContext) -> Sequence[Any]:
        for name, value in self.launch_arguments:
            text = value.perform(context) if isinstance(value, LaunchConfiguration) else value
            context.launch_configurations[name] = text
        return [runpy.run_path(self.source.location)['generate_launch_description']()]


@dataclass
class GroupAction:
    actions: Sequence[Any]
    scoped: bool = True

    def visit(self, context: LaunchContext) -> Sequence[Any]:
        assert self.scoped
        before = dict(context.launch_configurations)

        def restore(context: LaunchContext) -> Sequence[Any]:
            context.launch_configurations.clear()
            context.launch_configurations.update(before)
            return ()

        return [*self.actions, OpaqueFunction(restore)]


@dataclass(frozen=True)
class ParameterValue:
    value: Any
    value_type: type | None = None


@dataclass(kw_only=True)
class Node:
    package: str
    executable: str
    name: str
    namespace: str = ''
    parameters: Sequence[Any] = ()
    remappings: Sequence[tuple[str, str]] = ()
    arguments: Sequence[str] = ()
    additional_env: Mapping[str, str] | None = None
    respawn: bool = False
    respawn_delay: float | None = None
    output: str = 'log'

    def visit(self, context: LaunchContext) -> Sequence[Any]:
        context.started.append(self)
        return ()


def get_logger(name: str | None = None) -> logging.Logger:
    return logging.getLogger(name)


def visit_all(entity: Any, context: LaunchContext) -> None:
    """Visit an entity and those that come of it, as launch's service does."""
    for child in entity.visit(context):
        visit_all(child, context)


MODULES: dict[str, tuple[Any, ...]] = {
    'launch': (LaunchContext, LaunchDescription),
    'launch.actions': (
        DeclareLaunchArgument,
        GroupAction,
        IncludeLaunchDescription,
        OpaqueFunction,
    ),
    'launch.launch_description_sources': (PythonLaunchDescriptionSource,),
    'launch.logging': (get_logger,),
    'launch.substitutions': (LaunchConfiguration,),
    'launch_ros': (),
    'launch_ros.actions': (Node,),
    'launch_ros.parameter_descriptions': (ParameterValue,),
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
