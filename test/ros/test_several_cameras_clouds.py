"""Three cameras of different sizes, rates and scenes over real DDS, and their clouds in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from sensor_msgs_py.point_cloud2 import read_points
from std_srvs.srv import SetBool
from tf2_ros import StaticTransformBroadcaster

from support.several_cameras import CameraRig, Fleet, running_fleet
from support.stereo_rig import COMMAND
from support.stereo_scene import FRAME, PlaneScene, camera_info, image_message, stamp


@dataclass(frozen=True)
class Planted:
    """A plane at a disparity, hence at 24 / disparity meters; sent once in `every` rounds."""

    scene: PlaneScene
    every: int

    @property
    def depth(self) -> float:
        return 24.0 / self.scene.a


def plane(disparity: float, width: int, height: int) -> PlaneScene:
    return PlaneScene(disparity, 0.0, 0.0, width, height)


PLANTED = {
    'front': Planted(plane(12.0, 320, 240), 1),
    'rear': Planted(plane(20.0, 320, 240), 2),
    'left_arm': Planted(plane(30.0, 352, 256), 3),
}
ROUNDS = 12
# Where the cameras stand: apart from each other along the y axis of the robot.
PLACES = {'front': 0.0, 'rear': 100.0, 'left_arm': 200.0}
AHEAD = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture(scope='module')
def fleet() -> Iterator[Fleet]:
    # A busy machine may take long between two messages that are sent one after the other.
    parameters = (
        'backend:=sgbm', 'merged_points:=base_link', 'batch_wait:=0.01', 'merged_wait:=10.0',
        'merged_slop:=0.05',
    )  # fmt: skip
    with running_fleet(*PLANTED, parameters=parameters, command=COMMAND) as made:
        for rig in made.rigs.values():
            rig.open_cameras()
        yield made


def send(rig: CameraRig, at: float) -> None:
    """Publish the planted pair, in a frame that has the camera's name."""
    scene = PLANTED[rig.name].scene
    left, right = scene.images(seed=len(rig.name))
    messages = {
        'left/image_rect': image_message(left, stamp(at)),
        'right/image_rect': image_message(right, stamp(at)),
        'left/camera_info': camera_info(scene, stamp(at)),
        'right/camera_info': camera_info(scene, stamp(at), right=True),
    }
    for topic, message in messages.items():
        message.header.frame_id = f'{rig.name}_{FRAME}'
        rig.cameras[topic].publish(message)


def seconds(message: Any) -> float:
    return float(message.header.stamp.sec + message.header.stamp.nanosec / 1e9)


def hear_from_all(fleet: Fleet, heard: dict[str, list[Any]], start: float) -> float:
    at = start
    while not all(heard.values()):
        at = round(at + 0.1, 3)
        for rig in fleet.rigs.values():
            send(rig, at)
        fleet.spin(0.1)
    fleet.settle()
    for messages in heard.values():
        messages.clear()
    return at


def median(message: Any) -> float:
    values = np.frombuffer(message.image.data, np.float32)
    return float(np.median(values[values >= 0]))


def test_answers_of_different_rates_and_sizes_never_mix(fleet: Fleet) -> None:
    heard = {name: rig.listen('disparity') for name, rig in fleet.rigs.items()}
    at = hear_from_all(fleet, heard, 10.0)
    before = {name: rig.values('outputs') for name, rig in fleet.rigs.items()}
    received = {name: rig.count('pairs received') for name, rig in fleet.rigs.items()}
    sent: dict[str, list[float]] = {name: [] for name in PLANTED}
    for number in range(1, ROUNDS + 1):
        for name, planted in PLANTED.items():
            if number % planted.every == 0:
                sent[name].append(at + number)
                send(fleet[name], at + number)
        newest = {name: times[-1] for name, times in sent.items() if times}
        # Each round ends with the answers to the newest pairs: none waits for another camera.
        for name, time in newest.items():
            rig = fleet[name]
            rig.until(
                lambda h=heard[name], t=time: bool(h) and seconds(h[-1]) == t,  # type: ignore[misc]
                f'{name} at {time}',
            )
    fleet.settle()
    for name, planted in PLANTED.items():
        messages, rig = heard[name], fleet[name]
        assert [seconds(message) for message in messages] == sent[name], name
        assert {m.header.frame_id for m in messages} == {f'{name}_{FRAME}'}
        sizes = {(m.image.width, m.image.height) for m in messages}
        assert sizes == {(planted.scene.width, planted.scene.height)}
        assert [median(message) for message in messages] == pytest.approx(
            [planted.scene.a] * len(messages), abs=0.2
        )
        assert rig.count('pairs received') - received[name] == ROUNDS // planted.every
        done = int(rig.values('outputs')['pairs processed']) - int(before[name]['pairs processed'])
        assert done == len(sent[name])
    for rig in fleet.rigs.values():
        rig.mute()


