"""A stereo node in a process of its own, and the cameras and listeners around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.node.outputs.topic_types import TYPES
from support.processes import SOURCE
from support.stereo_scene import FRAME, PlaneScene, camera_info, image_message, stamp
from support.transcript import PATIENCE, REPEAT_S

# With the command line's -p, as a user would.
COMMAND = 'import sys; from s2m2_ros.node.main import main; sys.exit(main())'
INPUTS = ('left/image_rect', 'right/image_rect', 'left/camera_info', 'right/camera_info')


def pair_messages(scene: PlaneScene, at: float, images: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return the four messages of a pair of these images by topic, stamped ``at`` seconds."""
    left, right = images
    made = (
        image_message(left, stamp(at)),
        image_message(right, stamp(at)),
        camera_info(scene, stamp(at)),
        camera_info(scene, stamp(at), right=True),
    )
    return dict(zip(INPUTS, made, strict=True))


def profile(*, reliable: bool = True, depth: int = 200) -> QoSProfile:
    """Return a keep-last QoS profile."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)


class Rig:
    """The world around one node, in a namespace of its own."""

    def __init__(self, context: Context, namespace: str) -> None:
        self.namespace = namespace
        self.node = rclpy.create_node('rig', namespace=namespace, context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.cameras: dict[str, Any] = {}
        self.listeners: list[Any] = []
        self.statuses: dict[str, DiagnosticStatus] = {}
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnosed, 10)
        self.process: subprocess.Popen[str] | None = None

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self.namespace + '/'):
                self.statuses[status.name.rpartition(': ')[2]] = status

    def until(self, condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        """Spin until the condition holds; fail with `what` otherwise."""
        limit = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < limit, f'never: {what}'
            self._require_process(what)
            self.executor.spin_once(timeout_sec=0.05)
        return found

    def _require_process(self, what: str) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f'the node ended with {self.process.returncode}: {what}')

    def listen(self, topic: str, *, reliable: bool = True) -> list[Any]:
        """Subscribe to an output; return the list that its messages are appended to."""
        heard: list[Any] = []
        self.subscribe(topic, heard.append, reliable=reliable)
        return heard

    def subscribe(self, topic: str, callback: Any, *, reliable: bool = True) -> Any:
        """Subscribe to an output; returns the subscription."""
        quality = profile(reliable=reliable)
        made = self.node.create_subscription(TYPES[topic], topic, callback, quality)
        self.listeners.append(made)
        return made

    def mute(self) -> None:
        """Stop listening to all outputs, and wait until the node has noticed."""
        for listener in self.listeners:
            self.node.destroy_subscription(listener)
        self.listeners.clear()
        self.until(self.disconnected, 'the end of the subscriptions')
        self.statuses.clear()
        self.wait_for_status('outputs', 0, 'no subscribers')

    def open_cameras(self, *, reliable: bool = True) -> None:
        """Advertise the four inputs."""
        quality = profile(reliable=reliable)
        self.cameras = {
            topic: self.node.create_publisher(
                CameraInfo if 'info' in topic else Image, topic, quality
            )
            for topic in INPUTS
        }

    def connected(self) -> bool:
        """Tell whether the node subscribes to every input."""
        return all(camera.get_subscription_count() for camera in self.cameras.values())

    def disconnected(self) -> bool:
        """Tell whether the node subscribes to no input."""
        return not any(camera.get_subscription_count() for camera in self.cameras.values())

    def publish(
        self,
        scene: PlaneScene,
        at: float,
        *,
        skew: float = 0.0,
        zero: bool = False,
        **replaced: Any,
    ) -> None:
        """Publish the four messages of one pair, stamped `at` seconds.

        `skew` is added to the stamps of the right ones, `zero` makes all stamps zero. `replaced`
        names a topic, with underscores for slashes, and the message in its stead; None leaves
        that message out.
        """
        for topic, usual in pair_messages(scene, at, scene.images()).items():
            message = replaced.get(topic.replace('/', '_'), usual)
            if message is not None:
                late = skew if topic.startswith('right') else 0.0
                message.header.stamp = stamp(0.0 if zero else at + late)
                message.header.frame_id = FRAME
                self.cameras[topic].publish(message)

    def publish_until(
        self,
        condition: Callable[[], Any],
        what: str,
        scene: PlaneScene | None = None,
        *,
        start: float,
        timeout: float = PATIENCE,
        **changes: Any,
    ) -> float:
        """Publish a pair every 0.1 s until the condition holds; return the last stamp.

        Discovery is asymmetric: only an answer proves that both sides know each other.
        """
        scene = scene or PlaneScene()
        limit, at = time.monotonic() + timeout, start
        while not condition():
            assert time.monotonic() < limit, f'never: {what}'
            self._require_process(what)
            at = round(at + 0.1, 3)
            self.publish(scene, at, **changes)
            pause = time.monotonic() + 0.1
            while time.monotonic() < pause and not condition():
                self.executor.spin_once(timeout_sec=0.02)
        return at

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """Call a service of the node and return its response.

        The middleware loses an answer if the node has not discovered the client yet, so that the
        request is repeated.
        """
        client = self.node.create_client(kind, f'stereo_node/{service}')
        self.until(client.service_is_ready, f'service {service}')
        futures: list[Any] = []
        repeat_at = 0.0

        def answered() -> Any:
            nonlocal repeat_at
            if time.monotonic() > repeat_at:
                futures.append(client.call_async(request))
                repeat_at = time.monotonic() + REPEAT_S
            return next((future for future in futures if future.done()), None)

        future = self.until(answered, f'answer of {service}')
        self.node.destroy_client(client)
        return future.result()

    def set_parameters(self, **values: Any) -> list[Any]:
        """Set parameters of the node; return (successful, reason) of each."""
        parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        request = SetParameters.Request(parameters=parameters)
        results = self.call(SetParameters, 'set_parameters', request).results
        return [(result.successful, result.reason) for result in results]

    def get_parameters(self, *names: str) -> list[Any]:
        """Return the values."""
        request = GetParameters.Request(names=list(names))
        values = self.call(GetParameters, 'get_parameters', request).values
        return [rclpy.parameter.parameter_value_to_python(value) for value in values]

    def describe_parameters(self, *names: str) -> list[Any]:
        """Return the descriptors."""
        request = DescribeParameters.Request(names=list(names))
        return list(self.call(DescribeParameters, 'describe_parameters', request).descriptors)

    def wait_for_status(self, name: str, level: int, text: str = '') -> DiagnosticStatus:
        """Wait for a status of this level that says this."""

        def found() -> DiagnosticStatus | None:
            status = self.statuses.get(name)
            fits = status and status.level == bytes([level]) and text in status.message
            return status if fits else None

        try:
            return self.until(found, f'status {name} {level} {text}')
        except AssertionError:
            print(self.statuses.get(name))  # noqa: T201
            raise

    def values(self, name: str) -> dict[str, str]:
        """Return the values of the newest status of this name."""
        status = self.statuses.get(name)
        return {pair.key: pair.value for pair in status.values} if status else {}


def unique_namespace() -> str:
    """Return a namespace that no other test has."""
    return f'/rig_{uuid.uuid4().hex[:8]}'


@contextmanager
def running_rig(
    *parameters: str,
    command: str = COMMAND,
    namespace: str = '',
    arguments: Sequence[str] = (),
) -> Iterator[Rig]:
    """Run a node with these `name:=value` parameters, in a namespace of its own.

    At the end it is asked to stop, and must do so cleanly.
    """
    namespace = namespace or unique_namespace()
    arguments = [*arguments, *(part for p in parameters for part in ('-p', p))]
    process = subprocess.Popen(
        [sys.executable, '-c', command, '--ros-args', '-r', f'__ns:={namespace}', *arguments],
        cwd=SOURCE,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    context = Context()
    rclpy.init(context=context)
    rig = Rig(context, namespace)
    rig.process = process
    try:
        yield rig
        if process.poll() is None:
            assert end(process) == 0
    finally:
        process.kill()
        process.communicate()
        rig.node.destroy_node()
        context.shutdown()


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> int:
    """Ask the process to stop and return its exit status."""
    process.send_signal(how)
    return process.wait(timeout=20)
