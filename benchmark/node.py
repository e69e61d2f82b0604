"""What the node costs beside its matcher: from InferenceStats, and from outside.

Run it as `python benchmark/node.py`. The node runs in a process of its own, with a stand-in
matcher that returns prepared maps at once, or with a real one (`--backend sgbm`). Pairs are sent
one after the other. `inside` is the sum of all stages but inference, as InferenceStats reports it.
`outside` is the time from publishing the pair to receiving its last output, less inference: it
adds the transport both ways, with this process as camera and subscriber on the same cores. `relay`
is what that transport takes by itself: the same, measured at a process that does nothing but
receive each pair and publish finished messages of the same sizes. `processor` is the time that
the process took on all cores, matcher included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import subprocess
import sys
import time
import types
import uuid
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import torch
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import (
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.serialization import deserialize_message
from s2m2_ros.msg import InferenceStats
from sensor_msgs.msg import CameraInfo, Image

from s2m2_ros.freed_memory import keep_freed_memory
from s2m2_ros.geometry import (
    Output,
    OutputOptions,
    RigidTransform,
    TargetCamera,
    compute_outputs,
)
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.inference import BackendOptions, Maps, MatchResult, registry
from s2m2_ros.io.ros_calibration import camera_model, stereo_camera
from s2m2_ros.large_messages import default_environment
from s2m2_ros.messages.builders import CloudMemory
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, REGISTERED, MessageSource
from s2m2_ros.node.outputs.topic_types import STATS, TYPES
from s2m2_ros.pipeline import PairOutputs
from s2m2_ros.pipeline.stereo_pipeline import DISPARITY_RESOLUTION

PROFILES = Path(__file__).resolve().parents[1] / 'config' / 'fastdds_large_messages.xml'
# Other forms of an output, pictures, and depth of another camera: each for itself.
ALONE = (
    'disparity/color',
    'registered/depth',
    *(topic for topic, made in OUTPUT_TOPICS.items() if made.base),
)
OUTPUTS = {
    'all': [topic for topic in TYPES if topic not in (STATS, *ALONE, *REGISTERED)],
    'points': ['points'],
    'navigation': ['points', 'points_clearing'],
    **{topic: [topic] for topic in ALONE if topic in TYPES},
}
STAGES: tuple[str, ...] = ('decode', 'upload', 'geometry', 'download', 'publish')
DISCOVERY_TIMEOUT_S = 90.0
# Of a serialized message: what comes before its first field, and a timestamp.
ENCAPSULATION_BYTES = 4
STAMP = struct.Struct('=iI')


class Instant:
    """A matcher that takes no time: a slanted plane with a band of untrusted pixels."""

    name = 'instant'
    precision = 'float32'
    device = torch.device('cpu')

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Return prepared maps."""
        del right
        height, width = left.shape[-2:]
        columns = torch.linspace(20, 80, width).expand(1, height, width).contiguous()
        sure = torch.ones_like(columns)
        sure[:, : height // 8] = 0.2
        return Maps(columns, torch.ones_like(columns), sure)

    def close(self) -> None:
        """Do nothing."""


def serve(ros_arguments: Sequence[str]) -> int:
    """Run the node with the instant matcher among its backends."""
    module: Any = types.ModuleType('instant_backend')
    module.unavailable = lambda _options: None
    module.open_backend = _open_instant
    sys.modules['instant_backend'] = module
    registry.BACKENDS['instant'] = registry.BackendEntry(
        'instant_backend', 'for this benchmark', needs_checkpoint=False, prepares_sizes=False
    )
    from s2m2_ros.node.main import main as run_node

    return run_node([sys.argv[0], *ros_arguments])


def _open_instant(options: BackendOptions) -> Instant:
    del options
    return Instant()


class Relay:
    """Receives pairs as the node does, and answers each with finished messages."""

    def __init__(self, width: int, height: int) -> None:
        self.node = rclpy.create_node('relay')
        self._quality = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
        )
        self._finished = _finished(width, height)
        self._publishers = {t: self._publisher(t) for t in (*self._finished, STATS)}
        for side, heard in (('left', self._keep), ('right', self._answer)):
            for name, kind, callback in (
                ('image_rect', Image, heard),
                ('camera_info', CameraInfo, self._keep),
            ):
                self.node.create_subscription(
                    kind, f'{side}/{name}', callback, qos_profile_sensor_data
                )

    def _publisher(self, topic: str) -> Any:
        return self.node.create_publisher(TYPES[topic], topic, self._quality)

    def _keep(self, message: Any) -> None:
        """Do nothing; receiving is what counts."""

    def _answer(self, right: Image) -> None:
        for topic, message in self._finished.items():
            if self._publishers[topic].get_subscription_count():
                message.header.stamp = right.header.stamp
                self._publishers[topic].publish(message)
        self._publishers[STATS].publish(InferenceStats(header=right.header))


