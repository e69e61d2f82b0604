"""`s2m2 process` averages over pairs by recorded transforms, as the node does by tf2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message
from stereo_msgs.msg import DisparityImage
from tf2_msgs.msg import TFMessage

from s2m2_ros.cli.main import main
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.recording_writer import RecordingWriter
from s2m2_ros.player.ros_serialization import serialized
from support.stereo_rig import Rig, pair_messages, running_rig
from support.stereo_scene import FRAME, PlaneScene, stamp

SCENE = PlaneScene()
# Of the pairs, in seconds: between two poses, and on one.
TIMES = (100.05, 100.2, 100.35, 100.5)
# A pause longer than this makes the filter begin anew.
MAX_GAP = 0.9


def pose(seconds: float) -> TransformStamped:
    """Return where the camera is: it goes forward (z) and aside (x), 0.1 and 0.02 m a second."""
    made = TransformStamped(child_frame_id=FRAME)
    made.header.frame_id = 'odom'
    made.header.stamp = stamp(seconds)
    made.transform.translation.z = 0.1 * (seconds - 90)
    made.transform.translation.x = 0.02 * (seconds - 90)
    made.transform.rotation.w = 1.0
    return made


POSES = TFMessage(transforms=[pose(round(98 + 0.1 * number, 1)) for number in range(40)])


def pair(seconds: float) -> dict[str, Any]:
    """Return the four messages of a pair, whose noise is its own."""
    random = np.random.default_rng(round(seconds * 1e3))
    images = [
        np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
        for image in SCENE.images()
    ]
    return pair_messages(SCENE, seconds, images)


def published(rig: Rig) -> dict[int, bytes]:
    """Return the disparities that a node publishes of the pairs, by time in ns."""
    rig.open_cameras()
    heard = rig.listen('disparity')
    transforms = rig.node.create_publisher(TFMessage, '/tf', 10)
    rig.until(transforms.get_subscription_count, 'a subscription to tf')

    def send(seconds: float) -> None:
        for topic, message in pair(seconds).items():
            rig.cameras[topic].publish(message)

    numbers = iter(range(1, 1000))

    def is_posed() -> bool:
        """Send a pair; return whether it came back, and its transform was known."""
        transforms.publish(POSES)
        count = len(heard)
        send(98.0 + next(numbers) / 1e3)
        rig.executor.spin_once(timeout_sec=0.3)
        rig.statuses.clear()
        rig.until(lambda: 'outputs' in rig.statuses, 'diagnostics')
        return len(heard) > count and rig.statuses['outputs'].level == b'\0'

    rig.until(is_posed, 'a pair with a transform')

    def ours() -> list[Any]:
        return [message for message in heard if message.header.stamp.sec >= 100]

    for number, seconds in enumerate(TIMES):
        send(seconds)
        rig.until(lambda n=number: len(ours()) > n, f'the disparity at {seconds}')  # type: ignore[misc]
    assert rig.statuses['outputs'].level == b'\0'
    return {stamp_ns(message.header): bytes(message.image.data) for message in ours()}


def processed(recording: Path, output: Path, mode: str) -> dict[int, bytes]:
    """Return the disparities that the command writes, by time in ns."""
    options = ['--temporal-filter', mode, '--temporal-max-gap', str(MAX_GAP), '--backend', 'sgbm']
    arguments = ['process', str(recording), '--output', str(output), '--outputs', 'disparity']
    assert main([*arguments, *options]) == 0
    with (output / f'{recording.name}.mcap').open('rb') as file:
        return {
            m.log_time: bytes(deserialize_message(m.data, DisparityImage).image.data)
            for _, _, m in make_reader(file).iter_messages()
        }


def test_a_camera_that_moves_is_averaged_as_by_the_node(tmp_path: Path) -> None:
    recording = tmp_path / 'bag'
    with RecordingWriter(recording) as writer:
        for one in POSES.transforms:
            message = TFMessage(transforms=[one])
            writer.write('/tf', serialized(message), stamp_ns(one.header))
        for seconds in TIMES:
            for topic, message in pair(seconds).items():
                writer.write(f'/{topic}', serialized(message), round(seconds * 1e9))
    parameters = (
        'backend:=sgbm', 'temporal_filter:=tf', f'temporal_max_gap:={MAX_GAP}',
        'calibration_check_period:=0.0', 'diagnostics_period:=0.1',
    )  # fmt: skip
    with running_rig(*parameters) as rig:
        expected = published(rig)
    found = processed(recording, tmp_path / 'tf', 'tf')
    assert found == expected
    # The first pair is as it is, the others are averaged.
    off = processed(recording, tmp_path / 'off', 'off')
    assert [found[time] == off[time] for time in sorted(off)] == [True, False, False, False]
