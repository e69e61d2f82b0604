"""The table of parameters, declared on a node and kept as a snapshot."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from s2m2_ros.node.parameters import ALIASES, CONSTRAINTS, ParameterError, Settings
from s2m2_ros.text_safety import safe_text

# Names that rclpy itself declares, or declares on demand.
RCLPY_NAMES = ('use_sim_time', 'start_type_description_service', 'qos_overrides')
# From this similarity on, an unknown name is taken for a misspelt one.
MISSPELT = 0.8

SettingsCallback = Callable[[Settings, Settings], None]


def descriptor(name: str, default: Any) -> ParameterDescriptor:
    """Return how the parameter is described to tools such as rqt and `ros2 param describe`."""
    constraint = CONSTRAINTS[name]
    described = ParameterDescriptor(
        name=name, description=constraint.description, read_only=constraint.read_only
    )
    if constraint.choices:
        described.additional_constraints = 'one of: ' + ', '.join(
            choice or "'' (none)" for choice in constraint.choices
        )
    # So that `max_depth:=5` is taken, which YAML reads as an integer; Settings checks the type.
    # And `rectify:=true`, which is a bool, and `pixel_range:=10`, which is an integer.
    # And arrays: an empty one has no type of its own.
    described.dynamic_typing = isinstance(default, float | tuple) or name in (
        'rectify',
        'pixel_range',
    )
    if constraint.range is not None:
        low, high = constraint.range
        if isinstance(default, float):
            described.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            described.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)
            ]
    return described


class Parameters:
    """Declares the table on a node and keeps the newest valid snapshot.

    `settings` is replaced as a whole, so another thread that reads it once per pair never sees
    half of a change. Raises ParameterError if the values from launch or YAML are not valid.
    """

    def __init__(self, node: Any) -> None:
        overrides: Mapping[str, Any] = getattr(node, '_parameter_overrides', {})
        for text in unknown_parameters(overrides):
            node.get_logger().warning(text)
        for option in fields(Settings):
            default = option.default
            value = list(default) if isinstance(default, tuple) else default
            self._declare(node, option.name, value, descriptor(option.name, default))
        values = {name: node.get_parameter(name).value for name in CONSTRAINTS}
        self.settings = Settings(**{**values, **self._aliased(node, overrides)})
        self._callbacks: list[SettingsCallback] = []
        node.add_on_set_parameters_callback(self._set)

    def on_change(self, callback: SettingsCallback) -> None:
        """Call `callback(before, after)` with both snapshots after each accepted change."""
        self._callbacks.append(callback)

    def read_mask(self) -> None:
        """Read mask_file, as far as there is one; raises ParameterError."""
        self.settings = self.settings.with_mask_read()

    def _aliased(self, node: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values given under other packages' names; ours override them."""
        values = {}
        for alias, name in ALIASES.items():
            if alias not in overrides:
                continue
            described = ParameterDescriptor(
                description=f'Another name of {name}.', read_only=True, dynamic_typing=True
            )
            self._declare(node, alias, None, described)
            if name in overrides:
                node.get_logger().warning(
                    f'{alias} is ignored: {name}, which means the same, is given too'
                )
            else:
                values[name] = node.get_parameter(alias).value
        return values

    @staticmethod
    def _declare(node: Any, name: str, default: Any, described: ParameterDescriptor) -> None:
        try:
            node.declare_parameter(name, default, described)
        except Exception as error:  # rclpy's several classes for a wrong type or range
            raise ParameterError(f"parameter '{name}': {safe_text(error)}") from error

    def _set(self, parameters: Sequence[Any]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters if p.name in CONSTRAINTS}
        before = self.settings
        try:
            self.settings = before.with_changes(changes)
        except (ParameterError, TypeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        for callback in self._callbacks:
            callback(before, self.settings)
        return SetParametersResult(successful=True)


def unknown_parameters(given: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each given name that no parameter has.

    Raises ParameterError for one that is probably misspelt; others may be meant for another node
    that reads the same file.
    """
    sentences = []
    for name in given:
        if name in CONSTRAINTS or name in ALIASES or name.split('.')[0] in RCLPY_NAMES:
            continue
        close = difflib.get_close_matches(name, [*CONSTRAINTS, *ALIASES], 1, MISSPELT)
        if close:
            raise ParameterError(
                f"there is no parameter '{safe_text(name)}': did you mean '{close[0]}'?"
            )
        sentences.append(f"parameter '{safe_text(name)}' is unknown to this node and ignored")
    return sentences
