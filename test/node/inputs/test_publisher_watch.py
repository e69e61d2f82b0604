"""Of several publishers on one image topic one camera is used, and never half of each."""

from __future__ import annotations

import itertools

import pytest

from s2m2_ros.node.inputs.endpoints import UNNAMED, Endpoint
from s2m2_ros.node.inputs.publisher_watch import ACTIVE, ESTABLISHED, PublisherWatch

LEFT, RIGHT = 0, 1
IMAGE = 'sensor_msgs/msg/Image'
PERIOD = 0.1


def endpoint(process: str, node: str, entity: str) -> Endpoint:
    """Return a publisher of a node in a process; two letters each."""
    gid = process.encode().ljust(12, b'\0') + entity.encode().ljust(4, b'\0')
    name = node if node == UNNAMED else f'/{node}'
    return Endpoint(name, IMAGE, gid, reliable=True, transient_local=False)


FIRST = endpoint('p1', 'driver', 'l'), endpoint('p1', 'driver', 'r')
SECOND = endpoint('p2', 'driver', 'l'), endpoint('p2', 'driver', 'r')
# Nodes of their own for each eye.
LONE = endpoint('p3', 'left_driver', 'l'), endpoint('p4', 'right_driver', 'r')
RIVAL = endpoint('p5', 'left_driver', 'l'), endpoint('p6', 'right_driver', 'r')


class Bench:
    def __init__(self) -> None:
        self.watch = PublisherWatch()
        self.now = 100.0

    def publishers(self, *cameras: tuple[Endpoint, Endpoint]) -> None:
        for eye, name in ((LEFT, '/left'), (RIGHT, '/right')):
            self.watch.follow(eye, name, [camera[eye] for camera in cameras], self.now)

    def admitted(self, *senders: Endpoint, seconds: float = 1.0) -> set[bytes]:
        """Let each send an image each period; return whose were used, the start left out."""
        used: set[bytes] = set()
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            used = {s.gid for s in senders if self.send(s)[0]}
        return used

    def send(self, sender: Endpoint) -> tuple[bool, bool]:
        eye = LEFT if sender.gid[12:13] == b'l' else RIGHT
        return self.watch.admit(eye, sender.gid, self.now)


def gids(*endpoints: Endpoint) -> set[bytes]:
    return {e.gid for e in endpoints}


@pytest.mark.parametrize('camera', [FIRST, LONE], ids=['one node', 'two nodes'])
def test_a_single_camera_is_used_from_its_first_image_on(
    camera: tuple[Endpoint, Endpoint],
) -> None:
    bench = Bench()
    bench.publishers(camera)
    assert bench.send(camera[LEFT]) == (True, False)
    assert bench.send(camera[RIGHT]) == (True, False)
    assert bench.watch.explain() is None


def test_the_camera_in_use_stays_in_use() -> None:
    bench = Bench()
    bench.publishers(SECOND)
    assert bench.admitted(*SECOND) == gids(*SECOND)
    bench.publishers(FIRST, SECOND)
    assert bench.admitted(*FIRST, *SECOND) == gids(*SECOND)
    text = bench.watch.explain()
    assert text is not None
    assert '/left has 2 publishers (/driver, /driver)' in text
    assert 'only the images of /driver are used' in text


def test_of_two_cameras_that_start_together_one_is_used() -> None:
    bench = Bench()
    bench.publishers(FIRST, SECOND)
    for order in itertools.permutations([*FIRST, *SECOND]):
        assert bench.admitted(*order, seconds=0.2) == gids(*FIRST)


def test_never_is_one_eye_of_each_used() -> None:
    """Whichever images come first, and whatever is lost."""
    for lost in itertools.product([True, False], repeat=4):
        bench = Bench()
        bench.publishers(FIRST, SECOND)
        senders = [s for s, gone in zip([*FIRST, *SECOND], lost, strict=True) if not gone]
        used = bench.admitted(*senders, seconds=5.0)
        assert used <= gids(*FIRST) or used <= gids(*SECOND)


def test_a_publisher_that_sends_nothing_does_not_count_for_long() -> None:
    bench = Bench()
    bench.publishers(LONE, RIVAL)
    assert not bench.admitted(*LONE, seconds=ESTABLISHED - 0.5)
    assert bench.watch.is_ambiguous
    assert bench.admitted(*LONE, seconds=1.0) == gids(*LONE)
    assert bench.watch.explain() is None


