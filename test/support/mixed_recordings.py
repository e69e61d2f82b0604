"""MCAP files with what other programs write beside the messages of ROS 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mcap.writer import Writer

from support.recorded_pairs import TYPES
from support.stereo_recordings import START, in_order, scene_pairs, texts

JSON_SCHEMA = json.dumps({'type': 'object'}).encode()
ATTACHED = bytes(range(256)) * 40_000


def write_mixed(path: Path, *, pairs: int = 4, **options: Any) -> Path:
    """Write pairs at 5 Hz and texts at 10 Hz, and what other programs write into MCAP files."""
    with path.open('wb') as file:
        writer = Writer(file, **{'chunk_size': 150_000, **options})
        writer.start('')
        add = writer.register_channel
        channels = {
            '/json': add('/json', 'json', writer.register_schema('a/B', 'jsonschema', JSON_SCHEMA),
                         {'unit': 'm'}),
            '/proto': add('/proto', 'protobuf', writer.register_schema('a.B', 'protobuf', b'\1')),
            '/raw': add('/raw', 'x-raw', 0, {'from': 'test'}),
            '/plain': add('/plain', 'json', 0),
        }  # fmt: skip
        schemas: dict[str, int] = {}
        for number, item in enumerate(in_order(scene_pairs(pairs), texts(2 * pairs))):
            name = item.message.__msgtype__
            if name not in schemas:
                text = TYPES.generate_msgdef(name, ros_version=2)[0].encode()
                schemas[name] = writer.register_schema(name, 'ros2msg', text)
            if item.topic not in channels:
                qos = {'offered_qos_profiles': '', 'number': str(number)}
                channels[item.topic] = add(item.topic, 'cdr', schemas[name], qos)
            writer.add_message(
                channels[item.topic], item.time_ns, item.cdr, item.time_ns - 1000 - number, number
            )
        for number, topic in enumerate(('/json', '/proto', '/raw', '/plain')):
            # Not what the encoding says: nobody looks into it.
            data = bytes([number]) * 5
            writer.add_message(channels[topic], START + number, data, START - number, 70 + number)
        writer.add_attachment(11, 22, 'map.bin', 'application/octet-stream', ATTACHED)
        writer.add_metadata('vehicle', {'name': 'Ä 1', 'wheels': '4'})
        writer.add_attachment(33, 44, 'empty.txt', 'text/plain', b'')
        writer.add_metadata('rosbag2', {'serialized_metadata': 'of another file'})
        writer.finish()
    return path
