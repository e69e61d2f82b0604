"""Which topic and type an image input is subscribed with."""

from __future__ import annotations

import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from s2m2_ros.node.inputs import input_transport
from s2m2_ros.node.inputs.endpoints import Endpoint, Topic
from s2m2_ros.node.inputs.input_transport import (
    Choice,
    ImageTopics,
    choose,
    choose_info,
    explain_other_transports,
    type_name,
)

TOPICS = ImageTopics(
    Topic('left/image_rect', '/cam/left'),
    Topic('left/image_rect/compressed', '/cam/left/compressed'),
    Topic('left/image_rect/ffmpeg', '/cam/left/ffmpeg'),
)
RAW, COPY = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
PACKET = 'ffmpeg_image_transport_msgs/msg/FFMPEGPacket'
OTHER = 'theora_image_transport/msg/Packet'


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
        ('raw', (PACKET,), (), (PACKET, 'image_transport to auto')),
        ('raw', (OTHER,), (), (OTHER, 'cannot read')),
        ('auto', (OTHER,), (), (f'/cam/left is published as {OTHER}', 'republish')),
        ('compressed', (RAW,), (), ('only /cam/left is published', 'auto or raw')),
        ('compressed', (COPY,), (), ('/cam/left is, as sensor_msgs/msg/CompressedImage',)),
        ('compressed', (PACKET,), (), (PACKET, 'image_transport to auto')),
        ('compressed', (OTHER,), (), (OTHER, 'cannot read')),
        ('compressed', (), (PACKET,), (f'/cam/left/compressed is published as {PACKET}',)),
    ],
)
def test_what_cannot_is_explained(
    transport: str, raw: tuple[str, ...], copies: tuple[str, ...], words: tuple[str, ...]
) -> None:
    problem = chosen(transport, raw, copies).problem
    assert all(word in problem for word in words), problem


class StandIn:
    """Stands in for the type FFMPEGPacket, whose package is not on this machine."""


@pytest.mark.parametrize(
    ('raw', 'packets', 'topic'),
    [
        ((), (PACKET,), TOPICS.packets),
        ((PACKET,), (), TOPICS.raw),
        ((PACKET,), (PACKET,), TOPICS.raw),
    ],
)
def test_video_is_taken_where_nothing_else_is_published(
    monkeypatch: pytest.MonkeyPatch, raw: tuple[str, ...], packets: tuple[str, ...], topic: Topic
) -> None:
    missing = choose('auto', TOPICS, endpoints(*raw), (), endpoints(*packets))
    assert missing.kind is Image
    assert 'sudo apt install ros-$ROS_DISTRO-ffmpeg-image-transport-msgs' in missing.problem
    monkeypatch.setattr(input_transport, 'packet_class', lambda: StandIn)
    found = choose('auto', TOPICS, endpoints(*raw), (), endpoints(*packets))
    assert (found.kind, found.topic, found.problem) == (StandIn, topic, '')
    assert f'{topic.full} is published as {PACKET}' in found.remark
    assert type_name(StandIn) == PACKET


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_video_alone_asks_for_auto(transport: str) -> None:
    problem = choose(transport, TOPICS, (), (), endpoints(PACKET)).problem
    assert '/cam/left/ffmpeg is published' in problem
    assert problem.endswith('set image_transport to auto')


def test_single_images_are_preferred_to_video() -> None:
    for raw, copies in (((RAW,), ()), ((), (COPY,)), ((COPY,), ())):
        found = choose('auto', TOPICS, endpoints(*raw), endpoints(*copies), endpoints(PACKET))
        assert found.kind is (Image if raw == (RAW,) else CompressedImage)


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
    assert both.packets.full == '/cam/l/ffmpeg'


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
