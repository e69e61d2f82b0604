"""From the best weights of a run to the file that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2m2_ros.network import load_network, save_network
from s2m2_ros.network.checkpoint import read_facts
from s2m2_ros.training import checkpoints
from s2m2_ros.training.options import TrainingError

UNKNOWN_LICENSE = 'unknown'


def export_best(
    folder: Path, file: Path, *, baseline: bool = False, license: str = ''
) -> dict[str, Any]:
    """Write the best averaged weights of the run in ``folder`` as float16 to ``file``.

    ``baseline`` marks weights that were trained too briefly to be good; ``license`` replaces that
    of the weights which the run began with. Returns the facts written.

    Raises:
        TrainingError: if the run has not validated yet, or ``file`` is no ``.safetensors``.
        CheckpointError: if a file cannot be read or written.
    """
    best = folder / checkpoints.BEST
    if file.suffix != '.safetensors':
        raise TrainingError(f"weights are exported as .safetensors, not '{file.name}'")
    if not best.is_file():
        raise TrainingError(f'{best}: no such file; the run has not validated yet')
    network = load_network(best)
    facts = {**read_facts(best), 'baseline_weights': baseline}
    facts['license'] = license or facts.get('license') or UNKNOWN_LICENSE
    save_network(network, file, licence=facts['license'], precision='float16', training=facts)
    return facts
