"""Where segments are worked on: in this process, or as tasks of a cluster."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.offline.processing.options import ProcessOptions, as_json
from s2m2_ros.offline.processing.segment_worker import SegmentWorker
from s2m2_ros.offline.processing.sinks import make_sink
from s2m2_ros.offline.processing.streams import Segment, Stream
from s2m2_ros.offline.processing.work_folder import WorkFolder
from s2m2_ros.offline.result_record import Recipe
from s2m2_ros.pipeline import PipelineOptions

# Packages whose version may change a byte of the result.
VERSIONED = ('numpy', 'torch', 'opencv-python-headless', 'mcap', 'rosbags', 'zstandard')


class EngineError(S2M2Error):
    """Nothing can be worked on, whatever the input; says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Job:
    """One input and what is asked of it.

    Attributes:
        source: path or URL of the input.
        options: what is read and written.
        pipeline: what may change from pair to pair.
        fingerprint: what the input is, by `Stream.fingerprint`.
        storage: where all machines of a cluster put parts; empty: the folder of the work.

    """

    source: str
    options: ProcessOptions
    pipeline: PipelineOptions
    fingerprint: Mapping[str, Any]
    storage: str = ''


class Engine(Protocol):
    """Works on the segments of inputs.

    Attributes:
        inputs_at_once: how many inputs are processed side by side, so that it never waits.

    """

    inputs_at_once: int

    def matcher_facts(self) -> dict[str, Any]:
        """Return what the result depends on besides input and options, as JSON values."""
        ...

    def run(
        self,
        job: Job,
        stream: Stream,
        segments: Sequence[Segment],
        work: WorkFolder,
        processed: Callable[[int], None],
    ) -> None:
        """Work on these segments and have the folder take note of each.

        ``processed`` is called with counts of pairs. Raises S2M2Error.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class LocalEngine:
    """Works on one segment after the other, with one matcher in this process."""

    inputs_at_once = 1

    def __init__(self, matching: MatcherOptions) -> None:
        """Open the matcher; raises S2M2Error."""
        self._matching = matching.resolved()
        self._matcher = self._matching.open()

    def matcher_facts(self) -> dict[str, Any]:
        """Return software, versions, and the matcher as it was opened."""
        return matcher_facts(self._matcher, self._matching)

    def run(
        self,
        job: Job,
        stream: Stream,
        segments: Sequence[Segment],
        work: WorkFolder,
        processed: Callable[[int], None],
    ) -> None:
        """Work on the segments in order."""
        sink = make_sink(stream, job.options, work.path)
        worker = SegmentWorker(stream, self._matcher, job.pipeline, sink, job.options.batch)
        worker.run(segments, finished=work.finish_segment, processed=lambda: processed(1))

    def close(self) -> None:
        """Close the matcher."""
        self._matcher.close()


def matcher_facts(matcher: StereoMatcher, matching: MatcherOptions) -> dict[str, Any]:
    """Return software, versions, and a matcher as it was opened, as JSON values."""
    opened = Recipe.of_matcher(matcher, {}).to_json()
    facts = {
        'software': opened['software'],
        'versions': _versions(),
        'matcher': {**as_json(matching), **as_json(opened['matcher'])},
    }
    # As it is read back.
    return dict(json.loads(json.dumps(facts)))


def open_stream(path: Path, options: ProcessOptions) -> Stream:
    """Return the pairs of an input; raises S2M2Error."""
    from s2m2_ros.io.recordings.storage.file_names import is_recording
    from s2m2_ros.io.sources.stereo_frame import PlaybackError
    from s2m2_ros.offline.processing.file_stream import FileStream
    from s2m2_ros.offline.processing.recorded_stream import RecordedStream

    if not path.exists():
        raise PlaybackError(f"there is no '{path}'")
    if is_recording(path):
        return RecordedStream(path, options, options.outputs)
    return FileStream(path, options)


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
