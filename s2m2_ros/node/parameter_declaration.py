"""The tables of parameters, declared on a node and kept as snapshots."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from s2m2_ros.node.camera_settings import (
    DEFAULTS,
    NODE_WIDE,
    PER_CAMERA,
    CameraSettings,
    SettingsCallback,
    split_name,
)
from s2m2_ros.node.parameters import ALIASES, CONSTRAINTS, ParameterError, Settings
from s2m2_ros.node.qos_overrides import PREFIX, why_no_override
from s2m2_ros.node.sharing_parameters import (
    ONE_CAMERA,
    RCLPY_NAMES,
    SHARING_CONSTRAINTS,
    UNNAMED,
    Sharing,
)
from s2m2_ros.text_safety import safe_text

# From this similarity on, an unknown name is taken for a misspelt one.
MISSPELT = 0.8
# So many names are shown to who gives one that is like none.
MOST_SIMILAR = 3


def descriptor(name: str, default: Any) -> ParameterDescriptor:
    """Return how the parameter is described to tools such as rqt and `ros2 param describe`."""
    constraint = CONSTRAINTS.get(name) or SHARING_CONSTRAINTS[name]
    described = ParameterDescriptor(
        name=name, description=constraint.description, read_only=constraint.read_only
    )
    if constraint.choices:
        described.additional_constraints = 'one of: ' + ', '.join(
            choice or "'' (none)" for choice in constraint.choices
        )
    # So that `max_depth:=5` is taken, which YAML reads as an integer; Settings checks the type.
    # And `rectify:=true` and `temporal_filter:=off`, which are bool, and `pixel_range:=10`.
    # And arrays: an empty one has no type of its own.
    described.dynamic_typing = isinstance(default, float | tuple) or name in (
        'rectify',
        'pixel_range',
        'temporal_filter',
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


def camera_descriptor(camera: str, name: str) -> ParameterDescriptor:
    """Return how the parameter of one camera is described; it may have no value."""
    described = descriptor(name, DEFAULTS[name])
    described.name = f'{camera}.{name}'
    described.description = f'{described.description} Of {camera}; not set: as {name}.'
    described.dynamic_typing = True
    return described


class Parameters:
    """Declares the tables on a node and keeps the newest valid snapshots.

    `settings` are the node's, `of(camera).settings` a camera's; each is replaced as a whole, so
    another thread that reads it once per pair never sees half of a change. A change is accepted
    for all cameras or for none. Raises ParameterError if the values from launch or YAML are not
    valid.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._given: Mapping[str, Any] = getattr(node, '_parameter_overrides', {})
        self._declare_table(Sharing)
        self.sharing = Sharing(**self._values(SHARING_CONSTRAINTS))
        for text in unknown_parameters(self._given, self.sharing.cameras):
            node.get_logger().warning(text)
        self._declare_table(Settings)
        values = {**self._values(CONSTRAINTS), **self._aliased()}
        # The settings of the one camera, if it has no name.
        self._own = CameraSettings(UNNAMED, Settings(**values), {})
        self._cameras = {
            name: self._own if name == UNNAMED else self._declare_camera(name)
            for name in self.sharing.cameras
        }
        node.add_on_set_parameters_callback(self._set)

    @property
    def settings(self) -> Settings:
        """The parameters of the node."""
        return self._own.settings

    def of(self, camera: str) -> CameraSettings:
        """Return the parameters of a camera."""
        return self._cameras[camera]

    def on_change(self, callback: SettingsCallback) -> None:
        """Call `callback(before, after)` with both snapshots of the node after each change."""
        self._own.on_change(callback)

    def why_not_settable(self, names: Iterable[str]) -> str | None:
        """Say why one of these names is not that of a parameter; None if all are."""
        reasons = (why_not_settable(name, tuple(self._cameras)) for name in names)
        return next(filter(None, reasons), None)

    def _values(self, names: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._node.get_parameter(name).value for name in names}

    def _declare_table(self, table: type[Any]) -> None:
        for option in fields(table):
            default = option.default
            value, ignore = default, False
            if isinstance(default, tuple):
                given = self._given.get(option.name)
                # An empty array of a file has no type: rclpy takes it for no value.
                value, ignore = list(default), given is not None and given.value is None
            self._declare(
                option.name, value, descriptor(option.name, default), ignore_override=ignore
            )

    def _declare_camera(self, camera: str) -> CameraSettings:
        for name in PER_CAMERA:
            self._declare(f'{camera}.{name}', None, camera_descriptor(camera, name))
        values = {name: self._node.get_parameter(f'{camera}.{name}').value for name in PER_CAMERA}
        given = {name: value for name, value in values.items() if value is not None}
        overrides = {**given, **self._aliased(f'{camera}.')}
        return CameraSettings(camera, self.settings, overrides)

    def _aliased(self, prefix: str = '') -> dict[str, Any]:
        """Return the values given under other packages' names; ours override them."""
        values = {}
        for alias, name in ALIASES.items():
            if prefix + alias not in self._given:
                continue
            described = ParameterDescriptor(
                description=f'Another name of {prefix}{name}.', read_only=True, dynamic_typing=True
            )
            self._declare(prefix + alias, None, described)
            if prefix + name in self._given:
                self._node.get_logger().warning(
                    f'{prefix}{alias} is ignored: {prefix}{name}, which means the same, is given '
                    'too'
                )
            else:
                values[name] = self._node.get_parameter(prefix + alias).value
        return values

    def _declare(
        self,
        name: str,
        default: Any,
        described: ParameterDescriptor,
        *,
        ignore_override: bool = False,
    ) -> None:
        try:
            self._node.declare_parameter(name, default, described, ignore_override)
        except Exception as error:  # rclpy's several classes for a wrong type or range
            raise ParameterError(f"parameter '{name}': {safe_text(error)}") from error

    def _set(self, parameters: Sequence[Any]) -> SetParametersResult:
        values = {p.name: p.value for p in parameters}
        try:
            self._change(values)
        except (ParameterError, TypeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        removed = [name for name, value in values.items() if value is None]
        self._declare_again([n for n in removed if split_name(n, tuple(self._cameras))])
        return SetParametersResult(successful=True)

    def _change(self, values: Mapping[str, Any]) -> None:
        """Adopt all of these values, or raise ParameterError."""
        of_node = {n: v for n, v in values.items() if n in CONSTRAINTS}
        of_sharing = {n: v for n, v in values.items() if n in SHARING_CONSTRAINTS}
        sharing = replaced(self.sharing, of_sharing)
        settings, overrides = self._own.changed(self.settings, of_node, {})
        plans = [(self._own, settings, overrides)]
        for camera in self._cameras.values():
            if camera is not self._own:
                prefix = f'{camera.name}.'
                own = {
                    name: values[prefix + name] for name in PER_CAMERA if prefix + name in values
                }
                plans.append((camera, *camera.changed(settings, of_node, own)))
        self.sharing = sharing
        for camera, changed, kept in plans:
            camera.adopt(changed, kept)

    def _declare_again(self, names: Sequence[str]) -> None:
        """Declare parameters again that are being deleted, so that they can be set once more."""
        if not names:
            return

        def declare() -> None:
            self._node.destroy_timer(timer)
            for name in names:
                if not self._node.has_parameter(name):
                    described = camera_descriptor(*name.split('.', 1))
                    # A value from launch or YAML would come back otherwise.
                    self._node.declare_parameter(name, None, described, True)

        timer = self._node.create_timer(0.0, declare)


def replaced(sharing: Sharing, changes: Mapping[str, Any]) -> Sharing:
    """Return the parameters with these changes; raises ParameterError."""
    kept = {option.name: getattr(sharing, option.name) for option in fields(Sharing)}
    return Sharing(**{**kept, **changes}) if changes else sharing


def unknown_parameters(given: Mapping[str, Any], cameras: Sequence[str] = ONE_CAMERA) -> list[str]:
    """Return a sentence for each given name that no parameter has.

    Raises ParameterError for one that is probably misspelt; others may be meant for another node
    that reads the same file.
    """
    own = [*CONSTRAINTS, *SHARING_CONSTRAINTS, *ALIASES]
    sentences = []
    for name in given:
        if name.startswith(PREFIX) and (reason := why_no_override(name)):
            sentences.append(f"parameter '{safe_text(name)}' is ignored: {reason}")
        if name in own or name.split('.')[0] in RCLPY_NAMES:
            continue
        found = split_name(name, cameras)
        if found is not None:
            _require_camera_parameter(*found)
            continue
        camera, dot, parameter = name.partition('.')
        if dot and parameter in {*PER_CAMERA, *ALIASES}:
            reason = _no_camera(camera, cameras)
            sentences.append(f"parameter '{safe_text(name)}' is ignored: {reason}")
            continue
        if difflib.get_close_matches(name, own, 1, MISSPELT):
            raise ParameterError(_no_parameter(name, own))
        sentences.append(f"parameter '{safe_text(name)}' is unknown to this node and ignored")
    return sentences


def why_not_settable(name: str, cameras: Sequence[str] = ONE_CAMERA) -> str | None:
    """Say why there is no parameter of this name, and which are like it; None if there is."""
    own = [*CONSTRAINTS, *SHARING_CONSTRAINTS]
    found = split_name(name, cameras)
    if found is not None:
        try:
            _require_camera_parameter(*found)
        except ParameterError as error:
            return str(error)
        return None
    camera, dot, parameter = name.partition('.')
    if dot and parameter in PER_CAMERA:
        return _no_camera(camera, cameras)
    return None if name in own else _no_parameter(name, own)


def _require_camera_parameter(camera: str, name: str) -> None:
    """Raise ParameterError for a parameter that a camera does not have."""
    if name in PER_CAMERA or name in ALIASES:
        return
    if name in NODE_WIDE or name in SHARING_CONSTRAINTS:
        raise ParameterError(
            f"'{camera}.{name}': {name} is one for all cameras: set it without '{camera}.'"
        )
    known = [f'{camera}.{one}' for one in (*PER_CAMERA, *ALIASES)]
    raise ParameterError(_no_parameter(f'{camera}.{name}', known))


def _no_parameter(name: str, known: Sequence[str]) -> str:
    """Say that there is no such parameter, and which are similar."""
    text = f"there is no parameter '{safe_text(name)}'"
    if close := difflib.get_close_matches(name, known, 1, MISSPELT):
        return f"{text}: did you mean '{close[0]}'?"
    similar = ', '.join(difflib.get_close_matches(name, known, MOST_SIMILAR, 0.0))
    return f'{text}; the names most like it are {similar}'


def _no_camera(camera: str, cameras: Sequence[str]) -> str:
    known = ', '.join(cameras) if tuple(cameras) != ONE_CAMERA else 'not set'
    return f"there is no camera '{safe_text(camera)}' (cameras: {known})"
