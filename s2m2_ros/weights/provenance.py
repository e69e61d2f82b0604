"""What a checkpoint says of itself that a user should hear."""

from __future__ import annotations

import json
from pathlib import Path

from s2m2_ros.network.checkpoint import CheckpointError, read_metadata

STOP_GAP = (
    'these weights are a stop-gap, trained briefly on a CPU: expect less than a block matcher '
    'in places (s2m2_ros/weights/starter.md has the figures)'
)


def caution(file: Path) -> str:
    """Return a sentence to log when the weights in ``file`` are loaded; empty if there is none.

    Files that are no checkpoint have none either: whoever loads them says what is wrong.
    """
    if file.suffix != '.safetensors':
        return ''
    try:
        training = json.loads(read_metadata(file).get('training', '{}'))
    except (CheckpointError, ValueError):
        return ''
    return STOP_GAP if isinstance(training, dict) and training.get('stop_gap') else ''
