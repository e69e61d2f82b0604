"""Everything that belongs to one stereo camera: inputs, outputs, transforms, statistics, state."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.messages.builders import CloudMemory
from s2m2_ros.messages.output_topics import MessageSource
from s2m2_ros.node.camera_namespace import CameraNamespace
from s2m2_ros.node.camera_settings import CameraSettings
from s2m2_ros.node.companions import Companions, size_on_arrival
from s2m2_ros.node.faults import DropCause, Fault, FaultLog
from s2m2_ros.node.inputs.color_camera import ColorCamera
from s2m2_ros.node.inputs.side_inputs import SIDE_SETTINGS, SideInputs
from s2m2_ros.node.inputs.sync_diagnosis import InputTopic
from s2m2_ros.node.inputs.synchronizer import PairSynchronizer, StereoMessages
from s2m2_ros.node.job import Job
from s2m2_ros.node.outputs.merged_cloud import MergedCloud
from s2m2_ros.node.outputs.output_watch import OutputWatch
from s2m2_ros.node.outputs.publishers import Publishers
from s2m2_ros.node.outputs.transforms import Transforms
from s2m2_ros.node.pair_limit import PairLimit
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Session
from s2m2_ros.node.worker import Worker
from s2m2_ros.pipeline import PipelineState

# A change of one of these is adopted by the synchronizer while it runs.
_SYNC_SETTINGS = (
    'approximate_sync',
    'cache_camera_info',
    'slop',
    'sync_queue_size',
    'sync_timeout',
)
POINTS = frozenset({'points'})


class Camera:
    """One stereo camera of the node; methods run in the executor's thread unless they say so.

    Attributes:
        name: of the camera; empty for the only one of a node.
        faults: what is wrong with this camera.
        logger: for what is worth knowing though nothing is wrong.
        session: counters and statistics since the last activation.
        state: the pipeline's; used by the worker's thread only.
        memory: where clouds are made; used by the worker's thread only.
        pixel_range: which values are black and white; used by the worker's thread only.
        has_mask: whether mask_file was read, or there is none.

    """

    def __init__(
        self,
        node: Any,
        parameters: CameraSettings,
        faults: FaultLog,
        worker: Worker[Job],
        companions: Companions,
        *,
        merged: MergedCloud | None = None,
    ) -> None:
        """Make the camera of the node that these parameters are of; without a name the only one.

        `merged` takes the clouds of all cameras, if they are wanted in one.
        """
        self.name = parameters.name
        self.faults = faults
        self.session = Session(ended=True)
        self.memory = CloudMemory()
        self.state = PipelineState(self.memory)
        self.pixel_range = PixelRange()
        self._node = CameraNamespace(node, self.name) if self.name else node
        self.logger = self._node.get_logger()
        self._side_inputs = SideInputs(self._node, faults)
        self._parameters = parameters
        self._worker = worker
        self._companions = companions
        self._merged = merged
        self._publishers: Publishers | None = None
        self._output_watch = OutputWatch()
        self._synchronizer: PairSynchronizer | None = None
        self._enabled = True
        self.has_mask = False

    @property
    def settings(self) -> Settings:
        """The parameters of this moment; any thread."""
        return self._parameters.settings

    @property
    def color(self) -> ColorCamera | None:
        """The camera beside the pair; None unless something of it is wanted."""
        return self._side_inputs.color

    @property
    def transforms(self) -> Transforms | None:
        """Where transforms are found; None unless they are needed."""
        return self._side_inputs.transforms

    @property
    def topics(self) -> Collection[InputTopic]:
        """What arrived on the inputs; empty while nothing is subscribed."""
        stereo = self._synchronizer.topics if self._synchronizer else ()
        return (*stereo, *(self.color.subscribed if self.color else ()))

    @property
    def reports_subscribers(self) -> bool:
        """Whether the middleware reports subscribers by itself, or must be polled."""
        return self._publishers is not None and self._publishers.reports_subscribers

    def subscribed(self) -> frozenset[str]:
        """Return the outputs with a subscriber; any thread."""
        return self._publishers.wanted() if self._publishers else frozenset()

    def stats_subscribed(self) -> bool:
        """Return whether `stats` has a subscriber, which alone starts nothing."""
        return self._publishers is not None and self._publishers.stats_subscribed()

    def wanted(self) -> frozenset[str]:
        """Return the outputs to be made, the cloud also for the merged one; any thread."""
        if self._publishers is None:
            return frozenset()
        merged = self._merged is not None and self._merged.is_wanted()
        return self._publishers.wanted() | (POINTS if merged else frozenset())

    def publish(self, topics: Collection[str], source: MessageSource) -> None:
        """Publish the messages of a pair, unless deactivated; the worker's thread."""
        if self._publishers is None:
            return
        if self._merged is None:
            self._publishers.publish(topics, source)
            return
        # A cloud that is made for the merged one need not be sent by itself.
        unwanted = POINTS - self._publishers.wanted()
        self._publishers.publish(frozenset(topics) - unwanted, source)
        if not POINTS.isdisjoint(topics) and self.session.stopped is None:
            self._merged.add(self, source)

    def send(self, topic: str, message: Any) -> None:
        """Publish one message, unless deactivated; the worker's thread."""
        if self._publishers is not None:
            self._publishers.send(topic, message)

    def read_mask(self) -> None:
        """Read mask_file again, if there is one; raises ParameterError."""
        self.has_mask = False
        self._parameters.read_mask()
        self.has_mask = True

    @property
    def is_configured(self) -> bool:
        """Whether the outputs are offered."""
        return self._publishers is not None

    def configure(self, on_subscriber_change: Callable[[], None]) -> None:
        """Offer the outputs, without publishing."""
        self._publishers = Publishers(self._node, on_subscriber_change)

    def join_active_node(self) -> None:
        """Begin as the others did, in a node that is active already."""
        if self._publishers is not None:
            self._publishers.join_active_node(None)
        self.activate()

    def activate(self) -> None:
        """Begin to subscribe and publish, as soon as an output has a subscriber."""
        if self._publishers is None:
            return
        self.session = Session(paused=not self._enabled)
        self._worker.call(self._reset_state)
        if not self._enabled:
            self.logger.info('paused, until ~/enable is called with true')
        self._follow_enabled()

    def deactivate(self) -> None:
        """Unsubscribe; a pair that is being matched is not published any more."""
        self.session.ended = True
        if self._publishers is not None:
            self._publishers.close()
        self._withdraw(DropCause.DEACTIVATED)

    def cleanup(self) -> None:
        """Take the outputs away."""
        self.deactivate()
        if self._publishers is not None:
            self._publishers.destroy()
        self._publishers = None

    def enable(self, enabled: bool) -> None:
        """Pause, or go on; remembered while the node is inactive or unconfigured.

        A paused camera is unsubscribed and publishes nothing, not even the pair that is being
        matched; counters and state go on.
        """
        if enabled == self._enabled:
            return
        self._enabled, self.session.paused = enabled, not enabled
        self.logger.info('enabled' if enabled else 'paused')
        self._follow_enabled()

    def _follow_enabled(self) -> None:
        if self.session.ended or self._publishers is None:
            return
        if not self._enabled:
            self._publishers.close()
            self._withdraw(DropCause.PAUSED)
            return
        self._publishers.open()
        self.follow_subscribers()
        if self._synchronizer is None:
            self.logger.info('waiting for a subscriber of an output')

    def follow_subscribers(self) -> None:
        """Subscribe to the inputs while an output has a subscriber, and only then."""
        if self.session.stopped or self._publishers is None:
            return
        topics = self.wanted()
        self._follow_side_inputs(topics)
        wanted = bool(topics)
        if wanted and self._synchronizer is None:
            self._subscribe()
        elif not wanted and self._synchronizer is not None:
            self._unsubscribe(DropCause.NO_SUBSCRIBERS)

    def check(self) -> None:
        """Report what is wrong with the inputs, and who else publishes the outputs."""
        outputs = self._publishers.endpoints() if self._publishers is not None else {}
        self.faults.follow(Fault.SHARED_OUTPUTS, self._output_watch.explain(outputs))
        if self._synchronizer is not None:
            self._synchronizer.check()
        if self.color is not None:
            self.color.check()

    def settings_changed(self, before: Settings, after: Settings) -> None:
        """Adopt changed parameters."""
        if before.pixel_range != after.pixel_range:
            self._worker.call(self._reset_state)
        if any(getattr(before, name) != getattr(after, name) for name in SIDE_SETTINGS):
            self._follow_side_inputs(self.wanted())
        if self._synchronizer is None:
            return
        if (before.image_transport, before.input_layout) != (
            after.image_transport,
            after.input_layout,
        ):
            self._unsubscribe(DropCause.TRANSPORT_CHANGED)
            self._subscribe()
        elif any(getattr(before, name) != getattr(after, name) for name in _SYNC_SETTINGS):
            self._synchronizer.adopt(after)

    def _reset_state(self) -> None:
        self.state.reset()
        self.pixel_range = PixelRange(self.settings.pixel_range)

    def _subscribe(self) -> None:
        session, limit = self.session, PairLimit()

        def dispatch(messages: StereoMessages) -> None:
            if not limit.admits(self.settings.max_rate, messages.arrived_at):
                session.counters.drop(DropCause.RATE_LIMIT)
                return
            job = Job(self, session, messages, size_on_arrival(messages, self.settings))
            self._companions.note(job)
            if self._worker.offer(job, slot=self) is not None:
                session.counters.drop(DropCause.SUPERSEDED)

        self._synchronizer = PairSynchronizer(
            self._node, self.settings, session.counters, self.faults, dispatch
        )

    def _withdraw(self, cause: DropCause) -> None:
        """Receive nothing any more."""
        self._unsubscribe(cause)
        self._follow_side_inputs(frozenset())
        if self._merged is not None:
            merged = self._merged
            self._worker.call(lambda: merged.forget(self))

    def _unsubscribe(self, cause: DropCause) -> None:
        if self._synchronizer is not None:
            self._synchronizer.close(cause)
            self._synchronizer = None
        waiting = self._worker.withdraw(slot=self)
        if waiting is not None:
            waiting.session.counters.drop(cause)

    def _follow_side_inputs(self, topics: frozenset[str]) -> None:
        self._side_inputs.follow(topics, self.settings, self.session)
