"""Masks as image files: which pixels count."""

from __future__ import annotations

from pathlib import Path

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry.image_mask import BoolMap, MaskError, kept_by_picture
from s2m2_ros.io.images.image_files import read_raw


def read_mask(path: Path) -> BoolMap:
    """Return (H, W) from an image file of any kind, False where it is black.

    Raises ImageError, as `read_raw` does, and for an image that is black everywhere.
    """
    try:
        return kept_by_picture(read_raw(path.expanduser()).pixels)
    except MaskError as error:
        raise ImageError(f"'{path}': {error}") from error
    except RuntimeError as error:  # the home of somebody who has none
        raise ImageError(f"'{path}' cannot be found: {error}") from error
