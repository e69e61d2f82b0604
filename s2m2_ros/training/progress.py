"""Progress of a run: a progress bar, a log that programs can read, TensorBoard."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import logging
import math
import sys
import time
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from s2m2_ros.atomic_files import write_errors
from s2m2_ros.evaluation.metrics import DisparityScores, without_nan
from s2m2_ros.training.checkpoints import BEST, RunState
from s2m2_ros.training.options import TrainingError, TrainOptions
from s2m2_ros.training.validation import ValidationScores

_logger = logging.getLogger(__name__)

LOG = 'log.jsonl'
SECONDS_BETWEEN_LINES = 10.0
"""Reading losses makes a GPU wait, so it is done this often only."""


class Progress:
    """Report one run: to the log, to ``log.jsonl``, and to TensorBoard and tqdm if installed."""

    def __init__(self, folder: Path, options: TrainOptions) -> None:
        self._file = folder / LOG
        with write_errors(self._file):
            self._log = self._file.open('a', encoding='utf-8')
        _require_alone(self._log, folder)
        self._board = _board(folder)
        self._bar = _bar()
        self._written = -math.inf
        self._baseline: DisparityScores | None = None
        self._line('options', 0, options.as_dictionary())

    def baseline(self, scores: DisparityScores | None) -> None:
        """Store the scores of OpenCV SGBM on the validation pairs."""
        self._baseline = scores
        if scores is None:
            _logger.info('OpenCV is not installed: validation without SGBM')
            return
        self._line('sgbm', 0, vars(scores))

    def step(self, state: RunState, progress: float, parts: dict[str, Tensor]) -> None:
        """Report a step, at most every few seconds."""
        now = time.monotonic()
        if now - self._written < SECONDS_BETWEEN_LINES:
            return
        self._written = now
        numbers = {name: float(value) for name, value in parts.items()}
        rate = state.pairs / max(state.elapsed, 1e-9)
        self._line('train', state.step, {**numbers, 'progress': progress, 'pairs_per_s': rate})
        if self._bar is not None:
            self._bar.n = round(1000 * progress)
            self._bar.set_postfix(step=state.step, loss=numbers['total'], pairs_per_s=rate)

    def validation(self, state: RunState, scores: ValidationScores, *, better: bool) -> None:
        """Report a validation beside SGBM."""
        numbers = scores.numbers()
        self._line('validation', state.step, {**numbers, 'elapsed': state.elapsed})
        sgbm = f' (SGBM {self._baseline.bad_2:.1%})' if self._baseline else ''
        _logger.info(
            'step %d, %.0f s, on generated scenes: bad 2.0 %.1f %%%s, EPE %.2f px, '
            'visible %.1f %%, AP visibility %.3f, AP confidence %.3f%s',
            state.step,
            state.elapsed,
            100 * numbers['bad_2'],
            sgbm,
            numbers['epe'],
            100 * numbers['bad_2_visible'],
            numbers['visibility_ap'],
            numbers['confidence_ap'],
            ', the best so far' if better else '',
        )

    def done(self, state: RunState, *, own_pairs: bool) -> None:
        """Report the end of a run, and which weights are kept."""
        _logger.info(
            '%s: the averaged weights%s, the best on generated scenes of %d steps%s',
            self._file.with_name(BEST),
            f' of step {state.best_step}' * bool(state.best_step),
            state.step,
            '; scores there say nothing of your pairs: `s2m2 evaluate` does' * own_pairs,
        )

    def close(self) -> None:
        """Close all files."""
        with contextlib.suppress(OSError):  # of a line that the disk did not take
            self._log.close()
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()

    def _line(self, kind: str, step: int, numbers: dict[str, Any]) -> None:
        line = json.dumps({'kind': kind, 'step': step, **without_nan(numbers)}) + '\n'
        with write_errors(self._file):
            self._log.write(line)
            self._log.flush()
        if self._board is not None:
            for name, value in numbers.items():
                if isinstance(value, float):
                    self._board.add_scalar(f'{kind}/{name}', value, step)


def _require_alone(log: IO[str], folder: Path) -> None:
    """Lock the log until it is closed. Raises TrainingError if another process has it."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        log.close()
        raise TrainingError(
            f"another process trains in '{folder}': wait for its end, or give another folder"
        ) from error
    except OSError:
        pass  # a file system without locks


def _bar() -> Any:
    """Return a tqdm bar on a terminal, else None."""
    if importlib.util.find_spec('tqdm') is None or not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(total=1000, unit='permille')


def _board(folder: Path) -> Any:
    """Return a TensorBoard writer if TensorBoard is installed, else None."""
    if importlib.util.find_spec('tensorboard') is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / 'tensorboard'))
