"""Which topics of a recording are the stereo pair, and which calibrations belong to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from s2m2_ros.io.recordings.storage.stored_messages import ROS_ENCODINGS, StoredTopic
from s2m2_ros.io.sources.side_words import Components, Sides, lowered, tokens
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.io.sources.stereo_sources import RESULTS
from s2m2_ros.setting_names import PARAMETERS, SettingNames

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE)
VIDEO_TYPES = (
    'ffmpeg_image_transport_msgs/msg/FFMPEGPacket',
    'foxglove_msgs/msg/CompressedVideo',
)
INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
# Of `info_names`, those beside the image itself; the rest may serve several cameras.
OWN_NAMES = 4
# Images that cannot be played as they are, and what makes them playable.
FOREIGN = (
    (re.compile('FFMPEGPacket'), 'video packets: decode them with ffmpeg_image_transport'),
    (re.compile('theora_image_transport'), 'Theora packets: republish them as raw'),
    (re.compile(r'foxglove\.(Compressed|Raw)'), "Foxglove's own messages: convert them to ROS 2"),
)
TRANSPORTS = ('compressed', 'raw', 'ffmpeg')
# What the last components of a topic say of an image, but not of which camera it is.
VARIANT_WORDS = frozenset({
    'image', 'images', 'img', 'rect', 'rectified', 'raw', 'color', 'colour', 'mono', 'gray',
    'grey', 'rgb', 'bgr', 'compressed', 'unrectified', 'camera', 'info', 'ffmpeg', 'video', 'h264',
    'h265', 'hevc'
})  # fmt: skip
RECTIFIED = re.compile(r'(?<![a-z])rect')


@dataclass(frozen=True)
class RecordedTopics:
    """Names of the recorded images, and of the CameraInfo of each, empty where there is none.

    Where one image holds both views, ``left`` and ``right`` are the same.
    """

    left: str
    right: str
    left_info: str = ''
    right_info: str = ''


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
        setting = names('pairs')
        pair = (_named(images, left, setting), _named(images, right, setting))
    else:
        pair = _only_pair(topics, images)
    return RecordedTopics(*pair, *_infos(pair, _infos_for(pair, topics, images)))


def choose_all_pairs(
    topics: Sequence[StoredTopic], *, video: bool = False, names: SettingNames = PARAMETERS
) -> list[RecordedTopics]:
    """Return the topics of every stereo rig, the best images of each as in `choose_topics`.

    Raises :class:`PlaybackError` that lists what is recorded if there is none.
    """
    images = _images(topics, video=video)
    pairs = _best_pairs(topics, images, names)
    return [
        RecordedTopics(*pair, *_infos(pair, _infos_for(pair, topics, images))) for pair in pairs
    ]


def choose_shared_topic(
    topics: Sequence[StoredTopic],
    *,
    named: str = '',
    input_layout: str = '',
    video: bool = False,
    names: SettingNames = PARAMETERS,
) -> RecordedTopics:
    """Return the topic whose images hold both views: the one named, or else the only one.

    Its calibrations are those of a left and a right camera, wherever they are recorded. Raises
    :class:`PlaybackError` that lists the images.
    """
    images = _images(topics, video=video)
    if named:
        chosen = _named(images, named, names('shared_topic'))
    else:
        ranked = sorted(images, key=lambda topic: _rank(topic.topic))
        others = [
            t
            for t in ranked[1:]
            if _rig(_components(t.topic)) != _rig(_components(ranked[0].topic))
        ]
        if not ranked or others:
            raise PlaybackError(
                f'no single topic for both views ({names("input_layout")} is {input_layout}): '
                f'name it by {names("shared_topic")}; recorded images are {_listed(images)}'
            )
        chosen = ranked[0].topic
    pairs = _side_pairs(_info_topics(topics))
    left_info, right_info = pairs[0] if len(pairs) == 1 else ('', '')
    return RecordedTopics(chosen, chosen, left_info, right_info)


def _images(topics: Iterable[StoredTopic], *, video: bool = False) -> list[StoredTopic]:
    """Return the topics of camera images that hold any message; results of others are none."""
    types = (*IMAGE_TYPES, *VIDEO_TYPES) if video else IMAGE_TYPES
    return [
        topic
        for topic in topics
        if topic.type_name in types
        and topic.encoding in ROS_ENCODINGS
        and topic.count
        and not topic.topic.endswith('/compressedDepth')
        and not RESULTS.intersection(tokens(topic.topic))
    ]


def _named(images: Sequence[StoredTopic], name: str, setting: str) -> str:
    names = [topic.topic for topic in images]
    for candidate in (name, f'/{name.lstrip("/")}', f'{name}/compressed', f'{name}/ffmpeg'):
        if candidate in names:
            return candidate
    raise PlaybackError(f"{setting}: no images on '{name}': recorded are {_listed(images)}")


def _info_topics(topics: Iterable[StoredTopic]) -> list[str]:
    return [topic.topic for topic in topics if topic.type_name == INFO_TYPE and topic.count]


def _best_pairs(
    topics: Sequence[StoredTopic],
    images: Sequence[StoredTopic],
    names: SettingNames = PARAMETERS,
) -> list[tuple[str, str]]:
    """Return the best pair of images of each rig, sorted; raises PlaybackError for none."""
    pairs = _side_pairs([topic.topic for topic in images])
    best: dict[Components, tuple[str, str]] = {}
    for pair in sorted(pairs, key=lambda p: _rank(p[0])):
        best.setdefault(_rig(_components(pair[0])), pair)
    if not best:
        raise PlaybackError(
            f'which topics are the stereo pair is unclear: name them by {names("pairs")}; '
            f'recorded images are {_listed(images)}{_foreign(topics)}'
        )
    return sorted(best.values())


def _only_pair(topics: Sequence[StoredTopic], images: Sequence[StoredTopic]) -> tuple[str, str]:
    best = _best_pairs(topics, images)
    if len(best) > 1:
        listed = '; '.join(f'{left} and {right}' for left, right in best)
        raise PlaybackError(
            f'{len(best)} stereo pairs are recorded: set recorded_left and recorded_right to one '
            f'of them: {listed}'
        )
    return best[0]


def _side_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of topics that differ as left and right do."""
    by_components = {_components(name): name for name in names}
    by_lowered = {lowered(components): name for components, name in by_components.items()}
    pairs = Sides(by_components, files=False).pairs(by_components)
    return [(by_components[pair.left], by_lowered[pair.right]) for pair in pairs]


