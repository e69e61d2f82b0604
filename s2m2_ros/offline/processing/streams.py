"""What every input gives: rigs, segments, and the decoded pairs of a segment in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from s2m2_ros.geometry import RigidTransform
from s2m2_ros.io.recordings.storage.stored_messages import StoredRecord, StoredTopic
from s2m2_ros.messages.pair_decoder import StereoTopics
from s2m2_ros.offline.processing.color_target import ColorTarget
from s2m2_ros.pipeline import PairInput


@dataclass(frozen=True)
class Rig:
    """One stereo pair of cameras: its inputs, and what its output topics begin with."""

    namespace: str
    topics: StereoTopics

    def topic(self, output: str) -> str:
        """Return the full name of an output topic."""
        return f'{self.namespace}/{output}'


@dataclass(frozen=True)
class Segment:
    """A part of the input: times in nanoseconds, or numbers of pairs; None for no limit."""

    number: int
    start: int | None
    end: int | None


@dataclass(frozen=True, eq=False)
class StampedPair:
    """One pair.

    Attributes:
        rig: index of its rig.
        name: what distinguishes it: a time, a path or a number.
        log_ns: when its left image was recorded.
        header: the left image's.
        left_info: calibration of the left camera, as a message; None with an `error`.
        pair: for the pipeline; None with an `error`.
        error: why it could not be decoded; empty if it could.
        transform: into the frame of its clouds; None for that of the left camera.
        pose: of the left camera in the fixed frame; None if it is unknown or not needed.
        without: outputs that cannot be made of it.
        lacks: what it lacks and why, as the end of a sentence about pairs.

    """

    rig: int
    name: str
    log_ns: int
    header: Any
    left_info: Any = None
    pair: PairInput | None = None
    error: str = ''
    transform: RigidTransform | None = None
    pose: RigidTransform | None = None
    without: frozenset[str] = frozenset()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class KeptMessage:
    """A message that is carried along; ``topic`` is an index into `Stream.kept`.

    ``publish_ns`` and ``sequence`` are those of `StoredMessage`.
    """

    topic: int
    log_ns: int
    data: bytes
    publish_ns: int | None = None
    sequence: int = 0


@dataclass(frozen=True)
class ImageCount:
    """How many images of a rig a segment holds on each side, for the report.

    Attributes:
        rig: index of the rig.
        left, right: how many there are.
        left_alone, right_alone: timestamps of those that are in no pair here.

    """

    rig: int
    left: int
    right: int
    left_alone: tuple[int, ...] = ()
    right_alone: tuple[int, ...] = ()


Item = StampedPair | KeptMessage | ImageCount


class Stream(Protocol):
    """An input, a function of its files and options alone; for one thread at a time.

    Attributes:
        rigs: the stereo pairs in it.
        kept: topics that are carried along, one for each channel of the result.
        segments: its parts; each can be read alone.
        expected_pairs: how many pairs there may be, all rigs together.
        remarks: what is worth knowing of the whole of it, whole sentences.
        targets: the camera that depth is registered to, for each rig; None without.
        losses: what cannot be processed for which reason, known from the start.

    """

    rigs: Sequence[Rig]
    kept: Sequence[StoredTopic]
    segments: Sequence[Segment]
    expected_pairs: int
    remarks: Sequence[str]
    losses: Sequence[str]
    targets: Sequence[ColorTarget | None]

    def items(self, segment: Segment) -> Iterator[Item]:
        """Yield what belongs to a segment, pairs decoded."""
        ...

    def first_pair(self, rig: int) -> StampedPair | None:
        """Return the first pair of a rig, from which what is decided once is decided."""
        ...

    def records(self) -> Sequence[StoredRecord]:
        """Return attachments and metadata that are carried along, readable until it is closed."""
        ...

    def take_damage(self) -> list[str]:
        """Return what was found damaged since the last call."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values by which another input, or a changed one, is recognized."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...
