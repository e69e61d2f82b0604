"""The calibration of a pair: the given files, or those found next to the images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from s2m2_ros.geometry import CalibrationError, CameraModel, StereoCamera
from s2m2_ros.io.calibration.readers import read_calibration
from s2m2_ros.setting_names import PARAMETERS, SettingNames

_logger = logging.getLogger(__name__)

Size = tuple[int, int]
StereoModels = tuple[CameraModel, CameraModel]

# KITTI's raw data keeps the calibration of a day three folders above the images.
LEVELS = 5
# What lies in the images' folder or the one above is theirs; farther up it may be of others.
FAMILIAR_LEVELS = 1
COUNTS = {2: 'two', 3: 'three', 4: 'four'}
SUBFOLDERS = ('', 'calib', 'calibration', 'camera_info', 'config')
TEXT_NAMES = ('calib', 'calibration', 'stereo', 'stereo_calibration', 'stereo_calib')
SUFFIXES = ('.txt', '.yaml', '.yml', '.xml', '.json', '.yml.gz', '.xml.gz', '.npz')
# Files of one name each, in the order of how surely they are the calibration of rectified images.
SINGLE_FILES = (
    'calib.txt',
    'calib_cam_to_cam.txt',
    *(f'{name}{suffix}' for name in TEXT_NAMES for suffix in SUFFIXES),
    'stereodemo_calibration.json',
    'ost.txt',
    'K.txt',
    'Q.npy',
    'camchain.yaml',
)
FILE_PAIRS = tuple(
    (f'{left}{suffix}', f'{right}{suffix}')
    for suffix in ('.yaml', '.yml')
    for left, right in (
        ('left', 'right'),
        ('left_camera_info', 'right_camera_info'),
        ('camera_info_left', 'camera_info_right'),
        ('cam0/sensor', 'cam1/sensor'),
    )
)
# KITTI's benchmarks have one calibration for each image, of the image's name.
FOLDERS_BY_IMAGE = ('calib', 'calib_cam_to_cam', 'calibration')


def find_calibration(start: Path) -> list[Path] | None:
    """Return the calibration next to an image or folder, in it or above; None if none.

    One file, or the left and the right camera's. Looks into ``start``, then into the folders above
    it, and in each into folders like `calib`; the nearest is used, and one of the image's own name
    before those that all images share. Only names are considered.
    """
    return CalibrationLookup().found(start)


def _candidates(levels: Iterable[Path]) -> Iterator[list[Path]]:
    for level in levels:
        for subfolder in SUBFOLDERS:
            if subfolder and not (level / subfolder).is_dir():
                continue
            for name in SINGLE_FILES:
                yield [level / subfolder / name]
            for names in FILE_PAIRS:
                yield [level / subfolder / name for name in names]


def _first_whole(candidates: Iterable[list[Path]]) -> list[Path] | None:
    """Return the first candidate whose files are all there."""
    return next((paths for paths in candidates if all(p.is_file() for p in paths)), None)


class CalibrationLookup:
    """Gives each pair its calibration: the given files, or else those next to it."""

    def __init__(
        self,
        given: Sequence[Path] = (),
        *,
        is_needed: bool = True,
        names: SettingNames = PARAMETERS,
    ) -> None:
        """Take the files of a calibration, one or two, or none to look for them.

        Unless ``is_needed``, files that were only found and cannot be used count as none, and
        given ones are read, but left to the pipeline to check, which knows the images too.
        ``names`` says what the setting is called that gives the files.
        """
        self._given = [path.expanduser() for path in given]
        self._is_needed, self._names = is_needed, names
        self._shared: dict[Path, list[Path] | None] = {}
        self._by_image: dict[Path, list[Path]] = {}
        self._models: dict[tuple[tuple[Path, ...], Size], StereoModels | None] = {}
        self._reported: set[tuple[Path, ...]] = set()
        self._remote: set[tuple[Path, ...]] = set()

    def models(self, beside: Path, size: Size) -> StereoModels | None:
        """Return the left and the right camera for images of ``size`` (width, height), or None.

        Says in the log which files were found. Raises CalibrationError for files that cannot be
        read, or that do not fit the images.
        """
        paths = self.files(beside)
        if not paths:
            return None
        key = (tuple(paths), size)
        if key not in self._models:
            try:
                self._models[key] = self._usable(paths, size)
            except CalibrationError as error:
                if not self._given:
                    raise
                raise CalibrationError(f'{self._names("calibration")}: {error}') from error
        return self._models[key]

    def _usable(self, paths: Sequence[Path], size: Size) -> StereoModels | None:
        if self._given and not self._is_needed:
            return read_calibration(paths, image_size=size)
        try:
            models = checked_models(paths, size)
        except CalibrationError as error:
            if self._is_needed:
                raise
            _logger.warning('no depth: the calibration that was found cannot be used: %s', error)
            return None
        if tuple(paths) in self._remote and not _names_size(paths, size):
            _logger.warning(
                'calibration: %s names no image size, so nothing can check that it belongs to '
                'these images',
                _quoted(paths),
            )
        return models

    def files(self, beside: Path) -> Sequence[Path]:
        """Return the files of the calibration for an image, folder or recording; empty if none."""
        if self._given:
            return self._given
        found = self.found(beside)
        self._report(found, beside)
        return found or ()

    def found(self, start: Path) -> list[Path] | None:
        """Return what :func:`find_calibration` does; each folder is searched once."""
        start = start.absolute()
        folder = start if start.is_dir() else start.parent
        if folder not in self._shared:
            levels = (folder, *folder.parents)[:LEVELS]
            places = [level / name for level in levels for name in FOLDERS_BY_IMAGE]
            self._by_image[folder] = [place for place in places if place.is_dir()]
            self._shared[folder] = _first_whole(_candidates(levels))
        # KITTI's flow frames 000000_10 and 000000_11 share a calibration.
        stems = [] if start.is_dir() else [start.stem, start.stem.rpartition('_')[0]]
        own = [
            [place / f'{stem}.txt'] for place in self._by_image[folder] for stem in stems if stem
        ]
        return _first_whole(own) or self._shared[folder]

    def _report(self, paths: list[Path] | None, beside: Path) -> None:
        if not paths or tuple(paths) in self._reported:
            return
        self._reported.add(tuple(paths))
        levels = _levels_above(paths[0], beside.absolute())
        if levels <= FAMILIAR_LEVELS:
            place = 'next to the images' if levels == 0 else 'in the folder above the images'
            _logger.info('calibration: using %s, found %s', _quoted(paths), place)
            return
        self._remote.add(tuple(paths))
        _logger.warning(
            'calibration: using %s, found %s folders above the images: if it belongs to other '
            'images, name the right one',
            _quoted(paths),
            COUNTS.get(levels, str(levels)),
        )


def _levels_above(found: Path, beside: Path) -> int:
    """Return how many folders above the images' own the search met the calibration."""
    folder = beside if beside.is_dir() else beside.parent
    levels = (folder, *folder.parents)
    return next(above for above, level in enumerate(levels) if found.is_relative_to(level))


def _quoted(paths: Sequence[Path]) -> str:
    return ' and '.join(f"'{path}'" for path in paths)


def _names_size(paths: Sequence[Path], size: Size) -> bool:
    """Return whether the calibration itself says how large its images are."""
    other = (size[0] + 1, size[1] + 1)
    try:
        models = read_calibration(paths, image_size=other)
    except CalibrationError:  # fits that size no more, so it depends on its own
        return True
    return any((model.width, model.height) != other for model in models)


def checked_models(paths: Sequence[Path], size: Size) -> StereoModels:
    """Return the cameras of a calibration for images of ``size`` (width, height).

    Raises CalibrationError for what cannot be read, is no stereo pair or has another size.
    """
    left, right = read_calibration(paths, image_size=size)
    StereoCamera.from_projection(left, right).require_size(*size)
    return left, right


def no_calibration(beside: Path, names: SettingNames = PARAMETERS) -> CalibrationError:
    """Return the error of images that come without calibration, and with none beside them."""
    return CalibrationError(
        f"no calibration for '{beside}': set {names('calibration')}; no file like calib.txt, "
        'calib_cam_to_cam.txt or left.yaml with right.yaml is next to it or above'
    )