def _components(topic: str) -> Components:
    return tuple(part for part in topic.split('/') if part)


def _rank(topic: str) -> tuple[bool, bool, bool, bool, str]:
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


def _rig(components: Components) -> Components:
    """Return what names the cameras: the topic without the words of its variant and of sides."""
    kept = []
    for component in components:
        words = [word for word in tokens(component) if word not in VARIANT_WORDS]
        if words:
            kept.append('_'.join(words))
    return tuple(kept)


def _infos_for(
    pair: tuple[str, str], topics: Sequence[StoredTopic], images: Sequence[StoredTopic]
) -> list[str]:
    """Return the CameraInfo topics that may be those of a pair: not another camera's own."""
    rigs = {_rig(_components(image)) for image in pair}
    own = {name for image in pair for name in info_names(image)[:OWN_NAMES]}
    others = {
        name
        for image in images
        if _rig(_components(image.topic)) not in rigs
        for name in info_names(image.topic)[:OWN_NAMES]
    }
    return [name for name in _info_topics(topics) if name in own or name not in others]


def _infos(images: tuple[str, str], infos: Sequence[str]) -> tuple[str, str]:
    """Return the CameraInfo topics of both images, empty strings for what is not recorded."""
    found = [next((n for n in info_names(image) if n in infos), '') for image in images]
    if all(found) and found[0] != found[1]:
        return found[0], found[1]
    pairs = _side_pairs(infos)
    if len(pairs) == 1 and not all(found):
        return pairs[0]
    if not any(found) and len(infos) == 1:
        found = [infos[0], infos[0]]
    return found[0], found[1]


def info_names(image: str) -> list[str]:
    """Return the names that the CameraInfo of an image's topic may have, the likeliest first."""
    components = list(_components(image))
    while len(components) > 1 and components[-1] in TRANSPORTS:
        components.pop()
    parents, name = components[:-1], components[-1]
    flat = re.sub(r'(?i)(image|img).*$', 'camera_info', name)
    swapped = re.sub(r'(?i)image|img', 'camera_info', name)
    names = [[*parents, flat], [*parents, swapped], [*parents, f'{name}_camera_info']]
    names += [[*parents, name, 'camera_info']]
    names += [[*parents[:depth], 'camera_info'] for depth in range(len(parents), -1, -1)]
    return ['/' + '/'.join(parts) for parts in names]


def _listed(topics: Sequence[StoredTopic]) -> str:
    return ', '.join(sorted(topic.topic for topic in topics)) or 'none'


def _foreign(topics: Sequence[StoredTopic]) -> str:
    """Return words on images of types that cannot be played."""
    for topic in topics:
        for pattern, advice in FOREIGN:
            if pattern.search(topic.type_name):
                return f'; {topic.topic} holds {advice}'
        if topic.encoding not in ROS_ENCODINGS:
            return f'; {topic.topic} is encoded as {topic.encoding!r}, not a ROS message'
    return ''
