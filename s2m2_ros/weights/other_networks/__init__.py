"""Networks other than S2M2 as ONNX files: what is known of them, and how users describe theirs."""

from s2m2_ros.weights.other_networks.description import (
    DescriptionError,
    NetworkDescription,
    is_onnx_file,
)
from s2m2_ros.weights.other_networks.description_file import (
    description_path,
    find_description,
    read_description,
    read_values,
    to_yaml,
)
from s2m2_ros.weights.other_networks.ready_made import READY_MADE, ReadyMade, ready_made

__all__ = [
    'READY_MADE',
    'DescriptionError',
    'NetworkDescription',
    'ReadyMade',
    'description_path',
    'find_description',
    'is_onnx_file',
    'read_description',
    'read_values',
    'ready_made',
    'to_yaml',
]