def test_eyes_are_not_mixed_while_the_others_still_start() -> None:
    """Of each camera one eye takes some seconds longer until its first image."""
    bench = Bench()
    bench.publishers(LONE, RIVAL)
    assert not bench.admitted(LONE[LEFT], RIVAL[RIGHT], seconds=2 * ACTIVE)
    assert not bench.admitted(*LONE, *RIVAL, seconds=5.0)


def test_a_sender_that_the_graph_has_not_named_is_not_used() -> None:
    bench = Bench()
    bench.publishers(LONE, RIVAL)
    stranger = endpoint('p7', 'left_driver', 'l'), endpoint('p8', 'right_driver', 'r')
    assert not bench.admitted(*stranger, seconds=2 * ESTABLISHED)


def test_eyes_that_nothing_assigns_are_refused() -> None:
    bench = Bench()
    bench.publishers(LONE, RIVAL)
    assert not bench.admitted(*LONE, *RIVAL, seconds=5.0)
    text = bench.watch.explain()
    assert text is not None
    assert 'no pairs are made' in text
    # Also while of each eye another one is lost for some time.
    assert not bench.admitted(LONE[LEFT], RIVAL[RIGHT], seconds=ESTABLISHED - 1)


def test_eyes_of_two_nodes_that_were_alone_for_long_stay_together() -> None:
    bench = Bench()
    bench.publishers(LONE)
    bench.admitted(*LONE, seconds=ESTABLISHED + 1)
    bench.publishers(LONE, RIVAL)
    assert bench.admitted(*LONE, *RIVAL, seconds=5.0) == gids(*LONE)


def test_after_the_end_of_one_camera_the_other_takes_over_with_empty_queues() -> None:
    bench = Bench()
    bench.publishers(FIRST, SECOND)
    assert bench.admitted(*FIRST, *SECOND) == gids(*FIRST)
    # FIRST is silent from here on, in the graph it stays.
    assert not bench.admitted(*SECOND, seconds=ACTIVE - 2 * PERIOD)
    bench.now += 3 * PERIOD
    answers = [bench.send(sender) for _ in range(3) for sender in SECOND]
    assert [used for used, _ in answers] == [True] * 6
    assert [fresh for _, fresh in answers] == [True] * 2 + [False] * 4


def test_a_restarted_camera_is_used_at_once() -> None:
    """Its killed process stays in the graph until its lease runs out."""
    bench = Bench()
    bench.publishers(FIRST)
    bench.admitted(*FIRST)
    bench.now += ACTIVE
    bench.publishers(FIRST, SECOND)
    assert bench.admitted(*SECOND, seconds=2 * PERIOD) == gids(*SECOND)


def test_a_slow_camera_beside_an_idle_one_is_used() -> None:
    bench = Bench()
    bench.publishers(FIRST, SECOND)
    for _ in range(5):
        bench.now += 2 * ACTIVE
        assert bench.send(SECOND[LEFT])[0]
        assert bench.send(SECOND[RIGHT])[0]


def test_nodes_of_one_process_are_told_apart_once_they_are_named() -> None:
    """The graph knows publishers before the names of their nodes."""
    bench = Bench()
    bench.publishers(FIRST)
    assert bench.admitted(*FIRST, seconds=2 * ESTABLISHED) == gids(*FIRST)
    eyes = [
        (endpoint(process, left, 'l'), endpoint(process, right, 'r'))
        for left, right in ((UNNAMED, UNNAMED), ('left_driver', 'right_driver'))
        for process in ('p7', 'p8')
    ]
    unnamed, named = eyes[:2], eyes[2:]
    bench.publishers(*unnamed)
    assert not bench.admitted(*itertools.chain(*unnamed), seconds=5.0)
    bench.publishers(*named)
    assert not bench.admitted(*itertools.chain(*named), seconds=5.0)


def test_one_node_with_two_publishers_that_both_send_is_refused() -> None:
    bench = Bench()
    twice = endpoint('p1', 'driver', 'l2'), endpoint('p1', 'driver', 'r2')
    bench.publishers(FIRST, twice)
    assert not bench.admitted(*FIRST, *twice)
    assert bench.watch.is_ambiguous


def test_without_identifiers_two_cameras_are_refused() -> None:
    bench = Bench()
    bench.publishers(FIRST)
    assert bench.watch.admit(LEFT, None, bench.now)[0]
    bench.publishers(FIRST, SECOND)
    bench.now += 2 * ESTABLISHED
    assert not bench.watch.admit(LEFT, None, bench.now)[0]
    assert bench.watch.is_ambiguous
    bench.publishers(SECOND)
    assert bench.watch.admit(LEFT, None, bench.now)[0]
