"""Checkpoints of a training run: atomic, and read without running code."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2m2_ros.network import S2M2
from s2m2_ros.training.options import TrainingError, TrainOptions
from s2m2_ros.training.schedule import MovingAverage

LAST = 'last.ckpt'
BEST = 'best.pth'
FORMAT = 1


@dataclass
class RunState:
    """The progress of a run, besides the tensors."""

    step: int = 0
    """Optimizer steps done; also the number of the next batch."""
    elapsed: float = 0.0
    """Seconds of training so far, over all resumed parts."""
    pairs: int = 0
    """Stereo pairs seen."""
    megapixels: float = 0.0
    """Left pixels seen, in millions."""
    best_score: float = float('inf')
    """Lowest `ValidationScores.ranking` so far."""
    best_step: int = 0
    """Steps that had been done then."""


@dataclass(frozen=True)
class Learner:
    """The parts of a run that learn."""

    network: S2M2
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: MovingAverage


def require_no_run(folder: Path, *results: str) -> None:
    """Check that a new run in this folder, with files of other ``results``, overwrites nothing.

    Raises:
        TrainingError: naming what is there.
    """
    for name in (LAST, BEST, *results):
        if (folder / name).exists():
            raise TrainingError(
                f"'{folder}' holds a run already ({name}), which a new one would overwrite: go on "
                'with it by --resume, or give another folder'
            )


def save_last(folder: Path, learner: Learner, state: RunState, options: TrainOptions) -> None:
    """Write everything that an exact continuation needs to ``folder / LAST``."""
    content = {
        'format': FORMAT,
        'options': options.as_dictionary(),
        'state': dict(vars(state)),
        'network': learner.network.state_dict(),
        'average': learner.average.weights,
        'optimizer': learner.optimizer.state_dict(),
        'scaler': learner.scaler.state_dict(),
        'random': torch.get_rng_state(),
    }
    write(folder / LAST, content)


def load_last(folder: Path) -> dict[str, Any]:
    """Return what `save_last` wrote.

    Raises:
        TrainingError: if there is none or it cannot be read.
    """
    file = folder / LAST
    try:
        content = torch.load(file, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f'{file}: no such checkpoint to resume from') from error
    except PermissionError as error:
        raise TrainingError(f'{file}: cannot be read ({error.strerror})') from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise TrainingError(
            f'{file}: not a whole training checkpoint; start from weights alone with --init'
        ) from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise TrainingError(f'{file}: not a training checkpoint of this version')
    return content


def restore(content: dict[str, Any], learner: Learner, state: RunState) -> None:
    """Set the learner and the state to what a checkpoint holds."""
    learner.network.load_state_dict(content['network'])
    learner.average.load(content['average'])
    learner.optimizer.load_state_dict(content['optimizer'])
    if content['scaler']:
        learner.scaler.load_state_dict(content['scaler'])
    torch.set_rng_state(content['random'])
    for name, value in content['state'].items():
        setattr(state, name, value)


def save_weights(file: Path, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write weights as a ``.pth`` file in the published layout, with facts of the training.

    They are stored as float16, as they are shipped: that keeps the file of XS at 14 MB.
    """
    tensors = {name: value.detach().to('cpu', torch.float16) for name, value in weights.items()}
    write(file, {'state_dict': tensors, 'training': facts})


def write(file: Path, content: dict[str, Any]) -> None:
    """Write atomically: a process killed at any moment leaves the old file or the new one.

    Raises:
        TrainingError: if it cannot be written; the old file stays.
    """
    partial = file.with_name(f'{file.name}.{os.getpid()}.partial')
    try:
        with partial.open('wb') as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except (OSError, RuntimeError) as error:  # the latter is torch's for a full disk
        raise TrainingError(
            f"'{file}' cannot be written ({getattr(error, 'strerror', None) or error}); what was "
            'saved before is still there, for --resume'
        ) from error
    finally:
        partial.unlink(missing_ok=True)
