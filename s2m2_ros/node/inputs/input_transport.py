"""Which topic and type an image input is subscribed with: raw, compressed or video."""

from __future__ import annotations

import importlib
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
PACKET_TYPE = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
PACKET_SUFFIX = '/ffmpeg'
INSTALL_PACKETS = (
    'this node reads it once its messages are installed: '
    '"sudo apt install ros-$ROS_DISTRO-ffmpeg-image-transport-msgs"'
)


def packet_class() -> type[Any] | None:
    """Return the class of video packets; None if its package, which is optional, is missing."""
    try:
        messages = importlib.import_module('ffmpeg_image_transport_msgs.msg')
    except ImportError:
        return None
    found: type[Any] = messages.FFMPEGPacket
    return found


def type_name(kind: type[Any]) -> str:
    """Return the name of a type of messages that is subscribed here."""
    return TYPE_NAMES.get(kind, PACKET_TYPE)


class ImageTopics(NamedTuple):
    """An image topic, its compressed copy, and its copy as video."""

    raw: Topic
    compressed: Topic
    packets: Topic

    @classmethod
    def resolve(cls, node: Any, name: str) -> ImageTopics:
        """Apply the node's remappings; a copy goes with its base unless remapped itself."""
        raw = Topic.resolve(node, name)
        copies = (raw.copy(node, suffix) for suffix in (COMPRESSED_SUFFIX, PACKET_SUFFIX))
        return cls(raw, *copies)


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
    packets: Sequence[Endpoint] = (),
) -> Choice:
    """Choose by the parameter image_transport and the publishers of the topics."""
    raw_types, copy_types = _types(raw), _types(compressed)
    raw_name, copy_name = topics.raw.full, topics.compressed.full
    copies = COMPRESSED_TYPE in copy_types
    video = PACKET_TYPE in _types(packets)
    if transport == 'compressed':
        problem = _no_copies(raw_name, copy_name, raw_types, copy_types)
        if video and not (raw or compressed):
            problem = f'only {topics.packets.full} is published: set image_transport to auto'
        return Choice(CompressedImage, topics.compressed, compressed, problem=problem)
    if RAW_TYPE in raw_types or not (raw_types or copies or video):
        return Choice(Image, topics.raw, raw)
    if transport == 'raw':
        problem = _not_raw(raw_name, copy_name if copies else topics.packets.full, raw_types)
        return Choice(Image, topics.raw, raw, problem=problem)
    return _choose_readable(topics, raw, compressed, packets)


def _choose_readable(
    topics: ImageTopics,
    raw: Sequence[Endpoint],
    compressed: Sequence[Endpoint],
    packets: Sequence[Endpoint],
) -> Choice:
    """Choose where no raw image is published."""
    raw_types, raw_name, copy_name = _types(raw), topics.raw.full, topics.compressed.full
    if COMPRESSED_TYPE in raw_types:
        remark = f'{raw_name} is published as {COMPRESSED_TYPE}, so that is subscribed'
        return Choice(CompressedImage, topics.raw, raw, remark)
    if COMPRESSED_TYPE in _types(compressed):
        remark = (
            f'{raw_name} has no publisher of {RAW_TYPE} but {copy_name} is published, so that is '
            'subscribed (image_transport is auto)'
        )
        return Choice(CompressedImage, topics.compressed, compressed, remark)
    on_raw = PACKET_TYPE in raw_types
    if not on_raw and PACKET_TYPE not in _types(packets):
        return Choice(Image, topics.raw, raw, problem=_unreadable(raw_name, raw_types))
    topic, publishers = (topics.raw, raw) if on_raw else (topics.packets, packets)
    found, kind = f'{topic.full} is published as {PACKET_TYPE}', packet_class()
    if kind is None:
        return Choice(Image, topics.raw, raw, problem=f'{found}: {INSTALL_PACKETS}')
    return Choice(kind, topic, publishers, f'{found}, so that is subscribed and decoded')


def choose_info(topic: Topic, publishers: Sequence[Endpoint]) -> Choice:
    """Return the choice for a camera_info topic, which has only one type."""
    wanted, types = type_name(CameraInfo), _types(publishers)
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


def _readable(types: set[str]) -> str:
    """Return which type, other than raw images, can be read; else ''."""
    return next((name for name in (COMPRESSED_TYPE, PACKET_TYPE) if name in types), '')


def _no_copies(raw: str, copy: str, raw_types: set[str], copy_types: set[str]) -> str:
    if COMPRESSED_TYPE in copy_types:
        return ''
    if copy_types:
        return _unreadable(copy, copy_types)
    if RAW_TYPE in raw_types:
        return f'only {raw} is published, {copy} is not: set image_transport to auto or raw'
    if found := _readable(raw_types):
        return f'{copy} is not published, but {raw} is, as {found}: set image_transport to auto'
    return _unreadable(raw, raw_types) if raw_types else ''


def _not_raw(raw: str, copy: str, raw_types: set[str]) -> str:
    if found := _readable(raw_types):
        return f'{raw} is published as {found}, not as {RAW_TYPE}: set image_transport to auto'
    if raw_types:
        return _unreadable(raw, raw_types)
    return (
        f'only the compressed topic {copy} is published, {raw} is not: set image_transport to '
        f'{"compressed or " if copy.endswith(COMPRESSED_SUFFIX) else ""}auto'
    )


def _unreadable(topic: str, types: set[str]) -> str:
    return f'{topic} is published as {_listed(types)}, which this node cannot read: {REPUBLISH}'


def _listed(types: set[str]) -> str:
    return ', '.join(sorted(types))
