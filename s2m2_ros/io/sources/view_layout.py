"""How the two views lie in one image: split into left and right, as views of the same memory."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy.typing as npt

from s2m2_ros.errors import ImageError

Pixels = npt.NDArray[Any]


class ViewLayout(Enum):
    """Where the left and the right view are; the value is the text of parameters and options."""

    TWO_TOPICS = 'two_topics'
    SIDE_BY_SIDE = 'side_by_side'
    TOP_BOTTOM = 'top_bottom'

    @property
    def in_one_image(self) -> bool:
        """Return whether one image holds both views."""
        return self is not ViewLayout.TWO_TOPICS


def layout_named(name: str) -> ViewLayout:
    """Return the layout of this name; raises ImageError that lists the names."""
    try:
        return ViewLayout(name)
    except ValueError as error:
        names = ', '.join(layout.value for layout in ViewLayout)
        raise ImageError(f'input_layout must be one of {names}, not {name!r}') from error


def split_views(image: Pixels, layout: ViewLayout) -> tuple[Pixels, Pixels]:
    """Return the left and the right view of an image (H, W) or (H, W, C); nothing is copied.

    Side by side, the left view is the left half; top and bottom, it is the upper half. Raises
    ImageError for a width (or height) that two views cannot share, and for ``TWO_TOPICS``.
    """
    if image.ndim not in (2, 3):
        raise ImageError(f'an image has 2 or 3 dimensions, not {image.ndim}')
    view_width, view_height = view_size((image.shape[1], image.shape[0]), layout)
    if layout is ViewLayout.SIDE_BY_SIDE:
        return image[:, :view_width], image[:, view_width:]
    if layout is ViewLayout.TOP_BOTTOM:
        return image[:view_height], image[view_height:]
    raise ImageError('two_topics: this image holds one view, nothing to split')


def view_size(size: tuple[int, int], layout: ViewLayout) -> tuple[int, int]:
    """Return width and height of one view in an image of ``size`` (width, height).

    Raises ImageError where the image cannot be divided into two views of equal size.
    """
    width, height = size
    divided = {
        ViewLayout.SIDE_BY_SIDE: (width, 'width'),
        ViewLayout.TOP_BOTTOM: (height, 'height'),
    }
    if layout in divided:
        length, name = divided[layout]
        if length < 2 or length % 2:
            raise ImageError(
                f'the image is {width}x{height}: its {name} must be even to hold two views '
                f'({layout.value})'
            )
    if layout is ViewLayout.SIDE_BY_SIDE:
        return width // 2, height
    return (width, height // 2) if layout is ViewLayout.TOP_BOTTOM else (width, height)
