"""Parameters of what the node reports about itself and its cameras."""

from __future__ import annotations

from dataclasses import dataclass

from s2m2_ros.node.parameter_values import parameter


@dataclass(frozen=True)
class WatchingParameters:
    """How the node watches itself."""

    diagnostics_period: float = parameter(
        1.0, 'Seconds between two messages on /diagnostics.', range=(0.1, 60.0), node_wide=True
    )
    calibration_check_period: float = parameter(
        10.0,
        'Seconds between two checks of a pair for misaligned or swapped cameras. 0: never.',
        range=(0.0, 86400.0),
    )
    max_vertical_misalignment: float = parameter(
        1.5,
        'Vertical offset between the views, in pixels, above which diagnostics warn.',
        range=(0.1, 1000.0),
    )
