"""Which topic and type an image input is subscribed with."""

from __future__ import annotations

import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.node.inputs.endpoints import Endpoint, Topic
from s2m2_ros.node.inputs.input_transport import (
    Choice,
    ImageTopics,
    choose,
    choose_info,
    explain_other_transports,
)

TOPICS = ImageTopics(
    Topic('left/image_rect', '/cam/left'),
    Topic('left/image_rect/compressed', '/cam/left/compressed'),
)
RAW, COPY = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
PACKET = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'


def endpoints(*kinds: str) -> list[Endpoint]:
    return [Endpoint('/driver', kind, b'', True, False) for kind in kinds]


def chosen(transport: str, raw: tuple[str, ...], copies: tuple[str, ...]) -> Choice:
    return choose(transport, TOPICS, endpoints(*raw), endpoints(*copies))


@pytest.mark.parametrize(
    ('transport', 'raw', 'copies', 'kind', 'topic'),
    [
        ('auto', (), (), Image, TOPICS.raw),
        ('auto', (RAW,), (), Image, TOPICS.raw),
        ('auto', (RAW,), (COPY,), Image, TOPICS.raw),
        ('auto', (), (COPY,), CompressedImage, TOPICS.compressed),
        ('auto', (COPY,), (), CompressedImage, TOPICS.raw),
        ('auto', (COPY,), (COPY,), CompressedImage, TOPICS.raw),
        ('auto', (PACKET,), (COPY,), CompressedImage, TOPICS.compressed),
        ('auto', (COPY, RAW), (), Image, TOPICS.raw),
        ('raw', (), (), Image, TOPICS.raw),
        ('raw', (RAW,), (COPY,), Image, TOPICS.raw),
        ('compressed', (), (), CompressedImage, TOPICS.compressed),
        ('compressed', (RAW,), (COPY,), CompressedImage, TOPICS.compressed),
    ],
)
def test_what_can_be_received(
    transport: str, raw: tuple[str, ...], copies: tuple[str, ...], kind: type, topic: Topic
) -> None:
    found = chosen(transport, raw, copies)
    assert (found.kind, found.topic, found.problem) == (kind, topic, '')
    # Only what was chosen by itself, and differs from what is usual, is worth telling.
    assert bool(found.remark) is (transport == 'auto' and kind is CompressedImage)


@pytest.mark.parametrize(
    ('transport', 'raw', 'copies', 'words'),
    [
        ('raw', (), (COPY,), ('only the compressed topic /cam/left/compressed is published',)),
        ('raw', (COPY,), (), ('/cam/left is published as', COPY, 'image_transport to auto')),
        ('raw', (PACKET,), (), (PACKET, 'cannot read')),
        ('auto', (PACKET,), (), (f'/cam/left is published as {PACKET}', 'republish')),
        ('compressed', (RAW,), (), ('only /cam/left is published', 'auto or raw')),
        ('compressed', (COPY,), (), ('/cam/left is, as sensor_msgs/msg/CompressedImage',)),
        ('compressed', (PACKET,), (), (PACKET, 'cannot read')),
        ('compressed', (), (PACKET,), (f'/cam/left/compressed is published as {PACKET}',)),
    ],
)
def test_what_cannot_is_explained(
    transport: str, raw: tuple[str, ...], copies: tuple[str, ...], words: tuple[str, ...]
) -> None:
    problem = chosen(transport, raw, copies).problem
    assert all(word in problem for word in words), problem


def test_camera_info_of_another_type_is_explained() -> None:
    topic = Topic('left/camera_info', '/cam/info')
    assert choose_info(topic, endpoints()).problem == ''
    found = choose_info(topic, endpoints('sensor_msgs/msg/CameraInfo'))
    assert (found.kind, found.problem) == (CameraInfo, '')
    assert '/cam/info is published as std_msgs/msg/String' in (
        choose_info(topic, endpoints('std_msgs/msg/String')).problem
    )


class Remapped:
    """Stands in for a node: remaps as its `rules` say, in the namespace /ns."""

    def __init__(self, **rules: str) -> None:
        self.rules = {name.replace('__', '/'): to for name, to in rules.items()}

    def resolve_topic_name(self, name: str, *, only_expand: bool = False) -> str:
        return f'/ns/{name}' if only_expand else self.rules.get(name, f'/ns/{name}')


def test_the_compressed_copy_goes_with_its_base_unless_remapped_itself() -> None:
    name = 'left/image_rect'
    plain = ImageTopics.resolve(Remapped(), name)
    assert plain.compressed == Topic(f'{name}/compressed', f'/ns/{name}/compressed')
    base = ImageTopics.resolve(Remapped(left__image_rect='/cam/l'), name)
    assert base.raw == Topic(name, '/cam/l')
    assert base.compressed.full == '/cam/l/compressed'
    rules = {'left__image_rect': '/cam/l', 'left__image_rect__compressed': '/cam/jpeg'}
    both = ImageTopics.resolve(Remapped(**rules), name)
    assert both.compressed == Topic(f'{name}/compressed', '/cam/jpeg')


class Graph:
    """Stands in for a node: knows which topics have which types and how many publishers."""

    def __init__(self, **topics: tuple[str, int]) -> None:
        self.topics = {name.replace('__', '/'): found for name, found in topics.items()}

    def get_topic_names_and_types(self) -> list[tuple[str, list[str]]]:
        return [(name, [kind]) for name, (kind, _) in self.topics.items()]

    def count_publishers(self, name: str) -> int:
        return self.topics[name][1]


def test_other_transports_are_named_where_nothing_else_is_published() -> None:
    graph = Graph(
        __cam__left__ffmpeg=(PACKET, 1),
        __cam__left__theora=('theora_image_transport/msg/Packet', 0),
        __cam__left_info__ffmpeg=(PACKET, 1),
    )
    text = explain_other_transports(graph, TOPICS)
    assert text.startswith(
        f'no publishers on /cam/left, only on /cam/left/ffmpeg ({PACKET}), which'
    )
    assert 'theora' not in text
    assert explain_other_transports(Graph(), TOPICS) == ''
