"""Three cameras in one node against three nodes: throughput, latency, memory.

Run it as `python benchmark/cameras.py`. Every camera sends pairs of noise at `--rate`, all at the
same moments, as cameras with one trigger do. What is compared: one node that matches them at once
(`batch`), one that matches them one by one (`turns`, `max_batch: 1`), and a node for each
(`nodes`). `pairs` are all that were published in a second; latency is from publishing a pair to
receiving its disparity in this process; memory is what is resident, or what only the processes
have (shared pages counted once), at the end, of all nodes together; on a GPU also what torch
allocated.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import HistoryPolicy, QoSProfile
from s2m2_ros.msg import InferenceStats
from stereo_msgs.msg import DisparityImage

from s2m2_ros.large_messages import default_environment
from s2m2_ros.node.latency import pair_messages

SOURCE = Path(__file__).resolve().parents[1]
PROFILE = SOURCE / 'config' / 'fastdds_large_messages.xml'
CAMERAS = ('front', 'rear', 'left_arm')
START_UP_TIMEOUT_S = 180.0
QUALITY = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2)
WAYS = ('batch', 'turns', 'nodes')


@dataclass
class Camera:
    """What one camera sends, and what came back."""

    node: Any
    width: int
    height: int
    sent: dict[int, float] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    inference: list[float] = field(default_factory=list)
    device_memory: int = 0

    def __post_init__(self) -> None:
        self._messages = pair_messages(self.width, self.height)
        self._publishers = {
            topic: self.node.create_publisher(type(message), topic, QUALITY)
            for topic, message in self._messages.items()
        }
        self.node.create_subscription(DisparityImage, 'disparity', self._answered, QUALITY)
        self.node.create_subscription(InferenceStats, 'stats', self._told, QUALITY)

    def send(self) -> None:
        """Publish a pair."""
        stamp = self.node.get_clock().now().to_msg()
        self.sent[_nanoseconds(stamp)] = time.perf_counter()
        for topic, message in self._messages.items():
            message.header.stamp = stamp
            self._publishers[topic].publish(message)

    def forget(self) -> None:
        """Measure from now on."""
        self.sent.clear()
        self.latencies.clear()
        self.inference.clear()

    def _answered(self, message: DisparityImage) -> None:
        began = self.sent.pop(_nanoseconds(message.header.stamp), None)
        if began is not None:
            self.latencies.append((time.perf_counter() - began) * 1e3)

    def _told(self, stats: InferenceStats) -> None:
        self.inference.append(stats.inference_ms)
        self.device_memory = stats.peak_device_memory


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@contextmanager
def node_process(namespace: str, parameters: Mapping[str, str]) -> Any:
    """Run a stereo node."""
    flags = [word for item in parameters.items() for word in ('-p', ':='.join(item))]
    arguments = ['--ros-args', '-r', f'__ns:={namespace}', '--log-level', 'warn', *flags]
    process = subprocess.Popen(
        [sys.executable, '-m', 's2m2_ros.node.main', *arguments], cwd=SOURCE
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def memory(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Return the resident and the proportional memory in MB."""
    lines = Path(f'/proc/{process.pid}/smaps_rollup').read_text(encoding='ascii').splitlines()
    sizes = {line.split(':')[0]: line.split()[1] for line in lines[1:]}
    return int(sizes['Rss']) / 1024, int(sizes['Pss']) / 1024


def run(way: str, arguments: argparse.Namespace) -> str:
    """Measure one way; return a row of a table."""
    above = f'/cameras_{uuid.uuid4().hex[:8]}'
    given = dict(item.split(':=', 1) for item in arguments.parameter)
    given = {'backend': arguments.backend, 'calibration_check_period': '0.0', **given}
    with ExitStack() as parts:
        if way == 'nodes':
            nodes = [parts.enter_context(node_process(f'{above}/{n}', given)) for n in CAMERAS]
        else:
            shared = {'cameras': f'[{", ".join(CAMERAS)}]', 'max_batch': '3'}
            shared |= {'max_batch': '1'} if way == 'turns' else {'batch_wait': '0.02'}
            nodes = [parts.enter_context(node_process(above, {**given, **shared}))]
        executor = SingleThreadedExecutor()
        cameras = []
        for name in CAMERAS:
            made = rclpy.create_node('bench', namespace=f'{above}/{name}')
            parts.callback(made.destroy_node)
            executor.add_node(made)
            cameras.append(Camera(made, arguments.width, arguments.height))
        _start(cameras, executor)
        elapsed = _stream(cameras, executor, arguments)
        resident, proportional = (
            sum(values) for values in zip(*(memory(node) for node in nodes), strict=True)
        )
    latencies = sorted(value for camera in cameras for value in camera.latencies)
    worst = latencies[int(0.95 * (len(latencies) - 1))]
    device = sum(c.device_memory for c in (cameras if way == 'nodes' else cameras[:1])) / 1e6
    counts = '/'.join(str(len(camera.latencies)) for camera in cameras)
    inference = statistics.median(v for camera in cameras for v in camera.inference)
    return (
        f'| {way} | {len(latencies) / elapsed:.2f} | {counts} | '
        f'{statistics.median(latencies):.0f} ms | {worst:.0f} ms | {inference:.0f} ms | '
        f'{resident:.0f} MB | {proportional:.0f} MB | {device:.0f} MB |'
    )


def _start(cameras: list[Camera], executor: SingleThreadedExecutor) -> None:
    """Send pairs until each camera was answered twice."""
    limit = time.monotonic() + START_UP_TIMEOUT_S
    while any(len(camera.latencies) < 2 for camera in cameras):
        if time.monotonic() > limit:
            raise SystemExit('no answer from a node')
        for camera in cameras:
            camera.send()
        _spin(executor, 0.5)
    _spin(executor, 2.0)
    for camera in cameras:
        camera.forget()


def _stream(
    cameras: list[Camera], executor: SingleThreadedExecutor, arguments: argparse.Namespace
) -> float:
    """Send at the rate for so many seconds; return how long it took."""
    began = time.perf_counter()
    due = began
    while due < began + arguments.seconds:
        for camera in cameras:
            camera.send()
        due += 1 / arguments.rate
        _spin(executor, max(due - time.perf_counter(), 0.0))
    return time.perf_counter() - began


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        executor.spin_once(timeout_sec=left)


def main() -> int:
    """Measure each way and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--height', type=int, default=256)
    parser.add_argument('--rate', type=float, default=10.0, help='of each camera, in Hz')
    parser.add_argument('--seconds', type=float, default=15.0)
    parser.add_argument('--backend', default='torch')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=WAYS)
    parser.add_argument(
        '--parameter', action='append', default=[], metavar='NAME:=VALUE', help='of the nodes'
    )
    arguments = parser.parse_args()
    added = default_environment(os.environ, PROFILE)
    if added:
        environment = {**os.environ, **added}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606
    print(
        f'{arguments.width}x{arguments.height} rgb8, {arguments.backend}, three cameras at '
        f'{arguments.rate:g} Hz each\n\n'
        '| | pairs/s | of each | latency, median | 95 % | inference | resident | proportional | '
        'device |\n| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |'
    )
    rclpy.init()
    try:
        for way in arguments.ways:
            print(run(way, arguments), flush=True)
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
