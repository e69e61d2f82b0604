"""Which checkpoints exist, where they live, and how they are fetched and verified."""

from s2m2_ros.weights.added import (
    AddedCheckpoint,
    add_file,
    added_checkpoints,
    added_folder,
    is_added_intact,
)
from s2m2_ros.weights.download import download
from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.private_folders import check_private, private_folder
from s2m2_ros.weights.registry import CHECKPOINTS, Checkpoint
from s2m2_ros.weights.storage import (
    cache_folder,
    checkpoint_path,
    find_checkpoint,
    is_present,
)
from s2m2_ros.weights.verification import file_sha256, is_intact

__all__ = [
    'CHECKPOINTS',
    'AddedCheckpoint',
    'Checkpoint',
    'WeightsError',
    'add_file',
    'added_checkpoints',
    'added_folder',
    'cache_folder',
    'check_private',
    'checkpoint_path',
    'download',
    'file_sha256',
    'find_checkpoint',
    'is_added_intact',
    'is_intact',
    'is_present',
    'private_folder',
]
