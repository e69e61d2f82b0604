"""Recordings in, recordings out: what is in the result, whatever happens on the way."""

from __future__ import annotations

import json
import logging
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from s2m2_ros.errors import S2M2Error
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, REGISTERED
from s2m2_ros.offline.processing import (
    OutputFormat,
    Processed,
    ProcessOptions,
    Processor,
)
from s2m2_ros.pipeline import PipelineOptions, TemporalOptions, output_options
from support import sgbm_processing
from support.processes import SOURCE
from support.recorded_pairs import (
    SECOND,
    Written,
    header,
    message,
    write_mcap,
    write_ros1,
    write_sqlite,
)
from support.sgbm_processing import SGBM
from support.stereo_recordings import (
    SCENE,
    SCENE_CALIBRATION,
    START,
    in_order,
    scene_image,
    scene_info,
    scene_pairs,
    texts,
)
from support.stereo_scene import PlaneScene

OUTPUTS = ('disparity', 'depth', 'points')
COUNT = 12
Messages = dict[str, list[tuple[int, bytes]]]


processed = partial(sgbm_processing.processed, outputs=OUTPUTS, segment_seconds=1.0)


def messages(path: Path) -> Messages:
    """Return time and content of each message by topic, by the reference reader."""
    found: Messages = defaultdict(list)
    with path.open('rb') as file:
        for _, channel, item in make_reader(file).iter_messages():
            found[channel.topic].append((item.log_time, item.data))
    return dict(found)


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 12 pairs at 5 Hz and 24 texts, in chunks of about one pair."""
    path = tmp_path_factory.mktemp('recording') / 'run.mcap'
    return write_mcap(path, in_order(scene_pairs(COUNT), texts(24)), chunk_size=150_000)


@pytest.fixture(scope='module')
def result(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Processed:
    """Return what becomes of it, with the texts kept, without interruption."""
    return processed(recording, tmp_path_factory.mktemp('result'), keep=('/log',))


class TestResult:
    def test_every_pair_is_there_at_its_time(self, result: Processed) -> None:
        assert (result.pairs, result.lost, result.is_whole) == (COUNT, 0, True)
        found = messages(result.output)
        assert set(found) == {'/log', *(f'/stereo/{name}' for name in OUTPUTS)}
        times = [START + n * SECOND // 5 for n in range(COUNT)]
        for name in OUTPUTS:
            assert [at for at, _ in found[f'/stereo/{name}']] == times

    def test_the_reference_reader_decodes_all_by_the_schemas_in_the_file(
        self, result: Processed
    ) -> None:
        with result.output.open('rb') as file:
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            decoded = [(c.topic, m, d) for _, c, m, d in reader.iter_decoded_messages()]
        assert len(decoded) == 3 * COUNT + 24
        for topic, item, content in decoded:
            if topic != '/log':
                stamp = content.header.stamp
                assert stamp.sec * SECOND + stamp.nanosec == item.log_time
                assert content.header.frame_id == 'left_optical'

    def test_depth_is_that_of_the_scene(self, result: Processed) -> None:
        with AnyReader([result.output]) as reader:
            connections = [c for c in reader.connections if c.topic == '/stereo/depth']
            _, _, data = next(reader.messages(connections))
            depth = reader.deserialize(data, connections[0].msgtype)
        values = depth.data.view(np.float32).reshape(depth.height, depth.width)
        known = np.isfinite(values)
        assert known.mean() > 0.5
        assert np.median(np.abs(values - SCENE.depth())[known]) < 0.02

    def test_what_is_kept_is_as_it_was(self, recording: Path, result: Processed) -> None:
        assert messages(result.output)['/log'] == messages(recording)['/log']

    def test_it_says_how_it_was_made(self, result: Processed) -> None:
        with result.output.open('rb') as file:
            reader = make_reader(file)
            assert reader.get_header().profile == 'ros2'
            (metadata,) = reader.iter_metadata()
            summary = reader.get_summary()
        assert metadata.name == 's2m2_ros'
        assert metadata.metadata['backend'] == 'sgbm'
        assert metadata.metadata['software'].startswith('s2m2_ros ')
        assert json.loads(metadata.metadata['versions'])['mcap']
        assert summary is not None
        assert {index.compression for index in summary.chunk_indexes} == {'zstd'}

    def test_nothing_else_is_left(self, result: Processed) -> None:
        names = {path.name for path in result.output.parent.iterdir()}
        assert names == {'run.mcap', 'run.html', 'run.json'}


class TestSameBytes:
    def test_again(self, recording: Path, result: Processed, tmp_path: Path) -> None:
        again = processed(recording, tmp_path, keep=('/log',))
        assert again.output.read_bytes() == result.output.read_bytes()
        assert again.report.read_bytes() == result.report.read_bytes()

    @pytest.mark.parametrize('seconds', [0.2, 0.7, 100.0])
    def test_messages_do_not_depend_on_where_segments_end(
        self, recording: Path, result: Processed, tmp_path: Path, seconds: float
    ) -> None:
        again = processed(recording, tmp_path, keep=('/log',), segment_seconds=seconds)
        assert messages(again.output) == messages(result.output)

    @pytest.mark.parametrize('write', [write_sqlite, write_ros1])
    def test_other_kinds_of_recordings_give_the_same_messages(
        self, result: Processed, tmp_path: Path, write: Callable[..., Path]
    ) -> None:
        name = 'run.db3' if write is write_sqlite else 'run.bag'
        path = write(tmp_path / name, in_order(scene_pairs(COUNT), texts(24)))
        again = processed(path, tmp_path / 'out', keep=('all',))
        outputs = {f'/stereo/{name}' for name in OUTPUTS}
        found = messages(again.output)
        expected = messages(result.output)
        assert {t: found[t] for t in outputs} == {t: expected[t] for t in outputs}
        assert found['/log'] == expected['/log']
        assert len(found['/stereo/left/image_rect']) == COUNT

    def test_a_calibration_that_came_once_counts_to_the_end(
        self, result: Processed, tmp_path: Path
    ) -> None:
        path = write_mcap(tmp_path / 'once.mcap', scene_pairs(COUNT, info_every=1000))
        found = messages(processed(path, tmp_path / 'out').output)
        assert found['/stereo/depth'] == messages(result.output)['/stereo/depth']

    def test_deep_images_have_one_range_from_start_to_end(self, tmp_path: Path) -> None:
        """12 bits in 16; segments that begin dark must not take them for 8 or 10 bits."""
        written = []
        for item in scene_pairs(6):
            content = item.message
            if item.message.__msgtype__.endswith('/Image'):
                pixels = content.data.reshape(SCENE.height, SCENE.width).astype(np.uint16)
                factor = 2 if item.time_ns < START + SECOND // 2 else 16
                content = scene_image(pixels * factor, content.header.stamp.sec * SECOND
                                      + content.header.stamp.nanosec)  # fmt: skip
            written.append(Written(item.topic, item.time_ns, content))
        path = write_mcap(tmp_path / 'deep.mcap', written)
        parts = [
            messages(processed(path, tmp_path / str(s), segment_seconds=s).output)
            for s in (0.2, 0.4)
        ]
        assert parts[0] == parts[1]


class TestInterruption:
    def test_killed_at_random_and_started_again_it_is_the_same(
        self, recording: Path, result: Processed, tmp_path: Path
    ) -> None:
        output, seed = tmp_path / 'out', time.time_ns()
        print(f'seed {seed}')  # noqa: T201  # shown if it fails
        dice = random.Random(seed)  # noqa: S311
        for _ in range(3):
            self._run(recording, output, dice.randrange(2, COUNT + 1), dice.uniform(0, 0.1))
            # Whatever has its final name is whole.
            for path in (result.output, result.report):
                found = output / path.name
                assert not found.exists() or found.read_bytes() == path.read_bytes()
        self._run(recording, output, 0, 0.0)
        assert (output / 'run.mcap').read_bytes() == result.output.read_bytes()
        assert (output / 'run.html').read_bytes() == result.report.read_bytes()
        assert {p.name for p in output.iterdir()} == {'run.mcap', 'run.html', 'run.json'}

    def _run(self, recording: Path, output: Path, pairs: int, delay: float) -> None:
        """Kill it a moment after so many pairs of its own; run to the end for none."""
        process = subprocess.Popen(
            [sys.executable, '-c', SCRIPT, str(recording), str(output)], cwd=SOURCE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(pairs):
            if not process.stdout.readline():
                break
        if pairs:
            time.sleep(delay)  # at any moment: there is nothing to wait for
            process.kill()
        process.stdout.read()
        assert process.wait() in (0, -signal.SIGKILL)

    @pytest.mark.parametrize('moment', range(1, 9))
    def test_killed_while_files_get_their_names_it_is_the_same(
        self, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        options: dict[str, Any] = {'formats': (OutputFormat.PFM,), 'outputs': ('depth',)}
        whole = processed(recording, tmp_path / 'whole', **options)
        calls = iter(range(1, 100))

        def interrupted(self: Path, target: Path) -> Path:
            if self.suffix in {'', '.pfm'} and target.name[:1] != '.' and next(calls) == moment:
                raise KeyboardInterrupt
            return replace_path(self, target)

        replace_path = Path.replace
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Path, 'replace', interrupted)
            processed(recording, tmp_path / 'out', **options)
        again = processed(recording, tmp_path / 'out', **options)
        names = {p.name: p.read_bytes() for p in again.output.rglob('*.pfm')}
        assert names == {p.name: p.read_bytes() for p in whole.output.rglob('*.pfm')}
        assert len(names) == COUNT
        assert {p.name for p in (tmp_path / 'out').iterdir()} == {'run', 'run.html', 'run.json'}

    def test_a_full_disk_is_told_and_it_goes_on_later(
        self, recording: Path, result: Processed, tmp_path: Path
    ) -> None:
        limited = SCRIPT.replace('# limit', 'limit()')
        done = subprocess.run(
            [sys.executable, '-c', limited, str(recording), str(tmp_path)],
            cwd=SOURCE, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert 'cannot write' in done.stderr
        assert 'File too large: write to a file system' in done.stderr
        assert 'what is finished stays, and the same call goes on from there' in done.stderr
        assert 'Traceback' not in done.stderr
        assert not (tmp_path / 'run.mcap').exists()
        again = processed(recording, tmp_path, keep=('/log',))
        assert again.output.read_bytes() == result.output.read_bytes()

    def test_a_part_that_was_lost_is_made_again(
        self, recording: Path, result: Processed, tmp_path: Path
    ) -> None:
        self._interrupted(recording, tmp_path)
        work = tmp_path / '.run.s2m2'
        joined = work / 'joined.mcap'
        joined.write_bytes(joined.read_bytes()[:-1000])
        (work / 'segment-000000.json').write_text('{"fac')
        again = processed(recording, tmp_path, keep=('/log',))
        assert again.output.read_bytes() == result.output.read_bytes()

    def test_other_options_start_again(self, recording: Path, tmp_path: Path) -> None:
        self._interrupted(recording, tmp_path)
        found = messages(processed(recording, tmp_path, outputs=('depth',)).output)
        assert {topic: len(items) for topic, items in found.items()} == {'/stereo/depth': COUNT}

    def test_what_is_done_is_not_done_again(self, recording: Path, result: Processed) -> None:
        before = result.output.stat().st_mtime_ns
        again = processed(recording, result.output.parent, keep=('/log',))
        assert again.was_done
        assert again.pairs == COUNT
        assert result.output.stat().st_mtime_ns == before

    def test_what_was_left_at_the_very_end_is_removed(
        self, recording: Path, tmp_path: Path
    ) -> None:
        found = processed(recording, tmp_path)
        (tmp_path / '.run.s2m2').mkdir()
        (tmp_path / '.run.s2m2' / 'plan.json').write_text('{}')
        assert processed(recording, tmp_path).was_done
        assert {path.name for path in tmp_path.iterdir()} == {'run.mcap', 'run.html', 'run.json'}
        assert found.output.exists()

    def test_a_folder_takes_the_place_of_an_earlier_one(
        self, recording: Path, tmp_path: Path
    ) -> None:
        first = processed(recording, tmp_path, formats=(OutputFormat.PFM,))
        assert (first.output / 'stereo' / 'depth').is_dir()
        again = processed(recording, tmp_path, formats=(OutputFormat.PFM,), outputs=('disparity',))
        assert {p.name for p in (again.output / 'stereo').iterdir()} == {'disparity'}
        assert {path.name for path in tmp_path.iterdir()} == {'run', 'run.html', 'run.json'}

    def test_neither_the_input_nor_files_of_others_are_replaced(self, tmp_path: Path) -> None:
        path = write_mcap(tmp_path / 'run.mcap', scene_pairs(1))
        before = path.read_bytes()
        with pytest.raises(S2M2Error, match='another folder'):
            processed(path, tmp_path)
        with pytest.raises(S2M2Error, match='another folder'):
            processed(tmp_path, tmp_path / 'deep' / 'er')
        (tmp_path / 'out').mkdir()
        (tmp_path / 'out' / 'run.json').write_text('{"mine": 1}')
        with pytest.raises(S2M2Error, match=r'run\.json'):
            processed(path, tmp_path / 'out')
        assert path.read_bytes() == before
        assert (tmp_path / 'out' / 'run.json').read_text() == '{"mine": 1}'
        assert {p.name for p in tmp_path.iterdir()} == {'run.mcap', 'out'}

    def test_a_changed_recording_is_processed_again(self, tmp_path: Path) -> None:
        path = write_mcap(tmp_path / 'run.mcap', scene_pairs(2))
        assert processed(path, tmp_path / 'out').pairs == 2
        write_mcap(path, scene_pairs(3))
        again = processed(path, tmp_path / 'out')
        assert (again.was_done, again.pairs) == (False, 3)

    def test_two_at_once_are_refused(self, recording: Path, tmp_path: Path) -> None:
        from s2m2_ros.offline.processing.work_folder import WorkFolder

        with WorkFolder(tmp_path / '.run.s2m2'), pytest.raises(S2M2Error, match='another process'):
            processed(recording, tmp_path)

    def _interrupted(self, recording: Path, output: Path) -> None:
        """Stop after a few pairs, as Ctrl-C does."""

        def stop(progress: Any) -> None:
            if progress.done == 8:
                raise KeyboardInterrupt

        options = ProcessOptions(outputs=OUTPUTS, segment_seconds=1.0, keep=('/log',))
        with (
            pytest.raises(KeyboardInterrupt),
            Processor(SGBM, options, progress=stop) as processor,
        ):
            processor.process(recording, output)
        assert (output / '.run.s2m2' / 'segment-000000.json').exists()


SCRIPT = f"""
import resource, sys
from pathlib import Path
from s2m2_ros.errors import S2M2Error
from s2m2_ros.offline.processing import MatcherOptions, ProcessOptions, Processor

