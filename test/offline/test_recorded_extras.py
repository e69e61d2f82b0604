"""What a recording holds besides images: transforms, a color camera, images as video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_types_from_msg

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.recordings.storage.deserialization import OTHER_TYPES
from s2m2_ros.offline.processing import (
    OutputFormat,
    Processed,
    ProcessOptions,
)
from s2m2_ros.offline.processing.frames import FrameTree
from support import sgbm_processing
from support.recorded_pairs import SECOND, TYPES, Written, header, message, write_mcap
from support.stereo_recordings import (
    SCENE,
    SCENE_CALIBRATION,
    START,
    in_order,
    scene_image,
    scene_info,
    scene_pairs,
    texts,
    transform,
)
from support.video_stream import encode

FRAME = 'left_optical'
INFO = '/color/image_rect/camera_info'


processed: Callable[..., Processed] = partial(
    sgbm_processing.processed, outputs=('points',), segment_seconds=1.0
)


def decoded(path: Path) -> list[tuple[str, Any]]:
    with AnyReader([path]) as reader:
        return [(c.topic, reader.deserialize(d, c.msgtype)) for c, _, d in reader.messages()]


class TestFrames:
    def test_between_two_times_a_pose_moves_and_turns_evenly(self) -> None:
        moving = [
            transform(0, 'map', 'base', (0.0, 0.0, 0.0)),
            transform(SECOND, 'map', 'base', (4.0, 0.0, 0.0), turn=90.0),
        ]
        tree = FrameTree([transform(0, 'base', 'camera', (1.0, 0.0, 0.0))], moving)
        found = np.array(tree.find('camera', 'map', SECOND // 3).matrix)
        # 30 degrees about z, 4/3 m along x; the camera is 1 m in front.
        cosine, sine = np.cos(np.pi / 6), 0.5
        expected = [
            [cosine, -sine, 0, 4 / 3 + cosine],
            [sine, cosine, 0, sine],
            [0, 0, 1, 0],
        ]
        np.testing.assert_allclose(found, expected, atol=1e-9)
        back = np.array(tree.find('map', 'camera', SECOND // 3).matrix)
        np.testing.assert_allclose(back[:, :3], np.array(expected)[:, :3].T, atol=1e-9)

    @pytest.mark.parametrize('time_ns', [-1, SECOND + 1])
    def test_there_is_none_before_the_first_and_after_the_last(self, time_ns: int) -> None:
        moving = [transform(n * SECOND, 'map', 'base', (0.0, 0.0, 0.0)) for n in (0, 1)]
        with pytest.raises(S2M2Error, match=r"'base' to 'map' is .* of its time, on /tf$"):
            FrameTree([], moving).find('base', 'map', time_ns)

    def test_a_loop_ends(self) -> None:
        loop = [
            transform(0, 'a', 'b', (1.0, 0.0, 0.0)),
            transform(0, 'b', 'a', (1.0, 0.0, 0.0)),
        ]
        with pytest.raises(S2M2Error, match='no transform'):
            FrameTree(loop).find('a', 'c', 0)


def test_clouds_in_a_frame_that_the_camera_moves_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moving = [
        Written('/tf', stamp, transform(stamp, 'map', FRAME, (x, 0.0, 5.0)))
        for stamp, x in ((START, 0.0), (START + SECOND, 1.0))
    ]
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(7), moving))
    plain = decoded(processed(path, tmp_path / 'plain').output)
    found = processed(path, tmp_path / 'moved', points_frame='map', segment_seconds=0.4)
    moved = decoded(found.output)
    # The seventh pair comes 0.2 s after the last transform.
    assert (len(plain), len(moved)) == (7, 6)
    (loss,) = found.losses
    assert "'left_optical' to 'map'" in loss
    assert loss.startswith('1 pair, at 101.200000000 s, without points (other outputs are')
    assert (found.pairs, found.lost, found.incomplete) == (7, 0, 1)
    # Nothing in the recording is.
    assert 'damaged' not in caplog.text
    for number in range(6):
        before, after = (
            clouds[number][1].data.view(np.float32).reshape(SCENE.height, SCENE.width, 4)
            for clouds in (plain, moved)
        )
        assert moved[number][1].header.frame_id == 'map'
        known = np.isfinite(before[..., 2])
        np.testing.assert_allclose(
            (after - before)[known][:, :3],
            np.tile((number / 5, 0, 5), (known.sum(), 1)),
            atol=1e-4,
        )


def test_other_messages_on_topics_of_transforms_are_none(tmp_path: Path) -> None:
    named = [*texts(3, topic='/tf'), *texts(3, topic='/tf_static')]
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(3), named))
    for frame in ({'temporal_fixed_frame': 'odom'}, {'points_frame': 'map'}):
        with pytest.raises(S2M2Error, match=r'nothing is recorded on /tf or /tf_static'):
            processed(path, tmp_path / 'out', **frame)
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())


def test_without_a_fitting_transform_pairs_are_not_averaged(tmp_path: Path) -> None:
    other = Written('/tf_static', START - 5, transform(START, 'odom', 'base', (0.0, 0.0, 5.0)))
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(2), [other]))
    found = processed(path, tmp_path / 'out', temporal_fixed_frame='odom')
    assert (found.pairs, found.lost) == (2, 0)
    (loss,) = found.losses
    assert loss.startswith(
        '2 pairs, from 100.000000000 to 100.200000000 s, not averaged by the temporal filter: no '
        "transform from 'left_optical' to 'odom'"
    )


def test_files_name_the_frame_of_their_points(tmp_path: Path) -> None:
    still = Written('/tf_static', START - 5, transform(START, 'map', FRAME, (0.0, 0.0, 5.0)))
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(1), [still]))
    formats = (OutputFormat.NPZ, OutputFormat.PLY)
    for name, frame in (('plain', ''), ('moved', 'map')):
        out = tmp_path / name
        processed(path, out, formats=formats, outputs=('points',), points_frame=frame)
        (file,) = out.rglob('*.npz')
        content = np.load(file)
        assert str(content['frame_id']) == FRAME
        assert str(content['points_frame_id']) == (frame or FRAME)
        (cloud,) = out.rglob('*.ply')
        comment = b'in the frame map' if frame else b'x right, y down, z forward'
        assert b'comment meters, ' + comment + b'\n' in cloud.read_bytes()


def color_messages(stamps: Sequence[int], color: tuple[int, int, int]) -> list[Written]:
    """Return a camera in the place of the left one, whose images are of one color."""
    written = [Written(INFO, START - 5, scene_info(START))]
    for stamp in stamps:
        pixels = np.full((SCENE.height, SCENE.width, 3), color, np.uint8)
        image = scene_image(pixels[..., 0], stamp)
        image.encoding, image.step, image.data = 'rgb8', SCENE.width * 3, pixels.ravel()  # type: ignore[attr-defined]
        written.append(Written('/color/image_rect', stamp + 9, image))
    return written


def test_clouds_in_the_colors_of_a_third_camera(tmp_path: Path) -> None:
    stamps = [START + n * SECOND // 5 + 1000 for n in range(3)]
    path = write_mcap(
        tmp_path / 'run.mcap', in_order(color_messages(stamps, (200, 100, 50)), scene_pairs(4))
    )
    options = {'color_info': INFO, 'points_color_source': 'color'}
    found = processed(path, tmp_path / 'out', segment_seconds=0.4, **options)
    colors = []
    for _, cloud in decoded(found.output):
        records = cloud.data.reshape(-1, cloud.point_step)
        known = np.isfinite(records[:, 8:12].copy().view(np.float32)).ravel()
        colors.append((records[known, 12:15] == (50, 100, 200)).all(axis=1).mean())
    # No image is near the fourth pair.
    assert np.array(colors[:3]) == pytest.approx([1, 1, 1], abs=0.02)
    assert colors[3] < 0.1
    assert 'keeps the left colors' in found.report.read_text()
    with pytest.raises(S2M2Error, match='/nothing'):
        processed(path, tmp_path / 'no', color_image='/nothing', **options)
    with pytest.raises(S2M2Error, match='color_info'):
        ProcessOptions(points_color_source='color')


def video_pairs(kind: str, count: int) -> list[Written]:
    """Return pairs whose images are packets of H.264, with a key frame every five."""
    written = []
    images: dict[str, list[np.ndarray]] = {'left': [], 'right': []}
    for number in range(count):
        for side, pixels in zip(images, SCENE.images(seed=number % 5), strict=True):
            images[side].append(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    for side, pictures in images.items():
        for number, packet in enumerate(encode('h264', pictures)):
            stamp = START + number * SECOND // 5
            data = np.frombuffer(packet, np.uint8)
            written.append(
                Written(
                    f'/stereo/{side}/camera_info', stamp, scene_info(stamp, right=side == 'right')
                )
            )
            topic, content = packet_message(kind, side, data, stamp)
            written.append(Written(topic, stamp, content))
    return written


def packet_message(kind: str, side: str, data: np.ndarray, stamp: int) -> tuple[str, Any]:
    """Return the topic and message of a packet."""
    head = header(stamp, FRAME)
    if kind == 'CompressedImage':
        content = message('sensor_msgs/msg/CompressedImage', header=head, format='h264', data=data)
        return f'/stereo/{side}/image_rect/compressed', content
    for name, fields in OTHER_TYPES.items():
        if name not in TYPES.types:
            TYPES.register(get_types_from_msg(fields, name))
    if kind == 'FFMPEGPacket':
        content = message(
            'ffmpeg_image_transport_msgs/msg/FFMPEGPacket', header=head, width=SCENE.width,
            height=SCENE.height, encoding='libx264;bgr8', pts=0, flags=0, is_bigendian=False,
            data=data,
        )  # fmt: skip
        return f'/stereo/{side}/image_rect/ffmpeg', content
    content = message(
        'foxglove_msgs/msg/CompressedVideo', timestamp=head.stamp, frame_id=FRAME, data=data,
        format=kind,
    )  # fmt: skip
    return f'/stereo/{side}/image_rect', content


@pytest.mark.parametrize('kind', ['FFMPEGPacket', 'h264', 'CompressedImage'])
def test_packets_of_video_are_decoded_from_the_key_frame_before_a_segment(
    tmp_path: Path, kind: str
) -> None:
    path = write_mcap(tmp_path / 'run.mcap', in_order(video_pairs(kind, 12)), chunk_size=20_000)
    parts = [
        processed(path, tmp_path / str(s), outputs=('depth',), segment_seconds=s)
        for s in (0.6, 100.0)
    ]
    assert [(p.pairs, p.lost, p.losses) for p in parts] == [(12, 0, [])] * 2
    depths = [[d.data.tobytes() for _, d in decoded(part.output)] for part in parts]
    assert depths[0] == depths[1]
    values = np.frombuffer(depths[0][7], np.float32).reshape(SCENE.height, SCENE.width)
    known = np.isfinite(values)
    assert known.mean() > 0.5
    assert np.median(np.abs(values - SCENE.depth())[known]) < 0.03


@pytest.mark.parametrize('has_infos', [True, False])
def test_packets_without_a_picture_are_lost_pairs_of_their_time(
    tmp_path: Path, has_infos: bool
) -> None:
    """With a key frame every five, packet 6 of the left camera missing: 7, 8 and 9 show nothing.

    And the right camera has no packets before its second, which is no key frame.
    """
    written = in_order(video_pairs('h264', 12))
    images = {
        side: [item for item in written if item.topic == f'/stereo/{side}/image_rect']
        for side in ('left', 'right')
    }
    missing = [id(images['left'][6]), id(images['right'][0])]
    kept = [
        item
        for item in written
        if id(item) not in missing and (has_infos or 'camera_info' not in item.topic)
    ]
    path = write_mcap(tmp_path / 'run.mcap', kept, chunk_size=20_000)
    if not has_infos:
        (tmp_path / 'calib.txt').write_text(SCENE_CALIBRATION)
    parts = [
        processed(path, tmp_path / str(s), outputs=('depth',), segment_seconds=s)
        for s in (0.6, 100.0)
    ]
    # Pairs 5, 10 and 11; not 0 and 6, which lack an image, nor 1 to 4 and 7 to 9.
    for part in parts:
        assert (part.pairs, part.lost) == (3, 7)
        left, right = sorted(part.losses)
        assert left.startswith('3 pairs, from 101.400000000 to 101.800000000 s, lost: ')
        assert 'a packet before it was lost' in left
        assert right.startswith('4 pairs, from 100.200000000 to 100.800000000 s, lost: ')
        assert 'no key frame came before it' in right
        page = part.report.read_text()
        assert '/stereo/left/image_rect: 11, 1 without a counterpart' in page
        assert '/stereo/right/image_rect: 11, 1 without a counterpart' in page
    assert sorted(parts[0].losses) == sorted(parts[1].losses)


def test_other_video_is_named(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'run.mcap', in_order(video_pairs('vp9', 2)))
    with pytest.raises(S2M2Error, match=r"/stereo/left/image_rect.*'vp9'"):
        processed(path, tmp_path / 'out')


def test_a_batch_gives_what_single_pairs_give(tmp_path: Path) -> None:
    """Sgbm matches the pairs of a batch one by one, so its bytes are the same."""
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(5), scene_pairs(5, camera='/b')))
    found = [
        [(topic, cloud.data.tobytes()) for topic, cloud in decoded(
            processed(path, tmp_path / str(batch), batch=batch, segment_seconds=0.6).output)]
        for batch in (1, 2)
    ]  # fmt: skip
    assert len(found[0]) == 10
    assert found[0] == found[1]


def test_pairs_of_another_size_end_a_batch() -> None:
    from s2m2_ros.offline.processing.batches import Batch

    class Matcher:
        device = SimpleNamespace(type='cuda')

        def match(self, left: Any, right: Any) -> Any:
            return ('one', left.shape)

        def match_batch(self, lefts: Any, rights: Any) -> Any:
            return [('batch', left.shape) for left in lefts]

    def pair(width: int) -> Any:
        image = np.zeros((4, width), np.uint8)
        return SimpleNamespace(images=SimpleNamespace(left=image, right=image))

    batch = Batch(Matcher(), 2)  # type: ignore[arg-type]
    found: list[Any] = []
    for item in [pair(8), 'kept', pair(8), pair(8), pair(6), 'end']:
        if batch.must_end(item):
            found += [result for _, result in batch.matched()]
        batch.add(item)
        if batch.is_full:
            found += [result for _, result in batch.matched()]
    found += [result for _, result in batch.matched()]
    one, two = (4, 8), (4, 6)
    assert found == [('batch', one), None, ('batch', one), ('one', one), ('one', two), None]


@pytest.mark.parametrize('option', ['points_frame', 'temporal_fixed_frame'])
def test_a_frame_that_is_recorded_nowhere_is_an_error(tmp_path: Path, option: str) -> None:
    still = Written('/tf_static', START - 5, transform(START, 'base', FRAME, (0.0, 0.0, 5.0)))
    moving = Written('/tf', START + 5, transform(START, 'map', 'base', (0.0, 0.0, 5.0)))
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(2), [still, moving]))
    said = rf"{option} = 'mpa': .*; frames there: base, left_optical, map"
    with pytest.raises(S2M2Error, match=said):
        processed(path, tmp_path / 'out', **{option: 'mpa'})
    assert not (tmp_path / 'out').exists()


def test_a_frame_for_clouds_that_are_not_asked_for_is_no_loss(tmp_path: Path) -> None:
    still = Written('/tf_static', START - 5, transform(START, 'map', 'base', (0.0, 0.0, 5.0)))
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(2), [still]))
    found = processed(path, tmp_path / 'out', outputs=('depth',), points_frame='map')
    assert (found.pairs, found.incomplete, found.is_whole) == (2, 0, True)


def test_one_cause_is_said_once_whatever_other_frames_come_and_go(tmp_path: Path) -> None:
    moving = [
        Written('/tf', START + n * SECOND, transform(START, 'map', f'thing{n}', (0.0, 0.0, 5.0)))
        for n in range(4)
    ]
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(15), moving))
    found = processed(path, tmp_path / 'out', points_frame='map', segment_seconds=0.5)
    (loss,) = found.losses
    assert loss.startswith('15 pairs, from 100.000000000 to 102.800000000 s, without points')


def test_the_frame_of_the_camera_itself_needs_no_transform(tmp_path: Path) -> None:
    moving = Written('/tf', START, transform(START, 'odom', 'base', (0.0, 0.0, 5.0)))
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(2), [moving]))
    found = processed(path, tmp_path / 'out', points_frame=FRAME, temporal_fixed_frame='odom')
    (loss,) = found.losses
    assert loss.startswith('2 pairs')
    assert 'not averaged' in loss