def _finished(width: int, height: int) -> dict[str, Any]:
    """Return one message for every output but stats."""
    pair = _pair(width, height)
    infos = pair['left/camera_info'], pair['right/camera_info']
    maps = Instant().infer(torch.empty(height, width), torch.empty(0))
    estimate = MatchResult(maps.disparity[0], maps.visibility[0], maps.confidence[0])
    image = np.frombuffer(pair['left/image_rect'].data, np.uint8).reshape(height, width, 3)
    color = pair['color/camera_info']
    shared = RigidTransform(color.header.frame_id, IDENTITY_ROTATION, (0.0, 0.0, 0.0))
    target = TargetCamera.of(camera_model(color, source='color'), shared, raw=False)
    outputs = compute_outputs(
        stereo_camera(*infos),
        estimate,
        list(Output),
        image=image,
        deviation=torch.ones_like,
        options=OutputOptions(target=target),
    )
    header = pair['left/image_rect'].header
    blank = np.empty((height, width), np.uint8)
    result = PairOutputs(
        outputs, blank, blank, outputs.camera, DISPARITY_RESOLUTION, (height, width)
    )
    source = MessageSource(result, header, infos[0], CloudMemory(), color_info=color)
    return {name: OUTPUT_TOPICS[name].build(source) for name in TYPES if name != STATS}


def relay(arguments: argparse.Namespace, ros_arguments: Sequence[str]) -> int:
    """Run the relay until it is terminated."""
    keep_freed_memory()
    rclpy.init(args=list(ros_arguments))
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Relay(arguments.width, arguments.height).node)
    return 0


