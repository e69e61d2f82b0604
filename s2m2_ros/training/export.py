"""From the best weights of a run to the file that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2m2_ros.network import load_network, save_network
from s2m2_ros.training import checkpoints
from s2m2_ros.training.options import TrainingError

LICENCE = 'Apache-2.0'


def export_best(folder: Path, file: Path, *, baseline: bool = False) -> dict[str, Any]:
    """Write the best averaged weights of the run in ``folder`` as float16 to ``file``.

    ``baseline`` marks weights that were trained too briefly to be good. Returns the facts written.

    Raises:
        TrainingError: if the run has not validated yet.
        CheckpointError: if the file cannot be written.
    """
    best = folder / checkpoints.BEST
    if not best.is_file():
        raise TrainingError(f'{best}: no such file; the run has not validated yet')
    facts = {**checkpoints.read_facts(best), 'baseline_weights': baseline}
    save_network(load_network(best), file, licence=LICENCE, precision='float16', training=facts)
    return facts
