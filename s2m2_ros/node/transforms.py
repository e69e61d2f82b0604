"""Where the left camera stands in another frame, through tf2."""

from __future__ import annotations

from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import RigidTransform
from s2m2_ros.io.ros_calibration import rigid_transform_from_message

# How long a transform may come after its image, in seconds.
PATIENCE = 0.1


class TransformError(S2M2Error):
    """A transform that is not known; names both frames."""


class Transforms:
    """Listens to tf until it is closed; needs tf2_ros."""

    def __init__(self, node: Any) -> None:
        from tf2_ros import Buffer, TransformListener

        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def find(self, header: Any, frame: str) -> RigidTransform:
        """Return the transform from the header's frame, at its stamp, into `frame`."""
        from rclpy.duration import Duration
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(
                frame,
                header.frame_id,
                Time.from_msg(header.stamp),
                timeout=Duration(seconds=PATIENCE),
            )
            return rigid_transform_from_message(found)
        except Exception as error:  # tf2's several classes, and poses that are none
            raise TransformError(
                f"points: no transform from '{header.frame_id}' to points_frame '{frame}': {error}"
            ) from error

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()
