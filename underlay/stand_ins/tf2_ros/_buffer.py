"""The tree of frames, and the way from one to another."""

from __future__ import annotations

import threading
import time as clock
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from tf_transformations import inverse_matrix, quaternion_from_matrix

from ._errors import (
    ConnectivityException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from ._frames import Frame

CACHE_SECONDS = 10.0


class Buffer:
    """Transforms of the last `cache_time`; may be asked and filled by several threads."""

    def __init__(self, cache_time: Duration | None = None, node: Any = None) -> None:
        del node  # the real one offers a service on it
        self._cache = (cache_time or Duration(seconds=CACHE_SECONDS)).nanoseconds
        self._frames: dict[str, Frame] = {}
        self._changed = threading.Condition()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at its timestamp."""
        self._set(transform, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds forever."""
        self._set(transform, static=True)

    def clear(self) -> None:
        """Forget all transforms but those that hold forever."""
        with self._changed:
            self._frames = {name: frame for name, frame in self._frames.items() if frame.static}

    def _set(self, transform: TransformStamped, *, static: bool) -> None:
        parent, child = transform.header.frame_id, transform.child_frame_id
        with self._changed:
            frame = self._frames.get(child)
            if frame is None or frame.static != static or frame.parent != parent:
                frame = self._frames[child] = Frame(parent, static=static)
            frame.add(transform, Time.from_msg(transform.header.stamp).nanoseconds, self._cache)
            self._changed.notify_all()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None
    ) -> TransformStamped:
        """Return the pose of the source frame in the target frame; time 0 is the latest.

        Waits up to `timeout` for it. Raises LookupException, ConnectivityException,
        ExtrapolationException or InvalidArgumentException.
        """
        limit = clock.monotonic() + (timeout.nanoseconds if timeout else 0) / 1e9
        with self._changed:
            while True:
                try:
                    return self._look_up(target_frame, source_frame, time.nanoseconds)
                except InvalidArgumentException:
                    raise
                except TransformException:
                    if not self._changed.wait(max(limit - clock.monotonic(), 0.0)):
                        raise

    def _look_up(self, target: str, source: str, stamp: int) -> TransformStamped:
        self._check(target, 'target_frame')
        self._check(source, 'source_frame')
        up, down = self._path(source), self._path(target)
        if up[-1] != down[-1]:
            raise ConnectivityException(
                f"Could not find a connection between '{target}' and '{source}' because they are "
                'not part of the same tree.Tf has two or more unconnected trees.'
            )
        while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
            del up[-1], down[-1]
        newest = [self._frames[name].newest for name in up[:-1] + down[:-1]]
        stamp = stamp or min((n for n in newest if n is not None), default=0)
        try:
            matrix = inverse_matrix(self._pose(down, stamp)) @ self._pose(up, stamp)
        except TransformException as error:
            text = f'{error}, when looking up transform from frame [{source}] to frame [{target}]'
            raise type(error)(text) from None
        return _message(target, source, stamp, np.asarray(matrix))

    def _check(self, name: str, argument: str) -> None:
        where = f'Invalid argument passed to lookupTransform argument {argument} in tf2'
        if not name:
            raise InvalidArgumentException(f'{where} frame_ids cannot be empty')
        if name.startswith('/'):
            raise InvalidArgumentException(
                f"{where} frame_ids cannot start with a '/' like: {name}"
            )
        if name not in self._frames and name not in {f.parent for f in self._frames.values()}:
            raise LookupException(
                f'"{name}" passed to lookupTransform argument {argument} does not exist. '
            )

    def _path(self, name: str) -> list[str]:
        """Return the frame and all above it, the root last; a loop ends where it closes."""
        path = [name]
        while (frame := self._frames.get(path[-1])) and frame.parent not in path:
            path.append(frame.parent)
        return path

    def _pose(self, path: list[str], stamp: int) -> np.ndarray:
        """Return the pose of the first frame of a path in the last one."""
        matrix = np.eye(4)
        for name in path[:-1]:
            matrix = self._frames[name].matrix(stamp) @ matrix
        return matrix


def _message(target: str, source: str, stamp: int, matrix: np.ndarray) -> TransformStamped:
    result = TransformStamped()
    result.header.frame_id, result.child_frame_id = target, source
    result.header.stamp = Time(nanoseconds=stamp).to_msg()
    t, q = result.transform.translation, result.transform.rotation
    t.x, t.y, t.z = (float(value) for value in matrix[:3, 3])
    q.x, q.y, q.z, q.w = (float(value) for value in quaternion_from_matrix(matrix))
    return result
