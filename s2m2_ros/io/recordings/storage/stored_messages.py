"""What every kind of recording file gives: topics and messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StoredTopic:
    """A topic of one file.

    Attributes:
        topic: its name.
        type_name: type of its messages, e.g. 'sensor_msgs/msg/Image'.
        encoding: cdr or ros1.
        count: number of its messages.
        definition: what defines the type and those in it, as recorded; may be empty.
        definition_format: of that: ros2msg, ros2idl, ros1msg or another.
        qos: what its publishers offered, as recorded; may be empty.

    """

    topic: str
    type_name: str
    encoding: str
    count: int
    definition: bytes = b''
    definition_format: str = ''
    qos: str = ''


@dataclass(frozen=True)
class StoredMessage:
    """One message as it is stored; ``log_ns`` is when it was recorded, in nanoseconds."""

    topic: StoredTopic
    log_ns: int
    data: bytes


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
        damage: what was found damaged so far; whoever takes note of it clears the list.

    """

    topics: list[StoredTopic]
    start_ns: int
    damage: list[str]

    def messages(
        self, topics: Collection[str], window: TimeWindow = ALWAYS
    ) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        ...

    def spans(self) -> Sequence[tuple[int, int]]:
        """Return first and last time of parts of the file that can be read for themselves."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def message_type(name: str) -> str:
    """Return the full name of a message type: 'sensor_msgs/Image' lacks the 'msg'."""
    package, _, kind = name.partition('/')
    return f'{package}/msg/{kind}' if kind and '/' not in kind else name
