"""The clouds of several cameras in one: rounds of cameras, and records in another layout."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.geometry import CloudLayout, CloudOptions, RigidTransform
from s2m2_ros.node.outputs.merged_cloud import Rounds, merged_records

QUARTER_TURN = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def test_a_round_ends_with_the_last_of_the_cameras_of_the_round_before() -> None:
    rounds = Rounds[str]()
    assert rounds.add('a', 'a1') == []
    assert rounds.add('b', 'b1') == []
    assert rounds.add('a', 'a2') == [['a1', 'b1']]
    assert rounds.add('b', 'b2') == [['a2', 'b2']]
    assert rounds.add('b', 'b3') == []
    assert rounds.add('a', 'a3') == [['b3', 'a3']]


def test_a_camera_that_died_is_waited_for_once() -> None:
    rounds = Rounds[str]()
    for part in ('a1', 'b1', 'a2', 'b2'):
        ended = rounds.add(part[0], part)
    assert ended == [['a2', 'b2']]
    assert rounds.add('a', 'a3') == []
    # The round of a3 ends without b, and a alone is expected from then on.
    assert rounds.add('a', 'a4') == [['a3'], ['a4']]
    assert rounds.add('a', 'a5') == [['a5']]
    assert rounds.add('b', 'b3') == []
    assert rounds.add('a', 'a6') == [['b3', 'a6']]
    rounds.add('b', 'b4')
    rounds.forget('b')
    assert rounds.add('a', 'a7') == [['a7']]


@given(st.lists(st.sampled_from('abc'), max_size=60))
def test_every_part_is_in_one_round_at_most_one_part_late(cameras: list[str]) -> None:
    rounds = Rounds[tuple[str, int]]()
    published: list[tuple[str, int]] = []
    for number, camera in enumerate(cameras):
        for ended in rounds.add(camera, (camera, number)):
            assert len({one for one, _ in ended}) == len(ended)
            published += ended
        earlier = [(c, n) for n, c in enumerate(cameras[:number]) if c == camera]
        assert set(earlier) <= set(published)
    assert len(published) == len(set(published))


def test_records_are_transformed_and_unknown_points_left_out() -> None:
    layout = CloudLayout.of(CloudOptions(confidence=True))
    wanted = CloudLayout.of(CloudOptions(confidence=True, uncertainty=True, padded=True))
    records = np.full((2, 2, 5), np.nan, np.float32)
    records[0, 1] = [1.0, 2.0, 3.0, 0.25, 0.75]
    records[1, 0] = [4.0, 5.0, 6.0, 0.5, 1.0]
    turn = RigidTransform('base', QUARTER_TURN, (10.0, 20.0, 30.0))
    made = merged_records(records, layout, wanted, turn)
    columns = wanted.columns
    # (x, y) becomes (-y, x).
    np.testing.assert_array_equal(made[:, :3], [[8.0, 21.0, 33.0], [5.0, 24.0, 36.0]])
    np.testing.assert_array_equal(made[:, columns['rgb']], [0.25, 0.5])
    np.testing.assert_array_equal(made[:, columns['confidence']], [0.75, 1.0])
    assert np.isnan(made[:, columns['uncertainty']]).all()
    plain = merged_records(records, layout, CloudLayout.of(CloudOptions(color='none')), None)
    np.testing.assert_array_equal(plain, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
