"""The lifecycle node: transitions, timers and diagnostics around one camera and one matcher."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, Node, TransitionCallbackReturn
from std_srvs.srv import SetBool

from s2m2_ros.node.camera import Camera
from s2m2_ros.node.diagnostics import Snapshot, diagnostic_array
from s2m2_ros.node.faults import Fault, FaultLog, Level
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.pair_processor import Job, PairProcessor
from s2m2_ros.node.parameter_declaration import Parameters
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.process_memory import reset_peak_device_memory
from s2m2_ros.node.service_guard import ServiceGuard
from s2m2_ros.node.worker import Worker
from s2m2_ros.text_safety import safe_text

# Seconds between checks for a shutdown request while the worker loads a network.
SHUTDOWN_CHECK_PERIOD = 0.1
# Seconds that the end of the process waits for an inference.
INFERENCE_TIMEOUT_AT_EXIT = 0.5
SUBSCRIBER_POLL_PERIOD = 0.5
SYNC_CHECK_PERIOD = 0.5
SERVICE_PERIOD = 0.2
# Seconds between attempts to configure at autostart: doubled each time, up to the longest.
FIRST_START_RETRY = 2.0
LONGEST_START_RETRY = 60.0


class StereoNode(Node):  # type: ignore[misc]  # rclpy has no types
    """The stereo node's lifecycle.

    Callbacks run in the executor's thread and return at once, but for the transitions that wait
    for the worker: configure loads the network, cleanup frees it.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declare the parameters; raises ParameterError if one has an impossible value."""
        super().__init__('stereo_node', **node_arguments)
        self._table = Parameters(self)
        self._table.on_change(self._guarded(self._settings_changed))
        self._faults = FaultLog(self._log)
        self._supervisor = MatcherSupervisor(self._faults)
        processor = PairProcessor(
            self._supervisor, lambda: int(self.get_clock().now().nanoseconds)
        )
        self._worker = Worker[Job](processor.process, name='stereo_worker')
        self._camera = Camera(self, self._table, self._faults, self._worker)
        self._configured = False
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady: simulated time may stand still, and watching goes on.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self._every(
            self._table.settings.diagnostics_period, self._publish_diagnostics
        )
        self._check_timer = self._every(SYNC_CHECK_PERIOD, self._camera.check)
        self.create_service(SetBool, '~/enable', self._enable)
        # After the last service, since it guards those that there are.
        self._service_timer = self._every(SERVICE_PERIOD, ServiceGuard(self).send_waiting)
        self._poll_timer: Any = None
        self._start_retry = FIRST_START_RETRY
        self._start_timer: Any = None
        if self._table.settings.autostart:
            self._start_timer = self._every(0.0, self._autostart)

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the network; fails with one message that says what is missing."""
        try:
            self._table.read_mask()
            settings = self._table.settings
            self._await(self._worker.call(lambda: self._supervisor.open(settings)))
        except Exception as error:
            self._faults.report(Fault.CONFIGURATION, f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._faults.clear(Fault.CONFIGURATION)
        self._configured = True
        self.get_logger().info(f'configured: {self._supervisor.description()}')
        self._camera.configure(self._guarded(self._camera.follow_subscribers))
        if not self._camera.reports_subscribers:
            self._poll_timer = self._every(SUBSCRIBER_POLL_PERIOD, self._camera.follow_subscribers)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to subscribe and publish, as soon as an output has a subscriber."""
        result = super().on_activate(state)
        reset_peak_device_memory()
        self.get_logger().info('active')
        self._camera.activate()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; a pair that is being matched is not published any more."""
        self._camera.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network's memory."""
        self._camera.deactivate()
        if self._poll_timer is not None:
            self.destroy_timer(self._poll_timer)
            self._poll_timer = None
        if self._configured:
            self._await(self._worker.call(self._supervisor.close))
            self._configured = False
        self._camera.cleanup()
        self._faults.reset()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an unexpected error in a transition."""
        return self.on_cleanup(state)

    def close(self) -> bool:
        """Leave the graph; False if an inference runs on, which only the process's end stops."""
        self._camera.deactivate()
        finished = self._worker.close(INFERENCE_TIMEOUT_AT_EXIT)
        self.destroy_node()
        # rclpy leaves it, and with it the node's shared memory: 67 MB in /dev/shm for each run.
        self._state_machine.destroy_when_not_in_use()
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
                return future.result(SHUTDOWN_CHECK_PERIOD)
            except FutureTimeoutError:
                if future.done():
                    raise
                if not self.context.ok():
                    raise KeyboardInterrupt from None  # asked to stop while loading

    # Parameters and diagnostics

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if before.diagnostics_period != after.diagnostics_period:
            self.destroy_timer(self._diagnostics_timer)
            self._diagnostics_timer = self._every(
                after.diagnostics_period, self._publish_diagnostics
            )
        self._camera.settings_changed(before, after)

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Pause the camera, which keeps the network loaded, or let it go on."""
        self._camera.enable(request.data)
        state = 'enabled' if request.data else 'paused'
        label = self._label()
        response.success = True
        response.message = state if label == 'active' else f'{state} once active (now {label})'
        return response

    def _publish_diagnostics(self) -> None:
        snapshot = Snapshot(
            node_name=self.get_fully_qualified_name(),
            lifecycle_state=self._label(),
            faults=self._faults.current(),
            matcher=self._supervisor.state,
            session=self._camera.session,
            topics=tuple(self._camera.topics),
            subscribed=self._camera.wanted(),
            max_rate=self._table.settings.max_rate,
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
                self.report(f'{callback.__name__}: {safe_text(repr(error))}')

        return guarded

    def report(self, text: str) -> None:
        """Report an unexpected error, unless it only comes from being shut down."""
        if self.context.ok():
            self._faults.report(Fault.INTERNAL, text)