class Bench:
    """Camera and subscriber."""

    def __init__(self, namespace: str, width: int, height: int) -> None:
        self.node = rclpy.create_node('bench', namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self._quality = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
        )
        self.arrived: dict[str, float] = {}
        self.stats: InferenceStats | None = None
        self._subscriptions: list[Any] = []
        kinds = {'image_rect': Image, 'camera_info': CameraInfo}
        self._cameras = {
            f'{side}/{name}': self.node.create_publisher(kind, f'{side}/{name}', self._quality)
            for side in ('left', 'right')
            for name, kind in kinds.items()
        }
        self._cameras['color/camera_info'] = self.node.create_publisher(
            CameraInfo, 'color/camera_info', self._quality
        )
        self._messages = _pair(width, height)
        self._subscribe(STATS)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe to these outputs, instead of those before."""
        for subscription in self._subscriptions:
            self.node.destroy_subscription(subscription)
        self._subscriptions = [self._subscribe(topic) for topic in topics]

    def _subscribe(self, topic: str) -> Any:
        # Raw, so that this process does not measure its own deserialization.
        return self.node.create_subscription(
            TYPES[topic], topic, lambda data: self._heard(topic, data), self._quality, raw=True
        )

    def _heard(self, topic: str, data: bytes) -> None:
        sent = self._messages['left/image_rect'].header.stamp
        # Every output begins with its header; an answer to an earlier pair may come late.
        if STAMP.unpack_from(data, ENCAPSULATION_BYTES) != (sent.sec, sent.nanosec):
            return
        self.arrived[topic] = time.perf_counter()
        if topic == STATS:
            self.stats = deserialize_message(data, InferenceStats)

    def wait_for_subscribers(self, timeout: float) -> bool:
        """Wait until the images of both cameras are subscribed to; return whether they are."""
        images = [self._cameras[f'{side}/image_rect'] for side in ('left', 'right')]
        limit = time.perf_counter() + timeout
        while not (found := all(image.get_subscription_count() for image in images)):
            if time.perf_counter() > limit:
                break
            self.executor.spin_once(timeout_sec=0.05)
        return found

    def send(self, topics: Sequence[str], timeout: float) -> float | None:
        """Send one pair; return the seconds until all of `topics` have come, None if not."""
        stamp = self.node.get_clock().now().to_msg()
        self.arrived.clear()
        for message in self._messages.values():
            message.header.stamp = stamp
        started = time.perf_counter()
        for topic, message in self._messages.items():
            self._cameras[topic].publish(message)
        expected = {*topics, STATS}
        while not expected <= self.arrived.keys():
            if time.perf_counter() - started > timeout:
                return None
            self.executor.spin_once(timeout_sec=0.05)
        return max(self.arrived[topic] for topic in topics) - started


def _pair(width: int, height: int) -> dict[str, Any]:
    random = np.random.default_rng(1)
    texture = random.integers(0, 255, (height, width + 40, 3), dtype=np.uint8)
    messages: dict[str, Any] = {}
    for side, shift in (('left', 0), ('right', 40)):
        pixels = np.ascontiguousarray(texture[:, shift : shift + width])
        image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        image.data = array('B', pixels.tobytes())
        info = CameraInfo(height=height, width=width)
        shift_term = -700.0 * 0.12 if side == 'right' else 0.0
        info.p = [700.0, 0, width / 2, shift_term, 0, 700.0, height / 2, 0, 0, 0, 1, 0]
        messages |= {f'{side}/image_rect': image, f'{side}/camera_info': info}
    # A color camera of the same size 6 cm to the right, in the frame of the left one as the right
    # camera of a pair, so that no transform is needed.
    color = CameraInfo(height=height, width=width)
    color.p = [920.0, 0, width / 2, -920.0 * 0.06, 0, 920.0, height / 2, 0, 0, 0, 1, 0]
    messages['color/camera_info'] = color
    for message in messages.values():
        message.header.frame_id = 'left_optical'
    return messages


@dataclass(frozen=True)
class Figures:
    """Of one set of outputs, in milliseconds: one value for each pair."""

    outside: list[float]
    stages: list[list[float]]
    processor: float
    """Of the process, per pair."""
    lost: int


def measure(bench: Bench, process: subprocess.Popen[bytes], name: str, pairs: int) -> Figures:
    """Send pairs one after the other, once they all come back."""
    topics = OUTPUTS[name]
    bench.subscribe(topics)
    limit = time.perf_counter() + DISCOVERY_TIMEOUT_S
    warm = 0
    while warm < 5:  # discovery, then caches
        if time.perf_counter() > limit:
            raise TimeoutError(f'the outputs {topics} did not come')
        warm += bench.send(topics, 3.0) is not None
    lost = 0
    outside: list[float] = []
    stages: list[list[float]] = []
    before = _processor_ms(process.pid)
    while len(outside) < pairs:
        elapsed = bench.send(topics, 3.0)
        if elapsed is None or bench.stats is None:
            lost += 1
            continue
        stages.append([getattr(bench.stats, f'{stage}_ms') for stage in STAGES])
        outside.append(elapsed * 1e3 - bench.stats.inference_ms)
    processor = (_processor_ms(process.pid) - before) / (pairs + lost)
    return Figures(outside, stages, processor, lost)


def show(name: str, node: Figures, relayed: Figures) -> None:
    """Print one line."""
    parts = ' '.join(
        f'{stage} {statistics.median(values):.1f}'
        for stage, values in zip(STAGES, zip(*node.stages, strict=True), strict=True)
    )
    print(
        f'{name:21} inside {_spread([sum(s) for s in node.stages])} ({parts}), '
        f'outside {_spread(node.outside)}, of a relay {_spread(relayed.outside)}, '
        f'processor {node.processor:.1f} ms, of a relay {relayed.processor:.1f} ms, '
        f'{node.lost} lost'
    )


def _processor_ms(pid: int) -> float:
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf('SC_CLK_TCK')


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f'{statistics.median(ordered):.1f} ms (95 %: {ordered[int(0.95 * len(ordered))]:.1f})'


def run(what: str, arguments: argparse.Namespace) -> dict[str, Figures]:
    """Return the figures of the node, or of the relay, in a process of its own."""
    namespace = f'/bench_{uuid.uuid4().hex[:8]}'
    parameters = [f'backend:={arguments.backend}', 'calibration_check_period:=0.0']
    parameters += arguments.parameter
    flags = [part for parameter in parameters for part in ('-p', parameter)]
    size = ['--width', str(arguments.width), '--height', str(arguments.height)]
    process = subprocess.Popen(
        [sys.executable, __file__, what, *size, '--ros-args', '-r', f'__ns:={namespace}', *flags],
        cwd=Path(__file__).resolve().parents[1],
        # As the executable sets it before torch is loaded.
        env={**os.environ, 'OMP_WAIT_POLICY': 'passive', 'PYTHONPATH': '.'},
    )
    try:
        bench = Bench(namespace, arguments.width, arguments.height)
        return {name: measure(bench, process, name, arguments.pairs) for name in arguments.outputs}
    finally:
        process.terminate()
        process.wait(timeout=10)


def main() -> int:
    """Measure the usual outputs, then some alone; or be what is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('what', nargs='?', default='measure', choices=('measure', 'node', 'relay'))
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--pairs', type=int, default=50)
    parser.add_argument('--backend', default='instant')
    parser.add_argument('--outputs', nargs='+', choices=OUTPUTS, default=list(OUTPUTS))
    parser.add_argument(
        '--parameter', action='append', default=[], metavar='NAME:=VALUE', help='of the node'
    )
    arguments, ros_arguments = parser.parse_known_args()
    if arguments.what == 'node':
        return serve(ros_arguments)
    if arguments.what == 'relay':
        return relay(arguments, ros_arguments)
    added = default_environment(os.environ, PROFILES)
    if added:
        environment = {**os.environ, **added}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606
    # As the node does: fetching memory anew is no work of what is measured.
    keep_freed_memory()
    rclpy.init()
    try:
        node, relayed = (run(what, arguments) for what in ('node', 'relay'))
    finally:
        rclpy.try_shutdown()
    given = ', '.join([arguments.backend, *arguments.parameter])
    print(f'{arguments.width}x{arguments.height} rgb8, {given}')
    for name in arguments.outputs:
        show(name, node[name], relayed[name])
    return 0


if __name__ == '__main__':
    sys.exit(main())
