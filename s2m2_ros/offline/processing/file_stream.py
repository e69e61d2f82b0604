"""The pairs of image files and videos, by segments of so many pairs."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.geometry import CalibrationError, CameraModel
from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.io.recordings.storage.stored_messages import StoredRecord, StoredTopic
from s2m2_ros.io.sources.calibration_search import no_calibration
from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, seconds_text
from s2m2_ros.messages.camera_info import camera_info_message
from s2m2_ros.messages.pair_decoder import StereoTopics
from s2m2_ros.messages.plain_messages import plain_header
from s2m2_ros.offline.image_pairs import PairJob
from s2m2_ros.offline.pair_jobs import (
    JobOptions,
    calibration_lookup,
    image_jobs,
    is_video_file,
    video_jobs,
)
from s2m2_ros.offline.processing.color_target import ColorTarget
from s2m2_ros.offline.processing.fingerprints import file_fingerprint
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.segments import count_segments
from s2m2_ros.offline.processing.streams import (
    ImageCount,
    Item,
    Rig,
    Segment,
    StampedPair,
)
from s2m2_ros.pipeline import PairInput

# Names of images that are nanoseconds since the epoch, as in EuRoC: after September 2001.
NANOSECOND_NAME = re.compile(r'(?:^|/)(\d{19})$')
# About so many pairs are looked at before the first is matched: which values of deep images are
# black and white, and whether the calibration fits.
SAMPLES = 16


class FileStream:
    """The pairs of a folder, an image of both views or a video; see `Stream`."""

    def __init__(self, path: Path, options: ProcessOptions) -> None:
        """Look for the pairs; raises S2M2Error if there are none, or no calibration of them."""
        for name in ('pairs', 'keep', 'color_info', 'points_frame'):
            if getattr(options, name):
                raise S2M2Error(
                    f"{options.names(name)} is for recordings, and '{path}' is none: it has no "
                    'topics and no transforms'
                )
        if options.temporal_fixed_frame:
            raise S2M2Error(
                f"'{path}' is no recording, so no transforms say where the camera was: set "
                f'{options.names("temporal_filter")} to static if it stands still, else to off'
            )
        self._path, self._options = path, options
        self._jobs = _Jobs(path, options)
        namespace = (options.namespace or '').strip('/')
        topics = StereoTopics(str(path), str(path), 'the calibration', 'the calibration')
        self.rigs: Sequence[Rig] = [Rig(f'/{namespace}' if namespace else '', topics)]
        self.kept: Sequence[StoredTopic] = ()
        self.remarks: Sequence[str] = ()
        self.losses: Sequence[str] = ()
        self.targets: Sequence[ColorTarget | None] = (None,)
        self.expected_pairs = len(self._jobs)
        self.segments: Sequence[Segment] = count_segments(
            self.expected_pairs, options.segment_pairs
        )
        self._check_calibration()
        self._range = self._found_range()

    def items(self, segment: Segment) -> Iterator[Item]:
        """Yield the pairs of a segment."""
        values = copy.deepcopy(self._range)
        first, last = segment.start or 0, segment.end or 0
        count = 0
        for index in range(first, last):
            count += 1
            yield self._pair(index, values)
        yield ImageCount(0, count, count)

    def first_pair(self, rig: int) -> StampedPair | None:
        """Return the first pair that can be read; None without any."""
        for index in range(self.expected_pairs):
            found = self._pair(index, PixelRange(self._options.pixel_range))
            if found.pair:
                return found
        return None

    def records(self) -> Sequence[StoredRecord]:
        """Return nothing."""
        return ()

    def take_damage(self) -> list[str]:
        """Return nothing: what cannot be read is an error of its pair."""
        return []

    def fingerprint(self) -> dict[str, Any]:
        """Return what is checked of the files: names, sizes and times of change, as one digest."""
        if self._path.is_file():
            return {'files': [file_fingerprint(self._path)], 'calibration': self._calibration()}
        digest = hashlib.sha256()
        files = sorted(p for p in self._path.rglob('*') if p.is_file())
        for file in files:
            status = file.stat()
            entry = (str(file.relative_to(self._path)), status.st_size, status.st_mtime_ns)
            digest.update(repr(entry).encode())
        return {
            'name': self._path.name,
            'files': len(files),
            'sha256': digest.hexdigest(),
            'calibration': self._calibration(),
        }

    def close(self) -> None:
        """Close a video."""
        self._jobs.close()

    def _calibration(self) -> list[dict[str, Any]]:
        given = [path.expanduser() for path in self._options.calibration]
        files = [
            f for path in given for f in ([path] if path.is_file() else sorted(path.glob('*')))
        ]
        return [file_fingerprint(file) for file in files if file.is_file()]

    def _check_calibration(self) -> None:
        """Raise CalibrationError if pairs from everywhere in the input have none that fits."""
        found: CalibrationError | None = None
        for index in self._samples():
            try:
                self._loaded(self._jobs[index], PixelRange(self._options.pixel_range))
            except CalibrationError as error:
                found = found or error
            except ImageError:
                continue
            else:
                return
        if found is not None:
            raise found

    def _samples(self) -> Sequence[int]:
        """Return the numbers of some pairs from everywhere; of a video the first alone."""
        if self._jobs.is_video:
            return range(min(1, self.expected_pairs))
        return range(0, self.expected_pairs, max(1, self.expected_pairs // SAMPLES))

    def _found_range(self) -> PixelRange:
        values = PixelRange(self._options.pixel_range)
        if self._jobs.is_video:
            return values
        for index in self._samples():
            found = self._pair(index, values)
            if found.pair and found.pair.left.dtype == 'uint8':
                break
        return values

    def _pair(self, index: int, values: PixelRange) -> StampedPair:
        job = self._jobs[index]
        stamp_ns = self._stamp(job, index)
        header = plain_header(stamp_ns, self._options.frame_id)
        try:
            pair, model = self._loaded(job, values)
            info = camera_info_message(model, header, raw=bool(model.K and model.R))
        except (ImageError, CalibrationError) as error:
            return StampedPair(0, job.name, stamp_ns, header, error=str(error))
        name = seconds_text(stamp_ns) if self._jobs.is_video else job.name
        return StampedPair(0, name, stamp_ns, header, info, pair)

    def _loaded(self, job: PairJob, values: PixelRange) -> tuple[PairInput, CameraModel]:
        """Return a pair and its left camera; raises ImageError and CalibrationError."""
        pair = job.load(values)
        if pair.calibration is None:
            raise no_calibration(Path(job.label), self._options.names)
        return pair, pair.calibration[0]

    def _stamp(self, job: PairJob, index: int) -> int:
        if job.stamp_ns is not None:
            # A timestamp of 0 stands for none in ROS.
            return job.stamp_ns + NANOSECONDS
        named = NANOSECOND_NAME.search(job.name)
        if named:
            return int(named[1])
        return NANOSECONDS + round(index * NANOSECONDS / self._options.rate)


class _Jobs:
    """The jobs of an input by their number; those of a video are read in order."""

    def __init__(self, path: Path, options: ProcessOptions) -> None:
        self._path = path
        self._options = JobOptions(
            Path(),
            options.calibration,
            options.layout,
            needs_calibration=True,
            names=options.names,
        )
        self.is_video = is_video_file(path)
        self._next = 0
        self._last: PairJob | None = None
        self._frames: Iterator[PairJob] = iter(())
        self._lookup = calibration_lookup(self._options)
        if self.is_video:
            self._count = sum(1 for _ in self._read())
            self._restart()
        else:
            self._images = image_jobs(path, None, self._options)
            self._count = len(self._images)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> PairJob:
        if not self.is_video:
            return self._images[index]
        if self._last is not None and index == self._next - 1:
            # The first is looked at several times; each start reads the whole file for its digest.
            return self._last
        if index < self._next:
            self._restart()
        while True:
            self._last = next(self._frames)
            self._next += 1
            if self._next > index:
                return self._last

    def close(self) -> None:
        self._frames, self._last = iter(()), None

    def _restart(self) -> None:
        self._frames = self._read()
        self._next, self._last = 0, None

    def _read(self) -> Iterator[PairJob]:
        """Yield the pairs of the video from its start."""
        return video_jobs(self._path, None, self._options, self._lookup)
