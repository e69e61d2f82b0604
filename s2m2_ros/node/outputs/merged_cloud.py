"""The clouds of all cameras in one frame and one message."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from sensor_msgs.msg import PointCloud2

from s2m2_ros.geometry import CloudLayout, CloudOptions, HostOutputs, Output, RigidTransform
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.messages.builders import point_cloud_message
from s2m2_ros.messages.message_classes import new_message
from s2m2_ros.messages.output_topics import MessageSource
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.outputs.publishers import Publishers
from s2m2_ros.node.outputs.transforms import TransformError, Transforms
from s2m2_ros.node.parameters import Settings

MERGED = 'merged_points'
# The name of the camera comes first, since pairs of each are waited for by themselves.
USE_OF_MERGED = "{camera} in merged_points: no transform from '{{source}}' to '{{target}}'"

Part = TypeVar('Part')


class CameraPort(Protocol, Hashable):
    """What is needed of a camera of the node."""

    name: str
    faults: FaultLog


class Rounds(Generic[Part]):
    """Collects one part of each camera, again and again; every part is in one round.

    A round ends when all cameras of the last one have given their part, or when one of them gives
    another: so none waits longer than for its next part, whatever became of the others.
    """

    def __init__(self) -> None:
        self._parts: dict[Hashable, Part] = {}
        self._expected: set[Hashable] = set()

    def add(self, camera: Hashable, part: Part) -> list[list[Part]]:
        """Return the rounds that this part ends, of which it may be in the last."""
        ended = []
        if camera in self._parts:
            ended.append(self._end())
        self._parts[camera] = part
        if self._expected and self._parts.keys() >= self._expected:
            ended.append(self._end())
        return ended

    def forget(self, camera: Hashable) -> None:
        """Wait for this camera no more, and leave its part out."""
        self._parts.pop(camera, None)
        self._expected.discard(camera)

    def _end(self) -> list[Part]:
        parts, self._expected = list(self._parts.values()), set(self._parts)
        self._parts = {}
        return parts


@dataclass(frozen=True, eq=False)
class CloudPart:
    """The known points of one camera, (N, columns) float32 in the merged frame, and the header."""

    records: np.ndarray
    header: Any


class MergedCloud:
    """Publishes `merged_points`; subscriptions and lifecycle follow the executor's thread.

    Each cloud of a camera is in one message, in the frame at the timestamp of its image; the
    message has the timestamp of the newest. Needs tf2_ros.
    """

    def __init__(self, node: Any, frame: str, settings: Callable[[], Settings]) -> None:
        """Merge into this frame; fields and layout are those of the node's settings."""
        self._node = node
        self._frame = frame
        self._settings = settings
        self._rounds = Rounds[CloudPart]()
        self._publishers: Publishers | None = None
        self._active = False
        self._listener: Transforms | None = None

    @property
    def is_configured(self) -> bool:
        """Whether the topic is there."""
        return self._publishers is not None

    def is_wanted(self) -> bool:
        """Return whether the topic has a subscriber; any thread."""
        return self._publishers is not None and bool(self._publishers.wanted())

    def configure(self, on_subscriber_change: Callable[[], None]) -> None:
        """Offer the topic, without publishing."""
        self._publishers = Publishers(self._node, on_subscriber_change, {MERGED: PointCloud2})

    def activate(self) -> None:
        """Publish from now on."""
        if self._publishers is not None:
            self._publishers.open()
            self._active = True
            self.follow_subscribers()

    def follow_subscribers(self) -> None:
        """Subscribe to transforms while the topic has a subscriber."""
        wanted = self._active and self.is_wanted()
        if wanted and self._listener is None:
            self._listener = Transforms(self._node)
        elif not wanted and self._listener is not None:
            self._listener.close()
            self._listener = None

    def deactivate(self) -> None:
        """Publish no more."""
        self._active = False
        if self._publishers is not None:
            self._publishers.close()
        self.follow_subscribers()

    def cleanup(self) -> None:
        """Take the topic away."""
        self.deactivate()
        if self._publishers is not None:
            self._publishers.destroy()
        self._publishers = None

    def add(self, camera: CameraPort, source: MessageSource) -> None:
        """Take the cloud of a camera, and publish what it completes; the worker's thread."""
        if not self.is_wanted():
            return
        try:
            part = self._part(camera, source)
        except TransformError as error:
            camera.faults.report(Fault.MERGED_CLOUD, str(error))
            return
        camera.faults.clear(Fault.MERGED_CLOUD)
        if part is not None:
            for parts in self._rounds.add(camera, part):
                self._publish(parts)

    def forget(self, camera: CameraPort) -> None:
        """Leave out what came of a camera that is not active any more; the worker's thread."""
        self._rounds.forget(camera)

    def _part(self, camera: CameraPort, source: MessageSource) -> CloudPart | None:
        host, listener = source.outputs.host, self._listener
        if listener is None or host.cloud_layout is None:
            return None
        header = new_message(
            'std_msgs/msg/Header',
            source.header,
            stamp=source.header.stamp,
            frame_id=host.cloud_frame_id or source.header.frame_id,
        )
        transform = None
        if header.frame_id != self._frame:
            use = USE_OF_MERGED.format(camera=camera.name)
            transform = listener.find(header, self._frame, use=use)
        layout = self._layout()
        records = merged_records(host.arrays[Output.POINTS], host.cloud_layout, layout, transform)
        return CloudPart(records, header)

    def _layout(self) -> CloudLayout:
        settings = self._settings()
        cloud = CloudOptions(
            padded=settings.points_layout == 'padded',
            color=settings.points_color,  # type: ignore[arg-type]  # checked against the choices
            confidence=settings.points_confidence,
            uncertainty=settings.points_uncertainty,
        )
        return CloudLayout.of(cloud)

    def _publish(self, parts: list[CloudPart]) -> None:
        layout = self._layout()
        # Parts of before a change of the layout cannot be in one message with the others.
        width = layout.point_step // 4
        fitting = [part for part in parts if part.records.shape[1] == width]
        if not fitting or self._publishers is None:
            return
        records = np.concatenate([part.records for part in fitting])
        newest = max((part.header for part in fitting), key=stamp_ns)
        outputs = HostOutputs(None, {Output.POINTS: records}, 0.0, layout, self._frame)
        self._publishers.send(MERGED, point_cloud_message(outputs, newest))


def merged_records(
    records: np.ndarray,
    layout: CloudLayout,
    wanted: CloudLayout,
    transform: RigidTransform | None,
) -> np.ndarray:
    """Return the known points of a cloud, transformed, as (N, columns) float32 in a new layout.

    Fields that the cloud lacks are NaN; a color is black.
    """
    flat = records.reshape(-1, layout.point_step // 4)
    known = flat[np.isfinite(flat[:, :3]).all(axis=1)]
    made = np.zeros((len(known), wanted.point_step // 4), np.float32)
    xyz = known[:, :3]
    if transform is not None:
        turn = np.asarray(transform.rotation, np.float32)
        xyz = xyz @ turn.T + np.asarray(transform.translation, np.float32)
    made[:, :3] = xyz
    there = layout.columns
    for name, column in wanted.columns.items():
        if name in there:
            made[:, column] = known[:, there[name]]
        elif name != 'rgb':
            made[:, column] = np.nan
    return made
