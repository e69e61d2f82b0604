"""Stereo pairs in image files: which belong together, for everything that takes files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.io.images import image_files
from s2m2_ros.io.recordings.storage.file_names import is_recording
from s2m2_ros.io.sources.side_words import (
    Components,
    Sides,
    lowered,
    natural_key,
    tokens,
    without_sides,
)
from s2m2_ros.setting_names import PARAMETERS, SettingNames

_logger = logging.getLogger(__name__)

# What other programs and this one write beside images; never an input.
RESULTS = frozenset({
    'disp', 'disparity', 'disparities', 'depth', 'confidence', 'conf', 'occlusion', 'occ',
    'noc', 'nonocc', 'mask', 'masks', 'gt', 'label', 'labels', 'seg', 'semantic',
    'segmentation', 'instance', 'flow', 'normal', 'normals', 'visibility', 'error', 'errors',
    'thumb', 'thumbs', 'thumbnail', 'thumbnails', 'uncertainty'
})  # fmt: skip
# Words that say nothing of what an image shows, when one looks for a result's name.
NEUTRAL = frozenset({
    'left', 'right', 'l', 'r', 'color', 'colour', 'colored', 'vis', 'viz', 'map', 'image',
    'img', 'png'
})  # fmt: skip
IGNORED_FOLDERS = frozenset({'__macosx', '@eadir', 's2m2_output', 'demo_output'})


# Units of timestamps since 1970, by their number of digits.
TIMESTAMP_UNITS = {13: 'ms', 16: 'us', 19: 'ns'}


class SourceError(S2M2Error):
    """No stereo pairs where they were looked for; says where and what would be one."""


@dataclass(frozen=True)
class ImagePair:
    """The two files of one pair; ``name`` is what their paths share, unique among the pairs."""

    left: Path
    right: Path
    name: str = field(default='', compare=False)


def find_pairs(
    source: Path, right_source: Path | None = None, *, names: SettingNames = PARAMETERS
) -> list[ImagePair]:
    """Return the pairs that a source names, in natural order (2 before 10), rig by rig.

    With ``right_source``, both are one image each, or a folder of left and one of right images.
    Without, ``source`` is a folder that is searched with its subfolders for paths that differ as
    the two sides of a camera do: ``left/7.png`` and ``right/7.png`` (or `L` and `R`), ``desk_left.
    png`` and ``desk_right.png``, ``im0.png`` and ``im1.png``, ``cam0`` and ``cam1``, ``image_02``
    and ``image_03``, at any depth. Results (disparities, masks and the like), hidden files and
    thumbnails are ignored. Raises :class:`S2M2Error` if there is no pair.
    """
    if right_source is not None:
        return _pairs_of_two(source, right_source)
    if is_recording(source):
        raise SourceError(
            f"'{source}' is a recording, not images: stereo_player and `s2m2 process` read it"
        )
    if source.is_file() and source.suffix.lower() not in image_files.SUFFIXES:
        raise SourceError(f"'{source}' is no image, video or recording, by its name")
    if source.is_file():
        raise SourceError(f"'{source}' is one image: {_for_one_image(names)}")
    images, results = find_images(source)
    pairs = image_pairs(source, images)
    if not pairs:
        raise SourceError(_nothing_found(source, images, results, names))
    return pairs


def image_pairs(folder: Path, images: Sequence[Path]) -> list[ImagePair]:
    """Return the pairs among images below a folder, by their paths, as `find_pairs` does."""
    return _named(folder, list(_pairs_by_sides(folder, images)))


def named_pairs(left: Path, right: Path) -> list[tuple[str, Path, Path]]:
    """Return a name, the left and the right image of each pair that two paths give."""
    return [(pair.name, pair.left, pair.right) for pair in find_pairs(left, right)]


def find_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images below a folder in natural order, and those ignored as results.

    Raises SourceError if the folder cannot be read.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder '{folder}'")
    images: list[Path] = []
    results: list[Path] = []
    for path in _walk(folder, set()):
        if path.suffix.lower() in image_files.SUFFIXES:
            is_result = any(map(_is_result_folder, path.relative_to(folder).parts[:-1]))
            (results if is_result or _is_result(path.stem) else images).append(path)
    return images, results


def _walk(folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the files below a folder in natural order; each folder once, whatever links to it."""
    try:
        status = folder.stat()
        names = sorted((path.name for path in folder.iterdir()), key=natural_key)
    except OSError as error:
        if visited:  # a folder below the one that was named, as lost+found is
            _logger.warning("cannot read the folder '%s': %s", folder, error.strerror)
            return
        raise SourceError(f"cannot read the folder '{folder}': {error.strerror}") from error
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    for name in names:
        if name.startswith('.') or name.lower() in IGNORED_FOLDERS:
            continue
        path = folder / name
        if os.path.isdir(path):  # noqa: PTH112  # a link to itself is none, and no error
            yield from _walk(path, visited)
        elif os.path.isfile(path):  # noqa: PTH113
            yield path


