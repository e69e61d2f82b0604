"""What becomes of the outputs of a pair: messages in a recording, or files in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from s2m2_ros.atomic_files import replacing, write_atomically, write_errors
from s2m2_ros.geometry import Output
from s2m2_ros.io.images import image_files
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.messages.output_topics import (
    OUTPUT_TOPICS,
    RECTIFIED_IMAGE,
    MessageSource,
    needed_outputs,
)
from s2m2_ros.messages.plain_messages import serialized
from s2m2_ros.offline.output_formats import FILE_ARRAYS, FORMAT_OUTPUTS, OutputFormat
from s2m2_ros.offline.processing.mcap_parts import PartWriter
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.pair_files import NamedPair, segment_name, write_names
from s2m2_ros.offline.processing.part_index import PartIndex
from s2m2_ros.offline.processing.result_channels import recorded_channels
from s2m2_ros.offline.processing.streams import KeptMessage, Segment, StampedPair, Stream
from s2m2_ros.pipeline import PairOutputs, PipelineOptions

# The folder of the files of pairs, in the folder of the work.
FILES = 'files'


class Sink(Protocol):
    """Takes outputs of one segment after the other; `prepare` in the matcher's thread.

    What `prepare` returns holds no memory that the next pair overwrites.
    """

    wanted: frozenset[Output]

    def adapted(self, options: PipelineOptions) -> PipelineOptions:
        """Return the options of the pipeline as this kind of result needs them."""
        ...

    def prepare(self, pair: StampedPair, outputs: PairOutputs) -> Any:
        """Return what is to be written of a pair."""
        ...

    def begin(self, segment: Segment) -> None:
        """Begin a segment, again if it was interrupted."""
        ...

    def write(self, prepared: Any) -> None:
        """Write what `prepare` returned; raises FileWriteError."""
        ...

    def keep(self, message: KeptMessage) -> None:
        """Write a message that is carried along; raises FileWriteError."""
        ...

    def end(self) -> PartIndex | None:
        """End the segment: what is written of it is whole; raises FileWriteError."""
        ...

    def abort(self) -> None:
        """Give up the segment."""
        ...


def make_sink(stream: Stream, options: ProcessOptions, folder: Path) -> Sink:
    """Return the sink of these options, which writes into a work folder, or one laid out alike."""
    if options.writes_recording:
        return RecordingSink(stream, options, folder)
    return FolderSink(stream, options, folder / FILES)


def part_name(number: int) -> str:
    """Return the name of the part of a segment."""
    return f'part-{number:06d}.mcap'


@dataclass(frozen=True, eq=False)
class _Message:
    channel: int
    log_ns: int
    type_name: str
    message: Any


class RecordingSink:
    """Writes each segment to a part of an MCAP file."""

    def __init__(self, stream: Stream, options: ProcessOptions, folder: Path) -> None:
        """Take the folder of the parts."""
        self.wanted = frozenset(needed_outputs(options.outputs))
        self._outputs, self._depth_encoding = options.outputs, options.depth_encoding
        self._channels = recorded_channels(stream, options.outputs)
        self._first_kept = len(stream.rigs) * len(options.outputs)
        self._targets = stream.targets
        self._folder = folder

    def adapted(self, options: PipelineOptions) -> PipelineOptions:
        """Return the options as they are."""
        return options

    def prepare(self, pair: StampedPair, outputs: PairOutputs) -> list[_Message]:
        """Return the messages of a pair."""
        target = self._targets[pair.rig]
        source = MessageSource(
            outputs,
            pair.header,
            pair.left_info,
            depth_encoding=self._depth_encoding,
            color_info=target.info if target else None,
        )
        first = pair.rig * len(self._outputs)
        topics = (
            (n, OUTPUT_TOPICS[name])
            for n, name in enumerate(self._outputs, start=first)
            if name not in pair.without
        )
        return [_Message(n, pair.log_ns, t.type_name, t.build(source)) for n, t in topics]

    def begin(self, segment: Segment) -> None:
        """Begin a part."""
        self._path = self._folder / part_name(segment.number)
        self._context = replacing(self._path)
        with write_errors(self._path):
            self._writer = PartWriter(self._context.__enter__(), self._channels)

    def write(self, prepared: list[_Message]) -> None:
        """Add the messages of a pair."""
        for item in prepared:
            data = serialized(item.message, item.type_name)
            self._add(item.channel, item.log_ns, data, item.log_ns)

    def keep(self, message: KeptMessage) -> None:
        """Add a message that is carried along."""
        channel, log_ns = self._first_kept + message.topic, message.log_ns
        published = log_ns if message.publish_ns is None else message.publish_ns
        self._add(channel, log_ns, message.data, published, message.sequence)

    def end(self) -> PartIndex:
        """Finish the part."""
        with write_errors(self._path):
            self._writer.finish()
            self._context.__exit__(None, None, None)
            return PartIndex.of(self._path)

    def abort(self) -> None:
        """Remove what is written of the part."""
        aborted = InterruptedError()
        self._context.__exit__(type(aborted), aborted, None)

    def _add(
        self, channel: int, log_ns: int, data: bytes, publish_ns: int, sequence: int = 0
    ) -> None:
        with write_errors(self._path):
            self._writer.write(channel, log_ns, data, publish_ns, sequence)


STEPS = {
    Output.RAW_DISPARITY: image_files.DISPARITY_STEPS,
    Output.DEPTH: image_files.DEPTH_STEPS,
    Output.UNCERTAINTY: image_files.DEPTH_STEPS,
    Output.REGISTERED_DEPTH: image_files.DEPTH_STEPS,
}
MASKS = (Output.CONFIDENCE_MASK, Output.OCCLUSION_MASK)


@dataclass(frozen=True, eq=False)
class _Arrays:
    rig: int
    name: str
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


def _array(output: str, outputs: PairOutputs) -> np.ndarray:
    if output == RECTIFIED_IMAGE:
        return outputs.left_image
    return outputs.host.arrays[FILE_ARRAYS[output]]


class FolderSink:
    """Writes files of pairs into folders of segments, which `pair_files` joins."""

    def __init__(self, stream: Stream, options: ProcessOptions, folder: Path) -> None:
        """Take the folder of the folders of segments."""
        self._formats = options.formats
        self._outputs = options.outputs
        self.wanted = frozenset(FILE_ARRAYS[name] for name in self._outputs if name in FILE_ARRAYS)
        self._namespaces = [rig.namespace.strip('/') for rig in stream.rigs]
        self._folder = folder

    def adapted(self, options: PipelineOptions) -> PipelineOptions:
        """Return options of a cloud as PLY files hold it: known points with their color."""
        outputs = options.outputs
        cloud = replace(
            outputs.cloud, organized=False, padded=False, color='rgb', confidence=False,
            uncertainty=False,
        )  # fmt: skip
        return replace(options, outputs=replace(outputs, cloud=cloud))

    def prepare(self, pair: StampedPair, outputs: PairOutputs) -> _Arrays:
        """Return copies of the arrays of a pair."""
        camera = outputs.host.camera
        facts = {
            'stamp_ns': stamp_ns(pair.header),
            'frame_id': pair.header.frame_id,
            'points_frame_id': pair.transform.frame_id if pair.transform else pair.header.frame_id,
            'focal_length': camera.focal_length if camera else np.nan,
            'baseline': camera.baseline if camera else np.nan,
        }
        copies = {
            name: np.array(_array(name, outputs))
            for name in self._outputs
            if name not in pair.without
        }
        return _Arrays(pair.rig, pair.name, copies, facts)

    def begin(self, segment: Segment) -> None:
        """Begin a folder, without what is left of an interrupted segment."""
        self._segment = self._folder / segment_name(segment.number)
        self._pairs: list[NamedPair] = []
        with write_errors(self._segment):
            shutil.rmtree(self._segment, ignore_errors=True)
            self._segment.mkdir(parents=True)

    def write(self, prepared: _Arrays) -> None:
        """Write the files of a pair."""
        self._pairs.append((self._namespaces[prepared.rig], prepared.name))
        for kind in self._formats:
            if kind is OutputFormat.NPZ:
                self._write_npz(prepared)
                continue
            for output, values in prepared.arrays.items():
                if output in FORMAT_OUTPUTS[kind]:
                    self._write_one(kind, output, values, prepared)

    def keep(self, message: KeptMessage) -> None:
        """Do nothing: `ProcessOptions` allows no topics to be kept here."""

    def end(self) -> None:
        """Say which pairs are in the folder."""
        write_names(self._segment, self._pairs)

    def abort(self) -> None:
        """Do nothing: the segment is begun anew."""

    def _write_one(
        self, kind: OutputFormat, output: str, values: np.ndarray, pair: _Arrays
    ) -> None:
        what = FILE_ARRAYS.get(output)
        path = self._path(output, kind)
        if kind is OutputFormat.PLY:
            frame = pair.facts['points_frame_id']
            moved = '' if frame == pair.facts['frame_id'] else frame
            image_files.write_ply(path, values, frame_id=moved)
        elif kind is OutputFormat.PFM:
            image_files.write_pfm(path, values)
        elif what in STEPS:
            image_files.write_steps(path, values, STEPS[what])
        elif what in MASKS or output == RECTIFIED_IMAGE:
            image_files.write_png(path, values)
        else:
            image_files.write_png(path, image_files.fraction_picture(values))

    def _write_npz(self, pair: _Arrays) -> None:
        path = self._path('npz', OutputFormat.NPZ)
        names = {name.replace('/', '_'): values for name, values in pair.arrays.items()}
        content = BytesIO()
        arrays: dict[str, Any] = {**names, **pair.facts}
        np.savez_compressed(content, **arrays)
        with write_errors(path):
            write_atomically(path, content.getvalue())

    def _path(self, output: str, kind: OutputFormat) -> Path:
        """Return where a file of the newest pair is written."""
        folder = self._segment / output.replace('/', '_')
        path = folder / f'{len(self._pairs) - 1}.{kind.value}'
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path
