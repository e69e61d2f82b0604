"""What a camera receives besides its pairs: a color camera, and transforms."""

from __future__ import annotations

import importlib.util
from typing import Any

from s2m2_ros.node.color_view import wants_camera, wants_image
from s2m2_ros.node.faults import FaultLog
from s2m2_ros.node.inputs.color_camera import ColorCamera
from s2m2_ros.node.outputs.transforms import Transforms
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Session

# A change of one of these may call for the color camera, or for transforms.
SIDE_SETTINGS = (
    'image_transport',
    'points_color',
    'points_color_source',
    'points_frame',
    'temporal_filter',
)


class SideInputs:
    """Subscribes to a color camera and to transforms while they are needed.

    Attributes:
        color: the camera beside the pair; None unless something of it is wanted.
        transforms: None unless the cloud goes into another frame, the color camera is used, or
            the temporal filter follows the motion.

    """

    def __init__(self, node: Any, faults: FaultLog) -> None:
        self.color: ColorCamera | None = None
        self.transforms: Transforms | None = None
        self._node = node
        self._faults = faults

    def follow(self, topics: frozenset[str], settings: Settings, session: Session) -> None:
        """Subscribe to what these outputs need, and to nothing else."""
        self._follow_color(topics, settings, session)
        self._follow_transforms(settings, session)

    def _follow_color(self, topics: frozenset[str], settings: Settings, session: Session) -> None:
        wanted = not session.stopped and wants_camera(topics, settings)
        if wanted:
            if self.color is None:
                self.color = ColorCamera(self._node, self._faults)
            images = wants_image(topics, settings)
            self.color.follow(settings.image_transport, images=images)
        elif self.color is not None:
            color, self.color = self.color, None
            color.close()

    def _follow_transforms(self, settings: Settings, session: Session) -> None:
        needed = bool(settings.points_frame) or settings.temporal_filter == 'tf'
        needed = needed or self.color is not None
        wanted = needed and not session.ended
        if wanted and self.transforms is None:
            # Without tf2 the color camera may still share the frame of the left one.
            if importlib.util.find_spec('tf2_ros') is not None:
                self.transforms = Transforms(self._node)
        elif not wanted and self.transforms is not None:
            self.transforms.close()
            self.transforms = None
