"""Which recorded CameraInfo belongs to which images: a camera's own, or what no other can mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic
from s2m2_ros.io.recordings.topic_names import (
    OWN_NAMES,
    camera_of,
    camera_of_info,
    info_names,
    shared_namespace,
    side_pairs,
)
from s2m2_ros.io.sources.side_words import Components

INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
Pair = tuple[str, str]


@dataclass(frozen=True)
class RecordedTopics:
    """Names of the recorded images, and of the CameraInfo of each, empty where there is none.

    Where one image holds both views, ``left`` and ``right`` are the same.
    """

    left: str
    right: str
    left_info: str = ''
    right_info: str = ''

    @property
    def images(self) -> Pair:
        """Return the topics of both images."""
        return self.left, self.right


def listed_infos(topics: Iterable[StoredTopic]) -> str:
    """Return words on which topics CameraInfo is recorded on."""
    names = sorted(_info_topics(topics))
    return f'recorded are {", ".join(names)}' if names else 'none is recorded'


def with_infos(
    pairs: Sequence[Pair], topics: Sequence[StoredTopic], images: Sequence[str]
) -> list[RecordedTopics]:
    """Return the rigs of these pairs of images with the CameraInfo of each camera.

    ``images`` are all that are recorded: none takes what is another camera's own.
    """
    infos = _Infos(topics, images)
    found = {pair: infos.of_cameras(pair) for pair in pairs}
    lacking = [pair for pair, own in found.items() if not own.is_whole]
    return [
        RecordedTopics(
            *pair, *(infos.of_nobody(pair, pairs, lacking) if own.is_open else own.names)
        )
        for pair, own in found.items()
    ]


@dataclass(frozen=True)
class _Found:
    """The CameraInfo of both images, '' for none; of one camera's own, the other needs its own."""

    names: Pair
    has_own: bool

    @property
    def is_whole(self) -> bool:
        """Return whether it is one for each camera."""
        return all(self.names) and self.names[0] != self.names[1]

    @property
    def is_open(self) -> bool:
        """Return whether CameraInfo of another name may be meant."""
        return not self.is_whole and not self.has_own


class _Infos:
    """The CameraInfo topics of a recording, and whose they are."""

    def __init__(self, topics: Iterable[StoredTopic], images: Sequence[str]) -> None:
        self._names = _info_topics(topics)
        cameras = {camera_of(image) for image in images}
        self._owners: dict[str, set[Components]] = {
            name: {camera_of_info(name)} & cameras for name in self._names
        }
        for image in images:
            for name in info_names(image)[:OWN_NAMES]:
                if name in self._owners:
                    self._owners[name].add(camera_of(image))

    def of_cameras(self, pair: Pair) -> _Found:
        """Return what the names of both cameras, or the folders above them, lead to."""
        allowed = self._allowed(pair)
        own = ['', ''] if pair[0] == pair[1] else [self._own(image, allowed) for image in pair]
        above = [info_names(image)[OWN_NAMES:] for image in pair]
        found = [
            name or next((n for n in names if n in allowed), '')
            for name, names in zip(own, above, strict=True)
        ]
        if found[0] != found[1]:  # what lies above both is no camera's own
            found = ['' if name in above[0] and name in above[1] else name for name in found]
        return _Found((found[0], found[1]), any(own))

    def of_nobody(self, pair: Pair, pairs: Sequence[Pair], lacking: Sequence[Pair]) -> Pair:
        """Return the only CameraInfo that can be meant, of no recorded camera; '' for none.

        A left and a right one in the namespace of the pair come first, then those elsewhere if no
        other of the pairs ``lacking`` one can mean them, then one topic for both.
        """
        free = side_pairs([name for name in self._names if not self._owners[name]])
        if pair[0] == pair[1]:  # the cameras of a view each may have topics of their own
            place = shared_namespace(pair)
            free += [p for p in side_pairs(self._names) if shared_namespace(p) == place]
            free = list(dict.fromkeys(free))
        near = {found: _nearest(found, pairs) for found in free}
        within = [found for found in free if near[found] == [pair]]
        elsewhere = [found for found in free if not near[found]]
        if len(within) == 1:
            return within[0]
        if not within and len(elsewhere) == len(lacking) == 1:
            return elsewhere[0]
        allowed = self._allowed(pair)
        above = self.of_cameras(pair).names
        return (allowed[0], allowed[0]) if len(allowed) == 1 and not any(above) else above

    def _allowed(self, pair: Pair) -> list[str]:
        cameras = {camera_of(image) for image in pair}
        return [n for n in self._names if not self._owners[n] or self._owners[n] & cameras]

    def _own(self, image: str, allowed: Sequence[str]) -> str:
        by_name = [name for name in info_names(image)[:OWN_NAMES] if name in allowed]
        camera = camera_of(image)
        return next(iter([*by_name, *(n for n in allowed if camera_of_info(n) == camera)]), '')


def _nearest(infos: Pair, pairs: Sequence[Pair]) -> list[Pair]:
    """Return which pairs' namespace, the innermost one, the topics of a calibration lie in."""
    place = shared_namespace(infos)
    spaces = {pair: shared_namespace(pair) for pair in pairs}
    around = {pair: space for pair, space in spaces.items() if space == place[: len(space)]}
    longest = max(map(len, around.values()), default=0)
    return [pair for pair, space in around.items() if longest and len(space) == longest]


def _info_topics(topics: Iterable[StoredTopic]) -> list[str]:
    return [topic.topic for topic in topics if topic.type_name == INFO_TYPE and topic.count]
