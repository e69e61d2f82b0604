"""Files in one folder without metadata.yaml: one recording, or several."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from s2m2_ros.io.recordings.recording_reader import Recording
from s2m2_ros.io.recordings.storage.file_groups import SeveralRecordingsError
from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.offline.processing.inputs import find_inputs
from support.recorded_pairs import SECOND, Written, pairs, write_mcap, write_ros1, write_sqlite

# Four pairs, one each second.
LENGTH = 3 * SECOND


def later(seconds: float, *, prefix: str = '') -> list[Written]:
    """Return four pairs that are recorded so much later, on other topics if a prefix is given."""
    shift = round(seconds * SECOND)
    return [
        replace(item, topic=f'{prefix}{item.topic}', time_ns=item.time_ns + shift)
        for item in pairs(period_ns=SECOND)
    ]


def found(folder: Path) -> list[str]:
    """Return the inputs in a folder, relative to it."""
    return [str(Path(source).relative_to(folder)) for _, source in find_inputs([folder])]


def test_they_last_three_seconds() -> None:
    times = [item.time_ns for item in later(0)]
    assert max(times) - min(times) == LENGTH


@pytest.mark.parametrize(
    'names',
    [
        ('run_0.mcap', 'run_1.mcap'),
        ('run_9.mcap', 'run_10.mcap'),
        ('2024-05-01-10-00-00_0.mcap', '2024-05-01-10-00-04_1.mcap'),
        ('0001.mcap', '0002.mcap'),
    ],
)
def test_parts_follow_one_another(names: Sequence[str], tmp_path: Path) -> None:
    for number, name in enumerate(names):
        write_mcap(tmp_path / name, later(4 * number))
    assert found(tmp_path) == ['.']
    assert len(list(Recording(tmp_path))) == 8


@pytest.mark.parametrize('gap_s', [-0.9, 1.9])
def test_a_recorder_may_hold_messages_back_or_wait_for_one(gap_s: float, tmp_path: Path) -> None:
    for number in range(2):
        write_mcap(tmp_path / f'run_{number}.mcap', later((3 + gap_s) * number))
    assert found(tmp_path) == ['.']


def test_parts_may_be_packed(tmp_path: Path) -> None:
    for number in range(2):
        path = write_mcap(tmp_path / f'run_{number}.mcap', later(4 * number))
        (tmp_path / f'run_{number}.mcap.gz').write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert found(tmp_path) == ['.']


def test_files_named_as_the_folder_may_be_far_apart(tmp_path: Path) -> None:
    folder = tmp_path / 'bag'
    folder.mkdir()
    for number in range(2):
        write_sqlite(folder / f'bag_{number}.db3', later(60 * number))
    assert found(folder) == ['.']


def test_what_cannot_be_read_of_parts_does_not_part_them(tmp_path: Path) -> None:
    for number in (0, 2):
        write_mcap(tmp_path / f'run_{number}.mcap', later(2 * number))
    (tmp_path / 'run_1.mcap').touch()
    assert found(tmp_path) == ['.']


def test_one_time_on_different_topics_is_one_recording(tmp_path: Path) -> None:
    common = [item for item in later(0) if 'left' in item.topic][:2]
    clocks = [replace(item, topic='/rosout') for item in common]
    write_mcap(tmp_path / 'front.mcap', [*later(0, prefix='/front'), *clocks])
    write_mcap(tmp_path / 'rear.mcap', [*later(1, prefix='/rear'), *clocks])
    assert found(tmp_path) == ['.']


@pytest.mark.parametrize(
    ('names', 'offset_s', 'reason'),
    [
        (('alice.mcap', 'bob.mcap'), 0, r'both hold /.* from 101\.0+ to 104\.0+ s'),
        (('robot1.mcap', 'robot2.mcap'), 1, 'both hold /'),
        (('robot_0.mcap', 'robot_1.mcap'), 1.5, 'both hold /'),
        (('run_1.mcap', 'run_2.mcap'), 3600, r"'run_2\.mcap' begins 3597\.0+ s after the end"),
        (('cup.mcap', 'box.mcap'), 4, 'their names differ in more than numbers'),
    ],
)
def test_others_are_several(
    names: Sequence[str], offset_s: float, reason: str, tmp_path: Path
) -> None:
    for number, name in enumerate(names):
        write_mcap(tmp_path / name, later(offset_s * number))
    assert found(tmp_path) == sorted(names)
    with pytest.raises(SeveralRecordingsError, match=reason) as caught:
        Recording(tmp_path)
    assert 'name one of' in str(caught.value)
    assert all(f"'{name}'" in str(caught.value) for name in names)


def test_different_topics_of_different_days_are_several(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'a.mcap', later(0, prefix='/front'))
    write_mcap(tmp_path / 'b.mcap', later(86400, prefix='/rear'))
    assert found(tmp_path) == ['a.mcap', 'b.mcap']


def test_a_copy_of_another_kind_is_another_recording(tmp_path: Path) -> None:
    write_ros1(tmp_path / 'run.bag', later(0))
    write_mcap(tmp_path / 'run.mcap', later(0))
    assert found(tmp_path) == ['run.bag', 'run.mcap']


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('offset_s', [0.0, 0.012])
def test_short_recordings_of_several_robots_are_not_parts(
    count: int, offset_s: float, tmp_path: Path
) -> None:
    names = ['snap_1.mcap', 'snap_2.mcap']
    for number, name in enumerate(names):
        # Four messages a pair: the first of them, and the second up to a second later.
        write_mcap(tmp_path / name, later(offset_s * number)[: 4 * count])
    if count == 1 and offset_s:
        # Of one moment each, one after the other: nothing tells them from parts.
        names = ['.']
    assert found(tmp_path) == names


def test_static_transforms_may_come_long_before(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'cameras.mcap', later(60))
    static = [replace(item, topic='/tf_static') for item in later(0)[:1]]
    write_mcap(tmp_path / 'static.mcap', static)
    assert found(tmp_path) == ['.']


def test_what_metadata_does_not_name_is_for_itself(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'b_0.mcap', later(0))
    write_mcap(tmp_path / 'robot2.mcap', later(0))
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths: [b_0.mcap]\n'
    )
    assert found(tmp_path) == ['.', 'robot2.mcap']


def test_hidden_files_of_file_managers_are_none(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'run.mcap', later(0))
    (tmp_path / '._run.mcap').write_bytes(b'\0\5\x16\7')
    recording = RecordingFiles(tmp_path)
    assert recording.take_damage() == []
    recording.close()


def test_a_named_part_that_is_a_link_to_nothing_is_said_once(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'run_0.mcap', later(0))
    (tmp_path / 'run_1.mcap').symlink_to('/nowhere/run_1.mcap')
    (tmp_path / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths: [run_0.mcap, run_1.mcap]\n'
    )
    recording = RecordingFiles(tmp_path)
    (loss,) = recording.take_damage()
    recording.close()
    assert "run_1.mcap' is missing" in loss


def test_a_part_that_is_a_link_to_nothing_is_a_loss(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'run_0.mcap', later(0))
    (tmp_path / 'run_1.mcap').symlink_to('/nowhere/run_1.mcap')
    recording = RecordingFiles(tmp_path)
    (loss,) = recording.take_damage()
    recording.close()
    assert "run_1.mcap' is a link to what is not there" in loss
