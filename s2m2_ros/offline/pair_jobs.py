"""Which pairs there are in files, folders and videos, and how each is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.images import image_files
from s2m2_ros.io.images.pixel_range import PixelRange, scale_pair
from s2m2_ros.io.images.raw_image import RawImage, raw_image
from s2m2_ros.io.sources.calibration_search import CalibrationLookup
from s2m2_ros.io.sources.stereo_frame import StereoFrame
from s2m2_ros.io.sources.stereo_sources import ImagePair, find_images, find_pairs
from s2m2_ros.io.sources.video_source import VideoFiles, is_video
from s2m2_ros.io.sources.view_layout import ViewLayout, split_views
from s2m2_ros.offline.image_pairs import PairJob
from s2m2_ros.pipeline import PairInput
from s2m2_ros.setting_names import PARAMETERS, SettingNames
from s2m2_ros.weights import file_sha256


@dataclass(frozen=True)
class JobOptions:
    """What all pairs share.

    Attributes:
        output: folder for the results; of several pairs each gets a folder in it.
        calibration: files for `read_calibration`; empty for those next to the images.
            Without either there is neither depth nor cloud.
        layout: how the views lie in an image.
        needs_calibration: whether a calibration that cannot be used is an error, also one that
            was only found.
        names: what the settings are called in messages.

    """

    output: Path
    calibration: Sequence[Path] = ()
    layout: ViewLayout = ViewLayout.TWO_TOPICS
    needs_calibration: bool = False
    names: SettingNames = PARAMETERS


def image_jobs(left: Path, right: Path | None, options: JobOptions) -> list[PairJob]:
    """Return the pairs of two images, two folders, one folder of pairs, or images of both views.

    Raises S2M2Error if there is none.
    """
    lookup = calibration_lookup(options)
    pairs = _image_pairs(left, right, options)
    return [_image_job(pair, options, lookup) for pair in pairs]


def video_jobs(
    left: Path, right: Path | None, options: JobOptions, lookup: CalibrationLookup | None = None
) -> Iterator[PairJob]:
    """Yield the pairs of a video of both views, or of two videos, while it is read.

    ``lookup`` is what `calibration_lookup` gives, shared by those who read a video several times.
    """
    lookup = lookup or calibration_lookup(options)
    source = VideoFiles(
        left,
        right,
        layout=options.layout,
        needs_calibration=options.needs_calibration,
        names=options.names,
        lookup=lookup,
    )
    calibration = lookup.files(left)
    videos = [path for path in (left, right) if path is not None]
    digests = [file_sha256(path) for path in videos]
    for frame in source:
        inputs = {
            'left': [digests[0], frame.name],
            'right': [digests[-1], frame.name],
            'calibration': calibration_digests(calibration),
        }
        yield PairJob(
            label=f'{left}, frame {frame.name}',
            name=frame.name,
            stamp_ns=None if frame.stamps_ns is None else frame.stamps_ns[0],
            output=options.output / frame.name,
            load=partial(_read_frame, frame, str(left), str(right or left)),
            digests=partial(dict, inputs),
            calibrated=frame.left_info is not None,
        )


def calibration_lookup(options: JobOptions) -> CalibrationLookup:
    """Return what finds the calibration of each pair, and says once which files it found."""
    return CalibrationLookup(
        options.calibration, is_needed=options.needs_calibration, names=options.names
    )


def is_video_file(path: Path) -> bool:
    """Return whether a path is a video, by its name."""
    return path.is_file() and is_video(path)


def calibration_digests(calibration: Sequence[Path]) -> list[str]:
    """Return the digests of the files of a calibration."""
    files = [
        file
        for path in calibration
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.is_file()
    ]
    return [file_sha256(file) for file in files]


def _image_pairs(left: Path, right: Path | None, options: JobOptions) -> list[ImagePair]:
    if not options.layout.in_one_image:
        return find_pairs(left, right, names=options.names)
    if right is not None:
        raise ImageError(
            f'{options.names("input_layout")} {options.layout.value}: one image holds both views, '
            'so give one path only'
        )
    if left.is_file():
        return [ImagePair(left, left)]
    images, _ = find_images(left)
    if not images:
        raise ImageError(f"no images in '{left}'")
    return [ImagePair(p, p, str(p.relative_to(left).with_suffix(''))) for p in images]


def _image_job(pair: ImagePair, options: JobOptions, lookup: CalibrationLookup) -> PairJob:
    calibration = lookup.files(pair.left)

    def digests() -> Mapping[str, Sequence[str]]:
        return {
            'left': [file_sha256(pair.left)],
            'right': [file_sha256(pair.right)],
            'calibration': calibration_digests(calibration),
        }

    return PairJob(
        label=str(pair.left),
        name=pair.name,
        output=options.output / pair.name,
        load=partial(_read_images, pair, options.layout, lookup),
        digests=digests,
        calibrated=bool(calibration),
    )


def _read_images(
    pair: ImagePair, layout: ViewLayout, lookup: CalibrationLookup, pixel_range: PixelRange
) -> PairInput:
    left = image_files.read_raw(pair.left)
    if layout.in_one_image:
        views = split_views(left.pixels, layout)
        left, right = (replace(left, pixels=view) for view in views)
    else:
        right = image_files.read_raw(pair.right)
    calibration = lookup.models(pair.left, left.size)
    return _pair_input((left, right), calibration, (str(pair.left), str(pair.right)), pixel_range)


def _read_frame(
    frame: StereoFrame, left_name: str, right_name: str, pixel_range: PixelRange
) -> PairInput:
    left, right = frame.arrays()
    calibration = None if frame.left_info is None else (frame.left_info, frame.right_info)
    images = raw_image(left), raw_image(right)
    return _pair_input(images, calibration, (left_name, right_name), pixel_range)


def _pair_input(
    raw: tuple[RawImage, RawImage],
    calibration: tuple[CameraModel, CameraModel] | None,
    names: tuple[str, str],
    pixel_range: PixelRange,
) -> PairInput:
    images = scale_pair(*raw, pixel_range)
    note = pixel_range.note
    remarks = (note.text,) if note else ()
    suspicious = note is not None and note.is_warning
    return PairInput(
        *images,
        calibration,
        *names,
        notes=() if suspicious else remarks,
        warnings=remarks if suspicious else (),
    )
