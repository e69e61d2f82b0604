"""The lifecycle node that wires subscriptions, the worker and publishers together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, Node, TransitionCallbackReturn

from s2m2_ros.node.diagnostics import Snapshot, diagnostic_array
from s2m2_ros.node.faults import DropCause, Fault, FaultLog, Level
from s2m2_ros.node.matcher_supervisor import Matchers
from s2m2_ros.node.pair_processor import Job, Processor, reset_peak_device_memory
from s2m2_ros.node.parameters import Parameters, Settings
from s2m2_ros.node.publishers import Publishers
from s2m2_ros.node.statistics import Session
from s2m2_ros.node.synchronizer import PairSynchronizer, StereoMessages
from s2m2_ros.node.transforms import Transforms
from s2m2_ros.node.worker import Worker

# Seconds between looks at a shutdown request while the worker loads a network.
IMPATIENCE = 0.1
# Seconds that the end of the process waits for an inference.
FAREWELL = 0.5
LISTENER_POLL_PERIOD = 0.5
SYNC_CHECK_PERIOD = 0.5
# Seconds between attempts to configure at autostart: doubled each time, up to the longest.
FIRST_START_RETRY = 2.0
LONGEST_START_RETRY = 60.0

_SYNC_SETTINGS = (
    'approximate_sync',
    'cache_camera_info',
    'slop',
    'sync_queue_size',
    'sync_timeout',
)


class StereoNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Wires subscriptions, the worker and publishers to the lifecycle.

    Callbacks run in the executor's thread and return at once, but for the transitions that wait
    for the worker: configure loads the network, cleanup frees it.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declare the parameters; raises ParameterError if one has an impossible value."""
        super().__init__('stereo_node', **node_arguments)
        self._options = Parameters(self)
        self._faults = FaultLog(self._log)
        self._options.on_change(self._guarded(self._settings_changed))
        self._matchers = Matchers(self._faults)
        self._session = Session(ended=True)
        self._synchronizer: PairSynchronizer | None = None
        self._outputs: Publishers | None = None
        self._processor: Processor | None = None
        self._transforms: Transforms | None = None
        self._worker = Worker[Job](self._work, name='stereo_worker')
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady: simulated time may stand still, and watching goes on.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self._every(
            self._options.settings.diagnostics_period, self._tell
        )
        self._check_timer = self._every(SYNC_CHECK_PERIOD, self._check)
        self._poll_timer: Any = None
        self._start_retry = FIRST_START_RETRY
        self._start_timer: Any = None
        if self._options.settings.autostart:
            self._start_timer = self._every(0.0, self._autostart)

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the network; fails with one message that says what is missing."""
        settings = self._options.settings
        try:
            self._await(self._worker.call(lambda: self._matchers.open(settings)))
        except Exception as error:
            self._faults.report(Fault.CONFIGURATION, f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._faults.clear(Fault.CONFIGURATION)
        self._outputs = Publishers(self, self._guarded(self._follow_listeners))
        self._processor = Processor(
            self._options,
            self._matchers,
            self._outputs,
            self._faults,
            lambda: int(self.get_clock().now().nanoseconds),
        )
        if not self._outputs.tells_of_listeners:
            self._poll_timer = self._every(LISTENER_POLL_PERIOD, self._follow_listeners)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to subscribe and publish, as soon as somebody listens."""
        result = super().on_activate(state)
        if self._outputs is not None:
            reset_peak_device_memory()
            self._session = Session()
            self._outputs.open()
            self._follow_frame()
            self._follow_listeners()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; a pair that is being matched is not published any more."""
        self._stop(DropCause.DEACTIVATED)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network's memory."""
        self._stop(DropCause.DEACTIVATED)
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an unexpected error in a transition."""
        return self.on_cleanup(state)

    def close(self) -> bool:
        """Leave the graph; False if an inference runs on, which only the process's end stops."""
        self._session.ended = True
        if self._outputs is not None:
            self._outputs.close()
        finished = self._worker.close(FAREWELL)
        self.destroy_node()
        return finished

    def _autostart(self) -> None:
        """Configure and activate; if it fails, try again, less and less often."""
        self.destroy_timer(self._start_timer)
        if self._label() == 'unconfigured':
            self.trigger_configure()
        if self._label() == 'inactive':
            self.trigger_activate()
        if self._label() == 'unconfigured':
            self._start_timer = self._every(self._start_retry, self._autostart)
            self._start_retry = min(2 * self._start_retry, LONGEST_START_RETRY)

    def _label(self) -> str:
        return str(self._state_machine.current_state[1])

    def _await(self, future: Future[Any]) -> Any:
        while True:
            try:
                return future.result(IMPATIENCE)
            except FutureTimeoutError:
                if future.done():
                    raise
                if not self.context.ok():
                    raise KeyboardInterrupt from None  # asked to stop while loading

    def _stop(self, cause: DropCause) -> None:
        self._session.ended = True
        if self._outputs is not None:
            self._outputs.close()
        self._unsubscribe(cause)
        if self._transforms is not None:
            self._transforms.close()
        self._transforms = None

    def _release(self) -> None:
        if self._poll_timer is not None:
            self.destroy_timer(self._poll_timer)
            self._poll_timer = None
        if self._outputs is not None:
            self._await(self._worker.call(self._matchers.close))
            self._outputs.destroy()
        self._outputs = self._processor = None
        self._faults.reset()

    # From a listener to the worker

    def _follow_listeners(self) -> None:
        """Subscribe while somebody listens, and only then."""
        if self._session.ended or self._outputs is None:
            return
        wanted = bool(self._outputs.wanted())
        if wanted and self._synchronizer is None:
            self._subscribe()
        elif not wanted and self._synchronizer is not None:
            self._unsubscribe(DropCause.NO_SUBSCRIBERS)

    def _subscribe(self) -> None:
        session = self._session

        def hand_over(messages: StereoMessages) -> None:
            if self._worker.offer(Job(session, messages)) is not None:
                session.counters.drop(DropCause.SUPERSEDED)

        self._synchronizer = PairSynchronizer(
            self, self._options.settings, session.counters, self._faults, hand_over
        )

    def _unsubscribe(self, cause: DropCause) -> None:
        if self._synchronizer is not None:
            self._synchronizer.close(cause)
            self._synchronizer = None
        waiting = self._worker.withdraw()
        if waiting is not None:
            waiting.session.counters.drop(cause)

    def _work(self, job: Job) -> None:
        processor = self._processor
        if processor is None:
            job.session.counters.drop(DropCause.DEACTIVATED)
        else:
            processor.process(job)

    # Parameters

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if before.diagnostics_period != after.diagnostics_period:
            self.destroy_timer(self._diagnostics_timer)
            self._diagnostics_timer = self._every(after.diagnostics_period, self._tell)
        if before.points_frame != after.points_frame:
            self._follow_frame()
        if self._synchronizer is None:
            return
        if before.image_transport != after.image_transport:
            self._unsubscribe(DropCause.TRANSPORT_CHANGED)
            self._subscribe()
        elif any(getattr(before, name) != getattr(after, name) for name in _SYNC_SETTINGS):
            self._synchronizer.adopt(after)

    def _follow_frame(self) -> None:
        """Listen to transforms while the cloud goes into another frame."""
        wanted = bool(self._options.settings.points_frame) and not self._session.ended
        if wanted and self._transforms is None:
            self._transforms = Transforms(self)
        elif not wanted and self._transforms is not None:
            self._transforms.close()
            self._transforms = None
        if self._processor is not None:
            self._processor.transforms = self._transforms

    # Telling

    def _check(self) -> None:
        if self._synchronizer is not None:
            self._synchronizer.check()

    def _tell(self) -> None:
        snapshot = Snapshot(
            node_name=self.get_fully_qualified_name(),
            lifecycle_state=self._label(),
            faults=self._faults.current(),
            matcher=self._matchers.state,
            session=self._session,
            topics=self._synchronizer.topics if self._synchronizer else (),
            subscribed=self._outputs.wanted() if self._outputs else frozenset(),
        )
        self._diagnostics_publisher.publish(
            diagnostic_array(snapshot, self.get_clock().now().to_msg())
        )

    def _log(self, level: Level, text: str) -> None:
        logger = self.get_logger()
        # One line each: rclpy ties the severity to the place of the call.
        if level is Level.ERROR:
            logger.error(text)
        elif level is Level.WARN:
            logger.warning(text)
        else:
            logger.info(text)

    def _every(self, seconds: float, callback: Callable[[], None]) -> Any:
        return self.create_timer(seconds, self._guarded(callback), clock=self._steady)

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return the callback, with its errors reported: rclpy would end the node."""

        @functools.wraps(callback)
        def guarded(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self.report(f'{callback.__name__}: {error!r}')

        return guarded

    def report(self, text: str) -> None:
        """Tell an unexpected error, unless it only comes from being shut down."""
        if self.context.ok():
            self._faults.report(Fault.INTERNAL, text)
