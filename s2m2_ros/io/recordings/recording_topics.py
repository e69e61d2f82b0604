"""Which topics of a recording are the stereo pair, and which calibrations belong to them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from s2m2_ros.io.recordings.recorded_infos import Pair, RecordedTopics, with_infos
from s2m2_ros.io.recordings.storage.stored_messages import ROS_ENCODINGS, StoredTopic
from s2m2_ros.io.recordings.topic_names import (
    camera_of,
    rank,
    shows_result,
    side_pairs,
    without_transport,
)
from s2m2_ros.io.sources.side_words import Components
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.setting_names import PARAMETERS, SettingNames
from s2m2_ros.text_safety import safe_text

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE)
VIDEO_TYPES = (
    'ffmpeg_image_transport_msgs/msg/FFMPEGPacket',
    'foxglove_msgs/msg/CompressedVideo',
)
# Characters of topics that are listed in an error beside those of images.
LISTED = 400
# Images that cannot be played as they are, and what makes them playable.
FOREIGN = (
    (re.compile('FFMPEGPacket'), 'video packets: decode them with ffmpeg_image_transport'),
    (re.compile('theora_image_transport'), 'Theora packets: republish them as raw'),
    (re.compile(r'foxglove\.(Compressed|Raw)'), "Foxglove's own messages: convert them to ROS 2"),
)


def choose_topics(
    topics: Sequence[StoredTopic],
    *,
    left: str = '',
    right: str = '',
    video: bool = False,
    names: SettingNames = PARAMETERS,
) -> RecordedTopics:
    """Return the topics of the pair: those named, or else the only fitting pair.

    With ``video``, packets of video count as images.

    Of one rig's images, rectified ones are taken before raw ones, color before gray, and
    uncompressed ones before their own compressed copy. Raises :class:`PlaybackError` that lists
    what is recorded if that leaves no pair, or several rigs.
    """
    images = _images(topics, video=video)
    if bool(left) != bool(right):
        given, other = ('recorded_left', 'recorded_right')[:: 1 if left else -1]
        raise PlaybackError(f'{given} is set: set {other} too (recorded are {_listed(images)})')
    if left and right:
        return choose_named_pairs(topics, [(left, right)], video=video, names=names)[0]
    return with_infos([_only_pair(topics, images)], topics, images)[0]


def choose_named_pairs(
    topics: Sequence[StoredTopic],
    named: Sequence[Pair],
    *,
    video: bool = False,
    names: SettingNames = PARAMETERS,
) -> list[RecordedTopics]:
    """Return the topics of the pairs that are named, whatever their names say.

    Raises :class:`PlaybackError` that lists what is recorded for a name that is not.
    """
    images, setting = _images(topics, video=video), names('pairs')
    pairs = [
        (_named(images, pair[0], setting), _named(images, pair[1], setting)) for pair in named
    ]
    pairs = list(dict.fromkeys(pairs))
    used = {image for pair in pairs for image in pair}
    others = [p for p in _best_pairs(images) if used.isdisjoint(p)]
    return with_infos([*pairs, *others], topics, images)[: len(pairs)]


def choose_all_pairs(
    topics: Sequence[StoredTopic], *, video: bool = False, names: SettingNames = PARAMETERS
) -> list[RecordedTopics]:
    """Return the topics of every stereo rig, the best images of each as in `choose_topics`.

    Raises :class:`PlaybackError` that lists what is recorded if there is none.
    """
    images = _images(topics, video=video)
    return with_infos(_found_pairs(topics, images, names), topics, images)


def choose_shared_topics(
    topics: Sequence[StoredTopic],
    *,
    named: Sequence[str] = (),
    input_layout: str = '',
    video: bool = False,
    names: SettingNames = PARAMETERS,
) -> list[RecordedTopics]:
    """Return the topics whose images hold both views: those named, or else the only one.

    Their calibrations are those of a left and a right camera, as in `choose_topics`. Raises
    :class:`PlaybackError` that lists the images.
    """
    images = _images(topics, video=video)
    chosen = [_named(images, name, names('shared_topic')) for name in dict.fromkeys(named)]
    if not named:
        ranked = sorted(_camera_images(images), key=rank)
        others = [image for image in ranked[1:] if camera_of(image) != camera_of(ranked[0])]
        if not ranked or others:
            raise PlaybackError(
                f'no single topic for both views ({names("input_layout")} is {input_layout}): '
                f'name it by {names("shared_topic")}; recorded images are {_listed(images)}'
            )
        chosen = ranked[:1]
    return with_infos([(name, name) for name in chosen], topics, images)


def left_out(
    topics: Sequence[StoredTopic],
    rigs: Sequence[RecordedTopics],
    *,
    others: Collection[str] = (),
    setting: str = 'recorded_left and recorded_right',
) -> Iterator[str]:
    """Yield which images of a recording are in none of the rigs found in it, and why.

    Not of images that serve otherwise (``others``), nor of copies that are only compressed.
    ``setting`` is what names images.
    """
    pairs = [rig.images for rig in rigs]
    used = {without_transport(image) for pair in pairs for image in pair}
    cameras = {camera_of(image) for pair in pairs for image in pair}
    images = _images(topics, video=True)
    results = [image for pair in side_pairs(images) if shows_result(pair[0]) for image in pair]
    rest = [image for image in images if without_transport(image) not in used]
    rest = sorted(image for image in rest if image not in others)
    reasons = {
        'other versions of them are taken': [
            image for image in rest if camera_of(image) in cameras and not shows_result(image)
        ],
        'their names make no stereo pair': [
            image for image in rest if camera_of(image) not in cameras and not shows_result(image)
        ],
        'their names say that they are results': [image for image in rest if image in results],
    }
    for reason, found in reasons.items():
        if found:
            yield (
                f'not processed, since {reason}: {", ".join(found)}; '
                f'name what to process by {setting}'
            )
    for topic in topics:
        if (
            topic.count
            and topic.type_name not in VIDEO_TYPES
            and camera_of(topic.topic) not in cameras
        ):
            yield from (f'not processed: {words}' for words in _foreign_kinds(topic))


def _images(topics: Iterable[StoredTopic], *, video: bool = False) -> list[str]:
    """Return the topics of images that hold any message."""
    types = (*IMAGE_TYPES, *VIDEO_TYPES) if video else IMAGE_TYPES
    return [
        topic.topic
        for topic in topics
        if topic.type_name in types
        and topic.encoding in ROS_ENCODINGS
        and topic.count
        and not topic.topic.endswith('/compressedDepth')
    ]


def _camera_images(images: Iterable[str]) -> list[str]:
    """Return those that do not show results by their names."""
    return [image for image in images if not shows_result(image)]


def _named(images: Sequence[str], name: str, setting: str) -> str:
    for candidate in (name, f'/{name.lstrip("/")}', f'{name}/compressed', f'{name}/ffmpeg'):
        if candidate in images:
            return candidate
    raise PlaybackError(f"{setting}: no images on '{name}': recorded are {_listed(images)}")


def _best_pairs(images: Sequence[str]) -> list[Pair]:
    """Return the best pair of images of each rig, sorted.

    Cameras at the corners of a robot, such as `front_left` and `front_right`, are a pair if there
    is no other.
    """
    found = _camera_images(images)
    best = _best_of_each(side_pairs(found))
    if not best:
        corners = _best_of_each(side_pairs(found, with_places=True))
        best = corners if len(corners) == 1 else []
    return sorted(best)


def _best_of_each(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the best pair of each two cameras."""
    best: dict[tuple[Components, ...], Pair] = {}
    for pair in sorted(pairs, key=lambda p: rank(p[0])):
        best.setdefault(tuple(camera_of(image) for image in pair), pair)
    return list(best.values())


