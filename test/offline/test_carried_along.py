"""What `--keep` carries along of a recording, besides the messages of ROS 2."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from mcap.records import Attachment, Metadata
from mcap.stream_reader import StreamReader
from mcap.writer import Writer
from rosbags.highlevel import AnyReader

from s2m2_ros.errors import S2M2Error
from s2m2_ros.offline.processing import (
    OutputFormat,
    Processed,
    ProcessOptions,
    Processor,
)
from support import sgbm_processing
from support.mixed_recordings import ATTACHED, write_mixed
from support.recorded_pairs import SECOND, TYPES, write_ros1, write_sqlite
from support.sgbm_processing import SGBM
from support.stereo_recordings import START, in_order, scene_pairs, texts

processed = partial(sgbm_processing.processed, outputs=('depth',), segment_seconds=0.5)


def carried(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything of each message and its channel by topic, by the reference reader."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with path.open('rb') as file:
        for schema, channel, item in make_reader(file).iter_messages():
            kind = (schema.name, schema.encoding, schema.data) if schema else None
            found.setdefault(channel.topic, []).append((
                kind, channel.message_encoding, channel.metadata, item.log_time,
                item.publish_time, item.sequence, item.data,
            ))  # fmt: skip
    return found


def extras(path: Path) -> tuple[list[Attachment], list[Metadata]]:
    """Return what the indexes of the file lead to; they must be the records in it."""
    with path.open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        indexed = list(reader.iter_attachments()), list(reader.iter_metadata())
    with path.open('rb') as file:
        records = list(StreamReader(file, validate_crcs=True).records)
    assert indexed[0] == [r for r in records if isinstance(r, Attachment)]
    assert indexed[1] == [r for r in records if isinstance(r, Metadata)]
    return indexed


@pytest.fixture(scope='module')
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mixed(tmp_path_factory.mktemp('mixed') / 'run.mcap')


@pytest.fixture(scope='module')
def result(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Processed:
    return processed(mixed, tmp_path_factory.mktemp('result'), keep=('all',))


class TestMcap:
    def test_every_channel_is_as_it_was_with_its_messages(
        self, mixed: Path, result: Processed
    ) -> None:
        found = carried(result.output)
        depth = found.pop('/stereo/depth')
        assert found == carried(mixed)
        assert {'/json', '/proto', '/raw', '/plain', '/log'} <= found.keys()
        assert [item[3:6] for item in depth[:2]] == [
            (START, START, 0), (START + SECOND // 5, START + SECOND // 5, 0)
        ]  # fmt: skip
        assert result.is_whole

    def test_attachments_and_metadata_are_in_it(self, result: Processed) -> None:
        attachments, metadata = extras(result.output)
        assert [
            (a.create_time, a.log_time, a.name, a.media_type, a.data) for a in attachments
        ] == [
            (11, 22, 'map.bin', 'application/octet-stream', ATTACHED),
            (33, 44, 'empty.txt', 'text/plain', b''),
        ]
        assert [(m.name, m.metadata) for m in metadata[:2]] == [
            ('vehicle', {'name': 'Ä 1', 'wheels': '4'}),
            # It describes the file of the input, not this one.
            ('input/rosbag2', {'serialized_metadata': 'of another file'}),
        ]
        assert [m.name for m in metadata[2:]] == ['s2m2_ros']
        with result.output.open('rb') as file:
            summary = make_reader(file).get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.attachment_count == 2
        assert summary.statistics.metadata_count == 3

    def test_interrupted_while_it_was_completed_it_is_the_same(
        self, mixed: Path, result: Processed, tmp_path: Path
    ) -> None:
        def stop(progress: Any) -> None:
            if progress.done == 4:
                raise KeyboardInterrupt

        options = ProcessOptions(outputs=('depth',), segment_seconds=0.5, keep=('all',))
        with (
            pytest.raises(KeyboardInterrupt),
            Processor(SGBM, options, progress=stop) as processor,
        ):
            processor.process(mixed, tmp_path)
        # Half of an attachment, as a kill in the middle of it leaves.
        with (tmp_path / '.run.s2m2' / 'joined.mcap').open('ab') as file:
            file.write(ATTACHED[:5000])
        again = processed(mixed, tmp_path, keep=('all',))
        assert again.output.read_bytes() == result.output.read_bytes()

    def test_without_keep_nothing_is(self, mixed: Path, tmp_path: Path) -> None:
        found = processed(mixed, tmp_path)
        assert carried(found.output).keys() == {'/stereo/depth'}
        assert [m.name for m in extras(found.output)[1]] == ['s2m2_ros']

    @pytest.mark.parametrize('indexes', ['none of these', 'nothing'])
    def test_they_are_found_without_an_index(
        self, result: Processed, tmp_path: Path, indexes: str
    ) -> None:
        from mcap.writer import IndexType

        some = IndexType.ALL & ~IndexType.ATTACHMENT & ~IndexType.METADATA
        path = write_mixed(
            tmp_path / 'run.mcap',
            index_types=some if indexes == 'none of these' else IndexType.NONE,
            use_statistics=indexes == 'none of these',
        )
        found = extras(processed(path, tmp_path / 'out', keep=('/log',)).output)
        expected = extras(result.output)
        assert found[0] == expected[0]
        assert found[1][:2] == expected[1][:2]

    def test_a_damaged_attachment_is_a_loss(self, mixed: Path, tmp_path: Path) -> None:
        content = bytearray(mixed.read_bytes())
        place = content.find(ATTACHED) + 1_000_000
        content[place] ^= 1
        (tmp_path / 'run.mcap').write_bytes(content)
        found = processed(tmp_path / 'run.mcap', tmp_path / 'out', keep=('all',))
        attachments, metadata = extras(found.output)
        assert [a.name for a in attachments] == ['empty.txt']
        assert len(metadata) == 3
        (loss,) = found.losses
        assert "checksum of the attachment 'map.bin'" in loss

    def test_one_topic_of_two_encodings(self, tmp_path: Path) -> None:
        path = tmp_path / 'run.mcap'
        with path.open('wb') as file:
            writer = Writer(file)
            writer.start('')
            schemas: dict[str, int] = {}
            channels: dict[str, int] = {}
            for item in scene_pairs(2):
                name = item.message.__msgtype__
                if name not in schemas:
                    text = TYPES.generate_msgdef(name, ros_version=2)[0].encode()
                    schemas[name] = writer.register_schema(name, 'ros2msg', text)
                if item.topic not in channels:
                    channels[item.topic] = writer.register_channel(
                        item.topic, 'cdr', schemas[name]
                    )
                writer.add_message(channels[item.topic], item.time_ns, item.cdr, item.time_ns)
            twin = writer.register_channel('/stereo/left/image_rect', 'json', 0)
            writer.add_message(twin, START + 5, b'{}', START + 5)
            writer.finish()
        found = processed(path, tmp_path / 'out', keep=('all',))
        assert found.is_whole
        kept = carried(found.output)
        del kept['/stereo/depth']
        assert kept == carried(path)
        bag = processed(path, tmp_path / 'bag', keep=('all',), formats=(OutputFormat.ROSBAG2,))
        assert len(carried(bag.output / 'run_0.mcap')['/stereo/left/image_rect']) == 2


class TestRosbag2:
    def test_what_it_cannot_hold_is_left_out_and_named(
        self, mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            found = processed(mixed, tmp_path, keep=('all',), formats=(OutputFormat.ROSBAG2,))
        assert found.is_whole
        for topic in ('/json', '/proto', '/raw', '/plain'):
            assert f'{topic} is not kept: its encoding is' in caplog.text
            assert f'{topic} is not kept' in found.report.read_text()
        with AnyReader([found.output]) as reader:
            counts = {c.topic: c.msgcount for c in reader.connections}
            assert sum(1 for _ in reader.messages()) == sum(counts.values())
        expected = {topic: len(items) for topic, items in carried(mixed).items()}
        for topic in ('/json', '/proto', '/raw', '/plain'):
            del expected[topic]
        assert counts == {**expected, '/stereo/depth': 4}
        attachments, metadata = extras(found.output / 'run_0.mcap')
        assert len(attachments) == 2
        assert metadata[0].name == 'vehicle'

    def test_a_topic_that_is_named_and_cannot_be_kept_is_an_error(
        self, mixed: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(S2M2Error, match=r'/json .*encoding is json.*formats mcap keeps it'):
            processed(mixed, tmp_path, keep=('/json',), formats=(OutputFormat.ROSBAG2,))
        assert not list(tmp_path.iterdir())


def renamed(path: Path) -> Path:
    """Give the texts a type that nobody knows."""
    path.write_bytes(path.read_bytes().replace(b'std_msgs/msg/String', b'my_types/msg/Thing1'))
    return path


def test_a_type_without_definition_is_kept_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As early versions of rosbag2 recorded: their tables have no definitions."""
    path = renamed(write_sqlite(tmp_path / 'run.db3', in_order(scene_pairs(2), texts(3))))
    found = processed(path, tmp_path / 'out', keep=('all',))
    kept = carried(found.output)['/log']
    assert {item[0] for item in kept} == {('my_types/msg/Thing1', '', b'')}
    assert [item[6] for item in kept] == [item.cdr for item in texts(3)]
    # It is when it was recorded: SQLite has no other time, and no number.
    assert [item[3:6] for item in kept] == [(t.time_ns, t.time_ns, 0) for t in texts(3)]
    assert 'my_types/msg/Thing1' in caplog.text


def test_types_of_ros_1_that_are_not_known_are_kept_as_they_are(tmp_path: Path) -> None:
    path = write_ros1(tmp_path / 'run.bag', in_order(scene_pairs(2), texts(3)))
    # Of the same length, so that the bag stays whole.
    path.write_bytes(path.read_bytes().replace(b'type=std_msgs/String', b'type=my_types/Thing1'))
    found = processed(path, tmp_path / 'out', keep=('all',))
    kept = carried(found.output)['/log']
    assert [item[1] for item in kept] == ['ros1'] * 3
    assert kept[0][0][:2] == ('my_types/msg/Thing1', 'ros1msg')