def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

# limit
options = ProcessOptions(outputs={OUTPUTS!r}, segment_seconds=1.0, keep=('/log',))
try:
    with Processor(
        MatcherOptions(backend='sgbm'), options, progress=lambda p: print(p.done, flush=True)
    ) as processor:
        processor.process(Path(sys.argv[1]), Path(sys.argv[2]))
except S2M2Error as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


@dataclass(frozen=True)
class Cut(Written):
    """A message of which only the first bytes are recorded."""

    length: int | None = None

    @property
    def cdr(self) -> bytes:
        return super().cdr[: self.length]


class TestLosses:
    def test_a_damaged_chunk_in_the_middle_is_told_and_the_rest_goes_on(
        self, recording: Path, tmp_path: Path
    ) -> None:
        with recording.open('rb') as file:
            summary = make_reader(file).get_summary()
        assert summary is not None
        chunk = summary.chunk_indexes[len(summary.chunk_indexes) // 2]
        path = tmp_path / 'run.mcap'
        content = bytearray(recording.read_bytes())
        middle = chunk.chunk_start_offset + chunk.chunk_length // 2
        content[middle : middle + 100] = bytes(100)
        path.write_bytes(content)
        found = processed(path, tmp_path / 'out')
        assert not found.is_whole
        assert COUNT - 3 <= found.pairs < COUNT
        assert any('damaged' in loss for loss in found.losses)
        times = [at for at, _ in messages(found.output)['/stereo/depth']]
        assert times[0] == START
        assert times[-1] == START + (COUNT - 1) * SECOND // 5

    @pytest.mark.parametrize('has_summary', [True, False])
    def test_damage_at_the_head_of_a_chunk_is_told_and_the_rest_goes_on(
        self, recording: Path, tmp_path: Path, has_summary: bool
    ) -> None:
        with recording.open('rb') as file:
            summary = make_reader(file).get_summary()
        assert summary is not None
        chunks = sorted(c.chunk_start_offset for c in summary.chunk_indexes)
        middle = chunks[len(chunks) // 2]
        content = bytearray(recording.read_bytes())
        content[middle : middle + 60] = b'\xff' * 60
        path = tmp_path / 'run.mcap'
        path.write_bytes(content if has_summary else content[:-50])
        found = processed(path, tmp_path / 'out')
        assert COUNT - 3 <= found.pairs < COUNT
        (loss,) = found.losses
        assert f'damaged from byte {middle} to ' in loss
        times = [at for at, _ in messages(found.output)['/stereo/depth']]
        assert times[0] == START
        assert times[-1] == START + (COUNT - 1) * SECOND // 5

    @pytest.mark.parametrize('lost', [0, 1, 2])
    def test_a_missing_file_of_a_split_recording_is_a_loss(
        self, tmp_path: Path, lost: int
    ) -> None:
        folder = tmp_path / 'bag'
        folder.mkdir()
        written = list(scene_pairs(6))
        for number in range(3):
            if number != lost:
                write_sqlite(folder / f'bag_{number}.db3', written[8 * number : 8 * number + 8])
        (folder / 'metadata.yaml').write_text(
            'rosbag2_bagfile_information:\n'
            '  relative_file_paths: [bag_0.db3, bag_1.db3, bag_2.db3]\n'
        )
        found = processed(folder, tmp_path / 'out', outputs=('depth',))
        assert (found.pairs, found.is_whole) == (4, False)
        (loss,) = found.losses
        assert '<td>0, and those in what is damaged or missing</td>' in found.report.read_text()
        assert f"'{folder / f'bag_{lost}.db3'}' is missing" in loss
        assert f'bag_{lost}.db3' in found.report.read_text()
        # What was missing is there again: it is processed anew.
        write_sqlite(folder / f'bag_{lost}.db3', written[8 * lost : 8 * lost + 8])
        again = processed(folder, tmp_path / 'out', outputs=('depth',))
        assert (again.pairs, again.is_whole, again.was_done) == (6, True, False)

    def test_a_damaged_page_of_sqlite_is_told_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        path = write_sqlite(tmp_path / 'run.db3', scene_pairs(COUNT))
        content = bytearray(path.read_bytes())
        # A leaf of the table of messages: kind 13, holding the heads of a few rows.
        leaves = [at for at in range(4096, len(content), 4096) if content[at] == 13]
        middle = leaves[len(leaves) // 2]
        content[middle : middle + 4096] = bytes(4096)
        path.write_bytes(content)
        found = processed(path, tmp_path / 'out')
        assert any('damaged' in loss for loss in found.losses)
        assert COUNT - 4 <= found.pairs < COUNT
        times = [at for at, _ in messages(found.output)['/stereo/depth']]
        assert times[0] == START
        assert times[-1] == START + (COUNT - 1) * SECOND // 5

    def test_a_damaged_chunk_of_a_ros1_bag_is_told_and_the_rest_goes_on(
        self, tmp_path: Path
    ) -> None:
        from rosbags.rosbag1 import Writer

        class Small(Writer):  # type: ignore[misc]
            def __init__(self, path: Path) -> None:
                super().__init__(path)
                self.chunk_threshold = 150_000
                self.set_compression(Writer.CompressionFormat.BZ2)

        path = tmp_path / 'run.bag'
        write_ros1(path, scene_pairs(COUNT), writer_class=Small)
        content = bytearray(path.read_bytes())
        starts = [at for at in range(len(content)) if content[at : at + 4] == b'BZh9']
        assert len(starts) > 4
        middle = starts[len(starts) // 2] + 40
        content[middle : middle + 50] = bytes(50)
        path.write_bytes(content)
        found = processed(path, tmp_path / 'out')
        # Of several segments, and of kept topics too, it is one loss.
        (loss,) = found.losses
        told = re.search(r'held (\d+) of (\d+\.\d+) to (\d+\.\d+) s', loss)
        assert told, loss
        assert 4 <= int(told[1]) <= 16
        assert COUNT - 4 <= found.pairs < COUNT
        times = [at for at, _ in messages(found.output)['/stereo/depth']]
        assert times[-1] == START + (COUNT - 1) * SECOND // 5
        missing = {START + n * SECOND // 5 for n in range(COUNT)} - set(times)
        # A pair is lost with one of its images, and the right one is 10 ms later.
        assert float(told[2]) <= max(missing) / SECOND + 0.01
        assert min(missing) / SECOND <= float(told[3])

    def test_a_pair_that_cannot_be_decoded_is_told_and_the_rest_goes_on(
        self, tmp_path: Path
    ) -> None:
        written = list(scene_pairs(3))
        images = [item for item in written if item.topic.endswith('left/image_rect')]
        images[1].message.encoding = 'no_such_encoding'
        path = write_mcap(tmp_path / 'run.mcap', written)
        found = processed(path, tmp_path / 'out')
        assert (found.pairs, found.lost) == (2, 1)
        assert 'no_such_encoding' in found.losses[0]
        assert '<th>pairs lost</th><td>1</td>' in found.report.read_text()

    def test_a_recording_without_one_pair_that_can_be_processed_is_an_error(
        self, tmp_path: Path
    ) -> None:
        written = list(scene_pairs(2))
        for item in written:
            if 'left/image' in item.topic:
                item.message.encoding = 'no_such_encoding'
        path = write_mcap(tmp_path / 'run.mcap', written)
        with pytest.raises(S2M2Error, match='no_such_encoding'):
            processed(path, tmp_path / 'out')

    def test_messages_that_are_damaged_are_told_in_words(self, tmp_path: Path) -> None:
        """An image that is cut short, and one whose data say that they are longer."""
        written = list(scene_pairs(6, period_ns=SECOND))
        images = [item for item in written if item.topic.endswith('left/image_rect')]
        path = tmp_path / 'run.mcap'
        cut = {id(images[2]): 40, id(images[4]): 5}
        write_mcap(path, (Cut(i.topic, i.time_ns, i.message, cut.get(id(i))) for i in written))
        found = processed(path, tmp_path / 'out', outputs=('depth',))
        assert found.pairs == 4
        assert sorted(found.losses) == [
            f'a message on /stereo/left/image_rect at {at}.000000000 s is damaged (its {size} '
            'bytes are no whole sensor_msgs/msg/Image)'
            for at, size in ((102, 40), (104, 5))
        ]

    def test_images_without_timestamps_are_paired_by_their_recording_and_it_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        written = list(scene_pairs(4))
        for item in written:
            item.message.header.stamp.sec = item.message.header.stamp.nanosec = 0
        path = write_mcap(tmp_path / 'run.mcap', written)
        found = processed(path, tmp_path / 'out', outputs=('depth',))
        assert (found.pairs, found.is_whole) == (4, True)
        for text in (caplog.text, unescape(found.report.read_text())):
            assert (
                'the images of /stereo/left/image_rect and /stereo/right/image_rect have no '
                'timestamps (0): when they were recorded stands for that, and nearest ones within '
                '90.0 ms are paired; these may be of different moments: have the driver'
            ) in text
            assert 'have no equal timestamps' not in text

    def test_clocks_apart_are_explained(self, tmp_path: Path) -> None:
        written = list(scene_pairs(4))
        for item in written:
            if item.topic.endswith('right/image_rect'):
                item.message.header.stamp.sec += 5000
        path = write_mcap(tmp_path / 'run.mcap', written)
        with pytest.raises(S2M2Error, match='different clocks'):
            processed(path, tmp_path / 'out')

    def test_topics_that_are_not_there_list_those_that_are(
        self, recording: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(S2M2Error, match='/stereo/left/image_rect'):
            processed(recording, tmp_path, pairs=[('/a/left', '/a/right')])
        with pytest.raises(S2M2Error, match='/log'):
            processed(recording, tmp_path, keep=('/nothing',))
        with pytest.raises(S2M2Error, match='depth/camera_info') as caught:
            processed(recording, tmp_path, outputs=('nothing',))
        assert all(name in str(caught.value) for name in [*OUTPUT_TOPICS, 'all'])


class TestForms:
    def test_a_rosbag2_folder_opens_as_one(
        self, recording: Path, result: Processed, tmp_path: Path
    ) -> None:
        found = processed(recording, tmp_path, keep=('/log',), formats=(OutputFormat.ROSBAG2,))
        assert found.output == tmp_path / 'run'
        assert {p.name for p in found.output.iterdir()} == {'metadata.yaml', 'run_0.mcap'}
        assert messages(found.output / 'run_0.mcap') == messages(result.output)
        with AnyReader([found.output]) as reader:
            counts = {c.topic: c.msgcount for c in reader.connections}
            assert sum(1 for _ in reader.messages()) == 3 * COUNT + 24
        assert counts == {'/log': 24, **{f'/stereo/{name}': COUNT for name in OUTPUTS}}

    def test_files_of_each_pair(self, recording: Path, result: Processed, tmp_path: Path) -> None:
        kinds = (OutputFormat.PNG, OutputFormat.PFM, OutputFormat.PLY, OutputFormat.NPZ)
        found = processed(recording, tmp_path, formats=kinds)
        names = sorted(str(p.relative_to(found.output)) for p in found.output.rglob('*.*'))
        first = [name for name in names if '100.000000000' in name]
        assert first == [
            'stereo/depth/100.000000000.pfm',
            'stereo/depth/100.000000000.png',
            'stereo/disparity/100.000000000.pfm',
            'stereo/disparity/100.000000000.png',
            'stereo/npz/100.000000000.npz',
            'stereo/points/100.000000000.ply',
        ]
        assert len(names) == 6 * COUNT
        arrays = np.load(found.output / first[4])
        assert int(arrays['stamp_ns']) == START
        _, data = messages(result.output)['/stereo/depth'][0]
        assert arrays['depth'].tobytes() == data[-arrays['depth'].nbytes :]

    @pytest.mark.parametrize('segment_seconds', [0.5, 60.0])
    def test_pairs_of_equal_timestamps_keep_their_files(
        self, segment_seconds: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        # A camera whose clock starts anew: 100.0 to 100.4, three times, 10 s apart.
        written = [
            replace(item, time_ns=item.time_ns + loop * 10 * SECOND)
            for loop in range(3)
            for item in scene_pairs(3)
        ]
        path = write_mcap(tmp_path / 'run.mcap', written)
        kinds = (OutputFormat.PFM, OutputFormat.NPZ)
        found = processed(
            path, tmp_path / 'out', formats=kinds, outputs=('depth',),
            segment_seconds=segment_seconds,
        )  # fmt: skip
        assert (found.pairs, found.is_whole) == (9, True)
        stamps = ('100.000000000', '100.200000000', '100.400000000')
        names = {stamp + number for stamp in stamps for number in ('', '_2', '_3')}
        for output in ('depth', 'npz'):
            files = {p.stem: p for p in (found.output / 'stereo' / output).iterdir()}
            assert files.keys() == names
        for stem, file in files.items():
            assert int(np.load(file)['stamp_ns']) == round(float(stem[:5]) * 10) * SECOND // 10
        assert '6 pairs have the timestamp of an earlier one' in caplog.text
        assert '6 pairs have that of an earlier one' in found.report.read_text()

    def test_two_rigs_in_one_recording(self, result: Processed, tmp_path: Path) -> None:
        path = write_mcap(
            tmp_path / 'two.mcap',
            in_order(scene_pairs(4, camera='/front'), scene_pairs(3, camera='/rear')),
        )
        found = processed(path, tmp_path / 'out', outputs=('depth',))
        counts = {topic: len(items) for topic, items in messages(found.output).items()}
        assert counts == {'/front/depth': 4, '/rear/depth': 3}
        one = processed(
            path, tmp_path / 'one', outputs=('depth',), namespace='x',
            pairs=[('/rear/left/image_rect', '/rear/right/image_rect')],
        )  # fmt: skip
        assert list(messages(one.output)) == ['/x/depth']

    def test_every_output_of_the_node(self, tmp_path: Path) -> None:
        path = write_mcap(tmp_path / 'run.mcap', scene_pairs(1))
        found = messages(processed(path, tmp_path / 'out', outputs=('all',)).output)
        assert set(found) == {
            f'/stereo/{name}' for name in OUTPUT_TOPICS if name not in REGISTERED
        }

    def test_a_topic_that_is_computed_anew_replaces_the_recorded_one(
        self, result: Processed, tmp_path: Path
    ) -> None:
        first = processed(
            write_mcap(tmp_path / 'a.mcap', scene_pairs(2)), tmp_path / 'x', keep=('all',)
        )
        again = processed(first.output, tmp_path / 'y', keep=('all',))
        counts = {topic: len(items) for topic, items in messages(again.output).items()}
        assert counts['/stereo/depth'] == counts['/stereo/left/image_rect'] == 2

    def test_types_of_others_are_carried_along(self, tmp_path: Path) -> None:
        """Of which nothing but the recorded definition is known."""
        path = write_mcap(
            tmp_path / 'other.mcap',
            [*scene_pairs(1), *texts(1)],
            compression=CompressionType.NONE,
            enable_crcs=False,
        )
        path.write_bytes(path.read_bytes().replace(b'std_msgs/msg/String', b'my_types/msg/Thing1'))
        found = processed(path, tmp_path / 'out', keep=('/log',))
        with found.output.open('rb') as file:
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            ((schema, _, _, thing),) = reader.iter_decoded_messages(topics=['/log'])
        assert schema.name == 'my_types/msg/Thing1'
        assert thing.data == 'message 0'


class TestRegisteredDepth:
    """A wall at 2 m, and a color camera 0.05 m beside the left one, of another frame tree."""

    SCENE = PlaneScene(a=12.0, b=0.0, c=0.0)

    def recording(self, folder: Path, *, frames: tuple[str, ...]) -> Path:
        transforms = [
            (frames[0], 'left_optical', (0.0, 0.0, 0.3)),
            (frames[0], 'color_optical', (0.05, 0.0, 0.3)),
        ]
        static = message(
            'tf2_msgs/msg/TFMessage',
            transforms=[self.transform(*item) for item in transforms[: len(frames)]],
        )
        info = scene_info(START, scene=self.SCENE)
        info.header.frame_id = 'color_optical'  # type: ignore[attr-defined]
        others = [
            Written('/tf_static', START - 5, static),
            Written('/color/image_rect/camera_info', START, info),
        ]
        return write_mcap(folder / 'run.mcap', [*others, *scene_pairs(2, scene=self.SCENE)])

    def transform(self, parent: str, child: str, place: tuple[float, float, float]) -> Any:
        x, y, z = place
        return message(
            'geometry_msgs/msg/TransformStamped', header=header(0, parent), child_frame_id=child,
            transform=message(
                'geometry_msgs/msg/Transform',
                translation=message('geometry_msgs/msg/Vector3', x=x, y=y, z=z),
                rotation=message('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
            ),
        )  # fmt: skip

    def test_it_is_in_the_color_camera(self, tmp_path: Path) -> None:
        path = self.recording(tmp_path, frames=('base', 'base'))
        found = processed(
            path, tmp_path / 'out', color_info='/color/image_rect/camera_info',
            outputs=('registered/depth', 'registered/camera_info', 'depth'),
        )  # fmt: skip
        with AnyReader([found.output]) as reader:
            decoded = {
                c.topic: reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()
            }
        depth = decoded['/stereo/registered/depth']
        assert depth.header.frame_id == 'color_optical'
        assert decoded['/stereo/registered/camera_info'].header.frame_id == 'color_optical'
        values = depth.data.view(np.float32).reshape(depth.height, depth.width)
        left = decoded['/stereo/depth'].data.view(np.float32).reshape(values.shape)
        known = np.isfinite(values)
        assert known.mean() > 0.5
        assert np.abs(values[known] - 2.0).max() < 0.1
        # 240 px * 0.05 m / 2 m = 6 px to the left; the left camera's known pixels move with it.
        moved = np.isfinite(left)[:, 6:]
        assert (known[:, :-6] == moved).mean() > 0.98

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        path = self.recording(tmp_path, frames=('base',))
        options: dict[str, Any] = {'outputs': ('registered/depth',)}
        with pytest.raises(S2M2Error, match=r"'color_optical'.*frames on it: base, left_optical"):
            processed(path, tmp_path, color_info='/color/image_rect/camera_info', **options)
        with pytest.raises(S2M2Error, match='/color/image_rect/camera_info'):
            processed(path, tmp_path, color_info='/nothing', **options)
        with pytest.raises(S2M2Error, match='color_info'):
            processed(path, tmp_path, **options)


def test_a_folder_of_pairs(tmp_path: Path) -> None:
    import cv2

    for side, name in enumerate(('left', 'right')):
        (tmp_path / 'pairs' / name).mkdir(parents=True)
        for number in range(3):
            file = tmp_path / 'pairs' / name / f'{number:03d}.png'
            cv2.imwrite(str(file), SCENE.images(seed=number)[side])
    (tmp_path / 'pairs' / 'calib.txt').write_text(SCENE_CALIBRATION)
    found = processed(tmp_path / 'pairs', tmp_path / 'out', segment_pairs=2)
    times = [at for at, _ in messages(found.output)['/depth']]
    assert times == [SECOND, SECOND + SECOND // 10, SECOND + SECOND // 5]


def scene_video(folder: Path) -> tuple[Path, Path]:
    """Write a video of five pairs, both views in one image, and its calibration."""
    import cv2

    path = folder / 'film.avi'
    video = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*'MJPG'), 20.0, (2 * SCENE.width, SCENE.height)
    )
    for number in range(5):
        both = np.hstack(SCENE.images(seed=number))
        video.write(cv2.cvtColor(both, cv2.COLOR_GRAY2BGR))
    video.release()
    calibration = folder / 'calib.txt'
    calibration.write_text(SCENE_CALIBRATION)
    return path, calibration


def test_a_video_of_both_views_in_one_image(tmp_path: Path) -> None:
    from s2m2_ros.io.sources.view_layout import ViewLayout

    path, calibration = scene_video(tmp_path)
    parts = [
        messages(
            processed(
                path, tmp_path / str(length), segment_pairs=length,
                layout=ViewLayout.SIDE_BY_SIDE, calibration=(calibration,),
            ).output
        )
        for length in (2, 100)
    ]  # fmt: skip
    times = [at for at, _ in parts[0]['/depth']]
    assert times == [SECOND + n * SECOND // 20 for n in range(5)]
    assert parts[0] == parts[1]


def test_a_video_is_read_once_for_its_digest_and_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its first pair is looked at before and while it is matched."""
    from s2m2_ros.io.sources.view_layout import ViewLayout
    from s2m2_ros.offline import pair_jobs

    path, calibration = scene_video(tmp_path)
    digested: list[Path] = []

    def digest(file: Path) -> str:
        digested.append(file)
        return ''

    monkeypatch.setattr(pair_jobs, 'file_sha256', digest)
    found = processed(
        path, tmp_path / 'out', segment_pairs=2, outputs=('depth',),
        layout=ViewLayout.SIDE_BY_SIDE, calibration=(calibration,),
    )  # fmt: skip
    assert found.pairs == 5
    # To count the pairs, and to read them.
    assert digested.count(path) == 2


def test_the_calibration_that_is_found_beside_a_video_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from s2m2_ros.io.sources.view_layout import ViewLayout

    path, calibration = scene_video(tmp_path)
    assert calibration.name == 'calib.txt'
    with caplog.at_level(logging.INFO):
        found = processed(
            path, tmp_path / 'out', segment_pairs=2, outputs=('depth',),
            layout=ViewLayout.SIDE_BY_SIDE,
        )  # fmt: skip
    assert found.pairs == 5
    assert caplog.text.count('calibration: using') == 1


def test_raw_cameras_are_rectified_alike_in_every_segment(tmp_path: Path) -> None:
    """The lenses bend a little: what the first pair decides counts for all."""
    written = []
    for item in scene_pairs(6):
        topic = item.topic.replace('image_rect', 'image_raw')
        content = item.message
        if topic.endswith('camera_info'):
            content.k = np.array([250.0, 0, 160, 0, 250, 120, 0, 0, 1])
            content.r = np.eye(3).ravel()
            content.d = np.array([0.02, 0, 0, 0, 0])
            content.distortion_model = 'plumb_bob'
        written.append(Written(topic, item.time_ns, content))
    path = write_mcap(tmp_path / 'raw.mcap', written)
    outputs = ('depth', 'depth/camera_info')
    parts = [
        messages(processed(path, tmp_path / str(s), outputs=outputs, segment_seconds=s).output)
        for s in (0.2, 100.0)
    ]
    assert parts[0] == parts[1]
    with AnyReader([tmp_path / '0.2' / 'raw.mcap']) as reader:
        (connection,) = (c for c in reader.connections if c.topic.endswith('camera_info'))
        infos = [reader.deserialize(d, connection.msgtype) for _, _, d in
                 reader.messages([connection])]  # fmt: skip
    # The depth image is rectified: its K is that of P.
    assert all(info.k[0] == 240.0 for info in infos)


def test_to_follow_a_camera_a_fixed_frame_must_be_named() -> None:
    pipeline = PipelineOptions(outputs=output_options(), temporal=TemporalOptions('tf'))
    with pytest.raises(S2M2Error, match='the temporal filter needs temporal_fixed_frame'):
        Processor(pipeline=pipeline)
    named = ProcessOptions(temporal_fixed_frame='odom')
    assert Processor(options=named, pipeline=pipeline).pipeline.temporal.mode == 'tf'
