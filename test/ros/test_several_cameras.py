"""Several cameras in one node over real DDS: who is matched with whom, in which order."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from std_srvs.srv import SetBool

from support.several_cameras import Fleet, running_fleet
from support.stereo_scene import PlaneScene, camera_info, stamp

OTHER_SIZE = PlaneScene(width=352, height=256)
SCENES = {'left_arm': OTHER_SIZE}
STARTS = itertools.count(1000, 1000)
OK, WARN, ERROR = range(3)
# Seconds that a busy machine may take for what is done at once.
BUSY = 20.0


@pytest.fixture(scope='module')
def fleet() -> Iterator[Fleet]:
    parameters = ('backend:=device', 'calibration_check_period:=0.0', 'sync_timeout:=1.0')
    with running_fleet('front', 'rear', 'left_arm', parameters=parameters) as made:
        yield made


@pytest.fixture
def at(fleet: Fleet) -> float:
    """Return the time from which on all cameras are connected and idle; later for each test."""
    return fleet.connect(float(next(STARTS)), **SCENES)


def block(fleet: Fleet, at: float) -> None:
    """Occupy the matcher with a pair of the other size."""
    fleet['left_arm'].send_code(200, at, OTHER_SIZE)
    assert fleet.begun() == [200]


def wait_answers(fleet: Fleet, **codes: list[int]) -> None:
    for name, expected in codes.items():
        rig = fleet[name]
        rig.until(lambda r=rig, e=expected: len(r.disparities) >= len(e), f'{name}: {expected}')  # type: ignore[misc]
    fleet.settle()
    assert {name: fleet[name].codes() for name in codes} == codes


def test_pairs_of_one_size_that_wait_are_matched_at_once(fleet: Fleet, at: float) -> None:
    matched = {name: fleet.matched(name) for name in fleet.rigs}
    block(fleet, at + 1)
    fleet['rear'].send_code(160, at + 1, encoding='rgb8')
    fleet.wait_matched(rear=matched['rear'] + 1)
    fleet['front'].send_code(170, at + 1)
    fleet.wait_matched(front=matched['front'] + 1)
    fleet['left_arm'].send_code(201, at + 2, OTHER_SIZE)
    fleet.wait_matched(left_arm=matched['left_arm'] + 2)
    fleet.answer()
    # Their encodings differ; one comes in the turn of the other.
    assert fleet.begun() == [160, 170]
    fleet.answer()
    assert fleet.begun() == [201]
    fleet.answer()
    wait_answers(fleet, front=[170], rear=[160], left_arm=[200, 201])
    for name, rig in fleet.rigs.items():
        assert rig.disparities[0].header.stamp == stamp(at + 1), name


def test_each_keeps_its_newest_pair_and_counts_its_own_drops(fleet: Fleet, at: float) -> None:
    matched = {name: fleet.matched(name) for name in fleet.rigs}
    dropped = {name: rig.count('dropped: superseded') for name, rig in fleet.rigs.items()}
    block(fleet, at + 1)
    for number in range(5):
        fleet['front'].send_code(170 + number, at + 2 + number)
        fleet.wait_matched(front=matched['front'] + 1 + number)
    fleet['rear'].send_code(160, at + 2)
    fleet.wait_matched(rear=matched['rear'] + 1)
    fleet.answer()
    assert fleet.begun() == [174, 160]
    fleet.answer()
    wait_answers(fleet, front=[174], rear=[160], left_arm=[200])
    found = {name: rig.count('dropped: superseded') for name, rig in fleet.rigs.items()}
    assert found == {**dropped, 'front': dropped['front'] + 4}


def test_a_flood_delays_the_others_by_one_inference(fleet: Fleet, at: float) -> None:
    """While a camera floods, one inference at most lies between a pair's arrival and its own."""
    front, arm = fleet['front'], fleet['left_arm']
    count, arm_count = fleet.matched('front') + 1, fleet.matched('left_arm')
    front.send_code(170, at + 1)
    assert fleet.begun() == [170]
    for number in range(4):
        # The flood: two new pairs of the front camera while each one is matched.
        for more in range(2):
            count += 1
            front.send_code(171 + 2 * number + more, at + 2 + 2 * number + more)
            fleet.wait_matched(front=count)
        arm_count += 1
        arm.send_code(210 + number, at + 2 + number, OTHER_SIZE)
        fleet.wait_matched(left_arm=arm_count)
        fleet.answer()
        # The newest of the front camera, whose turn came first, and then at once the other.
        assert fleet.begun() == [172 + 2 * number]
        fleet.answer()
        assert fleet.begun() == [210 + number]
    fleet.answer()
    wait_answers(fleet, left_arm=[210, 211, 212, 213], front=[170, 172, 174, 176, 178])


