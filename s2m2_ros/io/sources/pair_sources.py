"""Stereo pairs from whatever holds them: image files, folders, videos, cameras, recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros.io.images import image_files
from s2m2_ros.io.recordings.recording_reader import Recording
from s2m2_ros.io.recordings.storage.file_names import is_recording
from s2m2_ros.io.sources.image_source import ImageFiles
from s2m2_ros.io.sources.stereo_frame import PairSource, PlaybackError
from s2m2_ros.io.sources.stereo_sources import ImagePair, SourceError, find_images, find_pairs
from s2m2_ros.io.sources.video_source import VideoDevice, VideoFiles, device_number, is_video
from s2m2_ros.io.sources.view_layout import ViewLayout


@dataclass(frozen=True)
class SourceOptions:
    """What to take the pairs from.

    Attributes:
        source: a folder of pairs, an image, a video, a recording, or a camera (`/dev/video0`).
        right_source: the right image, folder or video where ``source`` is its left counterpart.
        calibration: one file or two; empty for the recorded one, or one next to the source.
        layout: where the views are, if one image holds both.
        left_topic, right_topic: images in a recording; empty to find them by their names.
        needs_calibration: whether pairs without calibration are an error.

    """

    source: str
    right_source: str = ''
    calibration: Sequence[Path] = ()
    layout: ViewLayout = ViewLayout.TWO_TOPICS
    left_topic: str = ''
    right_topic: str = ''
    needs_calibration: bool = True


def open_source(options: SourceOptions) -> PairSource:
    """Return the pairs that the options name; raises S2M2Error for what cannot be played."""
    path = Path(options.source).expanduser()
    right = Path(options.right_source).expanduser() if options.right_source else None
    number = camera_number(options.source)
    if number is not None:
        return VideoDevice(number, layout=options.layout, calibration=options.calibration)
    for name, given in (('source', path), ('right_source', right)):
        if given is not None and not given.exists():
            raise PlaybackError(f"{name}: there is no '{given}'")
    if is_recording(path):
        return _recording(options, path)
    if path.is_file() and is_video(path):
        return VideoFiles(
            path,
            right,
            layout=options.layout,
            calibration=options.calibration,
            needs_calibration=options.needs_calibration,
        )
    return ImageFiles(
        _image_pairs(path, right, options.layout),
        options.calibration,
        layout=options.layout,
        needs_calibration=options.needs_calibration,
    )


def camera_number(source: str) -> int | None:
    """Return the number of a camera, 0 for `/dev/video0` or `0`; None for files of any name."""
    path = Path(source).expanduser()
    return None if path.exists() and not path.is_char_device() else device_number(source)


def _recording(options: SourceOptions, path: Path) -> Recording:
    if options.right_source:
        raise PlaybackError(
            f"'{path}' is a recording: leave right_source empty, and name the right topic in "
            'recorded_right'
        )
    return Recording(
        path,
        left_topic=options.left_topic,
        right_topic=options.right_topic,
        calibration=options.calibration,
        layout=options.layout,
        needs_calibration=options.needs_calibration,
    )


def _image_pairs(path: Path, right: Path | None, layout: ViewLayout) -> list[ImagePair]:
    if not layout.in_one_image:
        return find_pairs(path, right)
    if right is not None:
        raise PlaybackError(
            f'input_layout is {layout.value}, so one image holds both views: leave right_source '
            'empty'
        )
    images = [path] if path.is_file() else find_images(path)[0]
    if not images:
        suffixes = ', '.join(image_files.SUFFIXES)
        raise SourceError(f"no images in '{path}' (looked for {suffixes})")
    folder = path if path.is_dir() else path.parent
    names = [os.fspath(image.relative_to(folder).with_suffix('')) for image in images]
    return [ImagePair(image, image, name) for image, name in zip(images, names, strict=True)]
