"""Recordings as people have them: each kind is played as far as it is whole, or named."""

from __future__ import annotations

import gzip
import itertools
import logging
import os
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from mcap.writer import CompressionType, IndexType

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.recordings.recording_reader import Recording
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.sources.pair_sources import SourceOptions, open_source
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.io.sources.view_layout import ViewLayout
from support.recorded_pairs import (
    LEFT_P,
    RIGHT_P,
    SECOND,
    Written,
    compressed,
    image,
    info,
    pairs,
    values,
    write_mcap,
    write_ros1,
    write_sqlite,
)
from support.stereo_samples import CALIBRATION, record

FOUR = [(10, 11), (20, 21), (30, 31), (40, 41)]
# The calibration of the small images, in Middlebury's form: f = 40 px, B = 0.1 m.
SMALL_CALIBRATION = (
    'cam0=[40 0 2; 0 40 1.5; 0 0 1]\ncam1=[40 0 2; 0 40 1.5; 0 0 1]\nbaseline=100\n'
    'width=4\nheight=3\n'
)


def test_recorded_pairs_come_with_their_calibration_and_times(tmp_path: Path) -> None:
    record(tmp_path / 'bag')
    frames = list(Recording(tmp_path / 'bag'))
    assert [frame.time for frame in frames] == [100, 101]
    assert [frame.name for frame in frames] == ['100.000000000', '101.000000000']
    assert values(frames) == [(10, 11), (20, 21)]
    assert frames[0].right_info.p[3] == pytest.approx(-4)
    (file,) = (tmp_path / 'bag').glob('*.mcap')
    assert len(list(Recording(file))) == 2  # the bare file too


@pytest.mark.parametrize('compression', list(CompressionType))
@pytest.mark.parametrize('use_chunking', [True, False])
def test_mcap_is_played_whatever_its_compression(
    tmp_path: Path, compression: CompressionType, use_chunking: bool
) -> None:
    path = write_mcap(
        tmp_path / 'a.mcap', pairs(), compression=compression, use_chunking=use_chunking
    )
    recording = Recording(path)
    assert values(recording) == FOUR
    assert values(recording) == FOUR  # and again, as a loop does


def test_mcap_without_indexes_or_summary_is_played(tmp_path: Path) -> None:
    path = write_mcap(
        tmp_path / 'a.mcap',
        pairs(),
        index_types=IndexType.NONE,
        repeat_channels=False,
        repeat_schemas=False,
        use_statistics=False,
        use_summary_offsets=False,
    )
    assert values(Recording(path)) == FOUR


def test_messages_are_ordered_by_time_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    by_topic = sorted(pairs(), key=lambda item: item.topic)
    assert values(Recording(write_mcap(tmp_path / 'a.mcap', by_topic))) == FOUR
    flat = write_mcap(tmp_path / 'b.mcap', by_topic, use_chunking=False)
    assert values(Recording(flat)) == FOUR


