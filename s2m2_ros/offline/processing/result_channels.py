"""The channels of a result: outputs of each rig, and what is kept of the recording."""

from __future__ import annotations

from collections.abc import Sequence

from s2m2_ros.io.recordings.storage.stored_messages import StoredTopic
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
from s2m2_ros.messages.plain_messages import definition
from s2m2_ros.offline.processing.mcap_parts import RecordedChannel
from s2m2_ros.offline.processing.streams import Stream


def recorded_channels(stream: Stream, outputs: Sequence[str]) -> list[RecordedChannel]:
    """Return the channels of the result: the outputs of each rig, then what is kept."""
    made = [
        RecordedChannel(rig.topic(name), kind, definition(kind).encode())
        for rig in stream.rigs
        for name, kind in ((n, OUTPUT_TOPICS[n].type_name) for n in outputs)
    ]
    kept = [
        RecordedChannel(
            topic.topic,
            topic.type_name,
            topic.definition,
            topic.definition_format,
            topic.encoding,
            _channel_metadata(topic),
        )
        for topic in stream.kept
    ]
    return made + kept


def _channel_metadata(topic: StoredTopic) -> dict[str, str]:
    """Return what is said of a channel: as recorded, or as rosbag2 says it."""
    if topic.metadata is None:
        return {'offered_qos_profiles': topic.qos}
    return dict(topic.metadata)
