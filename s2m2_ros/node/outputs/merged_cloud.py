"""The clouds of all cameras in one frame and one message."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import PointCloud2

from s2m2_ros.geometry import CloudLayout, CloudOptions, HostOutputs, Output, RigidTransform
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.messages.builders import point_cloud_message
from s2m2_ros.messages.message_classes import new_message
from s2m2_ros.messages.output_topics import MessageSource
from s2m2_ros.node.faults import Fault, FaultLog
from s2m2_ros.node.job import Job
from s2m2_ros.node.outputs.cloud_instants import CloudInstants, Tolerances
from s2m2_ros.node.outputs.publishers import Publishers
from s2m2_ros.node.outputs.transforms import TransformError, Transforms
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.sharing_parameters import Sharing
from s2m2_ros.node.statistics import Session
from s2m2_ros.node.worker import Worker

MERGED = 'merged_points'
# Clouds of several instants may be decided at one moment; the last must not replace the others.
DEPTH = 4
# The name of the camera comes first, since pairs of each are waited for by themselves.
USE_OF_MERGED = "{camera} in merged_points: no transform from '{{source}}' to '{{target}}'"
# A camera without a cloud for so many seconds, and for so many of its periods, is reported.
SILENT_AFTER = 2.0
SILENT_PERIODS = 3
# Seconds between two looks for clouds that have waited long enough.
SETTLE_PERIOD = 0.02


class CameraPort(Protocol, Hashable):
    """What is needed of a camera of the node."""

    name: str
    faults: FaultLog
    session: Session


@dataclass(frozen=True, eq=False)
class CloudPart:
    """The known points of one camera, (N, columns) float32 in the merged frame, and the header."""

    records: np.ndarray
    header: Any


class MergedCloud:
    """Publishes `merged_points`; subscriptions and lifecycle follow the executor's thread.

    The clouds of one instant (`cloud_instants.py`) are in one message, each in the frame at the
    timestamp of its image; the message has the timestamp of the newest. Needs tf2_ros.
    """

    def __init__(
        self,
        node: Any,
        settings: Callable[[], Settings],
        sharing: Callable[[], Sharing],
        worker: Worker[Job],
    ) -> None:
        """Merge as the parameters of the node say, the pairs that the worker has in hand."""
        self._node = node
        self._frame = sharing().merged_points
        self._settings = settings
        self._sharing = sharing
        self._worker = worker
        self._instants = CloudInstants[CloudPart](self._tolerances)
        self._heard: dict[CameraPort, float] = {}
        self._publishers: Publishers | None = None
        self._active = False
        self._listener: Transforms | None = None
        self._timer: Any = None

    @property
    def is_configured(self) -> bool:
        """Whether the topic is there."""
        return self._publishers is not None

    def is_wanted(self) -> bool:
        """Return whether the topic has a subscriber; any thread."""
        return self._publishers is not None and bool(self._publishers.wanted())

    def configure(self, on_subscriber_change: Callable[[], None]) -> None:
        """Offer the topic, without publishing."""
        self._publishers = Publishers(
            self._node, on_subscriber_change, {MERGED: PointCloud2}, depth=DEPTH
        )

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
            # Steady: simulated time may stand still.
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = self._node.create_timer(SETTLE_PERIOD, self._settle_late, clock=steady)
        elif not wanted and self._listener is not None:
            self._node.destroy_timer(self._timer)
            self._listener.close()
            self._listener = None
            self._worker.call(self._forget_all)

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
        """Take the cloud of a camera; the worker's thread, which calls `settle` soon after."""
        if not self.is_wanted():
            return
        now = time.monotonic()
        self._heard[camera] = now
        try:
            part = self._part(camera, source)
        except TransformError as error:
            # Its clouds are not waited for, as long as there are none.
            self._instants.forget(camera)
            camera.faults.report(Fault.MERGED_CLOUD, str(error))
            return
        camera.faults.clear(Fault.MERGED_CLOUD)
        if part is not None:
            self._instants.add(camera, stamp_ns(part.header), part, now)

    def settle(self) -> None:
        """Publish what is complete or has waited long enough; the worker's thread.

        Call it between pairs, when none is being matched.
        """
        if self._instants.is_pending:
            waiting = self._worker.waiting()
            underway = {job.camera: stamp_ns(job.messages.left.header) for job in waiting}
            for parts in self._instants.due(time.monotonic(), underway):
                self._publish(parts)

    def forget(self, camera: CameraPort) -> None:
        """Leave out what came of a camera that is not active any more; the worker's thread."""
        self._instants.forget(camera)
        self._heard.pop(camera, None)

    def check(self, cameras: Iterable[CameraPort]) -> None:
        """Report the cameras that the clouds of the others are merged without."""
        if self._listener is None:
            return
        now = time.monotonic()
        running = [camera for camera in cameras if camera.session.stopped is None]
        limits = {
            camera: max(SILENT_AFTER, SILENT_PERIODS * self._instants.period(camera))
            for camera in running
            if now - self._heard.setdefault(camera, now) > SILENT_AFTER
        }
        silent = [c for c, limit in limits.items() if now - self._heard.get(c, now) > limit]
        # If no camera sends there is nothing to merge, which the inputs report.
        for camera in silent if len(silent) < len(running) else ():
            camera.faults.report(
                Fault.MERGED_CLOUD,
                f'{camera.name} in {MERGED}: no cloud for more than {limits[camera]:.3g} s, '
                'so the others are merged without it',
            )

    def _tolerances(self) -> Tolerances:
        sharing = self._sharing()
        return Tolerances(round(sharing.merged_slop * 1e9), sharing.merged_wait)

    def _settle_late(self) -> None:
        """Let the worker look for clouds that have waited long enough."""
        if self._instants.is_pending:
            self._worker.call(self.settle)

    def _forget_all(self) -> None:
        self._instants = CloudInstants[CloudPart](self._tolerances)
        self._heard.clear()

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
