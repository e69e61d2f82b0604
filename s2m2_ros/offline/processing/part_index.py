"""What the summary of a joined file must know of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.reader import make_reader
from mcap.records import ChunkIndex


@dataclass(frozen=True)
class PartIndex:
    """What the joined file must know of a part.

    Attributes:
        size: bytes of the part.
        begin, end: where its chunks and their indexes lie.
        chunks: fields of each `ChunkIndex`, in order.
        counts: messages of each channel.

    """

    size: int
    begin: int
    end: int
    chunks: Sequence[Sequence[Any]]
    counts: Mapping[str, int]

    @property
    def length(self) -> int:
        """Return the bytes of the joined file that are this part's."""
        return self.end - self.begin

    @classmethod
    def of(cls, path: Path) -> PartIndex:
        """Read the summary of a part; raises OSError."""
        with path.open('rb') as file:
            summary = make_reader(file).get_summary()
        if summary is None or summary.statistics is None:
            raise OSError(None, f"'{path}' has no summary")
        chunks = sorted(summary.chunk_indexes, key=lambda chunk: chunk.chunk_start_offset)
        ends = [c.chunk_start_offset + c.chunk_length + c.message_index_length for c in chunks]
        counts = summary.statistics.channel_message_counts
        return cls(
            path.stat().st_size,
            chunks[0].chunk_start_offset if chunks else 0,
            ends[-1] if ends else 0,
            [_as_list(chunk) for chunk in chunks],
            {str(number): count for number, count in sorted(counts.items())},
        )

    def moved(self, to: int) -> list[ChunkIndex]:
        """Return the indexes of the chunks where they begin at a place of another file."""
        return [_moved(chunk, to - self.begin) for chunk in self.chunks]


def message_counts(parts: Sequence[PartIndex]) -> dict[int, int]:
    """Return the messages of each channel's number in the file, which begin at 1."""
    counts: dict[int, int] = {}
    for part in parts:
        for number, count in part.counts.items():
            counts[int(number)] = counts.get(int(number), 0) + count
    return dict(sorted(counts.items()))


def _as_list(chunk: ChunkIndex) -> list[Any]:
    return [
        chunk.message_start_time,
        chunk.message_end_time,
        chunk.chunk_start_offset,
        chunk.chunk_length,
        sorted(chunk.message_index_offsets.items()),
        chunk.message_index_length,
        chunk.compression,
        chunk.compressed_size,
        chunk.uncompressed_size,
    ]


def _moved(chunk: Sequence[Any], by: int) -> ChunkIndex:
    start, end, offset, length, indexes, index_length, compression, compressed, size = chunk
    return ChunkIndex(
        message_start_time=start,
        message_end_time=end,
        chunk_start_offset=offset + by,
        chunk_length=length,
        message_index_offsets={number: place + by for number, place in indexes},
        message_index_length=index_length,
        compression=compression,
        compressed_size=compressed,
        uncompressed_size=size,
    )
