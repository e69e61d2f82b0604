"""Recordings of which parts are lost: what is left is read, and what is lost is named."""

from __future__ import annotations

import gzip
import itertools
import random
import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType

from s2m2_ros.io.recordings.storage.recording_files import RecordingFiles
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from support.recorded_pairs import SECOND, Written, image, pairs, write_mcap, write_sqlite

# As recorders write that were killed.
NO_SUMMARY = {
    'use_statistics': False,
    'use_summary_offsets': False,
    'repeat_channels': False,
    'repeat_schemas': False,
    'index_types': IndexType.NONE,
}
Messages = list[tuple[str, int, bytes]]
# What Python and its libraries say of damage, which nobody understands who did not write them.
PYTHON = re.compile(
    r"index-sized|unpack|malformed|codec can't|no attribute|NoneType|Errno|must be|not enough|"
    r'buffer|Error|out of range|libav'
)


def content(path: Path) -> tuple[Messages, list[str]]:
    """Return topic, time and content of all messages, and what is said to be damaged."""
    with RecordingFiles(path) as files:
        topics = {topic.topic for topic in files.topics()}
        found = [(m.topic.topic, m.log_ns, m.data) for m in files.messages(topics)]
        return found, files.take_damage()


def written(messages: Sequence[Written]) -> Messages:
    return [(item.topic, item.time_ns, item.cdr) for item in messages]


def chunks(path: Path) -> list[tuple[int, int]]:
    """Return where the chunks of a file with a summary begin and end."""
    with path.open('rb') as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    return [
        (c.chunk_start_offset, c.chunk_start_offset + c.chunk_length)
        for c in summary.chunk_indexes
    ]


def byte_range(text: str) -> tuple[int, int]:
    found = re.search(r'from byte (\d+) to (\d+)', text)
    assert found, text
    return int(found[1]), int(found[2])


class TestMcap:
    @pytest.mark.parametrize(
        ('place', 'change'),
        [
            (0, b'\0'),  # what kind of record it is
            (0, b'\x07'),  # another kind
            (0, b'\x46'),  # none there is
            (1, b'\xff' * 8),  # its length
            (1, b'\x01'),
            (37, b'\xff' * 4),  # how long the name of the compression is
            (0, b'\0' * 60),
        ],
    )
    @pytest.mark.parametrize('compression', [CompressionType.ZSTD, CompressionType.NONE])
    @pytest.mark.parametrize('has_summary', [True, False])
    def test_damage_at_the_head_of_a_chunk_costs_that_chunk_alone(
        self, tmp_path: Path, place: int, change: bytes, compression: CompressionType,
        has_summary: bool,
    ) -> None:  # fmt: skip
        messages = pairs(40)
        options = {'compression': compression, 'chunk_size': 1000}
        path = write_mcap(tmp_path / 'a.mcap', messages, **options)
        begin, end = chunks(path)[6]
        if not has_summary:
            write_mcap(path, messages, **options, **NO_SUMMARY)
            # Of the same length up to there: what follows a chunk is its index or the next.
            begin, end = nth_chunk(path.read_bytes(), 6)
        damaged = bytearray(path.read_bytes())
        damaged[begin + place : begin + place + len(change)] = change
        path.write_bytes(damaged)
        found, damage = content(path)
        expected = written(messages)
        lost = [item for item in expected if item not in found]
        assert sorted(item for item in expected if item in found) == sorted(found)
        # A chunk holds about six messages; those of one that is not compressed may be found.
        assert len(lost) <= 10
        assert expected[-1] in found
        (text,) = damage
        first, last = byte_range(text)
        assert begin <= first < last <= end
        assert first == begin
        assert 'killed' not in text
        assert not PYTHON.search(text)
        # The index says which times and topics were in it; without one, what is around it does.
        times = [at for _, at, _ in lost]
        if has_summary:
            assert f'messages of {min(times) / SECOND:.9f} to {max(times) / SECOND:.9f} s' in text
            assert all(topic in text for topic, _, _ in lost)
        else:
            around = re.search(r'at about (\d+\.\d+) to (\d+\.\d+) s', text)
            assert around, text
            # Whole tenths of seconds: what is told of is a period around it, at most.
            assert 0 <= min(times) / SECOND - float(around[1]) < 0.11
            assert 0 <= float(around[2]) - max(times) / SECOND < 0.11

    def test_a_message_outside_of_chunks_costs_itself_alone(self, tmp_path: Path) -> None:
        """As rosbag2's preset fastwrite writes."""
        messages = pairs(20)
        path = write_mcap(tmp_path / 'a.mcap', messages, use_chunking=False, **NO_SUMMARY)
        damaged = bytearray(path.read_bytes())
        # 9 bytes of head and 22 of numbers are before the content.
        begin = damaged.find(messages[50].cdr) - 31
        damaged[begin : begin + 9] = b'\xee' * 9
        path.write_bytes(damaged)
        found, damage = content(path)
        expected = written(messages)
        assert found == expected[:50] + expected[51:]
        (text,) = damage
        assert byte_range(text) == (begin, begin + 31 + len(messages[50].cdr))

    def test_a_summary_with_a_wrong_checksum_is_not_used(self, tmp_path: Path) -> None:
        messages = pairs(20)
        path = write_mcap(tmp_path / 'a.mcap', messages)
        damaged = bytearray(path.read_bytes())
        # Where a chunk lies, in its index.
        place = damaged.rfind(chunks(path)[3][0].to_bytes(8, 'little'))
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        assert content(path) == (written(messages), [])

    def test_channels_whose_description_is_lost_are_named(self, tmp_path: Path) -> None:
        path = write_mcap(tmp_path / 'a.mcap', pairs(20), chunk_size=100, **NO_SUMMARY)
        damaged = bytearray(path.read_bytes())
        begin, _ = nth_chunk(bytes(damaged), 0)
        damaged[begin + 60 : begin + 70] = b'\xee' * 10
        path.write_bytes(damaged)
        found, damage = content(path)
        assert {topic for topic, _, _ in found} == {
            '/right/camera_info', '/left/image_rect', '/right/image_rect'
        }  # fmt: skip
        assert any('description of channels 1,' in text for text in damage)

    def test_a_file_without_messages_is_not_damaged(self, tmp_path: Path) -> None:
        """As a recorder leaves that was stopped right after it had begun another file."""
        write_mcap(tmp_path / 'b_0.mcap', pairs(2))
        write_mcap(tmp_path / 'b_1.mcap', [])
        assert content(tmp_path) == (written(pairs(2)), [])

    def test_damage_everywhere_ends(self, tmp_path: Path) -> None:
        """However much is damaged: no part of the file is read over and over."""
        content_ = bytearray(write_mcap(tmp_path / 'a.mcap', pairs(400)).read_bytes())
        dice = random.Random(3)  # noqa: S311 (no secret)
        for _ in range(300):
            content_[dice.randrange(8, len(content_))] = dice.randrange(256)
        (tmp_path / 'a.mcap').write_bytes(content_)
        found, damage = content(tmp_path / 'a.mcap')
        assert len(found) > 200
        assert damage


