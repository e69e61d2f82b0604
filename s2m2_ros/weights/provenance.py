"""The metadata of a checkpoint: who trained it, and what a user should be warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2m2_ros.network.checkpoint import CheckpointError, item_names, read_facts, read_metadata
from s2m2_ros.weights.registry import CHECKPOINTS
from s2m2_ros.weights.verification import file_sha256

BASELINE_WEIGHTS = (
    'these are baseline weights, trained for six hours on a CPU and seven minutes on a GPU: '
    'expect soft edges and lost thin structures (s2m2_ros/weights/starter.md has the figures)'
)


def is_trained_by_us(file: Path) -> bool:
    """Return whether ``s2m2 train`` made the weights in ``file``: its margins are right and below.

    False for a file that is no checkpoint: whoever loads it says what is wrong.
    """
    if _training(file):
        return True
    try:
        return 'training' in item_names(file)
    except CheckpointError:
        return False


def license_of(file: Path) -> str:
    """Return the license of the weights in ``file``, empty where it says none.

    Files known by their SHA-256 have the one that they are published under. Raises WeightsError
    if it cannot be read.
    """
    digest = file_sha256(file)
    for checkpoint in CHECKPOINTS.values():
        if digest.startswith(checkpoint.sha256_prefix):
            return checkpoint.licence
    try:
        said = read_metadata(file).get('licence', '')
    except CheckpointError:
        said = ''
    return said or str(_training(file).get('license', ''))


def has_baseline_weights(file: Path) -> bool:
    """Return whether the weights in ``file`` are marked as trained too briefly to be good.

    False for a file that is no checkpoint: whoever loads it says what is wrong.
    """
    training = _training(file)
    # Files of earlier versions, the starter's among them, have the key `stop_gap`.
    return bool(training.get('baseline_weights') or training.get('stop_gap'))


def caution(file: Path) -> str:
    """Return a sentence to log when the weights in ``file`` are loaded; empty if there is none.

    Files that are no checkpoint have none either: whoever loads them says what is wrong.
    """
    return BASELINE_WEIGHTS if has_baseline_weights(file) else ''


def _training(file: Path) -> dict[str, Any]:
    """Return the facts of the training in a file; empty if there are none."""
    try:
        return read_facts(file)
    except CheckpointError:
        return {}