def _is_result(stem: str) -> bool:
    """Return whether a file's name begins or ends with a result's word: left_disp, disp0GT."""
    words = [word for word in tokens(stem) if not word.isdigit() and word not in NEUTRAL]
    return bool(words) and bool(RESULTS.intersection((words[0], words[-1])))


def _is_result_folder(name: str) -> bool:
    """Return whether a folder's name consists of words of results: disp_occ_0, masks."""
    words = [word for word in tokens(name) if not word.isdigit() and word not in NEUTRAL]
    return bool(words) and RESULTS.issuperset(words)


class _Index:
    """Images by their path without suffix, whatever its case."""

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        self.names = {path: _components(path.relative_to(folder)) for path in images}
        self._paths: dict[Components, list[Path]] = {}
        for path, name in self.names.items():
            self._paths.setdefault(lowered(name), []).append(path)

    def find(self, name: Components, *, like: Path | None = None) -> Path:
        """Return the image of this name: of several, one with the suffix of ``like`` first."""
        suffix = like.suffix if like else ''
        return min(self._paths[lowered(name)], key=lambda path: (path.suffix != suffix, str(path)))


def _components(relative: Path) -> Components:
    return (*relative.parts[:-1], relative.stem)


def _pairs_by_sides(
    folder: Path, images: Sequence[Path]
) -> Iterator[tuple[Path, Path, Components]]:
    """Yield left image, right image and the name they share."""
    index = _Index(folder, images)
    names = set(index.names.values())
    used: set[Path] = set()
    for pair in Sides(names, files=True).pairs(names):
        left = index.find(pair.left)
        right = index.find(pair.right, like=left)
        used.update((left, right))
        yield left, right, pair.shared
    alone = [path for path in images if path not in used]
    if used and alone:
        _logger.info(
            "%d image(s) in '%s' have no counterpart, e.g. '%s'", len(alone), folder, alone[0]
        )


def _named(folder: Path, pairs: Sequence[tuple[Path, Path, Components]]) -> list[ImagePair]:
    """Return the pairs, sorted rig by rig, with names that are unique."""
    count = Counter(shared for _, _, shared in pairs)
    named = []
    for left, right, shared in pairs:
        whole = left.relative_to(folder).with_suffix('').as_posix()
        name = '/'.join(shared) if count[shared] == 1 else whole
        named.append(([natural_key(part) for part in shared], ImagePair(left, right, name)))
    return [pair for _, pair in sorted(named, key=lambda item: item[0])]


def _for_one_image(names: SettingNames) -> str:
    """Return what to do about a single image."""
    ways = ['give the right image too'] if names('right_source') else ['give a folder of pairs']
    if layout := names('input_layout'):
        ways.append(f'set {layout} to side_by_side or top_bottom if it holds both views')
    return ', or '.join(ways)


def _nothing_found(
    source: Path, images: Sequence[Path], results: Sequence[Path], names: SettingNames
) -> str:
    found = f'{len(images)} image(s)'
    if images:
        found += f', e.g. {os.fspath(images[0].relative_to(source))!r}'
    if results:
        found += f' (and {len(results)} ignored as results, e.g. {results[0].name!r})'
    recordings = [path.name for path in sorted(source.iterdir()) if is_recording(path)]
    if recordings and not images:
        return f"no stereo pairs in '{source}', but recordings: name one, e.g. {recordings[0]!r}"
    other, layout = names('right_source'), names('input_layout')
    return (
        f"no stereo pairs in '{source}': {found}; name a folder of files like desk_left.png and "
        'desk_right.png or with folders left and right in it'
        + (f', or give the right image or folder as {other}' if other else '')
        + (f'; one image with both views needs {layout}' if layout else '')
        + _folders_apart(images)
    )