def test_a_batch_without_memory_is_matched_pair_by_pair(fleet: Fleet, at: float) -> None:
    matched = {name: fleet.matched(name) for name in fleet.rigs}
    for number in range(2):
        block(fleet, at + 1 + number)
        for name, code in (('front', 170), ('rear', 160)):
            fleet[name].send_code(code + number, at + 1 + number)
            fleet.wait_matched(**{name: matched[name] + 1 + number})
        fleet.answer()
        if not number:
            assert fleet.begun() == [170, 160]
            fleet.answer('CUDA out of memory')
        # The second time it is not tried again.
        assert fleet.begun() == [170 + number]
        fleet.answer()
        assert fleet.begun() == [160 + number]
        fleet.answer()
    wait_answers(fleet, front=[170, 171], rear=[160, 161], left_arm=[200, 200])
    assert {rig.statuses['matching'].level for rig in fleet.rigs.values()} == {b'\0'}


def test_a_pair_that_fails_harms_no_other(fleet: Fleet, at: float) -> None:
    matched, failed = fleet.matched('rear'), fleet['front'].count('dropped: matching failed')
    fleet['front'].send_code(170, at + 1)
    assert fleet.begun() == [170]
    fleet['rear'].send_code(160, at + 1)
    fleet.wait_matched(rear=matched + 1)
    fleet.answer('it burns')
    assert fleet.begun() == [160]
    fleet.answer()
    wait_answers(fleet, front=[], rear=[160])
    assert fleet['front'].count('dropped: matching failed') == failed + 1
    status = fleet['front'].wait_for_status('matching', ERROR, 'it burns')
    assert 'failed on 1 pair(s) in a row' in status.message
    assert fleet['rear'].statuses['matching'].level == b'\0'
    fleet['front'].send_code(171, at + 2)
    assert fleet.begun() == [171]
    fleet.answer()
    fleet['front'].wait_for_status('matching', OK)


def test_a_bad_calibration_harms_no_other(fleet: Fleet, at: float) -> None:
    rear = fleet['rear']
    invalid = rear.count('dropped: invalid input')
    rear.publish(PlaneScene(), at + 1, right_camera_info=camera_info(PlaneScene(), stamp(0)))
    rear.wait_for_status('inputs', ERROR, 'P[3] = 0')
    fleet['front'].send_code(20, at + 1)
    fleet['left_arm'].send_code(21, at + 1, OTHER_SIZE)
    wait_answers(fleet, front=[20], rear=[], left_arm=[21])
    assert rear.count('dropped: invalid input') == invalid + 1
    rear.send_code(22, at + 2)
    rear.wait_for_status('inputs', OK)


def test_a_dead_camera_is_reported_and_the_others_go_on(fleet: Fleet, at: float) -> None:
    numbers = iter(range(1, 10_000))

    def told() -> bool:
        later = at + next(numbers)
        fleet['front'].send_code(20, later)
        fleet['left_arm'].send_code(21, later, OTHER_SIZE)
        status = fleet['rear'].statuses.get('inputs')
        return bool(status and status.level == b'\1' and 'no pairs' in status.message)

    fleet['rear'].until(told, 'a report of silence')
    for name, code in (('front', 20), ('left_arm', 21)):
        assert set(fleet[name].codes()) == {code}
        assert fleet[name].statuses['inputs'].level == b'\0', fleet[name].statuses['inputs']


def test_each_is_paused_by_itself_and_all_together(fleet: Fleet, at: float) -> None:
    def enable(name: str, wanted: bool) -> Any:
        answer = fleet.node.call(SetBool, name, SetBool.Request(data=wanted))
        return answer.success, answer.message

    assert enable('rear/enable', False) == (True, 'paused')
    fleet['rear'].wait_for_status('outputs', OK, 'paused')
    fleet['rear'].until(fleet['rear'].disconnected, 'the end of the subscriptions')
    fleet['front'].send_code(20, at + 1)
    wait_answers(fleet, front=[20], rear=[])
    assert enable('enable', False) == (True, 'paused')
    fleet['front'].wait_for_status('outputs', OK, 'paused')
    assert enable('enable', True) == (True, 'enabled')
    fleet.connect(at + 100, **SCENES)


