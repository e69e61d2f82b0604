"""The topics that the node publishes, with rclpy's types of their messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s2m2_ros.messages.message_classes import message_class
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
from s2m2_ros.msg import InferenceStats

STATS = 'stats'
STATS_DESCRIPTION = (
    'timings and counters of each processed pair; subscribing to it alone starts no matching'
)
TYPES: Mapping[str, type[Any]] = {
    **{name: message_class(topic.type_name) for name, topic in OUTPUT_TOPICS.items()},
    STATS: InferenceStats,
}
