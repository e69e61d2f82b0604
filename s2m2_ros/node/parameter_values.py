"""What a parameter's value may be: types, ranges, choices, and the errors that say so."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.ros_names import wrong_frame
from s2m2_ros.setting_names import PARAMETERS, SettingNames
from s2m2_ros.text_safety import safe_text

Value = TypeVar('Value')
Result = TypeVar('Result')

# How users call the types.
TYPE_NAMES: Mapping[type[Any], str] = {
    bool: 'bool',
    int: 'integer',
    float: 'double',
    str: 'string',
}


class ParameterError(S2M2Error):
    """A parameter has a value that the node cannot work with; says which and why."""


@dataclass(frozen=True)
class Constraint:
    """What a parameter may be: a description, and a range, choices, or the name of a frame.

    One that is `node_wide` is the same for all cameras of a node.
    """

    description: str
    read_only: bool
    range: tuple[float, float] | None
    choices: tuple[str, ...]
    frame_name: bool
    node_wide: bool = False


def parameter(
    default: Any,
    description: str,
    *,
    read_only: bool = False,
    range: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
    frame_name: bool = False,
    node_wide: bool = False,
) -> Any:
    """Return the field of a dataclass that describes a parameter."""
    constraint = Constraint(description, read_only, range, tuple(choices), frame_name, node_wide)
    return field(default=default, metadata={'constraint': constraint})


def constraint_of(option: Field[Any]) -> Constraint:
    """Return what the parameter of a field may be."""
    found: Constraint = option.metadata['constraint']
    return found


def check_fields(settings: Any, names: SettingNames = PARAMETERS) -> None:
    """Bring each value of a frozen dataclass of parameters to its type; raises ParameterError."""
    for option in fields(settings):
        called = names(option.name)
        value = typed(option.name, getattr(settings, option.name), option.default, called=called)
        object.__setattr__(settings, option.name, value)
        check(called, value, constraint_of(option))


def type_name(default: Any) -> str:
    """Return how users call the type of a parameter with this default."""
    if isinstance(default, tuple):
        return f'{TYPE_NAMES[type(default[0])]} array'
    return TYPE_NAMES[type(default)]


def typed(name: str, value: Any, default: Any, *, called: str = '') -> Any:
    """Return the value as its parameter's type: whole numbers are real ones too.

    ``called``: what users call the parameter, if not by its name. Raises ParameterError.
    """
    kind = type(default)
    if kind is tuple:
        return _typed_array(called or name, value, default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # YAML reads `rectify: true` and `temporal_filter: off` as bool, `pixel_range: 10` as int.
    if (name, value) == ('temporal_filter', False):
        return 'off'
    if (name, type(value)) in (('rectify', bool), ('pixel_range', int)):
        return str(value).lower()
    if type(value) is not kind:
        raise ParameterError(
            f'{called or name} = {safe_text(repr(value))} must be of type {type_name(default)}'
        )
    return value


def _typed_array(name: str, values: Any, default: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the numbers of an array, which rclpy passes as a list or an array.array."""
    # None is no number of any type.
    numbers = values if isinstance(values, list | tuple | array) else (None,)
    try:
        return tuple(typed(name, number, default[0]) for number in numbers)
    except ParameterError as error:
        raise ParameterError(
            f'{name} = {safe_text(repr(values))} must be of type {type_name(default)}'
        ) from error


def or_parameter_error(name: str, function: Callable[[Value], Result], value: Value) -> Result:
    """Return what a function makes of a value, with the parameter's name in its errors."""
    try:
        return function(value)
    except ImageError as error:
        raise ParameterError(f'{name}: {safe_text(error)}') from error


def check(name: str, value: Any, constraint: Constraint) -> None:
    """Raise ParameterError for a value out of range, or that is no choice."""
    if constraint.choices and value not in constraint.choices:
        choices = ', '.join(f"'{choice}'" for choice in constraint.choices)
        raise ParameterError(f"{name} = '{safe_text(value)}' must be one of {choices}")
    if constraint.range is not None:
        low, high = constraint.range
        if not low <= value <= high:
            raise ParameterError(f'{name} = {value} is not between {low:g} and {high:g}')
    if constraint.frame_name and value and (wrong := wrong_frame(name, value)):
        raise ParameterError(wrong)
