"""The topics that the node publishes, with rclpy's types of their messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s2m2_ros.messages.message_classes import message_class
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS, OutputTopic
from s2m2_ros.msg import InferenceStats
from s2m2_ros.optional_packages import missing_packages

STATS = 'stats'
STATS_DESCRIPTION = (
    'timings and counters of each processed pair; subscribing to it alone starts no matching'
)


def available_type(topic: OutputTopic) -> type[Any] | None:
    """Return the class of a topic's messages; None if an optional package is missing."""
    if missing_packages(*topic.packages):
        return None
    try:
        kind: type[Any] = message_class(topic.type_name)
    except ImportError:
        if not topic.is_optional:
            raise
        return None
    return kind


# Of what is published; optional packages may be missing.
TYPES: Mapping[str, type[Any]] = {
    **{n: kind for n, topic in OUTPUT_TOPICS.items() if (kind := available_type(topic))},
    STATS: InferenceStats,
}
