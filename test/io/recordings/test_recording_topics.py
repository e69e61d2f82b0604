"""Which recorded topics are the stereo pair, by the names that drivers and people give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE, RecordedTopics
from s2m2_ros.io.recordings.recording_topics import (
    COMPRESSED_TYPE,
    IMAGE_TYPE,
    choose_all_pairs,
    choose_shared_topics,
    choose_topics,
)
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError


def topics(names: Sequence[str], infos: Sequence[str] = ()) -> list[StoredTopic]:
    kinds = {name: COMPRESSED_TYPE if 'compressed' in name else IMAGE_TYPE for name in names}
    kinds |= dict.fromkeys(infos, INFO_TYPE)
    return [StoredTopic(name, kind, 'cdr', 5) for name, kind in kinds.items()]


@pytest.mark.parametrize(
    ('left', 'right', 'left_info', 'right_info'),
    [
        ('/left/image_rect', '/right/image_rect', '/left/camera_info', '/right/camera_info'),
        ('/left_image', '/right_image', '/left_camera_info', '/right_camera_info'),
        ('/left', '/right', '/left_camera_info', '/right_camera_info'),
        ('/left', '/right', '/left/camera_info', '/right/camera_info'),
        ('/image_left', '/image_right', '/camera_info_left', '/camera_info_right'),
        ('/camera/left_image_rect', '/camera/right_image_rect',
         '/camera/left_camera_info', '/camera/right_camera_info'),
        ('/camera/left_image_rect', '/camera/right_image_rect',
         '/camera/left/info', '/camera/right/info'),
        ('/camera/infra1/image_rect_raw', '/camera/infra2/image_rect_raw',
         '/camera/infra1/camera_info', '/camera/infra2/camera_info'),
        ('/cam0/image_raw', '/cam1/image_raw', '/cam0/camera_info', '/cam1/camera_info'),
        ('/stereo/cam_0/image', '/stereo/cam_1/image',
         '/stereo/cam_0/camera_info', '/stereo/cam_1/camera_info'),
        ('/camera/fisheye1/image_raw', '/camera/fisheye2/image_raw',
         '/camera/fisheye1/camera_info', '/camera/fisheye2/camera_info'),
        ('/device_0/sensor_0/Infrared_1/image/data', '/device_0/sensor_0/Infrared_2/image/data',
         '/device_0/sensor_0/Infrared_1/info/camera_info',
         '/device_0/sensor_0/Infrared_2/info/camera_info'),
        ('/L/image_raw', '/R/image_raw', '/L/camera_info', '/R/camera_info'),
        ('/stereo/image_l', '/stereo/image_r', '/stereo/info_l', '/stereo/info_r'),
        ('/camera_left/image_raw', '/camera_right/image_raw',
         '/camera_left/camera_info', '/camera_right/camera_info'),
        ('/stereo/leftImage', '/stereo/rightImage',
         '/stereo/leftInfo', '/stereo/rightInfo'),
        ('/left/left_image', '/right/right_image', '/left/camera_info', '/right/camera_info'),
        ('/zed/zed_node/left/color/rect/image', '/zed/zed_node/right/color/rect/image',
         '/zed/zed_node/left/color/rect/camera_info',
         '/zed/zed_node/right/color/rect/camera_info'),
        ('/oak/left/image_rect/compressed', '/oak/right/image_rect/compressed',
         '/oak/left/camera_info', '/oak/right/camera_info'),
        ('/front_stereo_camera/left/image_rect', '/front_stereo_camera/right/image_rect',
         '/front_stereo_camera/left/camera_info', '/front_stereo_camera/right/camera_info'),
    ],
)  # fmt: skip
@pytest.mark.parametrize('prefix', ['', '/robot1', '/left_arm'])
def test_a_pair_and_its_calibrations_are_found(
    prefix: str, left: str, right: str, left_info: str, right_info: str
) -> None:
    names = [prefix + name for name in (left, right, left_info, right_info)]
    others = ['/rear/image', '/depth/image_rect']
    recorded = topics([*names[:2], *others], [*names[2:], '/rear/camera_info'])
    assert choose_topics(recorded) == RecordedTopics(*names)


@pytest.mark.parametrize(
    ('taken', 'other'),
    [
        ('image_rect', 'image_raw'),
        ('image_rect', 'image_rect/compressed'),
        ('image_raw', 'image_raw/compressed'),
        ('image_rect/compressed', 'image_raw'),
        ('image_rect_color', 'image_rect'),
        ('image_rect_raw', 'image_raw'),
        ('color/rect/image', 'gray/rect/image'),
        ('image_rect', 'image_unrectified'),
    ],
)
def test_of_one_rig_the_best_images_are_taken(taken: str, other: str) -> None:
    names = [f'/stereo/{side}/{name}' for name in (other, taken) for side in ('left', 'right')]
    chosen = choose_topics(topics(names))
    assert (chosen.left, chosen.right) == (f'/stereo/left/{taken}', f'/stereo/right/{taken}')


def test_several_rigs_are_listed_with_the_parameters_to_set() -> None:
    names = [
        f'/{rig}/{side}/image_rect' for rig in ('front', 'rear') for side in ('left', 'right')
    ]
    with pytest.raises(PlaybackError, match=r'2 stereo pairs .*recorded_left') as caught:
        choose_topics(topics(names))
    assert '/front/left/image_rect and /front/right/image_rect' in str(caught.value)
    assert '/rear/left/image_rect and /rear/right/image_rect' in str(caught.value)
    chosen = choose_topics(topics(names), left=names[2], right=names[3])
    assert (chosen.left, chosen.right) == (names[2], names[3])


def test_arms_are_no_cameras_of_a_pair() -> None:
    with pytest.raises(PlaybackError, match='is unclear'):
        choose_topics(topics(['/left_arm/camera/image', '/right_arm/camera/image']))


def test_topics_that_do_not_tell_are_asked_for() -> None:
    recorded = topics(['/b', '/a'])
    with pytest.raises(PlaybackError, match='recorded images are /a, /b'):
        choose_topics(recorded)
    chosen = choose_topics(recorded, left='/b', right='/a')
    assert (chosen.left, chosen.right) == ('/b', '/a')
    assert choose_topics(recorded, left='b', right='a') == chosen  # a slash may be forgotten
    with pytest.raises(PlaybackError, match="no images on '/c': recorded are /a, /b"):
        choose_topics(recorded, left='/c', right='/a')
    with pytest.raises(PlaybackError, match='recorded_left is set: set recorded_right too'):
        choose_topics(recorded, left='/b')
    with pytest.raises(PlaybackError, match='recorded_right is set: set recorded_left too'):
        choose_topics(recorded, right='/b')


def test_one_camera_info_serves_both() -> None:
    images = ['/left/image_rect', '/right/image_rect']
    for info in ('/camera_info', '/stereo/camera_info'):
        chosen = choose_topics(topics(images, [info]))
        assert (chosen.left_info, chosen.right_info) == (info, info)
    assert choose_topics(topics(images)).left_info == ''


def test_no_rig_takes_the_calibration_of_another() -> None:
    names = [
        f'/{rig}/{side}/image_rect' for rig in ('front', 'rear') for side in ('left', 'right')
    ]
    front = ['/front/left/camera_info', '/front/right/camera_info']
    found = {c.left: (c.left_info, c.right_info) for c in choose_all_pairs(topics(names, front))}
    assert found == {'/front/left/image_rect': tuple(front), '/rear/left/image_rect': ('', '')}
    half = choose_all_pairs(topics(names, [*front, '/rear/left/camera_info']))
    assert {c.right_info for c in half} == {'/front/right/camera_info', ''}
    # Nor does a pair take that of a color camera beside it.
    images = ['/camera/infra1/image_rect', '/camera/infra2/image_rect', '/camera/color/image_raw']
    chosen = choose_topics(topics(images, ['/camera/color/camera_info']))
    assert (chosen.left_info, chosen.right_info) == ('', '')
    # What belongs to no image may be anybody's.
    other = ['/calibration/left/camera_info', '/calibration/right/camera_info']
    chosen = choose_topics(topics(images[:2], other))
    assert (chosen.left_info, chosen.right_info) == tuple(other)


def test_topics_without_messages_and_results_are_no_images() -> None:
    names = ['/left/image_rect', '/right/image_rect', '/left/depth', '/right/depth']
    recorded = topics(
        [*names, '/left/image_raw/compressedDepth', '/right/image_raw/compressedDepth']
    )
    empty = [
        StoredTopic(f'/{s}/image_rect_color', IMAGE_TYPE, 'cdr', 0) for s in ('left', 'right')
    ]
    chosen = choose_topics([*recorded, *empty])
    assert (chosen.left, chosen.right) == ('/left/image_rect', '/right/image_rect')


@pytest.mark.parametrize(
    ('kind', 'encoding', 'words'),
    [
        ('ffmpeg_image_transport_msgs/msg/FFMPEGPacket', 'cdr', 'ffmpeg_image_transport'),
        ('foxglove.CompressedImage', 'protobuf', 'Foxglove'),
        ('something', 'json', "encoded as 'json'"),
    ],
)
def test_images_of_other_kinds_are_named(kind: str, encoding: str, words: str) -> None:
    with pytest.raises(PlaybackError, match=words):
        choose_topics([StoredTopic('/left/image', kind, encoding, 5)])


def test_the_topic_of_both_views_is_found_or_asked_for() -> None:
    recorded = topics(['/webcam/image_raw', '/webcam/image_raw/compressed'])
    assert choose_shared_topics(recorded)[0].left == '/webcam/image_raw'
    several = topics(['/webcam/image_raw', '/other/image_raw'], ['/left/info', '/right/info'])
    with pytest.raises(PlaybackError, match='name it by recorded_left'):
        choose_shared_topics(several, input_layout='side_by_side')
    [chosen] = choose_shared_topics(several, named=['/other/image_raw'])
    assert chosen == RecordedTopics(
        '/other/image_raw', '/other/image_raw', '/left/info', '/right/info'
    )
