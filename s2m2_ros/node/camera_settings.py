"""What is set for each camera of a node, and what follows the node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from s2m2_ros.node.parameters import CONSTRAINTS, ParameterError, Settings

# Parameters that each camera may set for itself.
PER_CAMERA = tuple(name for name, constraint in CONSTRAINTS.items() if not constraint.node_wide)
NODE_WIDE = tuple(name for name, constraint in CONSTRAINTS.items() if constraint.node_wide)
DEFAULTS: Mapping[str, Any] = {option.name: option.default for option in fields(Settings)}

SettingsCallback = Callable[[Settings, Settings], None]


class CameraSettings:
    """The parameters of one camera: the node's, and what the camera overrides.

    `settings` is replaced as a whole, so another thread that reads it once per pair never sees
    half of a change. Raises ParameterError for values that do not go together.
    """

    def __init__(self, name: str, node: Settings, overrides: Mapping[str, Any]) -> None:
        self.name = name
        self._overrides = dict(overrides)
        self._callbacks: list[SettingsCallback] = []
        self.settings = self._checked(lambda: node.with_changes(self._overrides))

    def on_change(self, callback: SettingsCallback) -> None:
        """Call `callback(before, after)` with both snapshots after each accepted change."""
        self._callbacks.append(callback)

    def read_mask(self) -> None:
        """Read mask_file again, if there is one; raises ParameterError."""
        self.settings = self._checked(self.settings.with_mask_read)

    def changed(
        self, node: Settings, of_node: Mapping[str, Any], own: Mapping[str, Any]
    ) -> tuple[Settings, dict[str, Any]]:
        """Return settings and overrides after changes, without adopting them.

        `node` are the node's settings after its changes `of_node`. An `own` value of None is
        removed: the node's counts again. Raises ParameterError.
        """
        overrides = {n: v for n, v in {**self._overrides, **own}.items() if v is not None}
        changes = {n: v for n, v in of_node.items() if n not in overrides}
        changes |= {n: getattr(node, n) if v is None else v for n, v in own.items()}
        return self._checked(lambda: self.settings.with_changes(changes)), overrides

    def adopt(self, settings: Settings, overrides: Mapping[str, Any]) -> None:
        """Adopt what `changed` returned, and report it."""
        before, self.settings = self.settings, settings
        self._overrides = dict(overrides)
        if before != settings:
            self.report(before)

    def report(self, before: Settings) -> None:
        """Call the callbacks."""
        for callback in self._callbacks:
            callback(before, self.settings)

    def _checked(self, make: Callable[[], Settings]) -> Settings:
        try:
            return make()
        except (ParameterError, TypeError) as error:
            prefix = f'camera {self.name}: ' if self.name else ''
            raise ParameterError(f'{prefix}{error}') from error


def split_name(name: str, cameras: Sequence[str]) -> tuple[str, str] | None:
    """Return the camera and the parameter that a full name is made of; None if of no camera."""
    camera, dot, parameter = name.partition('.')
    return (camera, parameter) if dot and camera in cameras else None
