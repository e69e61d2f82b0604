"""What every kind of recording file gives: topics and messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from s2m2_ros.io.recordings.storage.damage_log import DamageLog

# How messages of ROS are encoded; MCAP files may hold any other.
ROS_ENCODINGS = ('cdr', 'ros1')


@dataclass(frozen=True)
class StoredTopic:
    """A topic of one file.

    Attributes:
        topic: its name.
        type_name: type of its messages, e.g. 'sensor_msgs/msg/Image'; empty without a schema.
        encoding: cdr, ros1 or another, e.g. json.
        count: number of its messages.
        definition: what defines the type and those in it, as recorded; may be empty.
        definition_format: of that: ros2msg, ros2idl, ros1msg or another.
        qos: what its publishers offered, as recorded; may be empty.
        metadata: what an MCAP file says of its channel, keys and values, sorted; None elsewhere.

    """

    topic: str
    type_name: str
    encoding: str
    count: int
    definition: bytes = b''
    definition_format: str = ''
    qos: str = ''
    metadata: tuple[tuple[str, str], ...] | None = None

    @property
    def channel(self) -> StoredTopic:
        """Return everything but the count: what is equal in the files of one recording."""
        return replace(self, count=0)


@dataclass(frozen=True)
class StoredMessage:
    """One message as it is stored.

    Attributes:
        topic: where it was published.
        log_ns: when it was recorded, in nanoseconds.
        data: as recorded.
        publish_ns: when it was published; None where that is not recorded.
        sequence: number that its publisher gave it, 0 for none.

    """

    topic: StoredTopic
    log_ns: int
    data: bytes
    publish_ns: int | None = None
    sequence: int = 0


@dataclass(frozen=True)
class StoredAttachment:
    """A file within an MCAP file; ``content`` yields its ``size`` bytes, whenever called."""

    name: str
    media_type: str
    log_ns: int
    create_ns: int
    size: int
    content: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class StoredMetadata:
    """A metadata record of an MCAP file."""

    name: str
    values: Mapping[str, str]


StoredRecord = StoredAttachment | StoredMetadata


@dataclass(frozen=True)
class TimeWindow:
    """Times from ``start_ns`` to before ``end_ns``, in nanoseconds; None for no limit."""

    start_ns: int | None = None
    end_ns: int | None = None

    def holds(self, time_ns: int) -> bool:
        """Return whether a time lies in the window."""
        return self.meets(time_ns, time_ns)

    def meets(self, first_ns: int, last_ns: int) -> bool:
        """Return whether a span of time, both ends of which count, reaches into the window."""
        return (self.start_ns is None or last_ns >= self.start_ns) and (
            self.end_ns is None or first_ns < self.end_ns
        )


ALWAYS = TimeWindow()


class StorageFile(Protocol):
    """One open file of a recording.

    Attributes:
        topics: what is in it.
        start_ns: time of the first message, 0 without any.
        damage: what was found damaged.

    """

    topics: list[StoredTopic]
    start_ns: int
    damage: DamageLog

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        ...

    def spans(self) -> Sequence[tuple[int, int]]:
        """Return first and last time of parts of the file that can be read for themselves."""
        ...

    def records(self) -> Iterable[StoredRecord]:
        """Yield the attachments and metadata of the file, which only MCAP has."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def message_type(name: str) -> str:
    """Return the full name of a message type: 'sensor_msgs/Image' lacks the 'msg'."""
    package, _, kind = name.partition('/')
    return f'{package}/msg/{kind}' if kind and '/' not in kind else name
