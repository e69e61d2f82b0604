"""The parts of processing: segments, names, stages, the joined file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader

from s2m2_ros.io.recordings.recorded_infos import RecordedTopics
from s2m2_ros.io.recordings.storage.stored_messages import StoredMetadata
from s2m2_ros.offline.processing import stages
from s2m2_ros.offline.processing.inputs import input_name
from s2m2_ros.offline.processing.mcap_parts import JoinedFile, PartWriter, RecordedChannel
from s2m2_ros.offline.processing.namespaces import rig_namespaces
from s2m2_ros.offline.processing.part_index import PartIndex
from s2m2_ros.offline.processing.segments import count_segments, time_segments
from s2m2_ros.offline.processing.stages import ReadAhead, WriteBehind

SECOND = 10**9
CHANNELS = [RecordedChannel('/a', 'std_msgs/msg/String', b'string data\n')]


class TestSegments:
    def test_they_begin_where_data_is_and_cover_all_times(self) -> None:
        spans = [(100, 112), (112, 119), (500, 503)]
        found = [(s.start, s.end) for s in time_segments(spans, 10)]
        assert found == [(None, 110), (110, 500), (500, None)]

    def test_a_time_of_another_clock_makes_no_million_of_them(self) -> None:
        spans = [(0, 1_700_000_000 * SECOND), (1_700_000_000 * SECOND, 1_700_000_009 * SECOND)]
        assert len(time_segments(spans, 5 * SECOND)) < 10

    def test_nothing_is_one(self) -> None:
        assert [(s.start, s.end) for s in time_segments([], 5)] == [(None, None)]

    @given(
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**4)), max_size=20),
        st.integers(1, 10**5),
    )
    def test_they_follow_each_other(self, parts: list[tuple[int, int]], length: int) -> None:
        found = time_segments([(start, start + more) for start, more in parts], length)
        assert [s.number for s in found] == list(range(len(found)))
        assert found[0].start is None
        assert found[-1].end is None
        for one, other in pairwise(found):
            assert one.end == other.start
            assert one.end is not None
            assert one.start is None or one.end - one.start >= length

    def test_of_so_many_pairs(self) -> None:
        assert [(s.start, s.end) for s in count_segments(5, 2)] == [(0, 2), (2, 4), (4, 5)]


class TestNames:
    @pytest.mark.parametrize(
        ('rigs', 'given_name', 'names'),
        [
            (['/left/image'], None, ['']),
            (['/a/b/left/image'], None, ['/a/b']),
            (['/a/left/image'], 'x/y', ['/x/y']),
            (['/a/left/image', '/b/left/image'], None, ['/a', '/b']),
            (['/a/left/image', '/b/left/image'], '/all', ['/all/a', '/all/b']),
            (['/front_left/image', '/rear_left/image'], None, ['/front', '/rear']),
            (['/left/image', '/left/image_2'], None, ['', '/rig_2']),
            (['/r/gray_left/image', '/r/color_left/image'], None, ['/r/gray', '/r/color']),
            (['/a-b.c/2d/left/image'], None, ['/a_b_c/rig_2d']),
        ],
    )
    def test_each_rig_has_its_own(
        self, rigs: list[str], given_name: str | None, names: list[str]
    ) -> None:
        topics = [RecordedTopics(left, left.replace('left', 'right')) for left in rigs]
        assert rig_namespaces(topics, given_name) == names

    def test_cameras_that_only_numbers_distinguish(self) -> None:
        """As the document says."""
        first, second = RecordedTopics('/cam0', '/cam1'), RecordedTopics('/cam2', '/cam3')
        assert rig_namespaces([first], None) == ['']
        assert rig_namespaces([first, second], None) == ['/cam', '/cam/rig_2']
        assert rig_namespaces([first, second], 'x') == ['/x/cam', '/x/cam/rig_2']

    @pytest.mark.parametrize(
        ('file', 'name'),
        [
            ('run.mcap', 'run'),
            ('run_0.db3.zstd', 'run_0'),
            ('a.b.bag', 'a.b'),
            ('RUN.MCAP', 'RUN'),
            ('film.mp4', 'film'),
            ('.mcap', 'result'),
        ],
    )
    def test_of_results(self, file: str, name: str) -> None:
        assert input_name(Path('/nowhere') / file) == name


class TestStages:
    def test_items_come_in_order(self) -> None:
        taken: list[int] = []
        with (
            ReadAhead(range(5000), lambda _: 1) as items,
            WriteBehind(taken.append, lambda _: 1) as behind,
        ):
            for item in items:
                behind.put(item)
        assert taken == list(range(5000))

    def test_reading_waits_for_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stages, 'CAPACITY_BYTES', 10)
        begun: list[int] = []
        ahead = threading.Semaphore(0)

        def source() -> Iterator[int]:
            for number in range(20):
                begun.append(number)
                ahead.release()
                yield number

        with ReadAhead(source(), lambda _: 4) as items:
            for _ in range(3):
                ahead.acquire()
            # Two of 4 bytes wait, and a third is in hand.
            assert begun == [0, 1, 2]
            assert next(items) == 0
            ahead.acquire()
            assert begun == [0, 1, 2, 3]

    def test_one_item_may_be_larger_than_all_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stages, 'CAPACITY_BYTES', 10)
        with ReadAhead([1, 2, 3], lambda _: 1000) as items:
            assert list(items) == [1, 2, 3]

    def test_an_error_of_the_reader_is_raised_after_what_came_before(self) -> None:
        def source() -> Iterator[int]:
            yield 1
            raise ValueError('broken')

        taken = []
        with pytest.raises(ValueError, match='broken'), ReadAhead(source(), lambda _: 1) as items:
            taken += [next(items)]
            next(items)
        assert taken == [1]

    def test_an_error_of_the_writer_is_raised(self) -> None:
        def consume(item: int) -> None:
            if item == 3:
                raise OSError(28, 'No space left on device')

        with (
            pytest.raises(OSError, match='No space'),
            WriteBehind(consume, lambda _: 1) as behind,
        ):
            for number in range(10_000_000):
                behind.put(number)

    def test_an_error_of_the_last_item_is_raised(self) -> None:
        def consume(_: int) -> None:
            raise ValueError('last')

        with pytest.raises(ValueError, match='last'), WriteBehind(consume, lambda _: 1) as behind:
            behind.put(1)

    def test_giving_up_ends_both_threads(self) -> None:
        before = set(threading.enumerate())
        with (
            pytest.raises(KeyboardInterrupt),
            ReadAhead(range(10**9), lambda _: 1),
            WriteBehind(lambda _: None, lambda _: 1),
        ):
            raise KeyboardInterrupt
        assert set(threading.enumerate()) <= before


class TestJoinedFile:
    def test_it_is_what_one_writer_would_have_written_of_the_same_chunks(
        self, tmp_path: Path
    ) -> None:
        indexes = []
        joined = JoinedFile(tmp_path / 'joined.mcap', CHANNELS)
        joined.start([])
        for number in range(3):
            path = tmp_path / f'{number}.mcap'
            with path.open('wb') as file:
                writer = PartWriter(file, CHANNELS)
                # The second part is empty.
                for at in range(0 if number == 1 else 2):
                    time_ns = 10 * number + at
                    writer.write(0, time_ns, f'{number} {at}'.encode(), time_ns)
                writer.finish()
            indexes.append(PartIndex.of(path))
            joined.append(path, indexes[-1])
        joined.finish(indexes, [StoredMetadata('facts', {'key': 'value'})])
        with (tmp_path / 'joined.mcap').open('rb') as file:
            reader = make_reader(file, validate_crcs=True)
            found = [(m.log_time, m.data) for _, _, m in reader.iter_messages()]
            (metadata,) = reader.iter_metadata()
            summary = reader.get_summary()
        assert found == [(0, b'0 0'), (1, b'0 1'), (20, b'2 0'), (21, b'2 1')]
        assert metadata.metadata == {'key': 'value'}
        assert summary is not None
        assert summary.statistics is not None
        assert (summary.statistics.message_count, summary.statistics.chunk_count) == (4, 2)
        span = (summary.statistics.message_start_time, summary.statistics.message_end_time)
        assert span == (0, 21)
        assert len(summary.chunk_indexes) == 2
