"""The lifecycle node: transitions, timers and diagnostics around cameras and one matcher."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, Node, TransitionCallbackReturn
from std_srvs.srv import SetBool

from s2m2_ros.node.batching import BatchMatcher
from s2m2_ros.node.camera import Camera
from s2m2_ros.node.camera_group import CameraGroup
from s2m2_ros.node.companions import Companions
from s2m2_ros.node.device_memory import reset_peak_device_memory
from s2m2_ros.node.diagnostics import Snapshot, diagnostic_array
from s2m2_ros.node.faults import Fault, FaultLog, log_to
from s2m2_ros.node.guarding import guarded
from s2m2_ros.node.matcher_supervisor import MatcherSupervisor
from s2m2_ros.node.outputs.merged_cloud import MERGED
from s2m2_ros.node.pair_processor import Job, PairProcessor
from s2m2_ros.node.parameter_declaration import Parameters
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.service_guard import ServiceGuard
from s2m2_ros.node.worker import Worker
from s2m2_ros.ros_arguments import creating_node
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


_Transition = Callable[['StereoNode', LifecycleState], TransitionCallbackReturn]


def _reporting(transition: _Transition) -> _Transition:
    """Return the transition; what it raises is reported, which rclpy drops without a word."""

    @functools.wraps(transition)
    def call(node: StereoNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.report(f'{transition.__name__}: {safe_text(repr(error))}')
            raise

    return call


class StereoNode(Node):  # type: ignore[misc]  # rclpy has no types
    """The stereo node's lifecycle.

    Callbacks run in the executor's thread and return at once, but for the transitions that wait
    for the worker: configure loads the network, cleanup frees it.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declare the parameters; raises ParameterError if one has an impossible value.

        Raises RosArgumentError for a name, namespace or parameter of rclpy's that it rejects.
        """
        with creating_node(node_arguments.get('context')):
            super().__init__('stereo_node', **node_arguments)
        self._table = Parameters(self)
        self._faults = FaultLog(log_to(self.get_logger(), self.context))
        self._supervisor = MatcherSupervisor(self._faults)
        companions = Companions(lambda: self._worker, lambda: self._table.sharing)
        processor = PairProcessor(
            self._supervisor,
            lambda: int(self.get_clock().now().nanoseconds),
            companions.find,
            BatchMatcher(self._full_batch),
            self._settle,
        )
        self._worker = Worker[Job](processor.process, name='stereo_worker')
        self._group = CameraGroup(self, self._table, self._faults, self._worker, companions)
        self._table.on_change(self._guarded(self._settings_changed))
        self._configured = False
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady: simulated time may stand still, and watching goes on.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self._every(
            self._table.settings.diagnostics_period, self._publish_diagnostics
        )
        self._check_timer = self._every(SYNC_CHECK_PERIOD, self._group.check)
        self.create_service(SetBool, '~/enable', self._enabling(self._group.enable))
        for camera in self._group.cameras:
            if camera.name:
                name = f'~/{camera.name}/enable'
                self.create_service(SetBool, name, self._enabling(camera.enable))
        # After the last service, since it guards those that there are.
        guard = ServiceGuard(self, cameras=len(self._group.cameras))
        self._service_timer = self._every(SERVICE_PERIOD, guard.send_waiting)
        self._poll_timer: Any = None
        self._start_retry = FIRST_START_RETRY
        self._start_timer: Any = None
        if self._table.settings.autostart:
            self._start_timer = self._every(0.0, self._autostart)

    # Lifecycle

    @_reporting
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the network; fails with one message that says what is missing."""
        try:
            self._group.read_masks()
            settings = self._table.settings
            self._await(self._worker.call(lambda: self._supervisor.open(settings)))
            self._configured = True
            self._group.configure(self._guarded(self._group.follow_subscribers))
        except Exception as error:
            if self._configured:
                self._release()
            self._faults.report(Fault.CONFIGURATION, f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self._faults.clear(Fault.CONFIGURATION)
        self.get_logger().info(f'configured: {self._supervisor.description()}')
        if not self._group.reports_subscribers:
            self._poll_timer = self._every(SUBSCRIBER_POLL_PERIOD, self._group.follow_subscribers)
        return super().on_configure(state)

    @_reporting
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to subscribe and publish, as soon as an output has a subscriber."""
        result = super().on_activate(state)
        reset_peak_device_memory()
        self.get_logger().info('active')
        self._group.activate()
        return result

    @_reporting
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; a pair that is being matched is not published any more."""
        self._group.deactivate()
        return super().on_deactivate(state)

    @_reporting
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network's memory."""
        self._release()
        self._faults.reset()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an unexpected error in a transition."""
        return self.on_cleanup(state)

    def _release(self) -> None:
        self._group.deactivate()
        if self._poll_timer is not None:
            self.destroy_timer(self._poll_timer)
            self._poll_timer = None
        if self._configured:
            self._await(self._worker.call(self._supervisor.close))
            self._configured = False
        self._group.cleanup()

    def close(self) -> bool:
        """Leave the graph; False if an inference runs on, which only the process's end stops."""
        self._group.deactivate()
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

    def set_parameters_atomically(self, parameter_list: list[Any]) -> SetParametersResult:
        """Do as rclpy's, but answer names that do not exist with those that are like them."""
        names = (one.name for one in parameter_list if not self.has_parameter(one.name))
        if reason := self._table.why_not_settable(names):
            return SetParametersResult(successful=False, reason=reason)
        return super().set_parameters_atomically(parameter_list)

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if before.diagnostics_period != after.diagnostics_period:
            self.destroy_timer(self._diagnostics_timer)
            self._diagnostics_timer = self._every(
                after.diagnostics_period, self._publish_diagnostics
            )

    def _enabling(self, enable: Callable[[bool], None]) -> Callable[..., SetBool.Response]:
        """Return the service that pauses cameras, which keeps the network loaded."""

        def answer(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
            enable(request.data)
            state, label = 'enabled' if request.data else 'paused', self._label()
            response.success = True
            response.message = state if label == 'active' else f'{state} once active (now {label})'
            return response

        return answer

    def _settle(self) -> None:
        self._group.settle()

    def _full_batch(self) -> int:
        return min(self._table.sharing.max_batch, len(self._group.cameras))

    def _publish_diagnostics(self) -> None:
        stamp = self.get_clock().now().to_msg()
        first, *others = (
            diagnostic_array(self._snapshot(camera), stamp) for camera in self._group.cameras
        )
        for array in others:
            first.status.extend(array.status)
        self._diagnostics_publisher.publish(first)

    def _snapshot(self, camera: Camera) -> Snapshot:
        name, merged = self.get_fully_qualified_name(), self._group.merged
        is_merged = merged is not None and merged.is_wanted()
        return Snapshot(
            node_name=f'{name}/{camera.name}' if camera.name else name,
            lifecycle_state=self._label(),
            faults={**self._faults.current(), **camera.faults.current()},
            matcher=self._supervisor.state,
            session=camera.session,
            topics=tuple(camera.topics),
            subscribed=camera.subscribed() | (frozenset({MERGED}) if is_merged else frozenset()),
            max_rate=camera.settings.max_rate,
            stats_subscribed=camera.stats_subscribed(),
        )

    def _every(self, seconds: float, callback: Callable[[], None]) -> Any:
        return self.create_timer(seconds, self._guarded(callback), clock=self._steady)

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        return guarded(callback, self.report)

    def report(self, text: str) -> None:
        """Report an unexpected error."""
        self._faults.report(Fault.INTERNAL, text)
