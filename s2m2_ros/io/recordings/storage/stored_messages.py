"""What every kind of recording file gives: topics and messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StoredTopic:
    """A topic of one file; ``count`` is the number of its messages, ``encoding`` cdr or ros1."""

    topic: str
    type_name: str
    encoding: str
    count: int


@dataclass(frozen=True)
class StoredMessage:
    """One message as it is stored; ``log_ns`` is when it was recorded, in nanoseconds."""

    topic: StoredTopic
    log_ns: int
    data: bytes


class StorageFile(Protocol):
    """One open file of a recording."""

    topics: list[StoredTopic]
    start_ns: int

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Yield the messages of these topics in the order of their time."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def message_type(name: str) -> str:
    """Return the full name of a message type: 'sensor_msgs/Image' lacks the 'msg'."""
    package, _, kind = name.partition('/')
    return f'{package}/msg/{kind}' if kind and '/' not in kind else name
