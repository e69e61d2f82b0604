"""Which checkpoints exist, where they live, and how they are fetched and verified."""

from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.registry import CHECKPOINTS, Checkpoint
from s2m2_ros.weights.storage import cache_folder, checkpoint_path, find_checkpoint

__all__ = [
    'CHECKPOINTS',
    'Checkpoint',
    'WeightsError',
    'cache_folder',
    'checkpoint_path',
    'find_checkpoint',
]
