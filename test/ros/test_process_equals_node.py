"""`s2m2 process` writes the bytes that the node publishes of the same pairs over DDS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.recording_writer import RecordingWriter
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, REGISTERED
from s2m2_ros.messages.plain_messages import message_types
from s2m2_ros.node.outputs.topic_types import TYPES
from s2m2_ros.player.ros_serialization import serialized
from support.color_rig import (
    HEIGHT,
    STRAIGHT,
    WIDTH,
    ColorRig,
    color_image,
    color_info,
    color_pose,
)
from support.processes import SOURCE
from support.stereo_rig import Rig, pair_messages, running_rig
from support.stereo_scene import PlaneScene

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
    return pair_messages(scene, seconds, scene.images())


def with_zeros(data: bytes, name: str) -> bytes:
    """Return a message with zeros between its fields, where DDS leaves what lay in memory."""
    types = message_types()
    kind = OUTPUT_TOPICS[name].type_name
    return bytes(types.serialize_cdr(types.deserialize_cdr(data, kind), kind))


def recorded(
    folder: Path, stamps: list[float], others: Sequence[tuple[str, Any, float]] = ()
) -> Path:
    """Write a recording of one pair of each scene, as `ros2 bag record` would.

    ``others`` are more messages with their times.
    """
    pairs = [
        (f'/{topic}', message, seconds)
        for scene, seconds in zip(SCENES, stamps, strict=True)
        for topic, message in inputs(scene, seconds).items()
    ]
    with RecordingWriter(folder) as writer:
        for topic, message, seconds in sorted([*others, *pairs], key=itemgetter(2)):
            writer.write(topic, serialized(message), round(seconds * 1e9))
    return folder


def process(recording: Path, output: Path, options: Sequence[str]) -> dict[tuple[str, int], bytes]:
    """Return what the command writes of a recording, by topic and time."""
    code = 'import sys; from s2m2_ros.cli.main import main; sys.exit(main())'
    command = [sys.executable, '-c', code, 'process', str(recording), '--output', str(output)]
    done = subprocess.run(
        [*command, *options],
        cwd=SOURCE, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (output / f'{recording.name}.mcap').open('rb') as file:
        return {
            (channel.topic.removeprefix('/'), message.log_time): message.data
            for _, channel, message in make_reader(file).iter_messages()
        }


def of_command(parameters: Mapping[str, Any]) -> list[str]:
    """Return parameters of the node as options of the command."""
    named = {f'--{name.replace("_", "-")}': value for name, value in parameters.items()}
    return [name if value is True else f'{name}={value}' for name, value in named.items()]


class Heard:
    """What a node publishes of one pair of each scene."""

    def __init__(self, rig: Rig, topics: Sequence[str]) -> None:
        self._messages = {topic: rig.listen(topic) for topic in topics}
        self.stamps: list[float] = []
        self.published: dict[tuple[str, int], bytes] = {}

    def collect(self, publish_until: Callable[..., Any]) -> None:
        """Publish each scene until every topic was heard of one of its pairs."""
        for number, scene in enumerate(SCENES):
            # Far apart: until the node hears the first pair, many may be published.
            start = 1000.0 * (number + 1)

            def whole(start: float = start) -> list[int]:
                """Return the times of this scene's pairs of which every topic was heard."""
                each = [{stamp_ns(m.header) for m in ms} for ms in self._messages.values()]
                return sorted(t for t in set.intersection(*each) if t > start * 1e9)

            publish_until(whole, 'all outputs of a pair', scene, start=start)
            time_ns = whole()[0]
            self.stamps.append(time_ns / 1e9)
            for topic, messages in self._messages.items():
                (found,) = (m for m in messages if stamp_ns(m.header) == time_ns)
                self.published[topic, time_ns] = serialize_message(found)

    def has_colors(self) -> bool:
        """Return whether the last cloud has the colors of `color_pixels`, whose blue is 9."""
        if not self._messages['points']:
            return False
        cloud = self._messages['points'][-1]
        (rgb,) = (field for field in cloud.fields if field.name == 'rgb')
        points = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
        return bool((points[:, rgb.offset] == 9).mean() > 0.5)

    def require(self, written: Mapping[tuple[str, int], bytes]) -> None:
        """Require the same bytes, but for those between fields."""
        for (topic, time_ns), data in self.published.items():
            assert written[topic, time_ns] == with_zeros(data, topic), topic


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
    with running_rig(*parameters) as rig:
        rig.open_cameras()
        heard = Heard(rig, [name for name in OUTPUT_TOPICS if name in made and name in TYPES])
        heard.collect(rig.publish_until)

    options = ['--outputs', 'all', *backend, *of_command(PARAMETERS)]
    written = process(recorded(tmp_path / 'bag', heard.stamps), tmp_path / 'out', options)
    assert {topic for topic, _ in written} == made
    heard.require(written)


@pytest.mark.parametrize(
    ('turned', 'lens'), [(0.0, STRAIGHT), (5.0, (-0.2, 0.05, 0.001, 0.0, 0.0))]
)
def test_depth_registered_to_a_color_camera_is_that_of_the_node(
    tmp_path: Path, turned: float, lens: Sequence[float]
) -> None:
    """Beside the pair, then turned against it with a lens; with the cloud in its colors.

    The topic's name says that the images are rectified, so that P counts, not K and D.
    """
    topics = ('registered/depth', 'registered/camera_info', 'points')
    parameters = {'points_color_source': 'color', 'color_slop': 0.02}
    with running_rig('backend:=sgbm', *(f'{n}:={v}' for n, v in parameters.items())) as rig:
        rig.open_cameras()
        color = ColorRig(rig, lens)
        color.place(turned=turned)
        heard = Heard(rig, topics)
        # Until the node has a color image, its clouds have the left camera's gray.
        color.publish_until(heard.has_colors, 'a cloud in colors', start=1.0)
        heard.collect(color.publish_until)

    start = heard.stamps[0]
    others: list[tuple[str, Any, float]] = [
        ('/tf_static', TFMessage(transforms=[color_pose(turned)]), start),
        ('/color/camera_info', color_info(start, lens), start),
        *(('/color/image_rect', color_image(at), at) for at in heard.stamps),
    ]
    written = process(
        recorded(tmp_path / 'bag', heard.stamps, others), tmp_path / 'out',
        ['--backend', 'sgbm', '--color-info', '/color/camera_info', '--outputs', *topics,
         *of_command(parameters)],
    )  # fmt: skip
    assert {topic for topic, _ in written} == set(topics)
    for time_ns in {time_ns for _, time_ns in heard.published}:
        depth = message_types().deserialize_cdr(
            written['registered/depth', time_ns], 'sensor_msgs/msg/Image'
        )
        assert (depth.width, depth.height) == (WIDTH, HEIGHT)
        assert np.isfinite(depth.data.view(np.float32)).mean() > 0.3
    heard.require(written)
