"""Options for what is left out of every output, as the node's parameters of the same names."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from s2m2_ros.errors import ImageError, S2M2Error

if TYPE_CHECKING:
    from s2m2_ros.geometry.image_mask import ImageMask

Value = TypeVar('Value')
Result = TypeVar('Result')


def add_mask_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare region of interest, mask and polygons."""
    parser.add_argument(
        '--roi',
        type=int,
        nargs=4,
        default=[],
        metavar=('X', 'Y', 'WIDTH', 'HEIGHT'),
        help='leave out all else of the left rectified image; width or height 0: to its edge',
    )
    parser.add_argument(
        '--mask-file',
        type=Path,
        help='image of the size of the left rectified one; where it is black, pixels are left out',
    )
    parser.add_argument(
        '--mask-polygon',
        type=float,
        nargs='+',
        default=[],
        metavar='NUMBER',
        help='corners x1 y1 x2 y2 ... of what is left out; a polygon ends where its first corner '
        'comes again, and another may follow',
    )


def image_mask(arguments: argparse.Namespace) -> ImageMask:
    """Return what the options mean; S2M2Error if they mean nothing."""
    from s2m2_ros.geometry.image_mask import ImageMask, polygons_from_numbers, roi_from_numbers
    from s2m2_ros.io.images.mask_files import read_mask

    file = arguments.mask_file
    return ImageMask(
        _named('--roi', roi_from_numbers, arguments.roi),
        _named('--mask-polygon', polygons_from_numbers, arguments.mask_polygon),
        _named('--mask-file', read_mask, file) if file else None,
    )


def mask_facts(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options as JSON values, for the record of a result; of a file, its digest."""
    from s2m2_ros.weights import file_sha256

    file = arguments.mask_file
    return {
        'roi': arguments.roi,
        'mask_polygon': arguments.mask_polygon,
        'mask_file_sha256': file_sha256(file.expanduser()) if file else '',
    }


def _named(option: str, function: Callable[[Value], Result], value: Value) -> Result:
    try:
        return function(value)
    except ImageError as error:
        raise S2M2Error(f'{option}: {error}') from error
