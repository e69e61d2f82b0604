"""What the name of a recorded topic says: of which camera, in which version, what it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s2m2_ros.io.sources.side_words import LIMBS, PLACES, Components, Sides, lowered, tokens
from s2m2_ros.io.sources.stereo_sources import RESULTS

TRANSPORTS = ('compressed', 'raw', 'ffmpeg', 'theora', 'h264', 'h265', 'hevc')
NOUNS = frozenset({'image', 'images', 'img', 'data', 'video'})
RECTIFICATION = frozenset({'rect', 'rectified', 'raw', 'unrectified', 'compressed'})
COLORS = frozenset({'color', 'colour', 'mono', 'gray', 'grey', 'rgb', 'bgr'})
# What the last words of a topic say of an image, but not of which camera it is.
VARIANT_WORDS = NOUNS | RECTIFICATION | COLORS
SIDES = frozenset({'left', 'right', 'l', 'r'})
RECTIFIED = re.compile(r'(?<![a-z])rect')
# Of `info_names`, those beside the image itself; the rest may serve several cameras.
OWN_NAMES = 4
_WORD = re.compile(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^A-Za-z\d_\-. ]+')


def components(topic: str) -> Components:
    """Return the names between the slashes."""
    return tuple(part for part in topic.split('/') if part)


def without_transport(topic: str) -> Components:
    """Return the components of a topic without those that name its compression."""
    parts = components(topic)
    while len(parts) > 1 and parts[-1] in TRANSPORTS:
        parts = parts[:-1]
    return parts


def camera_of(topic: str) -> Components:
    """Return what names the camera: the namespace, and the rest without words of its variant.

    Such words count at the end only: `/front_gray/left/image` is not of `/front_color/left`. Nor
    do colors alone make `/left_gray/image` and `/left_color/image` one camera, as they do as
    `/left/image_gray` or `/left/gray/image`.
    """
    parts = list(without_transport(topic))
    is_last = True
    while parts and _is_variant(parts):
        parts.pop()
        is_last = False
    if parts:
        words = _words(parts[-1])
        kept = _without_variant(words)
        if kept and (is_last or SIDES.issuperset(kept)) and kept != words:
            parts[-1] = '_'.join(kept)
    return lowered(tuple(parts))


def camera_of_info(topic: str) -> Components:
    """Return what `camera_of` does for the images that a CameraInfo's name says it belongs to."""
    parts = list(components(topic))
    while parts:
        words = _words(parts[-1])
        kept = _without_info(words)
        if kept:
            parts[-1] = parts[-1] if kept == words else '_'.join(kept)
            break
        parts.pop()
    return camera_of('/'.join(parts))


def shows_result(topic: str) -> bool:
    """Return whether a topic's own name says that it shows a result: depth, masks and such.

    The camera's namespace says nothing of it: `/depth_camera/left/image_rect` is a camera's image.
    """
    parts = list(without_transport(topic))
    while len(parts) > 1 and VARIANT_WORDS.issuperset(_words(parts[-1])):
        parts.pop()
    is_last = len(parts) == len(without_transport(topic))
    if is_last and len(parts) > 1 and SIDES.issuperset(_words(parts[-1])):
        return RESULTS.issuperset(_words(parts[-2]))  # /depth/left
    return bool(parts) and not RESULTS.isdisjoint(tokens(parts[-1]))


def rank(topic: str) -> tuple[bool, bool, bool, bool, str]:
    """Return a sort key: rectified, then uncompressed, then color ones first."""
    words = tokens(topic)
    return (
        not is_rectified(topic),
        topic.endswith(('/compressed', '/ffmpeg')),
        not {'color', 'colour', 'rgb'}.intersection(words),
        not {'image', 'img'}.intersection(words),
        topic,
    )


def is_rectified(topic: str) -> bool:
    """Return whether a topic's name says that its images are rectified."""
    return bool(RECTIFIED.search(topic.lower())) and 'unrect' not in topic.lower()


def side_pairs(names: Sequence[str], *, with_places: bool = False) -> list[tuple[str, str]]:
    """Return the pairs of topics that differ as left and right do.

    ``with_places``: also where a place is beside that word, which may mean cameras at a robot's
    corners: `front_left` and `front_right`.
    """
    by_components = {components(name): name for name in names}
    by_lowered = {lowered(parts): name for parts, name in by_components.items()}
    places = LIMBS if with_places else PLACES
    pairs = Sides(by_components, files=False, places=places).pairs(by_components)
    return [(by_components[pair.left], by_lowered[pair.right]) for pair in pairs]


def differ_in_numbers(pair: tuple[str, str]) -> bool:
    """Return whether two names differ in numbers alone: cam0 and cam1."""
    left, right = (re.sub(r'\d+', '0', name.lower()) for name in pair)
    return left == right


def shared_namespace(pair: tuple[str, str]) -> Components:
    """Return the components above both names that they share."""
    shared = []
    for left, right in zip(components(pair[0])[:-1], components(pair[1])[:-1], strict=False):
        if left != right:
            break
        shared.append(left)
    return tuple(shared)


def info_names(image: str) -> list[str]:
    """Return the names that the CameraInfo of an image's topic may have, the likeliest first."""
    *parents, name = without_transport(image) or ('',)
    flat = re.sub(r'(?i)(image|img).*$', 'camera_info', name)
    swapped = re.sub(r'(?i)image|img', 'camera_info', name)
    names = [[*parents, flat], [*parents, swapped], [*parents, f'{name}_camera_info']]
    names += [[*parents, name, 'camera_info']]
    names += [[*parents[:depth], 'camera_info'] for depth in range(len(parents), -1, -1)]
    return ['/' + '/'.join(parts) for parts in names]


def _words(component: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(component)]


def _is_variant(parts: Sequence[str]) -> bool:
    """Return whether the last component says no more than which version of an image it is."""
    words = set(_words(parts[-1]))
    if not words or not VARIANT_WORDS.issuperset(words):
        return False
    # `/camera/color` is a camera of its own, `/left/color` the left one.
    below = list(parts[:-1])
    while below and RECTIFICATION.issuperset(_words(below[-1])):
        below.pop()
    is_color = not words.isdisjoint(COLORS) and words.isdisjoint(NOUNS)
    return not is_color or (bool(below) and not SIDES.isdisjoint(_words(below[-1])))


def _without_variant(words: Sequence[str]) -> list[str]:
    """Return words without `image` and its variants around it, and `rect` or `raw` at an end."""
    kept: list[str] = []
    run: list[str] = []
    for word in [*words, '']:
        if word in VARIANT_WORDS:
            run.append(word)
            continue
        is_end = not kept or not word
        if not NOUNS.isdisjoint(run):
            noun = next(index for index, word in enumerate(run) if word in NOUNS)
            kept += [word for word in run[:noun] if word in COLORS]
        elif not is_end or not RECTIFICATION.issuperset(run):
            kept += run
        run = []
        kept += [word] if word else []
    return kept


def _without_info(words: Sequence[str]) -> list[str]:
    """Return words without `info` or `camera_info`."""
    kept: list[str] = []
    for index, word in enumerate(words):
        is_camera = word in {'camera', 'cam'} and words[index + 1 : index + 2] == ['info']
        if word != 'info' and not is_camera:
            kept.append(word)
    return kept
