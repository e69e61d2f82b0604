"""Masks as image files: which pixels count."""

from __future__ import annotations

from pathlib import Path

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry.image_mask import BoolMap, MaskError, kept_by_picture
from s2m2_ros.io.images.image_files import read_with_alpha


def read_mask(path: Path) -> BoolMap:
    """Return (H, W) from an image file of any kind, False where it is black.

    Raises ImageError, as `read_raw` does, for an image that is black everywhere, and for one whose
    transparency says something, since one editor erases what is left out, another all the rest.
    """
    try:
        image, alpha = read_with_alpha(path.expanduser())
        if alpha is not None and alpha.min() != alpha.max():
            raise MaskError(
                'some of its pixels are transparent, which says nothing here: save it without an '
                'alpha channel, black where pixels are left out'
            )
        return kept_by_picture(image.pixels)
    except MaskError as error:
        raise ImageError(f"'{path}': {error}") from error
    except RuntimeError as error:  # the home of somebody who has none
        raise ImageError(f"'{path}' cannot be found: {error}") from error
