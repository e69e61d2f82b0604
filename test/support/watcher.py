"""A process that listens to stereo nodes, tells what it got, and calls their services."""

from __future__ import annotations

import time
import zlib
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from s2m2_ros.msg import InferenceStats, StereoEstimate
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from stereo_msgs.msg import DisparityImage

from support.remote import serve, tell
from support.transcript import REPEAT_S

# Written out again, since a listener knows the documentation and not the node's modules.
TYPES = {
    'disparity': DisparityImage,
    'depth': Image,
    'depth/camera_info': CameraInfo,
    'confidence': Image,
    'confidence_mask': Image,
    'occlusion_mask': Image,
    'points': PointCloud2,
    'registered/depth': Image,
    'registered/camera_info': CameraInfo,
    'estimate': StereoEstimate,
    'stats': InferenceStats,
}


class Watcher:
    """The methods are called by lines from the test; see `support.remote`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscriptions: dict[str, Any] = {}
        node.create_subscription(DiagnosticArray, '/diagnostics', _tell_diagnostics, 100)

    def listen(self, namespace: str, topics: list[str], depth: int = 10) -> None:
        """Subscribe to these topics of a node."""
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
        for topic in topics:
            name = f'{namespace}/{topic}'
            self._subscriptions[name] = self._node.create_subscription(
                TYPES[topic], name, _teller(name), qos
            )

    def unlisten(self, namespace: str, topics: list[str]) -> None:
        """Unsubscribe."""
        for topic in topics:
            subscription = self._subscriptions.pop(f'{namespace}/{topic}')
            self._node.destroy_subscription(subscription)

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        """Set one parameter; the answer is an empty string or the reason of the refusal."""
        request = SetParameters.Request(
            parameters=[Parameter(name=name, value=_parameter_value(value))]
        )
        return self._request(
            SetParameters, f'{node}/set_parameters', request, lambda r: r.results[0].reason
        )

    def change_state(self, node: str, transition: int) -> Any:
        """Make a lifecycle transition; the answer is whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self._request(ChangeState, f'{node}/change_state', request, lambda r: r.success)

    def _request(self, kind: Any, name: str, request: Any, read: Any) -> Any:
        client = self._node.create_client(kind, name)
        outcome = rclpy.task.Future()
        send_at = 0.0

        def send() -> None:
            nonlocal send_at
            # Again after a while: an answer is lost if the node has not discovered the client yet.
            if client.service_is_ready() and time.monotonic() > send_at:
                send_at = time.monotonic() + REPEAT_S
                client.call_async(request).add_done_callback(finish)

        def finish(answer: Any) -> None:
            if outcome.done():
                return
            self._node.destroy_timer(timer)
            self._node.destroy_client(client)
            outcome.set_result(read(answer.result()))

        timer = self._node.create_timer(0.02, send)
        return outcome


def _parameter_value(value: Any) -> ParameterValue:
    if isinstance(value, bool):
        return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    if isinstance(value, int):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    if isinstance(value, float):
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)


def _teller(name: str) -> Any:
    def told(message: Any) -> None:
        stamp = message.header.stamp
        event = {
            'topic': name,
            'stamp': stamp.sec * 1_000_000_000 + stamp.nanosec,
            'frame': message.header.frame_id,
        }
        tell(event | _content(message))

    return told


def _content(message: Any) -> dict[str, Any]:
    if isinstance(message, InferenceStats):
        fields = message.get_fields_and_field_types()
        return {name: getattr(message, name) for name in fields if name != 'header'}
    content: dict[str, Any] = {}
    image = message
    if hasattr(message, 'valid_window'):
        image = message.image
        content = {'f': message.f, 't': message.t}
    if hasattr(image, 'data'):
        content |= {'size': [image.height, image.width], 'crc': zlib.crc32(image.data)}
    if getattr(image, 'encoding', '') == '32FC1':
        content['median'] = float(np.nanmedian(np.frombuffer(image.data, np.float32)))
    return content


def _tell_diagnostics(array: DiagnosticArray) -> None:
    statuses = {
        status.name.rpartition(': ')[2]: {
            'level': status.level[0],
            'message': status.message,
            'values': {item.key: item.value for item in status.values},
        }
        for status in array.status
    }
    tell({'topic': '/diagnostics', 'node': array.status[0].hardware_id, 'statuses': statuses})


def main() -> None:
    """Watch."""
    rclpy.init()
    node = rclpy.create_node('watcher')
    serve(node, Watcher(node))


if __name__ == '__main__':
    main()
