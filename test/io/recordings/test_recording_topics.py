"""Which recorded topics are the stereo pair, by the names that drivers and people give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from s2m2_ros.io.recordings.recorded_infos import INFO_TYPE, RecordedTopics
from s2m2_ros.io.recordings.recording_topics import (
    COMPRESSED_TYPE,
    IMAGE_TYPE,
    choose_all_pairs,
    choose_named_pairs,
    choose_shared_topics,
    choose_topics,
    left_out,
)
from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic
from s2m2_ros.io.sources.stereo_frame import PlaybackError


def both(*names: str) -> list[str]:
    """Return the names with `SIDE` replaced by left and by right."""
    return [name.replace('SIDE', side) for name in names for side in ('left', 'right')]


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


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ('/front_gray/SIDE/image_rect', '/front_color/SIDE/image_rect'),
        ('/cam/mono/SIDE/image_rect', '/cam/color/SIDE/image_rect'),
        ('/drone/rect/SIDE/image_rect', '/drone/raw/SIDE/image_rect'),
        ('/stereo_raw/SIDE/image_raw', '/stereo_rect/SIDE/image_raw'),
        ('/front_camera/SIDE/image_rect', '/front/SIDE/image_rect'),
        ('/camera/SIDE/image_rect', '/SIDE/image_rect'),
        ('/info/SIDE/image_rect', '/SIDE/image_rect'),
        ('/mono16/SIDE/image_rect', '/rgb16/SIDE/image_rect'),
        ('/kitti/camera_gray_SIDE/image_raw', '/kitti/camera_color_SIDE/image_raw'),
        ('/robot/main_gray_SIDE', '/robot/main_color_SIDE'),
        ('/robot/main_gray_image_SIDE', '/robot/main_color_image_SIDE'),
        ('/SIDE_gray/image', '/SIDE_color/image'),
        ('/mono/image_SIDE', '/color/image_SIDE'),
        ('/SIDE/camera/image_raw', '/SIDE/image_raw'),
        ('/前/SIDE/image', '/後/SIDE/image'),
    ],
)
@pytest.mark.parametrize('prefix', ['', '/robot1'])
def test_cameras_whose_names_hold_words_of_variants_are_different_rigs(
    prefix: str, one: str, other: str
) -> None:
    recorded = topics(both(prefix + one, prefix + other))
    rigs = choose_all_pairs(recorded)
    expected = [tuple(both(prefix + name)) for name in (one, other)]
    assert sorted(rig.images for rig in rigs) == sorted(expected)
    assert list(left_out(recorded, rigs)) == []


@pytest.mark.parametrize(
    ('taken', 'other'),
    [
        ('/stereo/SIDE/image_rect', '/stereo/SIDE/image_raw'),
        ('/stereo/SIDE_image_rect', '/stereo/SIDE_image_raw'),
        ('/stereo/image_SIDE_rect', '/stereo/image_SIDE'),
        ('/stereo/SIDE_rect', '/stereo/SIDE_raw'),
        ('/stereo/SIDE/image_color', '/stereo/SIDE/image_mono'),
        ('/stereo/SIDE/color/rect/image', '/stereo/SIDE/gray/rect/image'),
        # ZED's driver.
        ('/zed_node/SIDE/image_rect_color', '/zed_node/SIDE_raw/image_raw_color'),
    ],
)
def test_versions_of_the_same_images_are_one_rig_and_named(taken: str, other: str) -> None:
    recorded = topics([*both(taken, other), *both(f'{taken}/compressed')])
    rigs = choose_all_pairs(recorded)
    assert [rig.images for rig in rigs] == [tuple(both(taken))]
    [remark] = left_out(recorded, rigs)
    assert f'since other versions of them are taken: {", ".join(both(other))};' in remark


def test_words_of_results_exclude_no_camera_of_such_a_name() -> None:
    for camera in ('depth_camera', 'flow', 'mask', 'error_cam', 'normal', 'seg'):
        names = both(f'/{camera}/SIDE/image_rect', '/front/SIDE/image_rect')
        rigs = choose_all_pairs(topics(names))
        assert [rig.images[0].split('/')[1] for rig in rigs] == sorted([camera, 'front'])


@pytest.mark.parametrize(
    'result',
    [
        '/SIDE/depth', '/SIDE/image_mask', '/camera_SIDE/depth/image_rect_raw', '/SIDE_seg/image',
        '/SIDE/aligned_depth_to_color/image_raw', '/depth/SIDE', '/SIDE/depth/compressed',
        '/SIDE/depth/uncertainty',
    ],
)  # fmt: skip
def test_results_are_no_images_unless_they_are_named(result: str) -> None:
    recorded = topics(both('/stereo/SIDE/image_rect', result))
    rigs = choose_all_pairs(recorded)
    assert [rig.left for rig in rigs] == ['/stereo/left/image_rect']
    [remark] = left_out(recorded, rigs)
    assert (
        f'since their names say that they are results: {", ".join(sorted(both(result)))};'
        in remark
    )
    left, right = both(result)
    assert choose_topics(recorded, left=left, right=right).images == (left, right)


def test_numbered_cameras_are_pairs_two_by_two_and_the_rest_is_named() -> None:
    recorded = topics([f'/cam{number}/image_raw' for number in range(5)])
    rigs = choose_all_pairs(recorded)
    assert [rig.images for rig in rigs] == [
        ('/cam0/image_raw', '/cam1/image_raw'), ('/cam2/image_raw', '/cam3/image_raw'),
    ]  # fmt: skip
    [remark] = left_out(recorded, rigs)
    assert 'since their names make no stereo pair: /cam4/image_raw;' in remark
    # Of a gap nobody knows whose it is.
    gap = topics([f'/cam{number}/image_raw' for number in (1, 2, 4, 5)])
    rigs = choose_all_pairs(gap)
    assert [rig.images for rig in rigs] == [('/cam1/image_raw', '/cam2/image_raw')]
    assert '/cam4/image_raw, /cam5/image_raw' in next(left_out(gap, rigs))


def test_the_only_two_cameras_at_corners_are_a_pair() -> None:
    front = both('/front_SIDE/image_rect')
    assert choose_topics(topics(front)).images == tuple(front)
    with pytest.raises(PlaybackError, match='is unclear'):
        choose_topics(topics([*front, *both('/rear_SIDE/image_rect')]))
    recorded = topics([*front, *both('/stereo/SIDE/image')])
    rigs = choose_all_pairs(recorded)
    assert [rig.left for rig in rigs] == ['/stereo/left/image']
    assert f'their names make no stereo pair: {", ".join(front)};' in next(
        left_out(recorded, rigs)
    )


def test_images_of_other_kinds_beside_a_rig_are_named() -> None:
    recorded = topics(both('/stereo/SIDE/image'))
    theora = 'theora_image_transport/msg/Packet'
    for name in ('/rear/left/image/theora', '/stereo/left/image/theora'):
        recorded.append(StoredTopic(name, theora, 'cdr', 5))
    remarks = list(left_out(recorded, choose_all_pairs(recorded)))
    assert remarks == [
        'not processed: /rear/left/image/theora holds Theora packets: republish them as raw'
    ]


def test_arms_are_no_cameras_of_a_pair() -> None:
    with pytest.raises(PlaybackError, match='is unclear'):
        choose_topics(topics(['/left_arm/camera/image', '/right_arm/camera/image']))


def test_images_without_a_message_are_named_as_such() -> None:
    """As the recorder leaves them where it found the topics, and their QoS did not match."""
    recorded = [StoredTopic(name, IMAGE_TYPE, 'cdr', 0) for name in both('/SIDE/image_rect')]
    words = 'images are none; without a message: /left/image_rect, /right/image_rect$'
    with pytest.raises(PlaybackError, match=words):
        choose_topics(recorded)


def test_without_images_the_types_of_what_is_recorded_are_named() -> None:
    recorded = [
        StoredTopic('/left/image_rect', 'my_msgs/msg/Picture', 'cdr', 5),
        StoredTopic('/scan', '', 'cdr', 5),
    ]
    with pytest.raises(PlaybackError) as caught:
        choose_all_pairs(recorded)
    assert str(caught.value).endswith(
        'images are none, other topics /left/image_rect (my_msgs/msg/Picture), /scan (no type)'
    )


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


def test_a_namespace_that_differs_in_a_variant_has_its_own_calibration() -> None:
    names = both('/mono/SIDE/image_rect', '/color/SIDE/image_rect')
    infos = both('/mono/SIDE/camera_info')
    found = choose_all_pairs(topics(names, infos))
    assert [(rig.left_info, rig.right_info) for rig in found] == [('', ''), tuple(infos)]
    odd = topics(names, both('/mono/SIDE/info'))
    assert [rig.left_info for rig in choose_all_pairs(odd)] == ['', '/mono/left/info']


def test_a_calibration_of_no_camera_goes_only_where_nothing_else_can_be_meant() -> None:
    names = both('/front/SIDE/image', '/rear/SIDE/image')
    anybodys = both('/calibration/SIDE/camera_info')
    # Of two rigs that lack one, either may be meant, also where one is named.
    assert {r.left_info for r in choose_all_pairs(topics(names, anybodys))} == {''}
    assert choose_topics(topics(names, anybodys), left=names[0], right=names[1]).left_info == ''
    # Rear has its own, so it is that of front.
    rear = both('/rear/SIDE/camera_info')
    found = choose_all_pairs(topics(names, [*anybodys, *rear]))
    assert [rig.left_info for rig in found] == [anybodys[0], rear[0]]
    # Of odd names, those in the rig's own namespace.
    within = both('/rear/calibration/SIDE', '/front/calibration/SIDE')
    found = choose_all_pairs(topics(names, within))
    assert [rig.left_info for rig in found] == [within[2], within[0]]


def test_what_lies_above_both_cameras_is_not_the_own_calibration_of_one() -> None:
    names = both('/stereo/SIDE/image')
    chosen = choose_topics(topics(names, ['/stereo/left/camera_info', '/camera_info']))
    assert (chosen.left_info, chosen.right_info) == ('/stereo/left/camera_info', '')


def test_pairs_that_are_named_are_told_apart_too() -> None:
    recorded = topics(['/a', '/b', '/c', '/d'], both('/calibration/SIDE/camera_info'))
    found = choose_named_pairs(recorded, [('/a', '/b'), ('/c', '/d')])
    assert [rig.left_info for rig in found] == ['', '']
    [one] = choose_named_pairs(recorded, [('/a', '/b')])
    assert one.left_info == '/calibration/left/camera_info'


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


def test_of_several_topics_with_both_views_each_has_the_calibration_of_its_namespace() -> None:
    names = ['/front/image_raw', '/rear/image_raw']
    infos = both('/front/SIDE/camera_info', '/rear/SIDE/camera_info')
    found = choose_shared_topics(topics(names, infos), named=names)
    assert [(rig.left_info, rig.right_info) for rig in found] == [
        tuple(infos[:2]), tuple(infos[2:]),
    ]  # fmt: skip
    # Also where the views are recorded one by one as well.
    recorded = topics([names[0], *both('/front/SIDE/image_rect')], infos[:2])
    [chosen] = choose_shared_topics(recorded, named=names[:1])
    assert (chosen.left_info, chosen.right_info) == tuple(infos[:2])
