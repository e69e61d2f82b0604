"""`s2m2 process` writes the bytes that the node publishes of the same pairs over DDS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from rclpy.serialization import serialize_message

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.recording_writer import RecordingWriter
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, REGISTERED
from s2m2_ros.messages.plain_messages import message_types
from s2m2_ros.node.outputs.topic_types import TYPES
from s2m2_ros.player.ros_serialization import serialized
from support.processes import SOURCE
from support.stereo_rig import INPUTS, running_rig
from support.stereo_scene import PlaneScene, camera_info, image_message, stamp

SCENES = (PlaneScene(), PlaneScene(a=20.0, b=-0.01))
# Of the node and the command, by the names of the node. Every pixel gives a clearing ray: which of
# fewer do depends on how many pairs were processed before, and the node may get more of them.
PARAMETERS = {
    'confidence_threshold': 0.6,
    'max_depth': 1.9,
    'points_confidence': True,
    'clearing_decimation': 1,
}


def inputs(scene: PlaneScene, seconds: float) -> dict[str, Any]:
    """Return the messages of a pair by topic, as `Rig.publish` sends them."""
    left, right = scene.images()
    at = stamp(seconds)
    made = (
        image_message(left, at),
        image_message(right, at),
        camera_info(scene, at),
        camera_info(scene, at, right=True),
    )
    return dict(zip(INPUTS, made, strict=True))


def with_zeros(data: bytes, name: str) -> bytes:
    """Return a message with zeros between its fields, where DDS leaves what lay in memory."""
    types = message_types()
    kind = OUTPUT_TOPICS[name].type_name
    return bytes(types.serialize_cdr(types.deserialize_cdr(data, kind), kind))


def recorded(folder: Path, stamps: list[float]) -> Path:
    """Write a recording of one pair of each scene, as `ros2 bag record` would."""
    with RecordingWriter(folder) as writer:
        for scene, seconds in zip(SCENES, stamps, strict=True):
            for topic, message in inputs(scene, seconds).items():
                writer.write(f'/{topic}', serialized(message), round(seconds * 1e9))
    return folder


def process(recording: Path, output: Path, backend: list[str]) -> dict[tuple[str, int], bytes]:
    """Return what the command writes of a recording, by topic and time."""
    options = [
        f'--{name.replace("_", "-")}={v}' for name, v in PARAMETERS.items() if v is not True
    ]
    options += [f'--{name.replace("_", "-")}' for name, v in PARAMETERS.items() if v is True]
    code = 'import sys; from s2m2_ros.cli.main import main; sys.exit(main())'
    command = [sys.executable, '-c', code, 'process', str(recording), '--output', str(output)]
    done = subprocess.run(
        [*command, '--outputs', 'all', *backend, *options],
        cwd=SOURCE, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (output / f'{recording.name}.mcap').open('rb') as file:
        return {
            (channel.topic.removeprefix('/'), message.log_time): message.data
            for _, channel, message in make_reader(file).iter_messages()
        }


@pytest.mark.parametrize(
    ('backend', 'parameters'),
    [(['--backend', 'sgbm'], ['backend:=sgbm']), (['--checkpoint', 'starter'], [])],
)
def test_every_output_is_that_of_the_node(
    tmp_path: Path, backend: list[str], parameters: list[str]
) -> None:
    parameters += [f'{name}:={str(value).lower()}' for name, value in PARAMETERS.items()]
    # Registered depth needs a camera beside the pair.
    made = {*OUTPUT_TOPICS} - REGISTERED
    topics = [name for name in OUTPUT_TOPICS if name in made and name in TYPES]
    published: dict[tuple[str, int], bytes] = {}
    with running_rig(*parameters) as rig:
        rig.open_cameras()
        heard = {topic: rig.listen(topic) for topic in topics}
        stamps = []
        for number, scene in enumerate(SCENES):
            start = 10.0 * (number + 1)

            def whole(start: float = start) -> list[int]:
                """Return the times of this scene's pairs of which every topic was heard."""
                each = [{stamp_ns(m.header) for m in messages} for messages in heard.values()]
                return sorted(t for t in set.intersection(*each) if t > start * 1e9)

            rig.publish_until(whole, 'all outputs of a pair', scene, start=start)
            time_ns = whole()[0]
            stamps.append(time_ns / 1e9)
            for topic, messages in heard.items():
                (found,) = (m for m in messages if stamp_ns(m.header) == time_ns)
                published[topic, time_ns] = serialize_message(found)

    written = process(recorded(tmp_path / 'bag', stamps), tmp_path / 'out', backend)
    assert {topic for topic, _ in written} == made
    for (topic, time_ns), data in published.items():
        assert written[topic, time_ns] == with_zeros(data, topic), topic
