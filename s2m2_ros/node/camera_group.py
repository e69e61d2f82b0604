"""The cameras of one node: what concerns all of them, so that none harms another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.node.camera import Camera
from s2m2_ros.node.companions import Companions
from s2m2_ros.node.faults import Fault, FaultLog, log_to
from s2m2_ros.node.guarding import guarded
from s2m2_ros.node.job import Job
from s2m2_ros.node.outputs.merged_cloud import MergedCloud
from s2m2_ros.node.parameter_declaration import Parameters
from s2m2_ros.node.worker import Worker

# Seconds between attempts to configure a camera whose mask cannot be read.
RETRY_PERIOD = 5.0


class CameraGroup:
    """One camera without a name, or several that each have one; the executor's thread.

    Attributes:
        cameras: all of them, in the order of the parameter.
        merged: their clouds in one; None unless that is asked for.

    """

    def __init__(
        self,
        node: Any,
        table: Parameters,
        faults: FaultLog,
        worker: Worker[Job],
        companions: Companions,
    ) -> None:
        """Make the cameras; `faults` are the node's, and those of a camera without a name."""
        self._node = node
        self._faults = faults
        self._active = False
        self._retry_at = float('inf')
        self._on_subscriber_change: Callable[[], None] = self.follow_subscribers
        self.merged: MergedCloud | None = None
        if table.sharing.merged_points:
            self.merged = MergedCloud(node, lambda: table.settings, lambda: table.sharing, worker)
        self.cameras = [
            self._make(table, name, worker, companions) for name in table.sharing.cameras
        ]

    def _make(
        self, table: Parameters, name: str, worker: Worker[Job], companions: Companions
    ) -> Camera:
        faults = self._faults
        if name:
            faults = FaultLog(log_to(self._node.get_logger().get_child(name), self._node.context))
        camera = Camera(self._node, table.of(name), faults, worker, companions, merged=self.merged)
        table.of(name).on_change(self._guarded(camera, camera.settings_changed))
        return camera

    @property
    def is_plain(self) -> bool:
        """Whether there is one camera, without a name."""
        return not self.cameras[0].name

    @property
    def reports_subscribers(self) -> bool:
        """Whether the middleware reports subscribers by itself, or must be polled."""
        return any(camera.reports_subscribers for camera in self.cameras)

    def read_masks(self) -> None:
        """Read the masks of all cameras; raises an error of the only one, or if all fail.

        A camera whose mask cannot be read is tried again later, while the others work.
        """
        failed = [camera for camera in self.cameras if not self._read_mask(camera)]
        self._retry_at = time.monotonic() + RETRY_PERIOD if failed else float('inf')
        if len(failed) == len(self.cameras):
            failed[0].read_mask()

    def _read_mask(self, camera: Camera) -> bool:
        try:
            camera.read_mask()
        except S2M2Error as error:
            if not self.is_plain:
                camera.faults.report(Fault.CONFIGURATION, f'cannot configure: {error}')
            return False
        if not self.is_plain:
            camera.faults.clear(Fault.CONFIGURATION)
        return True

    def configure(self, on_subscriber_change: Callable[[], None]) -> None:
        """Offer the outputs of all cameras whose masks were read."""
        self._on_subscriber_change = on_subscriber_change
        if self.merged is not None:
            self.merged.configure(on_subscriber_change)
        for camera in self.cameras:
            if camera.has_mask:
                camera.configure(self._guarded(camera, camera.follow_subscribers))

    def activate(self) -> None:
        """Let all cameras begin to subscribe and publish."""
        self._active = True
        if self.merged is not None:
            self.merged.activate()
        self._each(Camera.activate)

    def deactivate(self) -> None:
        """Unsubscribe from everything."""
        self._active = False
        self._each(Camera.deactivate)
        if self.merged is not None:
            self.merged.deactivate()

    def cleanup(self) -> None:
        """Take all outputs away."""
        self.deactivate()
        self._retry_at = float('inf')
        for camera in self.cameras:
            camera.cleanup()
            camera.faults.reset()
        if self.merged is not None:
            self.merged.cleanup()

    def follow_subscribers(self) -> None:
        """Subscribe to inputs while an output that needs them has a subscriber."""
        if self.merged is not None:
            self.merged.follow_subscribers()
        self._each(Camera.follow_subscribers)

    def check(self) -> None:
        """Report what is wrong with the inputs; try cameras again that could not be configured."""
        self._each(Camera.check)
        if self.merged is not None:
            self.merged.check(camera for camera in self.cameras if camera.is_configured)
        if time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_PERIOD
            self._each(self._configure_again)

    def _configure_again(self, camera: Camera) -> None:
        if camera.is_configured or not self._read_mask(camera):
            return
        camera.configure(self._guarded(camera, camera.follow_subscribers))
        if self._active:
            camera.join_active_node()

    def settle(self) -> None:
        """Publish what several cameras make together; the worker's thread, between pairs."""
        if self.merged is not None:
            guarded(self.merged.settle, self._report)()

    def enable(self, enabled: bool) -> None:
        """Pause all cameras, or let them go on."""

        def enable(camera: Camera) -> None:
            camera.enable(enabled)

        self._each(enable)

    def _each(self, act: Callable[[Camera], None]) -> None:
        """Act on each camera, whatever comes of the others."""
        for camera in self.cameras:
            self._guarded(camera, act)(camera)

    def _report(self, text: str) -> None:
        self._faults.report(Fault.INTERNAL, text)

    def _guarded(self, camera: Camera, callback: Callable[..., None]) -> Callable[..., None]:
        def report(text: str) -> None:
            camera.faults.report(Fault.INTERNAL, text)

        return guarded(callback, report)
