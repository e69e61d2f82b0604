"""The S2M2 network: tensors in, tensors out."""

from s2m2_ros.network.checkpoint import (
    CheckpointError,
    load_network,
    read_config,
    save_network,
)
from s2m2_ros.network.config import S2M2Config
from s2m2_ros.network.joined import prepare_for_inference
from s2m2_ros.network.model import S2M2
from s2m2_ros.network.prediction import Prediction, Stages

__all__ = [
    'S2M2',
    'CheckpointError',
    'Prediction',
    'S2M2Config',
    'Stages',
    'load_network',
    'prepare_for_inference',
    'read_config',
    'save_network',
]
