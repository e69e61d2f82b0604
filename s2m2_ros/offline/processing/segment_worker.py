"""From the pairs of segments to what a sink makes of them; reading and writing overlap."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, CameraModel, Output
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.io.images.image_files import disparity_picture, fraction_picture
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.offline.processing.batches import Batch
from s2m2_ros.offline.processing.color_target import ColorTarget
from s2m2_ros.offline.processing.part_index import PartIndex
from s2m2_ros.offline.processing.segment_facts import RigFacts, SegmentFacts, finite
from s2m2_ros.offline.processing.sinks import Sink
from s2m2_ros.offline.processing.stages import ReadAhead, WriteBehind
from s2m2_ros.offline.processing.streams import (
    ImageCount,
    Item,
    KeptMessage,
    Segment,
    StampedPair,
    Stream,
)
from s2m2_ros.pipeline import (
    Moment,
    PairOutputs,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    examine_outputs,
)
from s2m2_ros.pipeline.preparation import PreparedPair, gray, prepare
from s2m2_ros.pipeline.stereo_pipeline import PendingPair

_logger = logging.getLogger(__name__)

PICTURE_OUTPUTS = frozenset({Output.RAW_DISPARITY, Output.CONFIDENCE})
PICTURE_WIDTH = 320
JPEG_QUALITY = 80


@dataclass(frozen=True)
class _Begin:
    segment: Segment


@dataclass(frozen=True)
class _End:
    segment: Segment
    damage: Sequence[str]


@dataclass(frozen=True)
class _Decided:
    """What the first pair of a rig decides for the whole of it."""

    calibration: tuple[CameraModel, CameraModel]
    rectify: bool | None


@dataclass(frozen=True)
class Finished:
    """A segment that is written, what it showed, and its part if there is one."""

    segment: Segment
    facts: SegmentFacts
    part: PartIndex | None


@dataclass(frozen=True)
class SegmentWorker:
    """Works on segments of one stream with one matcher.

    What a segment becomes depends on the stream, the segment and the options alone: whatever is
    kept from pair to pair begins anew with each. ``batch`` is as in `ProcessOptions`.
    """

    stream: Stream
    matcher: StereoMatcher
    options: PipelineOptions
    sink: Sink
    batch: int = 0

    def run(
        self,
        segments: Sequence[Segment],
        *,
        finished: Callable[[Finished], None],
        processed: Callable[[], None] = lambda: None,
    ) -> None:
        """Write these segments.

        ``finished`` is called after each in the thread that writes, ``processed`` after each pair.
        Raises FileWriteError, and whatever the matcher raises.
        """
        writer = _Writer(self.sink, len(self.stream.rigs), finished, processed)
        run = _Matching(self, self.sink.adapted(self.options))
        try:
            with (
                ReadAhead(self._read(segments), _size_of) as items,
                WriteBehind(writer.take, _size_of_prepared) as behind,
            ):
                for item in run.matched(items):
                    behind.put(item)
        finally:
            writer.close()

    def _read(self, segments: Sequence[Segment]) -> Iterator[Any]:
        """Yield what is in the segments, between marks."""
        # What was met before is met again in its segment.
        self.stream.take_damage()
        for segment in segments:
            yield _Begin(segment)
            yield from self.stream.items(segment)
            yield _End(segment, self.stream.take_damage())


class _Matching:
    """Runs the pipeline; in the thread that called `SegmentWorker.run`."""

    def __init__(self, worker: SegmentWorker, options: PipelineOptions) -> None:
        self._worker = worker
        self._options = [_aimed(options, target) for target in worker.stream.targets]
        self._pipeline = StereoPipeline(worker.matcher)
        self._states = [PipelineState() for _ in worker.stream.rigs]
        self._decided = [self._first_decision(n) for n in range(len(worker.stream.rigs))]
        self._is_first = [True] * len(self._states)

    def matched(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items in their order, pairs matched; those of a batch together."""
        batch = Batch(self._worker.matcher, self._worker.batch)
        for item in items:
            if isinstance(item, _Begin):
                self._begin()
            found = self._prepared(item)
            if batch.must_end(found):
                yield from self._finished(batch)
            batch.add(found)
            if batch.is_full or isinstance(item, _End):
                yield from self._finished(batch)
        yield from self._finished(batch)

    def _prepared(self, item: Any) -> Any:
        """Return a pair as it waits for its batch; other items as they are."""
        if not isinstance(item, StampedPair) or item.pair is None:
            return item
        state, options = self._states[item.rig], self._options[item.rig]
        if item.transform is not None:
            cloud = replace(options.outputs.cloud, transform=item.transform)
            options = replace(options, outputs=replace(options.outputs, cloud=cloud))
        is_first = self._is_first[item.rig]
        wanted = self._worker.sink.wanted
        wanted = wanted | PICTURE_OUTPUTS if is_first else wanted
        try:
            pair = replace(item.pair, moment=Moment(_stamp_ns(item), lambda: item.pose))
            pending = self._pipeline.begin(pair, wanted, options, state)
        except (ImageError, CalibrationError) as error:
            return replace(item, left_info=None, pair=None, error=str(error))
        self._is_first[item.rig] = False
        return _Waiting(item, pending, options, is_first)

    def _finished(self, batch: Batch) -> Iterator[Any]:
        for item, result in batch.matched():
            if not isinstance(item, _Waiting) or result is None:
                yield item
                continue
            try:
                if isinstance(result, ImageError):
                    raise result
                yield self._matched(item, result)
            except (ImageError, CalibrationError) as error:
                yield replace(item.stamped, left_info=None, pair=None, error=str(error))

    def _begin(self) -> None:
        self._is_first = [True] * len(self._states)
        for state, decided in zip(self._states, self._decided, strict=True):
            state.reset()
            if decided:
                state.follow(decided.calibration)
                state.rectify = decided.rectify

    def _matched(self, item: _Waiting, result: MatchResult) -> _Matched:
        outputs = self._pipeline.finish(item.pending, result)
        prepared = self._worker.sink.prepare(item.stamped, outputs)
        matched = _Matched(item.stamped, outputs, prepared)
        if item.is_first:
            matched.examined = examine_outputs(outputs, item.options)
            matched.picture = _picture(outputs)
        return matched

    def _first_decision(self, rig: int) -> _Decided | None:
        """Return whether the images are rectified here, as the first pair decides."""
        first = self._worker.stream.first_pair(rig)
        if first is None or first.pair is None or first.pair.calibration is None:
            return None
        state = PipelineState()
        try:
            prepare(first.pair, self._options[rig], state, self._worker.matcher.device)
        except (ImageError, CalibrationError) as error:
            _logger.debug('%s', error)
        return _Decided(first.pair.calibration, state.rectify)