def nth_chunk(content: bytes, number: int) -> tuple[int, int]:
    """Return where a chunk begins and ends, by going through the records."""
    place = 8
    for _ in itertools.count():
        end = place + 9 + int.from_bytes(content[place + 1 : place + 9], 'little')
        if content[place] == 6:
            if number == 0:
                return place, end
            number -= 1
        place = end
    raise AssertionError


def large_sqlite(path: Path, count: int) -> list[Written]:
    """Write images of 20 kB, which lie on pages of their own, with the index of rosbag2."""
    messages = [
        Written('/left/image_rect', n * SECOND, image(n, n * SECOND, width=200, height=100))
        for n in range(1, count + 1)
    ]
    write_sqlite(path, messages)
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE INDEX timestamp_idx ON messages (timestamp ASC)')
    connection.close()
    return messages


class TestSqlite:
    @pytest.mark.parametrize('kept', [0.02, 0.3, 0.9])
    @pytest.mark.parametrize('is_large', [True, False])
    def test_of_a_file_that_is_cut_short_the_beginning_is_read(
        self, tmp_path: Path, kept: float, is_large: bool
    ) -> None:
        path = tmp_path / 'a.db3'
        if is_large:
            messages = large_sqlite(path, 600)
        else:
            messages = pairs(3000)
            write_sqlite(path, messages)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(kept * len(whole))])
        found, damage = content(path)
        expected = written(messages)
        assert found == expected[: len(found)]
        # The messages lie in the file one after another.
        assert abs(len(found) - kept * len(expected)) < 100
        assert found
        (text,) = damage
        assert f'{int(kept * len(whole))} of {len(whole)} bytes' in text
        assert f'the {len(found)} messages in these are read' in text
        assert f'the last one of {found[-1][1] / SECOND:.9f} s' in text

    def test_a_damaged_index_costs_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.db3'
        messages = large_sqlite(path, 600)
        damaged = bytearray(path.read_bytes())
        # Kind 10: a leaf of an index.
        leaves = [at for at in range(0, len(damaged), 4096) if damaged[at] == 10]
        damaged[leaves[0] : leaves[0] + 4096] = bytes(4096)
        path.write_bytes(damaged)
        found, damage = content(path)
        assert found == written(messages)
        assert damage

    def test_a_damaged_page_costs_its_messages(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.db3'
        messages = pairs(200)
        write_sqlite(path, messages)
        damaged = bytearray(path.read_bytes())
        leaves = [at for at in range(4096, len(damaged), 4096) if damaged[at] == 13]
        middle = leaves[len(leaves) // 2]
        damaged[middle : middle + 4096] = bytes(4096)
        path.write_bytes(damaged)
        found, damage = content(path)
        expected = written(messages)
        assert [item for item in expected if item in found] == found
        # No message is smaller than 60 bytes.
        lost = [number for number, item in enumerate(expected) if item not in found]
        assert 0 < len(lost) < 4096 / 60
        (text,) = damage
        before, after = (expected[n][1] / SECOND for n in (lost[0] - 1, lost[-1] + 1))
        assert f'the {len(found)} messages on its whole pages are read' in text
        assert f'{len(lost)} are missing' in text
        assert text.endswith(f'between {before:.9f} and {after:.9f} s')
        assert not PYTHON.search(text)

    @pytest.mark.parametrize('index_is_whole', [True, False])
    def test_a_message_that_is_not_whole_is_named_with_its_time(
        self, tmp_path: Path, index_is_whole: bool
    ) -> None:
        path = tmp_path / 'a.db3'
        messages = large_sqlite(path, 40)
        damaged = bytearray(path.read_bytes())
        # Where a large message goes on: the first of its further pages says that none follows,
        # and an index that is damaged too leads to none of them.
        place = damaged.find(messages[20].cdr[2000:2100])
        page = place - place % 4096
        damaged[page : page + 4] = bytes(4)
        if not index_is_whole:
            leaf = next(at for at in range(0, len(damaged), 4096) if damaged[at] == 10)
            damaged[leaf : leaf + 4096] = bytes(4096)
        path.write_bytes(damaged)
        found, damage = content(path)
        expected = written(messages)
        assert found == expected[:20] + expected[21:]
        assert any(
            'the message on /left/image_rect at 21.000000000 s is not whole and lost' in text
            for text in damage
        )

    def test_nothing_is_written_beside_a_file_with_a_log(self, tmp_path: Path) -> None:
        """SQLite makes a file for processes that share the log, if it may."""
        messages = pairs(3)
        folder = tmp_path / 'copy'
        folder.mkdir()
        write_sqlite(tmp_path / 'a.db3', messages[:8])
        writer = sqlite3.connect(tmp_path / 'a.db3')
        writer.execute('PRAGMA journal_mode=WAL')
        for number, item in enumerate(messages[8:], start=1):
            values = (number, item.time_ns, item.cdr)
            writer.execute(
                'INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)', values
            )
        writer.commit()
        for name in ('a.db3', 'a.db3-wal'):
            (folder / name).write_bytes((tmp_path / name).read_bytes())
        writer.close()
        # Closed, it has no log, but still says that it is written with one.
        (tmp_path / 'closed').mkdir()
        (tmp_path / 'closed' / 'a.db3').write_bytes((tmp_path / 'a.db3').read_bytes())
        for place, names in ((folder, {'a.db3', 'a.db3-wal'}), (tmp_path / 'closed', {'a.db3'})):
            before = {p: p.read_bytes() for p in place.iterdir()}
            with RecordingFiles(place) as files:
                found = list(files.messages({t.topic for t in files.topics()}))
                during = {p.name for p in place.iterdir()}
            assert [m.data for m in found] == [item.cdr for item in messages]
            assert during == names
            assert {p: p.read_bytes() for p in place.iterdir()} == before

    def test_the_log_of_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        messages = pairs(200)
        path = write_sqlite(tmp_path / 'a.db3', messages)
        writer = sqlite3.connect(path)
        writer.execute('PRAGMA journal_mode=WAL')
        values = (1, messages[-1].time_ns, messages[0].cdr)
        writer.execute('INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)', values)
        writer.commit()
        (tmp_path / 'copy').mkdir()
        damaged = bytearray(path.read_bytes())
        leaves = [at for at in range(4096, len(damaged), 4096) if damaged[at] == 13]
        damaged[leaves[5] : leaves[5] + 4096] = bytes(4096)
        (tmp_path / 'copy' / 'a.db3').write_bytes(damaged)
        (tmp_path / 'copy' / 'a.db3-wal').write_bytes((tmp_path / 'a.db3-wal').read_bytes())
        writer.close()
        found, damage = content(tmp_path / 'copy')
        assert 700 < len(found) < 800
        assert any("'a.db3-wal', which is not read with damaged pages" in text for text in damage)

    def test_what_is_no_recording_is_named_in_words(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.db3'
        with sqlite3.connect(path) as connection:
            connection.execute('CREATE TABLE other(id INTEGER)')
        connection.close()
        with pytest.raises(PlaybackError, match=r"a\.db3.*it has no plain table 'topics'"):
            content(path)
        path.write_bytes(b'SQLite format 3\0' + bytes(4096))
        with pytest.raises(PlaybackError, match=r'a\.db3') as caught:
            content(path)
        assert not PYTHON.search(str(caught.value))

    def test_pages_of_other_sizes_and_of_a_loop_are_read_within_bounds(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / 'a.db3'
        messages = large_sqlite(path, 20)
        with sqlite3.connect(path) as connection:
            connection.execute('PRAGMA page_size = 1024')
            connection.execute('VACUUM')
        connection.close()
        whole = path.read_bytes()
        expected = written(messages)
        path.write_bytes(whole[:-1024])
        found, damage = content(path)
        assert set(found) >= set(expected[:-2])
        assert damage
        # Each page says that the next one is page 3.
        for at in range(3 * 1024, len(whole) - 1024, 1024):
            if whole[at : at + 1] == b'\0':
                whole = whole[:at] + b'\0\0\0\3' + whole[at + 4 :]
        path.write_bytes(whole[:-1024])
        assert len(content(path)[0]) < len(expected)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    '.zstd': zstandard.compress,
    '.gz': gzip.compress,
}


class TestCompressedFiles:
    @pytest.mark.parametrize('suffix', PACKERS)
    @pytest.mark.parametrize('name', ['a.mcap', 'a.db3'])
    def test_of_one_that_is_cut_short_the_beginning_is_read(
        self, tmp_path: Path, suffix: str, name: str
    ) -> None:
        messages = noisy(100)
        if name == 'a.mcap':
            write_mcap(tmp_path / name, messages, compression=CompressionType.NONE)
        else:
            write_sqlite(tmp_path / name, messages)
        packed = PACKERS[suffix]((tmp_path / name).read_bytes())
        (tmp_path / name).unlink()
        path = tmp_path / f'{name}{suffix}'
        path.write_bytes(packed[: len(packed) // 2])
        found, damage = content(path)
        expected = written(messages)
        assert found == expected[: len(found)]
        assert 30 < len(found) < 60
        (text,) = damage
        assert f'{name}{suffix}' in text
        assert 'cut short' in text
        assert 'recover' not in text

    @pytest.mark.parametrize('level', [1, 19])
    def test_a_whole_one_is_not_said_to_be_cut(self, tmp_path: Path, level: int) -> None:
        """In several frames, one of them of other content, with checksum and without."""
        messages = noisy(20)
        plain = write_mcap(tmp_path / 'a.mcap', messages).read_bytes()
        (tmp_path / 'a.mcap').unlink()
        parts = [plain[:100_000], plain[100_000:], b'']
        frames = [
            zstandard.ZstdCompressor(level=level, write_checksum=bool(n % 2)).compress(part)
            for n, part in enumerate(parts)
        ]
        other = (0x184D2A50).to_bytes(4, 'little') + (5).to_bytes(4, 'little') + b'other'
        path = tmp_path / 'a.mcap.zst'
        path.write_bytes(frames[0] + other + frames[1] + frames[2])
        assert content(path) == (written(messages), [])

    def test_damage_in_the_middle_leaves_the_beginning(self, tmp_path: Path) -> None:
        messages = pairs(2000)
        path = tmp_path / 'a.db3.zstd'
        packed = bytearray(zstandard.compress(write_sqlite(tmp_path / 'x', messages).read_bytes()))
        place = len(packed) // 2
        packed[place : place + 200] = b'\xff' * 200
        path.write_bytes(packed)
        found, damage = content(path)
        expected = written(messages)
        assert found == expected[: len(found)]
        assert found
        assert len(damage) == 1


def noisy(count: int) -> list[Written]:
    """Return images of 10 kB that no compression makes smaller."""
    dice = random.Random(5)  # noqa: S311 (no secret)
    messages = []
    for number in range(1, count + 1):
        content_ = image(0, number * SECOND, width=100, height=100)
        content_.data[:] = list(dice.randbytes(10_000))
        messages.append(Written('/left/image_rect', number * SECOND, content_))
    return messages


class TestSplitRecordings:
    @pytest.mark.parametrize('lost', [0, 1, 2])
    @pytest.mark.parametrize('how', ['missing', 'empty', 'garbage', 'cut'])
    @pytest.mark.parametrize('packed', [False, True])
    @pytest.mark.parametrize('kind', ['mcap', 'db3'])
    def test_a_lost_file_is_named_wherever_it_is(
        self, tmp_path: Path, lost: int, how: str, packed: bool, kind: str
    ) -> None:
        messages = pairs(12)
        parts = [messages[:16], messages[16:32], messages[32:]]
        suffix = '.zstd' if packed else ''
        names = [f'bag_{n}.{kind}{suffix}' for n in range(3)]
        for name, part in zip(names, parts, strict=True):
            (write_mcap if kind == 'mcap' else write_sqlite)(tmp_path / 'x', part)
            plain = (tmp_path / 'x').read_bytes()
            (tmp_path / 'x').unlink()
            (tmp_path / name).write_bytes(zstandard.compress(plain) if packed else plain)
        files = ''.join(
            f'  - path: {name}\n    starting_time: {{nanoseconds_since_epoch: 7000000000}}\n'
            '    duration: {nanoseconds: 2500000000}\n    message_count: 16\n'
            for name in names
        )
        (tmp_path / 'metadata.yaml').write_text(
            'rosbag2_bagfile_information:\n  version: 5\n'
            f'  relative_file_paths: [{", ".join(names)}]\n  files:\n{files}'
        )
        path = tmp_path / names[lost]
        if how == 'missing':
            path.unlink()
        else:
            path.write_bytes(
                {'empty': b'', 'garbage': b'no recording', 'cut': path.read_bytes()[:30]}[how]
            )
        found, damage = content(tmp_path)
        left = [item for n, part in enumerate(parts) if n != lost for item in part]
        assert found == written(left)
        (text,) = damage
        assert str(path) in text
        assert 'with 16 messages of 7.000000000 to 9.500000000 s' in text

    @pytest.mark.parametrize('kind', ['mcap', 'db3'])
    def test_of_a_damaged_file_it_says_how_many_messages_are_lost(
        self, tmp_path: Path, kind: str
    ) -> None:
        messages = pairs(400)
        path = tmp_path / f'b_0.{kind}'
        if kind == 'mcap':
            write_mcap(path, messages, **NO_SUMMARY)
        else:
            write_sqlite(path, messages)
        (tmp_path / 'metadata.yaml').write_text(
            'rosbag2_bagfile_information:\n'
            f'  relative_file_paths: [{path.name}]\n'
            f'  files:\n  - path: {path.name}\n'
            '    starting_time: {nanoseconds_since_epoch: 7000000000}\n'
            '    duration: {nanoseconds: 2500000000}\n    message_count: 1600\n'
        )
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        found, damage = content(tmp_path)
        assert 600 < len(found) < 1000
        lost = 1600 - len(found)
        assert any(
            text.startswith(f"'{path}' holds {len(found)} messages")
            and text.endswith(f'1600 messages of 7.000000000 to 9.500000000 s: {lost} are lost')
            for text in damage
        )

    def test_every_missing_file_is_named(self, tmp_path: Path) -> None:
        write_mcap(tmp_path / 'b_1.mcap', pairs(2))
        (tmp_path / 'metadata.yaml').write_text(
            'rosbag2_bagfile_information:\n'
            '  relative_file_paths: [b_0.mcap, b_1.mcap, b_2.mcap, b_3.mcap]\n'
        )
        _, damage = content(tmp_path)
        assert [name for name in ('b_0', 'b_1', 'b_2', 'b_3') if name in ' '.join(damage)] == [
            'b_0', 'b_2', 'b_3'
        ]  # fmt: skip

    def test_a_file_that_metadata_does_not_name_is_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_mcap(tmp_path / 'b_0.mcap', pairs(2))
        write_mcap(tmp_path / 'copy.mcap', pairs(2))
        (tmp_path / 'metadata.yaml').write_text(
            'rosbag2_bagfile_information:\n  relative_file_paths: [b_0.mcap]\n'
        )
        assert content(tmp_path) == (written(pairs(2)), [])
        assert 'metadata.yaml does not name copy.mcap: not read' in caplog.text

    def test_if_none_can_be_read_it_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / 'b_0.db3').write_bytes(b'')
        with pytest.raises(PlaybackError, match=r'b_0\.db3'):
            content(tmp_path)