def _folders_apart(images: Sequence[Path]) -> str:
    """Return what :func:`_timestamps_apart` does for the images of two folders."""
    folders: dict[Path, list[Path]] = {}
    for image in images:
        folders.setdefault(image.parent, []).append(image)
    return _timestamps_apart(*folders.values()) if len(folders) == 2 else ''


def _timestamps_apart(lefts: Sequence[Path], rights: Sequence[Path]) -> str:
    """Return the end of a message on names that are timestamps, nearly equal; else empty."""
    stems = {path.stem for path in (*lefts, *rights)}
    unit = TIMESTAMP_UNITS.get(len(min(stems, default='')))
    digits = {len(stem) for stem in stems}
    if unit is None or len(digits) > 1 or not all(map(str.isdecimal, stems)):
        return ''
    if not lefts or not rights:
        return ''
    others = [int(path.stem) for path in rights]
    apart = {path: min(abs(int(path.stem) - other) for other in others) for path in lefts[:100]}
    nearest = min(apart, key=lambda path: apart[path])
    counterpart = min(rights, key=lambda path: abs(int(path.stem) - int(nearest.stem)))
    return (
        '. The names look like timestamps of each camera: '
        f'{nearest.name!r} and {counterpart.name!r} are {apart[nearest]} {unit} apart. Give both '
        'images of a pair the timestamp of the left one as their name, or record them into a bag, '
        'whose images are paired by the nearest timestamp'
    )


def _pairs_of_two(left: Path, right: Path) -> list[ImagePair]:
    if left.is_file() and right.is_file():
        return [ImagePair(left, right)]
    for path in (left, right):
        if not path.exists():
            raise ImageError(f"'{path}' is missing: give two images or two folders")
    for path in (left, right):
        if not path.is_dir():
            kind = 'neither a regular file nor a folder'
            if path.is_file():
                kind = 'a file and the other a folder'
            raise ImageError(f"'{path}' is {kind}: give two images or two folders")
    lefts, rights = find_images(left)[0], find_images(right)[0]
    if not lefts:
        raise ImageError(f"no images in '{left}'")
    return _joined((left, lefts), (right, rights))


def _joined(
    left: tuple[Path, Sequence[Path]], right: tuple[Path, Sequence[Path]]
) -> list[ImagePair]:
    """Join the images of two folders whose paths are equal, or equal but for the side."""
    pairs = {}
    lefts, rights = set(left[1]), set(right[1])
    for name_of in (_path_name, _name_without_side):
        first, second = (
            _unique((name_of(path.relative_to(folder)), path) for path in images)
            for folder, images in ((left[0], lefts), (right[0], rights))
        )
        for name in first.keys() & second.keys():
            pairs[name] = ImagePair(first[name], second[name], name)
            lefts.remove(first[name])
            rights.remove(second[name])
    alone = sorted({path.stem for path in lefts | rights}, key=natural_key)
    if not pairs:
        examples = (
            f"'{folder}' holds {len(images)}" + (f', e.g. {images[0].name!r}' if images else '')
            for folder, images in (left, right)
        )
        raise ImageError(
            f'no image has a counterpart: {" and ".join(examples)}; the images of a pair must '
            f'have the same name, but for left and right{_timestamps_apart(left[1], right[1])}'
        )
    if alone:
        raise ImageError(f'{len(alone)} image(s) have no counterpart, e.g. {alone[0]!r}')
    return [pairs[name] for name in sorted(pairs, key=natural_key)]


def _path_name(relative: Path) -> str:
    return relative.with_suffix('').as_posix()


def _name_without_side(relative: Path) -> str:
    parts = [without_sides(part) for part in _components(relative)]
    return '/'.join(part for part in parts if part) or relative.stem


def _unique(keyed: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for name, path in keyed:
        if name in images:
            raise ImageError(f"'{images[name]}' and '{path}' have the same name but for side")
        images[name] = path
    return images
