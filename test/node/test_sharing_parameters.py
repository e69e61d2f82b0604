"""Names of cameras, and which parameters are whose."""

from __future__ import annotations

import pytest

from s2m2_ros.node.camera_settings import NODE_WIDE, PER_CAMERA, CameraSettings
from s2m2_ros.node.parameter_declaration import unknown_parameters, why_not_settable
from s2m2_ros.node.parameters import CONSTRAINTS, ParameterError, Settings
from s2m2_ros.node.sharing_parameters import MOST_CAMERAS, SHARING_CONSTRAINTS, Sharing

CAMERAS = ('front', 'rear')


def test_one_camera_without_a_name_is_usual() -> None:
    for given in ((), '', ('',), [], ['']):
        assert Sharing(cameras=given).is_plain  # type: ignore[arg-type]
    assert Sharing(cameras='front').cameras == ('front',)  # type: ignore[arg-type]
    assert not Sharing(cameras=('front',)).is_plain
    assert Sharing(cameras=['front', 'rear_2']).cameras == ('front', 'rear_2')  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('names', 'reason'),
    [
        (('front', 'front'), "'front' is given 2 times"),
        (('front', ''), "'' is not a name: it is empty"),
        (('front left',), 'use letters, digits and underscores'),
        (('front/left',), 'use letters'),
        (('front.left',), 'use letters'),
        (('front,rear',), 'use letters'),
        (('/front',), 'use letters'),
        (('~',), 'use letters'),
        (('2nd',), 'a letter first'),
        (('_front',), 'a letter first'),
        (('vorne_\u00e4',), 'use letters'),
        (('front\n',), 'use letters'),
        (('a__b',), 'no two underscores'),
        (('a_',), 'none at an end'),
        (('a' * 65,), 'longer than 64'),
        (('max_depth',), 'a parameter has this name'),
        (('cameras',), 'a parameter has this name'),
        (('qos_overrides',), 'a parameter has this name'),
        (('use_sim_time',), 'a parameter has this name'),
        (('queue_size',), 'a parameter has this name'),
        (tuple(f'c{n}' for n in range(MOST_CAMERAS + 1)), 'at most'),
        ((1, 2), 'must be of type string array'),
        (7, 'must be of type string array'),
    ],
)
def test_names_that_are_none_are_rejected(names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        Sharing(cameras=names)


def test_merged_points_needs_cameras_and_a_frame_that_can_be() -> None:
    assert Sharing(cameras=CAMERAS, merged_points='base_link').merged_points == 'base_link'
    with pytest.raises(ParameterError, match='needs cameras'):
        Sharing(merged_points='base_link')
    with pytest.raises(ParameterError, match='slash in front'):
        Sharing(cameras=CAMERAS, merged_points='/base_link')


def test_each_parameter_is_of_the_node_or_of_each_camera() -> None:
    assert {*NODE_WIDE, *PER_CAMERA} == set(CONSTRAINTS)
    assert {'checkpoint', 'backend', 'device', 'autostart'} <= set(NODE_WIDE)
    assert {'max_depth', 'mask_file', 'roi', 'max_width', 'points_frame'} <= set(PER_CAMERA)
    # What opens the matcher must be one for all.
    before, after = Settings(), Settings(max_depth=5.0, slop=5.0, max_rate=5.0)
    assert before.matcher_options() == after.matcher_options()


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('front.max_dept', "did you mean 'front.max_depth'"),
        ('rear.sync_queue_sice', "did you mean 'rear.sync_queue_size'"),
        ('front.nonsense', "no parameter 'front.nonsense'"),
        ('front.', "no parameter 'front.'"),
        ('front.front.max_depth', 'no parameter'),
        ('front.checkpoint', 'checkpoint is one for all cameras'),
        ('front.cameras', 'cameras is one for all cameras'),
        ('max_batsh', "did you mean 'max_batch'"),
        ('camera', "did you mean 'cameras'"),
    ],
)
def test_misspelt_parameters_of_a_camera_are_errors(name: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        unknown_parameters({name: 1}, CAMERAS)


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        (
            'front.max_dept',
            "there is no parameter 'front.max_dept': did you mean 'front.max_depth'?",
        ),
        ('max_dept', "there is no parameter 'max_dept': did you mean 'max_depth'?"),
        ('front.checkpoint', "'front.checkpoint': checkpoint is one for all cameras"),
        ('left.max_depth', "there is no camera 'left' (cameras: front, rear)"),
        (
            'front.fps',
            "no parameter 'front.fps'; the names most like it are front.slop, front.roi, ",
        ),
        ('rate', "there is no parameter 'rate'; the names most like it are max_rate, "),
    ],
)
def test_names_that_cannot_be_set_are_answered_with_those_that_can(name: str, reason: str) -> None:
    assert reason in str(why_not_settable(name, CAMERAS))


def test_at_start_a_camera_parameter_like_none_is_answered_with_the_most_similar() -> None:
    with pytest.raises(ParameterError, match=r'most like it are front\.slop, '):
        unknown_parameters({'front.fps': 1}, CAMERAS)


def test_every_parameter_that_is_there_can_be_set() -> None:
    names = [*CONSTRAINTS, *SHARING_CONSTRAINTS, *(f'rear.{name}' for name in PER_CAMERA)]
    assert [why_not_settable(name, CAMERAS) for name in names] == [None] * len(names)
    assert why_not_settable('max_depth') is None
    assert why_not_settable('front.max_depth') == "there is no camera 'front' (cameras: not set)"


def test_parameters_of_a_camera_that_is_not_there_are_named() -> None:
    known = {'front.max_depth': 1, 'rear.queue_size': 5, 'max_batch': 2}
    assert unknown_parameters(known, CAMERAS) == []
    (sentence,) = unknown_parameters({'left_arm.max_depth': 1}, CAMERAS)
    assert sentence == (
        "parameter 'left_arm.max_depth' is ignored: there is no camera 'left_arm' (cameras: "
        'front, rear)'
    )
    (sentence,) = unknown_parameters({'front.max_depth': 1})
    assert sentence.endswith("there is no camera 'front' (cameras: not set)")


def test_a_camera_follows_the_node_where_it_overrides_nothing() -> None:
    node = Settings(max_depth=9.0, min_depth=0.5)
    front = CameraSettings('front', node, {'max_depth': 4})
    assert (front.settings.max_depth, front.settings.min_depth) == (4.0, 0.5)
    seen: list[tuple[float, float]] = []
    front.on_change(lambda before, after: seen.append((before.max_depth, after.max_depth)))
    later = node.with_changes({'max_depth': 7.0, 'min_depth': 1.0})
    changes = {'max_depth': 7.0, 'min_depth': 1.0}
    front.adopt(*front.changed(later, changes, {}))
    assert (front.settings.max_depth, front.settings.min_depth) == (4.0, 1.0)
    front.adopt(*front.changed(later, {}, {'max_depth': None}))
    assert front.settings.max_depth == 7.0
    assert seen == [(4.0, 4.0), (4.0, 7.0)]
    with pytest.raises(ParameterError, match=r'camera front: max_depth = 0\.5 m must be'):
        front.changed(later, {}, {'max_depth': 0.5})
    assert front.settings.max_depth == 7.0
