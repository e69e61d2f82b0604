"""Where the left camera stands in another frame, through tf2."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import TransformStamped

from s2m2_ros.errors import S2M2Error
from s2m2_ros.geometry import RigidTransform
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.node.wait_budget import WaitBudget
from s2m2_ros.text_safety import safe_text

# How long a transform may come after its image, in seconds; if none ever comes, pairs do not wait.
TRANSFORM_TIMEOUT = 0.1
# Timestamps of one frame that go back by more are of another run. What several publishers of a
# frame, or one that corrects its past, mix up is less.
LONGEST_DISORDER = 1_000_000_000  # nanoseconds
USE_OF_POINTS = "points: no transform from '{source}' to points_frame '{target}'"


class TransformError(S2M2Error):
    """A transform that is not known; names both frames."""


class TransformSource(Protocol):
    """Something that knows transforms."""

    def find(self, header: Any, frame: str, *, use: str = USE_OF_POINTS) -> RigidTransform:
        """Return the transform from the header's frame into `frame`; raises TransformError.

        `use` is what it is for: the output, and what calls for the frame.
        """


class Transforms:
    """Subscribes to tf until it is closed; needs tf2_ros."""

    def __init__(self, node: Any) -> None:
        from tf2_ros import Buffer, TransformListener

        self._buffer = Buffer()
        self._listener = TransformListener(TransformIntake(self._buffer), node)
        self._waits: defaultdict[str, WaitBudget] = defaultdict(WaitBudget)  # by use

    def find(self, header: Any, frame: str, *, use: str = USE_OF_POINTS) -> RigidTransform:
        """Return the transform from the header's frame, at its timestamp, into `frame`."""
        from rclpy.duration import Duration
        from rclpy.time import Time

        waits = self._waits[use]
        timeout = waits.limit(TRANSFORM_TIMEOUT)
        try:
            found = self._buffer.lookup_transform(
                frame,
                header.frame_id,
                Time.from_msg(header.stamp),
                timeout=Duration(seconds=timeout),
            )
            waits.report(found=True)
            return rigid_transform_from_message(found)
        except Exception as error:  # tf2's several classes, and poses that are none
            if timeout:
                waits.report(found=False)
            raise TransformError(
                f'{use.format(source=safe_text(header.frame_id), target=safe_text(frame))}: '
                f'{safe_text(error)}'
            ) from error

    def close(self) -> None:
        """Unsubscribe from tf."""
        self._listener.unregister()


class TransformIntake:
    """Takes in what a TransformListener hears; empties the buffer when time jumps back.

    Recordings that loop and simulations that are reset send old timestamps again. tf2 by itself
    ignores them for as long as it remembers newer ones, or interpolates between both runs.
    """

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self._newest: dict[str, int] = {}  # by child frame

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at its timestamp."""
        child, stamp = transform.child_frame_id, stamp_ns(transform.header)
        if stamp < self._newest.get(child, stamp) - LONGEST_DISORDER:
            self._buffer.clear()  # all but those that hold forever
            self._newest.clear()
        self._newest[child] = max(stamp, self._newest.get(child, stamp))
        self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds forever."""
        self._buffer.set_transform_static(transform, authority)


def rigid_transform(
    translation: Sequence[float], quaternion: Sequence[float], *, frame_id: str
) -> RigidTransform:
    """Return the transform into ``frame_id`` of a pose: meters, and a quaternion (x, y, z, w).

    The pose is that of the left optical frame, seen from ``frame_id``. Raises ValueError for a
    quaternion of zero length or numbers that are not finite.
    """
    from tf_transformations import quaternion_matrix

    numbers = (*translation, *quaternion)
    if not all(math.isfinite(number) for number in numbers) or not any(quaternion):
        raise ValueError(f'no pose: translation {translation}, quaternion {quaternion}')
    matrix = np.array(quaternion_matrix(quaternion))
    matrix[:3, 3] = translation
    return RigidTransform.from_matrix(matrix, frame_id)


def rigid_transform_from_message(transform: TransformStamped) -> RigidTransform:
    """Return what ``Buffer.lookup_transform(points_frame, left_optical_frame, stamp)`` found."""
    t, q = transform.transform.translation, transform.transform.rotation
    return rigid_transform(
        (t.x, t.y, t.z), (q.x, q.y, q.z, q.w), frame_id=transform.header.frame_id
    )
