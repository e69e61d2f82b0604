"""MCAP files: whole, without a summary, and cut short or damaged as far as they are readable."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Schema

from s2m2_ros.io.recordings.storage.damage_log import DamageLog
from s2m2_ros.io.recordings.storage.mcap_extras import McapExtras
from s2m2_ros.io.recordings.storage.mcap_records import Gap, Located, RecordWalk
from s2m2_ros.io.recordings.storage.mcap_summary import MAGIC, whole_summary
from s2m2_ros.io.recordings.storage.stored_messages import (
    ALWAYS,
    ROS_ENCODINGS,
    StoredMessage,
    StoredRecord,
    StoredTopic,
    TimeWindow,
    message_type,
)
from s2m2_ros.io.sources.stereo_frame import PlaybackError, seconds_text
from s2m2_ros.text_safety import safe_text


@dataclass(frozen=True, order=True)
class _Place:
    """Where a chunk, or a message outside of chunks, lies, and which times and channels it has.

    ``channels`` is empty where they are not known.
    """

    start_ns: int
    begin: int
    end_ns: int
    end: int
    channels: frozenset[int] = frozenset()

    def may_hold(self, channels: Collection[int], window: TimeWindow) -> bool:
        """Return whether messages of these channels and times may be in it."""
        fits = not self.channels or not self.channels.isdisjoint(channels)
        return fits and window.meets(self.start_ns, self.end_ns)


class McapFile:
    """Reads an MCAP file by its summary, or else by going through it once."""

    def __init__(
        self, path: Path, name: Path, damage: DamageLog, is_partial: bool = False
    ) -> None:
        """Open the file, called ``name`` in messages; damage is noted in ``damage``.

        ``is_partial``: more of a compressed file could not be unpacked, which is reported
        already. Raises PlaybackError if nothing in it is readable.
        """
        self._name, self._is_partial = name, is_partial
        self._unit = 'byte' if path == name else 'unpacked byte'
        self._size = path.stat().st_size
        self._file = path.open('rb')
        self._walk = RecordWalk(self._file, self._size, self._is_known)
        self._channels: dict[int, StoredTopic] = {}
        self._schemas: dict[int, Schema] = {}
        self._chunks: list[_Place] = []
        self._loose: list[_Place] = []
        self._extras: list[tuple[int, int]] | None = []
        self._counts: Counter[int] = Counter()
        self.damage = damage
        try:
            if not self._read_summary():
                self._scan()
        except BaseException:
            self._file.close()
            raise
        self.topics = [
            replace(channel, count=self._counts[number])
            for number, channel in self._channels.items()
        ]
        self.start_ns = min((place.start_ns for place in self._places()), default=0)

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        numbers = {n for n, channel in self._channels.items() if channel.topic in topics}
        chunks, loose = (
            [place for place in places if place.may_hold(numbers, window)]
            for places in (self._chunks, self._loose)
        )
        streams = [self._timed(chunk, numbers) for chunk in chunks]
        streams.append((t, m) for place in sorted(loose) for t, m in self._timed(place, numbers))
        for _, message in heapq.merge(*streams, key=itemgetter(0)):
            if message is not None and window.holds(message.log_time):
                yield StoredMessage(
                    self._channels[message.channel_id],
                    message.log_time,
                    message.data,
                    message.publish_time,
                    message.sequence,
                )

    def spans(self) -> list[tuple[int, int]]:
        """Return first and last time of each chunk."""
        return [(place.start_ns, place.end_ns) for place in self._places()]

    def records(self) -> Iterator[StoredRecord]:
        """Yield the attachments and metadata records; damaged ones are skipped and reported."""
        if self._extras is None:
            # No index names them.
            found = list(self._walk.heads(len(MAGIC), (Opcode.ATTACHMENT, Opcode.METADATA)))
            self._extras = [(item.begin, item.end) for item in found]
        yield from McapExtras(self._file, self.damage.add).records(self._extras)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_known(self, channel: int) -> bool:
        return channel in self._channels

    def _places(self) -> list[_Place]:
        return self._chunks + self._loose

    def _timed(
        self, place: _Place, numbers: Collection[int]
    ) -> Iterator[tuple[int, Message | None]]:
        """Yield times and messages; first a time alone, so that nothing is read too early."""
        yield place.start_ns, None
        found = [m for m in self._messages_at(place) if m.channel_id in numbers]
        for message in sorted(found, key=lambda m: m.log_time):
            yield message.log_time, message

    def _messages_at(self, place: _Place) -> list[Message]:
        found = self._walk.at(place.begin, place.end)
        if isinstance(found, Gap):
            times = f'{seconds_text(place.start_ns)} to {seconds_text(place.end_ns)} s'
            names = sorted({self._channels[n].topic for n in place.channels & set(self._channels)})
            on = f' on {safe_text(", ".join(names))}' if names else ''
            self.damage.add(
                f'is damaged from {self._unit} {place.begin} to {place.end} ({found.reason}): '
                f'messages of {times}{on} are lost, the rest is read'
            )
            return []
        records = found.inner if isinstance(found.record, Chunk) else [found.record]
        return [m for m in records if isinstance(m, Message)]

    def _read_summary(self) -> bool:
        """Take topics and chunks from the summary; return whether it is whole."""
        summary = whole_summary(self._file, self._size)
        statistics = summary and summary.statistics
        if not summary or not statistics or not summary.chunk_indexes:
            return False
        if statistics.chunk_count != len(summary.chunk_indexes):
            return False
        if any(
            c.schema_id and c.schema_id not in summary.schemas for c in summary.channels.values()
        ):
            return False
        for schema in summary.schemas.values():
            self._note(schema)
        for channel in summary.channels.values():
            self._note(channel)
        self._counts.update(statistics.channel_message_counts)
        self._chunks = [
            _Place(
                c.message_start_time,
                c.chunk_start_offset,
                c.message_end_time,
                c.chunk_start_offset + c.chunk_length,
                frozenset(c.message_index_offsets),
            )
            for c in summary.chunk_indexes
        ]
        indexes = [*summary.attachment_indexes, *summary.metadata_indexes]
        if len(indexes) == statistics.attachment_count + statistics.metadata_count:
            self._extras = sorted((index.offset, index.offset + index.length) for index in indexes)
        else:
            self._extras = None
        return True

    def _scan(self) -> None:
        """Go through the file from the start, as far as it is readable."""
        if self._size < len(MAGIC):
            raise PlaybackError(f"'{self._name}' is empty or cut short: it holds no message")
        lost: list[Gap] = []
        for found in self._walk.data(len(MAGIC)):
            if isinstance(found, Located):
                self._take(found)
            elif lost and lost[-1].end == found.begin and not found.is_end:
                lost[-1] = replace(lost[-1], end=found.end)
            else:
                lost.append(found)
        for found in self._walk.summary():
            if isinstance(found.record, Schema | Channel):
                self._note(found.record, is_repeated=True)
        unknown = sorted(self._counts.keys() - self._channels.keys())
        if not self._channels and (lost or unknown):
            raise PlaybackError(self._nothing_readable())
        for gap in lost:
            self._report_gap(gap)
        if unknown:
            count = sum(self._counts[channel] for channel in unknown)
            self.damage.add(
                f'lacks the description of channels {", ".join(map(str, unknown))}, which lay in '
                f'a damaged part: their messages, {count} in what is readable, are lost'
            )

    def _take(self, found: Located) -> None:
        """Take note of a record of the data."""
        record = found.record
        if isinstance(record, Chunk):
            for inner in found.inner:
                self._note(inner)
                if isinstance(inner, Message):
                    self._counts[inner.channel_id] += 1
            start, end = record.message_start_time, record.message_end_time
            self._chunks.append(_Place(start, found.begin, end, found.end))
        elif isinstance(record, Message):
            self._counts[record.channel_id] += 1
            if self._is_known(record.channel_id):
                time_ns = record.log_time
                self._loose.append(_Place(time_ns, found.begin, time_ns, found.end))
        elif found.opcode in (Opcode.ATTACHMENT, Opcode.METADATA):
            if self._extras is not None:
                self._extras.append((found.begin, found.end))
        else:
            self._note(record)

    def _note(self, record: Any, *, is_repeated: bool = False) -> None:
        if isinstance(record, Schema):
            if not (is_repeated and record.id in self._schemas):
                self._schemas[record.id] = record
        elif isinstance(record, Channel) and not (is_repeated and record.id in self._channels):
            self._channels[record.id] = _topic(record, self._schemas.get(record.schema_id))

    def _report_gap(self, gap: Gap) -> None:
        if not gap.is_end:
            self.damage.add(
                f'is damaged from {self._unit} {gap.begin} to {gap.end} ({gap.reason}): '
                f'what lay there is lost{self._times_around(gap)}, the rest is read'
            )
        elif not self._is_partial:
            self.damage.add(
                f'ends after {gap.begin} bytes in the middle ({gap.reason}; the recorder was '
                f'killed, or the copy is incomplete): what is before is read{self._until(gap)}'
                + self._repair('; `mcap recover` makes a whole file of it')
            )

    def _times_around(self, gap: Gap) -> str:
        """Return between which times the messages before and after a gap were recorded."""
        places = self._places()
        before = max((p.end_ns for p in places if p.end <= gap.begin), default=None)
        after = min((p.start_ns for p in places if p.begin >= gap.end), default=None)
        if before is None:
            return '' if after is None else f', before {seconds_text(after)} s'
        if after is None:
            return f', after {seconds_text(before)} s'
        # Chunks may overlap in time.
        first, last = sorted((before, after))
        return f', at about {seconds_text(first)} to {seconds_text(last)} s'

    def _until(self, gap: Gap) -> str:
        last = max((p.end_ns for p in self._places() if p.end <= gap.begin), default=None)
        return '' if last is None else f', up to {seconds_text(last)} s'

    def _nothing_readable(self) -> str:
        return (
            f"'{self._name}' holds no readable message: it is damaged or cut short"
            + self._repair('; try `mcap recover`')
        )

    def _repair(self, advice: str) -> str:
        """Return advice, if the file is one that it is good for: one that is not compressed."""
        return advice if self._unit == 'byte' else ''


def _topic(channel: Channel, schema: Schema | None) -> StoredTopic:
    is_ros = channel.message_encoding in ROS_ENCODINGS
    name = schema.name if schema else ''
    return StoredTopic(
        channel.topic,
        message_type(name) if is_ros else name,
        channel.message_encoding,
        0,
        schema.data if schema else b'',
        schema.encoding if schema else '',
        channel.metadata.get('offered_qos_profiles', ''),
        tuple(sorted(channel.metadata.items())),
    )