@pytest.mark.parametrize('kept', [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize('use_chunking', [True, False])
def test_the_whole_part_of_a_truncated_mcap_is_played(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: float, use_chunking: bool
) -> None:
    path = write_mcap(tmp_path / 'a.mcap', pairs(40), use_chunking=use_chunking)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    found = values(Recording(path))
    expected = values(Recording(write_mcap(tmp_path / 'whole.mcap', pairs(40))))
    assert found == expected[: len(found)]
    assert len(found) > 40 * kept * 0.6
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    if len(found) < 40:
        assert len(warnings) == 1  # said once
        assert '`mcap recover`' in warnings[0].getMessage()


def test_zeros_at_the_end_of_a_file_are_no_messages(tmp_path: Path) -> None:
    """What a power cut leaves: a file of its full length whose end was never written."""
    path = write_mcap(tmp_path / 'a.mcap', pairs())
    size = path.stat().st_size
    whole = path.read_bytes()[: int(size * 0.5)]
    path.write_bytes(whole + b'\0' * (size - len(whole)))
    found = values(Recording(path))
    assert found == FOUR[: len(found)]


def test_a_damaged_chunk_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_mcap(tmp_path / 'a.mcap', pairs(20), compression=CompressionType.NONE)
    content = bytearray(path.read_bytes())
    position = content.find(b'mono8', len(content) // 3)
    content[position : position + 5] = b'xxxxx'
    path.write_bytes(content)
    found = values(Recording(path))
    assert 10 <= len(found) < 20
    assert 'checksum' in caplog.text


def test_a_chunk_that_announces_an_absurd_size_costs_no_memory(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'a.mcap', pairs(1), chunk_size=1 << 20)
    content = bytearray(path.read_bytes())
    chunk = content.find(b'\x06', 8)
    content[chunk + 25 : chunk + 33] = (1 << 60).to_bytes(8, 'little')
    path.write_bytes(content)
    with pytest.raises(S2M2Error):
        list(Recording(path))


def test_sqlite_is_played_without_metadata(tmp_path: Path) -> None:
    assert values(Recording(write_sqlite(tmp_path / 'a.db3', pairs()))) == FOUR


@pytest.mark.parametrize('pack', [zstandard.compress, lz4.frame.compress])
def test_compressed_messages_are_played(tmp_path: Path, pack: object) -> None:
    assert values(Recording(write_sqlite(tmp_path / 'a.db3', pairs(), pack=pack))) == FOUR


@pytest.mark.parametrize(
    ('suffix', 'pack'),
    [
        ('.zstd', zstandard.compress),
        ('.zst', zstandard.compress),
        ('.lz4', lz4.frame.compress),
        ('.gz', gzip.compress),
    ],
)
@pytest.mark.parametrize('write', [write_mcap, write_sqlite])
def test_compressed_files_are_played_and_their_copies_removed(
    tmp_path: Path, suffix: str, pack: object, write: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(scratch))
    name = 'a.mcap' if write is write_mcap else 'a.db3'
    path = write(tmp_path / name, pairs())  # type: ignore[operator]
    packed = path.with_name(name + suffix)
    packed.write_bytes(pack(path.read_bytes()))  # type: ignore[operator]
    path.unlink()
    recording = Recording(packed)
    assert values(recording) == FOUR
    recording.close()
    assert not list(scratch.iterdir())
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(PlaybackError, match=f'{name}{suffix}'):
        Recording(packed)
    assert not list(scratch.iterdir())


@pytest.fixture
def with_log(tmp_path: Path) -> Path:
    """Return a folder with two pairs in an SQLite file and a third in its write-ahead log."""
    path = write_sqlite(tmp_path / 'a.db3', pairs(2))
    writer = sqlite3.connect(path)
    writer.execute('PRAGMA journal_mode=WAL')
    writer.execute('PRAGMA wal_autocheckpoint=0')
    for item, topic in zip(pairs(3)[-2:], (3, 4), strict=True):
        writer.execute(
            'INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)',
            (topic, item.time_ns, item.cdr),
        )
    writer.commit()
    copy = tmp_path / 'copy'
    copy.mkdir()
    for file in tmp_path.glob('a.db3*'):
        (copy / file.name).write_bytes(file.read_bytes())
    writer.close()
    assert (copy / 'a.db3-wal').is_file()
    return copy


def test_a_sqlite_file_whose_recorder_was_killed_gives_its_log_too(with_log: Path) -> None:
    assert values(Recording(with_log)) == FOUR[:3]


def test_a_log_that_cannot_be_read_is_a_loss(
    with_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in fails as SQLite does on a read-only medium, where root may write all files."""

    class Refusing(sqlite3.Connection):
        def execute(self, *_: Any) -> sqlite3.Cursor:
            raise sqlite3.OperationalError('unable to open database file')

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def refusing(name: str, **options: Any) -> sqlite3.Connection:
        kind = Refusing if 'mode=ro' in name else sqlite3.Connection
        return connect(name, factory=kind, **options)

    monkeypatch.setattr(sqlite3, 'connect', refusing)
    with RecordingFiles(with_log) as files:
        assert len(list(files.messages({'/left/image_rect'}))) == 2
        (loss,) = files.take_damage()
    assert "'a.db3' has a write-ahead log, 'a.db3-wal', which cannot be read here" in loss


def test_a_damaged_sqlite_file_is_played_as_far_as_it_goes_or_named(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / 'a.db3', pairs(60))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        found = values(Recording(path))
    except PlaybackError as error:
        assert 'a.db3' in str(error)
    else:
        assert 0 < len(found) < 60


def test_ros_1_bags_are_played(tmp_path: Path) -> None:
    frames = list(Recording(write_ros1(tmp_path / 'a.bag', pairs())))
    assert values(frames) == FOUR
    assert frames[0].right_info.p[3] == -4


def test_a_ros_1_bag_without_index_names_the_tool_that_repairs_it(tmp_path: Path) -> None:
    path = write_ros1(tmp_path / 'a.bag', pairs())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PlaybackError, match=r'rosbag reindex.*rosbags-convert'):
        list(Recording(path))


@pytest.mark.parametrize('metadata', [None, '', 'rosbag2_bagfile_information: {}', '][', 'split'])
def test_folders_need_no_metadata(tmp_path: Path, metadata: str | None) -> None:
    first, second = pairs()[:8], pairs()[8:]
    write_mcap(tmp_path / 'b_0.mcap', first)
    write_mcap(tmp_path / 'b_1.mcap', second)
    if metadata == 'split':
        metadata = (
            'rosbag2_bagfile_information:\n  version: 99\n  storage_identifier: ""\n'
            '  relative_file_paths: [b_0.mcap, b_1.mcap]\n'
        )
    if metadata is not None:
        (tmp_path / 'metadata.yaml').write_text(metadata)
    assert values(Recording(tmp_path)) == FOUR


def test_missing_files_are_said_and_the_others_played(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_mcap(tmp_path / 'b_1.mcap', pairs())
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths: [b_0.mcap, b_1.mcap]\n'
    )
    assert values(Recording(tmp_path)) == FOUR
    assert "b_0.mcap' is missing, which metadata.yaml names" in caplog.text


@pytest.mark.parametrize('content', [b'', b'\x89MCAP0\r\n', b'garbage'])
def test_a_file_that_was_only_begun_is_left_out(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What a killed recorder leaves besides the files that it had closed."""
    write_mcap(tmp_path / 'b_0.mcap', pairs())
    (tmp_path / 'b_1.mcap').write_bytes(content)
    assert values(Recording(tmp_path)) == FOUR
    assert 'b_1.mcap' in caplog.text
    assert 'the other files are read' in caplog.text


def test_metadata_without_its_files_is_named(tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths: [b_0.mcap]\n'
    )
    with pytest.raises(PlaybackError, match=r"no storage file .* names 'b_0\.mcap'"):
        open_source(SourceOptions(str(tmp_path)))


def test_a_file_and_its_compressed_copy_are_one(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'b_0.mcap', pairs())
    (tmp_path / 'b_0.mcap.zstd').write_bytes(zstandard.compress(path.read_bytes()))
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths: [b_0.mcap.zstd]\n'
    )
    assert values(Recording(tmp_path)) == FOUR


def test_cameras_recorded_into_files_of_their_own_are_merged(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'left.mcap', [i for i in pairs() if 'left' in i.topic])
    write_sqlite(tmp_path / 'right.db3', [i for i in pairs() if 'right' in i.topic])
    assert values(Recording(tmp_path)) == FOUR


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'git lfs pull'),
        (b'<!DOCTYPE html><html></html>', 'web page'),
        (b'PK\x03\x04', 'zip'),
        (b'no recording at all', 'neither MCAP'),
        (b'\x89MCAP0\r\n', 'no readable message'),
        (b'SQLite format 3\0', 'SQLite'),
        (b'#ROSBAG V2.0\n', 'rosbag reindex'),
    ],
)
@pytest.mark.parametrize('name', ['x.mcap', 'x.db3', 'x.bag'])
def test_what_is_no_recording_is_named(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PlaybackError, match=words) as caught:
        Recording(path)
    assert name in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('form', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize('name', ['x.tar', 'x.tar.gz', 'x.tgz'])
def test_a_recording_in_a_tar_archive_is_to_be_unpacked(
    tmp_path: Path, name: str, form: int
) -> None:
    write_mcap(tmp_path / 'run.mcap', pairs())
    mode: Any = 'w' if name == 'x.tar' else 'w:gz'
    with tarfile.open(tmp_path / name, mode, format=form) as archive:
        archive.add(tmp_path / 'run.mcap', 'run.mcap')
    with pytest.raises(PlaybackError, match='a tar archive: unpack it first'):
        Recording(tmp_path / name)


def test_names_of_any_bytes_are_read(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9 ?#%41'))
    folder.mkdir()
    assert values(Recording(write_sqlite(folder / 'a.db3', pairs()))) == FOUR
    assert values(Recording(write_mcap(folder / 'a.mcap', pairs()))) == FOUR


def test_a_recording_without_calibration_wants_one(tmp_path: Path) -> None:
    record(tmp_path / 'bag', with_infos=False)
    with pytest.raises(PlaybackError, match=r'no camera_info .*/stereo/left/image_rect.*calib'):
        Recording(tmp_path / 'bag')
    calibration = tmp_path / 'elsewhere' / 'mine.txt'
    calibration.parent.mkdir()
    calibration.write_text(CALIBRATION)
    (frame, _) = Recording(tmp_path / 'bag', calibration=[calibration])
    assert frame.right_info.P[3] == pytest.approx(-4)
    (frame, _) = Recording(tmp_path / 'bag', needs_calibration=False)
    assert frame.right_info is None


def test_a_calibration_beside_the_recording_is_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    record(tmp_path / 'bag', with_infos=False)
    (tmp_path / 'calib').mkdir()
    (tmp_path / 'calib' / 'calib.txt').write_text(CALIBRATION)
    (frame, _) = Recording(tmp_path / 'bag')
    assert frame.right_info.P[3] == pytest.approx(-4)
    assert 'calib/calib.txt' in caplog.text


def test_one_camera_info_for_both_cameras_is_explained(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'a.mcap', pairs(infos=('/camera_info', '/camera_info'))[1:])
    with pytest.raises(PlaybackError, match=r'P\[3\] = -4 .*right camera \(baseline 0.1 m\)'):
        Recording(path)
    (tmp_path / 'calib.txt').write_text(SMALL_CALIBRATION)
    assert next(iter(Recording(path))).right_info.P[3] == -4


def test_only_equal_timestamps_are_pairs_where_there_are_some(tmp_path: Path) -> None:
    """90 Hz, right image 0 lost: images 11 ms apart must not be joined."""
    period = SECOND // 90
    messages = [
        i
        for i in pairs(12, period_ns=period)
        if (i.topic, i.time_ns) != ('/right/image_rect', 100 * SECOND + period)
    ]
    found = values(Recording(write_mcap(tmp_path / 'a.mcap', messages)))
    assert found == [(10 * i, 10 * i + 1) for i in range(2, 13)]


def test_without_equal_timestamps_the_nearest_are_pairs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """10 Hz, right images 20 ms later; left 2 and right 3 are lost."""
    messages = []
    for number in range(1, 7):
        time = 100 * SECOND + number * SECOND // 10
        later = time + SECOND // 50
        if number != 2:
            messages.append(Written('/left/image', time, image(10 * number, time)))
        if number != 3:
            messages.append(Written('/right/image', later, image(10 * number + 1, later)))
    path = write_mcap(tmp_path / 'a.mcap', messages)
    found = values(Recording(path, needs_calibration=False))
    assert found == [(10, 11), (40, 41), (50, 51), (60, 61)]
    assert 'nearest ones within 45.0 ms' in caplog.text


def test_images_without_timestamps_are_paired_by_when_they_were_recorded(tmp_path: Path) -> None:
    messages = [
        Written(f'/{side}/image', number * SECOND, image(10 * number + k, 0))
        for number in range(1, 5)
        for k, side in enumerate(('left', 'right'))
    ]
    path = write_mcap(tmp_path / 'a.mcap', messages)
    frames = list(Recording(path, needs_calibration=False))
    assert values(frames) == FOUR
    assert [frame.time for frame in frames] == [1, 2, 3, 4]


def test_compressed_images_are_given_as_recorded(tmp_path: Path) -> None:
    messages = [
        Written(f'/{side}/image_rect/compressed', SECOND, compressed(10 + k, SECOND))
        for k, side in enumerate(('left', 'right'))
    ]
    messages += [
        Written('/left/camera_info', SECOND, info(LEFT_P, SECOND)),
        Written('/right/camera_info', SECOND, info(RIGHT_P, SECOND)),
    ]
    (frame,) = Recording(write_mcap(tmp_path / 'a.mcap', messages))
    assert frame.left.format == 'mono8; png compressed '
    assert values([frame]) == [(10, 11)]
    (tmp_path / 'calib.txt').write_text(SMALL_CALIBRATION)
    (frame,) = Recording(tmp_path / 'a.mcap', calibration=[tmp_path / 'calib.txt'])
    assert (frame.left_info.width, frame.left_info.height) == (4, 3)


def test_one_topic_with_both_views_is_split(tmp_path: Path) -> None:
    both = image(10, SECOND, width=8)
    both.data.reshape(3, 8)[:, 4:] = 11
    path = write_mcap(tmp_path / 'a.mcap', [Written('/webcam/image_raw', SECOND, both)])
    (tmp_path / 'calib.txt').write_text(SMALL_CALIBRATION)
    (frame,) = Recording(path, layout=ViewLayout.SIDE_BY_SIDE)
    assert values([frame]) == [(10, 11)]
    assert frame.left.shape == (3, 4)
    assert frame.right_info.P[3] == -4


def test_damaged_messages_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_sqlite(tmp_path / 'a.db3', pairs())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE messages SET data = x'00010000ff' WHERE id = 7")
    connection.close()
    assert values(Recording(path)) == [FOUR[0], *FOUR[2:]]
    assert 'damaged' in caplog.text


def test_cameras_of_different_clocks_are_said(tmp_path: Path) -> None:
    messages = [
        Written(f'/{side}/image', k * SECOND, image(k, k * SECOND + offset))
        for k in range(1, 5)
        for side, offset in (('left', 0), ('right', 1_700_000_000 * SECOND))
    ]
    path = write_mcap(tmp_path / 'a.mcap', messages)
    with pytest.raises(PlaybackError, match=r'/left/image begins at 1\.0.*different clocks'):
        list(Recording(path, needs_calibration=False))


def test_mcap_of_ros_1_messages_is_played(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'a.mcap', pairs(), encoding='ros1')
    assert values(Recording(path)) == FOUR


def test_split_compressed_files_are_played_in_order(tmp_path: Path) -> None:
    for number, part in enumerate((pairs()[:8], pairs()[8:])):
        path = write_mcap(tmp_path / f'b_{number}.mcap', part)
        (tmp_path / f'b_{number}.mcap.zstd').write_bytes(zstandard.compress(path.read_bytes()))
        path.unlink()
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  compression_mode: FILE\n  compression_format: zstd\n'
        '  relative_file_paths: [b_0.mcap.zstd, b_1.mcap.zstd]\n'
    )
    assert values(Recording(tmp_path)) == FOUR


WRITERS: dict[str, Callable[..., Path]] = {
    'a.mcap': write_mcap,
    'a.db3': write_sqlite,
    'a.bag': write_ros1,
}


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the bytes of a whole recording of each kind."""
    folder = tmp_path_factory.mktemp('whole')
    return {name: write(folder / name, pairs()).read_bytes() for name, write in WRITERS.items()}


@given(
    st.sampled_from(list(WRITERS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=9))),
    st.floats(0, 1),
)
@example('a.db3', [(0.65625, b'\n\x80')], 1.0)  # a line break in what SQLite complains about
def test_damage_is_left_out_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    whole: dict[str, bytes],
    name: str,
    changes: list[tuple[float, bytes]],
    kept: float,
) -> None:
    content = bytearray(whole[name])
    for place, change in changes:
        start = int(place * len(content))
        content[start : start + len(change)] = change
    path = tmp_path_factory.mktemp('damaged') / name
    path.write_bytes(content[: max(int(kept * len(content)), len(content) // 2)])
    try:
        found = len(list(itertools.islice(Recording(path, needs_calibration=False), 9)))
    except S2M2Error as error:
        assert '\n' not in str(error)
    else:
        assert 0 < found <= 4