def _found_pairs(
    topics: Sequence[StoredTopic], images: Sequence[str], names: SettingNames
) -> list[Pair]:
    """Return the best pairs; raises PlaybackError for none."""
    best = _best_pairs(images)
    if not best:
        raise PlaybackError(
            f'which topics are the stereo pair is unclear: name them by {names("pairs")}; '
            f'recorded images are {_listed(images)}{_foreign(topics)}'
        )
    return best


def _only_pair(topics: Sequence[StoredTopic], images: Sequence[str]) -> Pair:
    best = _found_pairs(topics, images, PARAMETERS)
    if len(best) > 1:
        listed = '; '.join(f'{left} and {right}' for left, right in best)
        raise PlaybackError(
            f'{len(best)} stereo pairs are recorded: set recorded_left and recorded_right to one '
            f'of them: {listed}'
        )
    return best[0]


def _listed(images: Sequence[str]) -> str:
    return ', '.join(sorted(images)) or 'none'


def _foreign(topics: Sequence[StoredTopic]) -> str:
    """Return words on images that cannot be played, or on what is recorded where none are."""
    for topic in topics:
        for words in _foreign_kinds(topic):
            return f'; {words}'
        if topic.encoding not in ROS_ENCODINGS:
            return f'; {topic.topic} is encoded as {topic.encoding!r}, not a ROS message'
    empty = [t.topic for t in topics if t.type_name in IMAGE_TYPES and not t.count]
    if empty:
        return f'; without a message: {safe_text(_listed(empty), LISTED)}'
    others = [f'{t.topic} ({t.type_name or "no type"})' for t in topics]
    if others and not any(t.type_name in IMAGE_TYPES for t in topics):
        return f', other topics {safe_text(_listed(others), LISTED)}'
    return ''


def _foreign_kinds(topic: StoredTopic) -> Iterator[str]:
    for pattern, advice in FOREIGN:
        if pattern.search(topic.type_name):
            yield f'{topic.topic} holds {advice}'
