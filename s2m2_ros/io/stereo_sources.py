"""Stereo pairs in image files: which belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.io import image_files

# How a left image's path differs from its right one's: plain words, Middlebury, KITTI.
MARKERS = (('left', 'right'), ('im0', 'im1'), ('image_2', 'image_3'), ('image_0', 'image_1'))


SIDE = re.compile(r'(?<![a-z])(left|right)(?![a-z])', re.IGNORECASE)


def named_pairs(left: Path, right: Path) -> list[tuple[str, Path, Path]]:
    """Return a name, the left and the right image of each pair.

    Two files are one pair. In two folders, images of the same name belong together; 'left' and
    'right' in a name count as the same. Raises ImageError if an image has no counterpart.
    """
    if left.is_file() and right.is_file():
        return [('', left, right)]
    for path in (left, right):
        if not path.is_dir():
            kind = 'a file and the other a folder' if path.is_file() else 'missing'
            raise ImageError(f"'{path}' is {kind}: give two images or two folders")
    lefts, rights = _images_by_name(left), _images_by_name(right)
    alone = sorted(lefts.keys() ^ rights.keys())
    if alone:
        raise ImageError(f'{len(alone)} image(s) have no counterpart, e.g. {alone[0]!r}')
    if not lefts:
        raise ImageError(f"no images in '{left}'")
    return [(name, lefts[name], rights[name]) for name in sorted(lefts)]


def _images_by_name(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in image_files.SUFFIXES:
            name = SIDE.sub('', path.stem).strip('_-. ') or path.stem
            if name in images:
                raise ImageError(f"'{images[name]}' and '{path}' have the same name but for side")
            images[name] = path
    return images


class SourceError(S2M2Error):
    """No stereo pairs where they were looked for; says where and what would be one."""


@dataclass(frozen=True)
class ImagePair:
    """The two files of one pair."""

    left: Path
    right: Path


def find_pairs(source: Path, right_source: Path | None = None) -> list[ImagePair]:
    """Return the pairs that a source names, in order of their left paths.

    With ``right_source``, both are one image each, or folders as `s2m2 match` takes them. Without,
    ``source`` is a folder, searched with its subfolders for paths that differ as :data:`MARKERS`
    say (``left/7.png`` and ``right/7.png``, ``desk_left.png`` and ``desk_right.png``, ``im0.png``
    and ``im1.png``). Raises :class:`S2M2Error` if there is no pair.
    """
    if right_source is not None:
        named = named_pairs(source, right_source)
        return [ImagePair(left, right) for _, left, right in named]
    pairs = _pairs_by_marker(source) if source.is_dir() else []
    if not pairs:
        raise SourceError(
            f"no stereo pairs in '{source}': name a folder of files like desk_left.png and "
            'desk_right.png or with folders left and right in it, or give the right image or '
            'folder as right_source'
        )
    return pairs


def _pairs_by_marker(folder: Path) -> list[ImagePair]:
    pairs = []
    for left in sorted(folder.rglob('*')):
        if left.suffix.lower() not in image_files.SUFFIXES:
            continue
        relative = str(left.relative_to(folder))
        for left_marker, right_marker in MARKERS:
            right = folder / relative.replace(left_marker, right_marker)
            if right != left and right.is_file():
                pairs.append(ImagePair(left, right))
                break
    return pairs
