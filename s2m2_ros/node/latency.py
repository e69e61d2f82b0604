"""From a pair's timestamp to the arrival of its cloud at a subscriber, through a node of its own.

The subscriber keeps the memory of the clouds that it got. Run as
`python -m s2m2_ros.node.latency '{"width": 640, ...}'`; it writes one line of JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from s2m2_ros.errors import S2M2Error
from s2m2_ros.freed_memory import keep_freed_memory
from s2m2_ros.large_messages import PROFILE, default_environment
from s2m2_ros.shared_files import shared_file


@dataclass(frozen=True)
class LatencyTrial:
    """What is measured: pairs of a size, one after the other, through a node so configured."""

    width: int
    height: int
    pairs: int
    parameters: Mapping[str, str]
    timeout_s: float = 120.0


class LatencyError(S2M2Error):
    """No cloud came back."""


def measure_in_new_process(trial: LatencyTrial) -> dict[str, float]:
    """Return milliseconds 'median_ms' and 'p95_ms', measured by a process set up for images.

    Raises:
        LatencyError: no cloud came, or the process failed.
    """
    added = default_environment(os.environ, shared_file(PROFILE)) or {}
    command = [sys.executable, '-m', 's2m2_ros.node.latency', json.dumps(asdict(trial))]
    done = subprocess.run(
        command,
        env={**os.environ, **added},
        capture_output=True,
        text=True,
        check=False,
        timeout=trial.timeout_s * 2,
    )
    if done.returncode:
        raise LatencyError((done.stderr.strip().splitlines() or ['the process failed'])[-1])
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(trial: LatencyTrial) -> dict[str, float]:
    """Start a node, send pairs and wait for each cloud; see `measure_in_new_process`."""
    import rclpy

    # Fetching the memory of each cloud anew is work of the subscriber, not of the node.
    keep_freed_memory()
    namespace = f'/latency_{uuid.uuid4().hex[:8]}'
    flags = [part for item in trial.parameters.items() for part in ('-p', ':='.join(item))]
    arguments = ['--ros-args', '-r', f'__ns:={namespace}', *flags]
    process = subprocess.Popen(
        [sys.executable, '-m', 's2m2_ros.node.main', *arguments], stdout=subprocess.DEVNULL
    )
    rclpy.init()
    try:
        return _exchange(trial, namespace, process)
    finally:
        process.terminate()
        process.wait(20)
        rclpy.try_shutdown()


def _exchange(
    trial: LatencyTrial, namespace: str, process: subprocess.Popen[bytes]
) -> dict[str, float]:
    import rclpy
    from rclpy.qos import HistoryPolicy, QoSProfile
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    node = rclpy.create_node('latency', namespace=namespace)
    quality = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2)
    arrivals: list[float] = []
    node.create_subscription(
        PointCloud2, 'points', lambda _: arrivals.append(time.perf_counter()), quality, raw=True
    )
    messages = pair_messages(trial.width, trial.height)
    kinds = {'image_rect': Image, 'camera_info': CameraInfo}
    publishers = {
        topic: node.create_publisher(kinds[topic.split('/')[1]], topic, quality)
        for topic in messages
    }
    durations: list[float] = []
    warm = 3
    end = time.monotonic() + trial.timeout_s
    while len(durations) < trial.pairs + warm:
        if time.monotonic() > end or process.poll() is not None:
            raise LatencyError('no point cloud came from the node')
        arrivals.clear()
        stamp = node.get_clock().now().to_msg()
        started = time.perf_counter()
        for topic, message in messages.items():
            message.header.stamp = stamp
            publishers[topic].publish(message)
        limit = started + 3.0
        while not arrivals and time.perf_counter() < limit:
            rclpy.spin_once(node, timeout_sec=0.05)
        if arrivals:
            durations.append((arrivals[0] - started) * 1e3)
    ordered = sorted(durations[warm:])
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {'median_ms': statistics.median(ordered), 'p95_ms': p95, 'pairs': float(len(ordered))}


def pair_messages(width: int, height: int) -> dict[str, Any]:
    """Return noise that is shifted by 16 pixels, and the calibration, by topic."""
    from sensor_msgs.msg import CameraInfo, Image

    texture = np.random.default_rng(0).integers(0, 256, (height, width + 16, 3), np.uint8)
    messages: dict[str, Any] = {}
    for side, shift, term in (('left', 0, 0.0), ('right', 16, -84.0)):
        pixels = np.ascontiguousarray(texture[:, shift : shift + width])
        image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        image.data = array('B', pixels.tobytes())
        info = CameraInfo(height=height, width=width)
        info.p = [700.0, 0, width / 2, term, 0, 700.0, height / 2, 0, 0, 0, 1, 0]
        messages |= {f'{side}/image_rect': image, f'{side}/camera_info': info}
    for message in messages.values():
        message.header.frame_id = 'left_optical'
    return messages


if __name__ == '__main__':
    try:
        figures = measure(LatencyTrial(**json.loads(sys.argv[1])))
    except S2M2Error as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(figures) + '\n')
