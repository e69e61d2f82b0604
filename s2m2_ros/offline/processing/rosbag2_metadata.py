"""`metadata.yaml` of a rosbag2 recording whose messages lie in one MCAP file."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from s2m2_ros.io.recordings.recording_writer import METADATA_VERSION
from s2m2_ros.messages.plain_messages import message_types
from s2m2_ros.offline.processing.mcap_parts import RecordedChannel
from s2m2_ros.offline.processing.part_index import PartIndex, message_counts

METADATA = 'metadata.yaml'


def metadata_text(
    file_name: str, channels: Sequence[RecordedChannel], parts: Sequence[PartIndex]
) -> str:
    """Return the text for a file of these channels and parts."""
    counts = message_counts(parts)
    chunks = [chunk for part in parts for chunk in part.chunks]
    start = min((chunk[0] for chunk in chunks), default=0)
    duration = max((chunk[1] for chunk in chunks), default=0) - start
    span = {
        'starting_time': {'nanoseconds_since_epoch': start},
        'duration': {'nanoseconds': duration},
        'message_count': sum(counts.values()),
    }
    information = {
        'version': METADATA_VERSION,
        'storage_identifier': 'mcap',
        **span,
        'topics_with_message_count': [
            {
                'topic_metadata': {
                    'name': channel.topic,
                    'type': channel.type_name,
                    'serialization_format': channel.encoding,
                    'offered_qos_profiles': channel.metadata.get('offered_qos_profiles', ''),
                    'type_description_hash': _type_hash(channel.type_name),
                },
                'message_count': counts.get(number, 0),
            }
            for number, channel in enumerate(channels, start=1)
        ],
        'compression_format': '',
        'compression_mode': '',
        'relative_file_paths': [file_name],
        'files': [{'path': file_name, **span}],
        'custom_data': None,
        'ros_distro': 's2m2_ros',
    }
    return yaml.safe_dump({'rosbag2_bagfile_information': information}, sort_keys=False)


def _type_hash(type_name: str) -> str:
    types = message_types()
    return types.hash_rihs01(type_name) if type_name in types.types else ''
