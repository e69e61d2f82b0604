"""Reading and writing the weights of a network."""

from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.checkpoint.loading import (
    item_names,
    load_network,
    read_config,
    read_facts,
    read_metadata,
)
from s2m2_ros.network.checkpoint.saving import save_network

__all__ = [
    'CheckpointError',
    'item_names',
    'load_network',
    'read_config',
    'read_facts',
    'read_metadata',
    'save_network',
]
