"""Which rigs of a recording `s2m2 process` finds, and what it says of the rest."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from mcap.reader import make_reader

from s2m2_ros.io.sources.stereo_frame import PlaybackError
from support import sgbm_processing
from support.recorded_pairs import INFO, Written, write_mcap
from support.stereo_recordings import in_order, scene_pairs

processed = partial(sgbm_processing.processed, outputs=('depth',))


def counts(path: Path) -> dict[str, int]:
    """Return how many messages each topic of a result has."""
    with path.open('rb') as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        numbers = summary.statistics.channel_message_counts
        return {channel.topic: numbers[key] for key, channel in summary.channels.items()}


def numbered(first: int, count: int) -> Iterator[Written]:
    """Yield pairs of the cameras of two neighboring numbers."""
    for item in scene_pairs(count):
        topic = item.topic.replace('/stereo/left', f'/cam{first}')
        yield replace(item, topic=topic.replace('/stereo/right', f'/cam{first + 1}'))


def without_infos(messages: Iterator[Written]) -> Iterator[Written]:
    """Yield the images alone."""
    return (item for item in messages if not item.topic.endswith('camera_info'))


def test_every_rig_is_processed_whatever_words_its_name_holds(tmp_path: Path) -> None:
    cameras = ['/front_gray', '/front_color', '/depth_camera', '/cam/mono', '/cam/color']
    rigs = (scene_pairs(1, camera=camera) for camera in cameras)
    found = processed(write_mcap(tmp_path / 'run.mcap', in_order(*rigs)), tmp_path / 'out')
    assert counts(found.output) == {f'{camera}/depth': 1 for camera in cameras}
    assert found.is_whole


def test_a_rig_that_is_named_may_be_called_like_a_result(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'run.mcap', scene_pairs(2, camera='/seg/depth'))
    pair = ('/seg/depth/left/image_rect', '/seg/depth/right/image_rect')
    assert counts(processed(path, tmp_path / 'out', pairs=[pair]).output) == {
        '/seg/depth/depth': 2
    }


def test_no_rig_takes_the_calibration_of_one_that_differs_in_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    color = without_infos(scene_pairs(2, camera='/color'))
    path = write_mcap(tmp_path / 'run.mcap', in_order(scene_pairs(2, camera='/mono'), color))
    found = processed(path, tmp_path / 'out')
    assert counts(found.output) == {'/mono/depth': 2}
    [loss] = found.losses
    assert loss.startswith(
        'no camera_info is recorded for both /color/left/image_rect and /color/right/image_rect '
        '(recorded are /mono/left/camera_info, /mono/right/camera_info); '
    )
    assert loss in caplog.text
    alone = write_mcap(tmp_path / 'a.mcap', without_infos(scene_pairs(1)))
    with pytest.raises(
        PlaybackError, match=r'image_rect \(none is recorded\); no calibration for'
    ):
        processed(alone, tmp_path / 'out')


def test_images_in_no_rig_are_named_on_the_console_and_in_the_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = (
        replace(item, topic=item.topic.replace('image_rect', 'image_raw'))
        for item in without_infos(numbered(0, 1))
    )
    single = (
        replace(item, topic='/cam4/image_rect')
        for item in scene_pairs(1)
        if item.topic == '/stereo/left/image_rect'
    )
    path = write_mcap(tmp_path / 'run.mcap', in_order(numbered(0, 1), numbered(2, 2), raw, single))
    found = processed(path, tmp_path / 'out')
    assert counts(found.output) == {'/cam/depth': 1, '/cam/rig_2/depth': 2}
    assert found.is_whole
    for text in (
        'not processed, since other versions of them are taken: '
        '/cam0/image_raw, /cam1/image_raw; name what to process by pairs',
        'not processed, since their names make no stereo pair: /cam4/image_rect; ',
    ):
        assert text in caplog.text
        assert text in html.unescape(found.report.read_text())
    # Named ones are what was wanted, and the color camera is used.
    caplog.clear()
    pair = ('/cam0/image_rect', '/cam1/image_rect')
    processed(path, tmp_path / 'named', pairs=[pair])
    processed(path, tmp_path / 'color', color_image='/cam4/image_rect')
    assert 'no stereo pair' not in caplog.text


def test_neighboring_numbers_are_no_pair_where_the_calibration_has_no_baseline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    others = list(numbered(2, 1))
    for item in others:
        if item.message.__msgtype__ == INFO:
            item.message.p[3] = 0.0
    path = write_mcap(tmp_path / 'run.mcap', in_order(numbered(0, 2), others))
    found = processed(path, tmp_path / 'out')
    assert counts(found.output) == {'/depth': 2}
    assert found.is_whole
    text = '/cam2/image_rect and /cam3/image_rect are not processed: by their camera_info they are'
    assert text in caplog.text
    assert text in html.unescape(found.report.read_text())


def test_frames_of_an_image_and_its_calibration_that_differ_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    messages = list(scene_pairs(1))
    for item in messages:
        if item.topic == '/stereo/right/camera_info':
            item.message.header.frame_id = '/other'
    found = processed(write_mcap(tmp_path / 'run.mcap', messages), tmp_path / 'out')
    text = (
        "/stereo/right/image_rect has the frame_id 'left_optical' and /stereo/right/camera_info "
        "'other': does the calibration belong to this camera?"
    )
    assert text in caplog.text
    assert text in html.unescape(found.report.read_text())
    assert '/stereo/left/image_rect has the frame_id' not in caplog.text