def test_parameters_of_a_camera_and_of_the_node(fleet: Fleet, at: float) -> None:
    """A depth is 240 * 0.1 / (code - 4) meters: 20 is 1.5 m away."""

    def depths() -> dict[str, bool]:
        """Return which cameras see something within their limits."""
        nonlocal at
        at += 1
        found = {}
        for name, rig in fleet.rigs.items():
            heard: list[Any] = []
            subscription = rig.subscribe('depth', heard.append)
            scene = SCENES.get(name, PlaneScene())
            while not heard:
                at = round(at + 0.1, 3)
                rig.send_code(20, at, scene)
                fleet.spin(0.1)
            rig.node.destroy_subscription(subscription)
            found[name] = b'\x00\x00\xc0\x3f' in bytes(heard[-1].data)  # 1.5
        return found

    def change(**values: Any) -> list[Any]:
        named = {name.replace('__', '.'): value for name, value in values.items()}
        return fleet.node.set_parameters(**named)

    assert depths() == {'front': True, 'rear': True, 'left_arm': True}
    assert change(front__max_depth=1) == [(True, '')]
    assert depths() == {'front': False, 'rear': True, 'left_arm': True}
    # The node's counts where a camera has none.
    assert change(max_depth=1.2) == [(True, '')]
    assert change(rear__max_depth=5.0) == [(True, '')]
    assert depths() == {'front': False, 'rear': True, 'left_arm': False}
    assert fleet.node.get_parameters('front.max_depth', 'left_arm.max_depth') == [1, None]
    ((accepted, reason),) = change(min_depth=1.1)
    assert not accepted
    assert reason.startswith('camera front: max_depth = 1 m must be')
    ((accepted, reason),) = change(front__points_color='green')
    assert (accepted, reason.split(' must')[0]) == (False, "camera front: points_color = 'green'")
    # Removed: the node's counts again, and it can be set once more.
    for name in ('front', 'rear'):
        assert change(**{f'{name}__max_depth': None}) == [(True, '')]
    assert depths() == {'front': False, 'rear': False, 'left_arm': False}
    assert change(max_depth=0.0) == [(True, '')]
    assert depths() == {'front': True, 'rear': True, 'left_arm': True}
    assert change(front__max_depth=1.0) == [(True, '')]
    assert depths() == {'front': False, 'rear': True, 'left_arm': True}
    assert change(front__max_depth=0.0) == [(True, '')]


def test_without_subscribers_a_camera_is_not_received(fleet: Fleet, at: float) -> None:
    fleet['front'].mute()
    assert fleet['front'].disconnected()
    fleet['rear'].send_code(20, at + 1)
    wait_answers(fleet, rear=[20])
    fleet['front'].listen_disparity()
    fleet.connect(at + 100, **SCENES)


def test_a_pair_waits_for_that_of_another_camera_no_longer_than_batch_wait(
    fleet: Fleet, at: float
) -> None:
    front, rear = fleet['front'], fleet['rear']
    assert fleet.node.set_parameters(batch_wait=1.0) == [(True, '')]
    try:
        # Its period becomes known, and is short.
        for number in range(4):
            rear.send_code(20, at + 1 + number)
            rear.until(lambda n=number: len(rear.codes()) > n, 'an answer')  # type: ignore[misc]
        began = time.monotonic()
        front.send_code(21, at + 10)
        front.until(front.codes, 'an answer, though the other camera sent nothing')
        assert time.monotonic() - began < 1.0 + BUSY
        wait_answers(fleet, front=[21], rear=[20] * 4)
    finally:
        assert fleet.node.set_parameters(batch_wait=0.0) == [(True, '')]


def test_parameters_that_are_misspelt_are_answered_with_those_that_are_there(fleet: Fleet) -> None:
    def refused(**values: float) -> str:
        named = {name.replace('__', '.'): value for name, value in values.items()}
        ((accepted, reason),) = fleet.node.set_parameters(**named)
        assert not accepted
        return str(reason)

    assert refused(front__max_dept=3.0) == (
        "there is no parameter 'front.max_dept': did you mean 'front.max_depth'?"
    )
    assert refused(max_dept=3.0).endswith("did you mean 'max_depth'?")
    assert refused(fornt__max_depth=3.0) == (
        "there is no camera 'fornt' (cameras: front, rear, left_arm)"
    )
    assert 'one for all cameras' in refused(rear__max_batch=3)


def test_stats_alone_start_no_matching_as_with_one_camera(fleet: Fleet, at: float) -> None:
    front = fleet['front']
    front.mute()
    front.until(front.disconnected, 'the end of the subscriptions')
    stats = front.listen('stats')
    # The node has seen the subscriber of stats when it answers this one, of another camera.
    fleet['rear'].send_code(20, at + 1)
    wait_answers(fleet, rear=[20])
    front.wait_for_status('outputs', OK, 'subscribers, and stats alone start')
    assert front.disconnected()
    front.listen_disparity()
    at = fleet.connect(at + 100, **SCENES)
    front.until(lambda: stats, 'stats with an output')
    assert stats[-1].backend == 'device'
