"""Which topic and type an image input is subscribed with: raw or compressed, as published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.node.inputs.endpoints import Endpoint, Topic

RAW_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
TYPE_NAMES: dict[type[Any], str] = {
    Image: RAW_TYPE,
    CompressedImage: COMPRESSED_TYPE,
    CameraInfo: 'sensor_msgs/msg/CameraInfo',
}
REPUBLISH = (
    f'publish {RAW_TYPE} or {COMPRESSED_TYPE}, '
    'for instance by "ros2 run image_transport republish"'
)
COMPRESSED_SUFFIX = '/compressed'


class ImageTopics(NamedTuple):
    """An image topic and its compressed copy."""

    raw: Topic
    compressed: Topic

    @classmethod
    def resolve(cls, node: Any, name: str) -> ImageTopics:
        """Apply the node's remappings; the copy goes with its base unless remapped itself."""
        raw = Topic.resolve(node, name)
        copy = Topic.resolve(node, name + COMPRESSED_SUFFIX)
        if copy.full == node.resolve_topic_name(copy.name, only_expand=True):
            derived = raw.full + COMPRESSED_SUFFIX
            copy = copy if copy.full == derived else Topic(derived, derived)
        return cls(raw, copy)


@dataclass(frozen=True)
class Choice:
    """What to subscribe to, and all publishers of that topic.

    `remark` is logged once, `problem` is why nothing arrives.
    """

    kind: type[Any]
    topic: Topic
    publishers: Sequence[Endpoint]
    remark: str = ''
    problem: str = ''


def choose(
    transport: str,
    topics: ImageTopics,
    raw: Sequence[Endpoint],
    compressed: Sequence[Endpoint],
) -> Choice:
    """Choose by the parameter image_transport and the publishers of both topics."""
    raw_types, copy_types = _types(raw), _types(compressed)
    raw_name, copy_name = topics.raw.full, topics.compressed.full
    if transport == 'compressed':
        problem = _no_copies(raw_name, copy_name, raw_types, copy_types)
        return Choice(CompressedImage, topics.compressed, compressed, problem=problem)
    copies = COMPRESSED_TYPE in copy_types
    if RAW_TYPE in raw_types or (not raw_types and not copies):
        return Choice(Image, topics.raw, raw)
    if transport == 'raw':
        problem = _not_raw(raw_name, copy_name, raw_types)
        return Choice(Image, topics.raw, raw, problem=problem)
    if COMPRESSED_TYPE in raw_types:
        remark = f'{raw_name} is published as {COMPRESSED_TYPE}, so that is subscribed'
        return Choice(CompressedImage, topics.raw, raw, remark)
    if copies:
        remark = (
            f'{raw_name} has no publisher of {RAW_TYPE} but {copy_name} is published, so that is '
            'subscribed (image_transport is auto)'
        )
        return Choice(CompressedImage, topics.compressed, compressed, remark)
    return Choice(Image, topics.raw, raw, problem=_unreadable(raw_name, raw_types))


def choose_info(topic: Topic, publishers: Sequence[Endpoint]) -> Choice:
    """Return the choice for a camera_info topic, which has only one type."""
    wanted, types = TYPE_NAMES[CameraInfo], _types(publishers)
    problem = ''
    if types and wanted not in types:
        problem = f'{topic.full} is published as {_listed(types)}, not as {wanted}: remap it'
    return Choice(CameraInfo, topic, publishers, problem=problem)


def explain_other_transports(node: Any, topics: ImageTopics) -> str:
    """Return which transports of an image topic are published that cannot be read; else ''."""
    raw = topics.raw.full
    others = [
        f'{name} ({_listed(set(types))})'
        for name, types in node.get_topic_names_and_types()
        if name.startswith(f'{raw}/')
        and name != topics.compressed.full
        and node.count_publishers(name)
    ]
    if not others:
        return ''
    return (
        f'no publishers on {raw}, only on {", ".join(sorted(others))}, '
        f'which this node cannot read: {REPUBLISH}'
    )


def _types(publishers: Sequence[Endpoint]) -> set[str]:
    return {publisher.kind for publisher in publishers}


def _no_copies(raw: str, copy: str, raw_types: set[str], copy_types: set[str]) -> str:
    if COMPRESSED_TYPE in copy_types:
        return ''
    if copy_types:
        return _unreadable(copy, copy_types)
    if RAW_TYPE in raw_types:
        return f'only {raw} is published, {copy} is not: set image_transport to auto or raw'
    if COMPRESSED_TYPE in raw_types:
        return (
            f'{copy} is not published, but {raw} is, as {COMPRESSED_TYPE}: set image_transport '
            'to auto'
        )
    return _unreadable(raw, raw_types) if raw_types else ''


def _not_raw(raw: str, copy: str, raw_types: set[str]) -> str:
    if COMPRESSED_TYPE in raw_types:
        return (
            f'{raw} is published as {COMPRESSED_TYPE}, not as {RAW_TYPE}: set image_transport to '
            'auto'
        )
    if raw_types:
        return _unreadable(raw, raw_types)
    return (
        f'only the compressed topic {copy} is published, {raw} is not: set image_transport to '
        'compressed or auto'
    )


def _unreadable(topic: str, types: set[str]) -> str:
    return f'{topic} is published as {_listed(types)}, which this node cannot read: {REPUBLISH}'


def _listed(types: set[str]) -> str:
    return ', '.join(sorted(types))
