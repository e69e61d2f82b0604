"""`--calibration FILE ...` of commands that take images too: where its files end.

argparse gives an option of several values all that follows, so the images of
``s2m2 match --calibration FILE LEFT RIGHT`` would count as calibrations.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OPTION = '--calibration'
# The shortest abbreviation that argparse takes for it in both commands.
SHORTEST = '--ca'
# A matrix that NumPy saved takes a few hundred bytes, an image far more.
LARGEST_MATRIX = 2048


def images_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with images that follow the files of a calibration before them.

    Images, videos and folders after the first value of the option are no calibration: that is
    one file, two files or one folder.
    """
    given = list(arguments)
    start = next((i for i, word in enumerate(given) if _is_option(word)), None)
    if start is None or '--' in given[:start]:
        return given
    end = start + 1
    while end < len(given) and not given[end].startswith('-'):
        end += 1
    first = end
    while first > start + 2 and _is_input(given[first - 1]):
        first -= 1
    return [*given[:start], *given[first:end], *given[start:first], *given[end:]]


def _is_option(word: str) -> bool:
    return word.startswith(SHORTEST) and OPTION.startswith(word)


def _is_input(word: str) -> bool:
    """Return whether a value is an image, a video or a folder, by its name where it is missing."""
    from s2m2_ros.io.images import image_files
    from s2m2_ros.io.recordings.storage.file_names import is_recording
    from s2m2_ros.io.sources.video_source import is_video

    path = Path(word).expanduser()
    suffix = path.suffix.lower()
    if suffix == '.npy':
        return path.is_file() and path.stat().st_size > LARGEST_MATRIX
    return path.is_dir() or is_video(path) or is_recording(path) or suffix in image_files.SUFFIXES


def add_rectify_argument(parser: argparse.ArgumentParser) -> None:
    """Declare whether raw images are rectified by the calibration."""
    parser.add_argument(
        '--rectify',
        choices=('auto', 'true', 'false'),
        default='auto',
        help='rectify raw images by K, D, R and P of the calibration; auto: where they are raw',
    )


def add_calibration_argument(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """Declare the option."""
    parser.add_argument(OPTION, type=Path, nargs='+', metavar='FILE', **settings)
