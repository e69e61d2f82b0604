"""When and from where the left image of a pair was taken, for the temporal filter."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from s2m2_ros.geometry import RigidTransform
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.outputs.transforms import TransformError, TransformSource
from s2m2_ros.node.parameters import Settings
from s2m2_ros.pipeline import Moment, PairInput

USE = (
    "temporal_filter: no transform from '{source}' to temporal_fixed_frame '{target}', so pairs "
    'are not averaged'
)


class MomentPort(Protocol):
    """What is needed of a camera of the node."""

    faults: FaultLog

    @property
    def transforms(self) -> TransformSource | None:
        """Return where transforms are found; None unless they are needed."""

    @property
    def settings(self) -> Settings:
        """Return the parameters of this moment."""


def with_moment(camera: MomentPort, header: Any, pair: PairInput) -> PairInput:
    """Return the pair with timestamp and pose of the left image, whose header this is."""
    # Timestamp 0 means that the driver sets none.
    moment = Moment(stamp_ns(header) or None, partial(_pose, camera, header))
    return replace(pair, moment=moment)


def _pose(camera: MomentPort, header: Any) -> RigidTransform | None:
    """Return the pose of the left camera, None if it is not known, which is reported."""
    transforms = camera.transforms
    if transforms is None:  # the parameter was set a moment ago
        return None
    try:
        pose = transforms.find(header, camera.settings.temporal_fixed_frame, use=USE)
    except TransformError as error:
        camera.faults.report(Fault.TEMPORAL_FILTER, str(error))
        return None
    camera.faults.clear(Fault.TEMPORAL_FILTER)
    return pose