def test_clouds_in_one_frame_beside_those_of_each_camera(fleet: Fleet) -> None:
    merged: list[Any] = []
    quality = QoSProfile(depth=50)
    fleet.node.node.create_subscription(PointCloud2, 'merged_points', merged.append, quality)
    broadcaster = StaticTransformBroadcaster(fleet.node.node)
    broadcaster.sendTransform([place(name) for name in PLACES if name != 'rear'])
    rear = fleet['rear']
    at = 1000.0

    def publish() -> bool:
        nonlocal at
        at = round(at + 0.1, 3)
        for rig in fleet.rigs.values():
            send(rig, at)
        status = rear.statuses.get('outputs')
        return bool(status and status.level == b'\1')

    # Without its transform a camera is left out, and says so; the others are there.
    rear.until(publish, 'a report of the missing transform')
    text = rear.statuses['outputs'].message
    assert f"rear in merged_points: no transform from 'rear_{FRAME}' to 'base_link'" in text
    fleet.node.until(lambda: merged, 'a cloud of the others')
    assert seen(merged[-1]) <= {'front', 'left_arm'}
    assert {fleet[name].statuses['outputs'].level for name in ('front', 'left_arm')} == {b'\0'}

    broadcaster.sendTransform(place('rear'))
    merged.clear()
    rear.until(
        lambda: (publish() and False) or any(len(seen(m)) == 3 for m in merged), 'all three'
    )
    cloud = next(m for m in merged if len(seen(m)) == 3)
    assert cloud.header.frame_id == 'base_link'
    assert cloud.is_dense
    assert [field.name for field in cloud.fields] == ['x', 'y', 'z', 'rgb']
    for name, planted in PLANTED.items():
        ahead = points_of(cloud, name)['x']
        assert len(ahead) > 10_000
        assert float(np.median(ahead)) == pytest.approx(planted.depth, abs=0.02)
    # Nobody asked for the cloud of a camera alone.
    assert 'points' not in rear.values('outputs')['topics with subscribers'].split()
    alone = rear.listen('points')
    rear.until(lambda: (publish(), alone)[1], 'its own cloud')
    assert alone[-1].header.frame_id == f'rear_{FRAME}'


class Rounds:
    """Sends pairs of two cameras, whose timestamps are a second apart from time to time."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.at = 2000.0
        self.merged: list[Any] = []
        fleet.node.node.create_subscription(
            PointCloud2, 'merged_points', self.merged.append, QoSProfile(depth=50)
        )

    def send(self, *names: str) -> bool:
        """Send the next pair of each, once that of the one before has arrived; return False."""
        self.at += 1
        self.fleet.settle()
        counts = {name: self.fleet.matched(name) + 1 for name in names}
        for name, count in counts.items():
            rig = self.fleet[name]
            rig.until(lambda r=rig: all(map(reaches, r.cameras.values())), 'the subscriptions')  # type: ignore[misc]
            send(rig, self.at)
            self.fleet.wait_matched(**{name: count})
        return False

    def clouds(self, *names: str) -> list[set[str]]:
        """Return which cameras are in each message of this moment, once all of them are."""

        def parts() -> list[set[str]]:
            return [seen(m) for m in self.merged if seconds(m) == self.at]

        self.fleet.node.until(
            lambda: set().union(*parts()) == {*names}, f'{names} at {self.at}', timeout=60
        )
        return parts()

    def together(self, *names: str) -> int:
        """Send until the cameras are in one message; return how many rounds that took."""
        for count in range(1, 30):
            self.send(*names)
            if self.clouds(*names) == [{*names}]:
                return count
        raise AssertionError('never in one message')


def reaches(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())


def test_after_a_pause_the_clouds_of_one_instant_are_in_one_message_again(fleet: Fleet) -> None:
    """The former rule put the cloud of one instant beside that of the next, for ever."""
    front = fleet['front']
    broadcaster = StaticTransformBroadcaster(fleet.node.node)
    broadcaster.sendTransform([place(name) for name in PLACES])
    rounds = Rounds(fleet)
    rounds.together('front', 'rear')
    assert fleet.node.call(SetBool, 'front/enable', SetBool.Request(data=False)).success
    front.wait_for_status('outputs', 0, 'paused')
    for _ in range(3):
        rounds.send('rear')
        assert rounds.clouds('rear') == [{'rear'}]
    assert fleet.node.call(SetBool, 'front/enable', SetBool.Request(data=True)).success
    # It must be there twice, so that its period is known.
    assert rounds.together('rear', 'front') <= 5
    for _ in range(3):
        assert rounds.together('rear', 'front') == 1


def test_a_camera_that_is_silent_is_left_out_and_says_so(fleet: Fleet) -> None:
    front, rear = fleet['front'], fleet['rear']
    rounds = Rounds(fleet)
    rounds.at = 3000.0
    rounds.together('front', 'rear')

    def level() -> bytes:
        status = front.statuses.get('outputs')
        return status.level if status else b'\0'

    front.until(lambda: rounds.send('rear') or level() == b'\1', 'a report')
    text = front.statuses['outputs'].message
    assert 'front in merged_points: no cloud for more than' in text
    assert 'the others are merged without it' in text
    assert rear.statuses['outputs'].level == b'\0'
    rounds.clouds('rear')
    front.until(lambda: rounds.send('front', 'rear') or level() == b'\0', 'its recovery')


def place(name: str) -> TransformStamped:
    made = TransformStamped(child_frame_id=f'{name}_{FRAME}')
    made.header.frame_id = 'base_link'
    made.transform.translation.y = PLACES[name]
    q = made.transform.rotation
    q.x, q.y, q.z, q.w = AHEAD
    return made


def points_of(cloud: Any, name: str) -> Any:
    points = read_points(cloud, ('x', 'y', 'z'))
    return points[np.abs(points['y'] - PLACES[name]) < 50]


def seen(cloud: Any) -> set[str]:
    return {name for name in PLACES if len(points_of(cloud, name))}