def _aimed(options: PipelineOptions, target: ColorTarget | None) -> PipelineOptions:
    """Return the options with the camera that depth is registered to."""
    if target is None:
        return options
    return replace(options, outputs=replace(options.outputs, target=target.camera))


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A pair that waits for its batch."""

    stamped: StampedPair
    pending: PendingPair
    options: PipelineOptions
    is_first: bool

    @property
    def images(self) -> PreparedPair:
        """Return what is matched."""
        return self.pending.prepared


class _Matched:
    """A pair with what is to be written and noted of it."""

    def __init__(self, pair: StampedPair, outputs: PairOutputs, prepared: Any) -> None:
        self.pair = pair
        self.prepared = prepared
        self.confidence = outputs.mean_confidence
        self.camera = outputs.camera
        self.findings = outputs.findings
        self.warnings, self.notes = outputs.warnings, outputs.notes
        self.size = sum(array.nbytes for array in outputs.host.arrays.values())
        self.examined: Any = None
        self.picture: dict[str, str] | None = None


class _Writer:
    """Writes and notes; in the thread of `WriteBehind`."""

    def __init__(
        self,
        sink: Sink,
        rigs: int,
        finished: Callable[[Finished], None],
        processed: Callable[[], None],
    ) -> None:
        self._sink = sink
        self._rigs = rigs
        self._finished = finished
        self._processed = processed
        self._facts = SegmentFacts([])
        self._is_open = False

    def take(self, item: Any) -> None:
        """Write one item."""
        if isinstance(item, _Begin):
            self._facts = SegmentFacts([RigFacts() for _ in range(self._rigs)])
            self._sink.begin(item.segment)
            self._is_open = True
        elif isinstance(item, _Matched):
            self._sink.write(item.prepared)
            _note(self._facts.rigs[item.pair.rig], item)
            self._processed()
        elif isinstance(item, KeptMessage):
            self._sink.keep(item)
        elif isinstance(item, ImageCount):
            facts = self._facts.rigs[item.rig]
            facts.left_images, facts.right_images = item.left, item.right
            facts.left_alone, facts.right_alone = list(item.left_alone), list(item.right_alone)
        elif isinstance(item, StampedPair):
            self._facts.rigs[item.rig].fail(_stamp_ns(item), item.error)
            self._processed()
        elif isinstance(item, _End):
            self._facts.damage = list(item.damage)
            self._is_open = False
            self._finished(Finished(item.segment, self._facts, self._sink.end()))

    def close(self) -> None:
        """Give up a segment that is not whole."""
        if self._is_open:
            self._is_open = False
            self._sink.abort()


def _note(facts: RigFacts, item: _Matched) -> None:
    stamp_ns = _stamp_ns(item.pair)
    facts.pairs.append((stamp_ns, finite(item.confidence)))
    facts.lack(stamp_ns, item.pair.lacks)
    camera = item.camera
    if camera is not None and facts.camera is None:
        facts.camera = {
            'width': camera.width,
            'height': camera.height,
            'focal_length': camera.focal_length,
            'baseline': camera.baseline,
        }
    kinds = {finding.kind.value: finding.text for finding in item.findings}
    if item.examined is not None:
        examination, found = item.examined
        kinds.update({finding.kind.value: finding.text for finding in found})
        facts.examinations.append(
            (
                stamp_ns,
                finite(examination.vertical_offset),
                examination.matches,
                examination.order.value,
            )
        )
        facts.picture = {'stamp_ns': stamp_ns, **item.picture} if item.picture else None
    for kind, text in kinds.items():
        facts.findings.append((stamp_ns, kind))
        facts.remark(text)
    for text in item.warnings:
        facts.remark(text)
    facts.notes += [note for note in item.notes if note not in facts.notes]


def _picture(outputs: PairOutputs) -> dict[str, str]:
    """Return the left image, disparity and confidence, small, as JPEG in base 64."""
    arrays = outputs.host.arrays
    pictures = {
        'left': gray(outputs.left),
        'disparity': disparity_picture(arrays[Output.RAW_DISPARITY]),
        'confidence': fraction_picture(arrays[Output.CONFIDENCE]),
    }
    return {name: _jpeg(picture) for name, picture in pictures.items()}


def _jpeg(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    scale = min(1.0, PICTURE_WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    order = small if small.ndim == 2 else np.ascontiguousarray(small[..., ::-1])
    _, content = cv2.imencode('.jpg', order, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return b64encode(content.tobytes()).decode('ascii')


def _stamp_ns(pair: StampedPair) -> int:
    return stamp_ns(pair.header) or pair.log_ns


def _size_of(item: Item | _Begin | _End) -> int:
    if isinstance(item, StampedPair) and item.pair:
        return item.pair.left.nbytes + item.pair.right.nbytes
    return len(item.data) if isinstance(item, KeptMessage) else 0


def _size_of_prepared(item: Any) -> int:
    if isinstance(item, _Matched):
        return item.size
    return len(item.data) if isinstance(item, KeptMessage) else 0
