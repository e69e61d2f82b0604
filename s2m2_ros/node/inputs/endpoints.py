"""Who publishes a topic, as the ROS graph knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from s2m2_ros.text_safety import safe_text

# Some distributions fill the identifier of an endpoint up with zeros.
GID_BYTES = 16
PARTICIPANT_BYTES = 12
# What the graph says until the names of a process have arrived.
UNKNOWN_NODE = '_NODE_NAME_UNKNOWN_'
UNNAMED = 'a node whose name is not known yet'


class Topic(NamedTuple):
    """A topic: the name to subscribe with, and the full name after remapping.

    The full name is no name to subscribe with: it would be remapped once more, wrongly where
    remappings exchange two topics.
    """

    name: str
    full: str

    @classmethod
    def resolve(cls, node: Any, name: str) -> Topic:
        """Apply the node's namespace and remappings."""
        return cls(name, node.resolve_topic_name(name))

    def copy(self, node: Any, suffix: str) -> Topic:
        """Return another form of this topic: it goes with it, unless it is remapped itself."""
        copy = Topic.resolve(node, self.name + suffix)
        if copy.full == node.resolve_topic_name(copy.name, only_expand=True):
            derived = self.full + suffix
            return copy if copy.full == derived else Topic(derived, derived)
        return copy


@dataclass(frozen=True)
class Source:
    """What publishes the topics of one camera: a node in a process (DDS participant)."""

    participant: bytes
    node: str

    @property
    def is_named(self) -> bool:
        """Whether the graph knows the node already; a process may hold several."""
        return self.node != UNNAMED


@dataclass(frozen=True)
class Endpoint:
    """One publisher of a topic: its node's full name, message type, identifier and QoS."""

    node: str
    kind: str
    gid: bytes
    reliable: bool
    transient_local: bool

    @property
    def source(self) -> Source:
        """The node in its process; two processes may use one node name."""
        return Source(self.gid[:PARTICIPANT_BYTES], self.node)

    @property
    def quality(self) -> str:
        """The QoS in words."""
        return quality_in_words(self.reliable, self.transient_local)


def quality_in_words(reliable: bool, transient_local: bool) -> str:
    """Return reliability and, if it is not volatile, durability."""
    words = 'reliable' if reliable else 'best effort'
    return f'{words}, transient local' if transient_local else words


def publishers_of(node: Any, topic: str) -> tuple[Endpoint, ...]:
    """Return the publishers of a topic, given by its full name."""
    return tuple(
        Endpoint(
            node=_full_name(info),
            kind=info.topic_type,
            gid=bytes(info.endpoint_gid)[:GID_BYTES],
            reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            transient_local=info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        )
        for info in node.get_publishers_info_by_topic(topic)
    )


def _full_name(info: Any) -> str:
    if info.node_name == UNKNOWN_NODE:
        return UNNAMED
    return safe_text(f'{info.node_namespace.rstrip("/")}/{info.node_name}')


def gid_of(message_info: Any) -> bytes | None:
    """Return the identifier of a message's publisher, None where rclpy does not give it."""
    gid = message_info.get('publisher_gid') if isinstance(message_info, dict) else None
    data = gid.get('data') if isinstance(gid, dict) else None
    return bytes(data)[:GID_BYTES] if data else None


def node_names(endpoints: tuple[Endpoint, ...]) -> str:
    """Return the nodes of the publishers, for messages."""
    return ', '.join(sorted(endpoint.node for endpoint in endpoints))
