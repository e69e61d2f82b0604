"""The training loop."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2m2_ros.atomic_files import write_errors
from s2m2_ros.errors import S2M2Error
from s2m2_ros.network import S2M2, Stages, load_network
from s2m2_ros.training import checkpoints
from s2m2_ros.training.batch import BatchSource, StereoBatch
from s2m2_ros.training.checkpoints import Learner, RunState
from s2m2_ros.training.losses import LossWeights, total_loss
from s2m2_ros.training.options import Crop, TrainingError, TrainOptions, validate
from s2m2_ros.training.process_group import ProcessGroup
from s2m2_ros.training.progress import Progress
from s2m2_ros.training.schedule import MovingAverage, one_cycle, parameter_groups
from s2m2_ros.training.self_supervision import (
    PhotometricWeights,
    disparity_of_right_view,
    self_supervised_loss,
)
from s2m2_ros.training.validation import (
    SEED,
    ValidationScores,
    validate_baseline,
    validate_network,
)

_logger = logging.getLogger(__name__)

HOPELESS_STEPS = 20
"""So many steps without one finite gradient end a run; a scale of float16 is found in fewer."""

INFERENCE_STEPS = 3
"""Refinement steps in validation, as in use."""


@dataclass(frozen=True)
class RunSettings:
    """How a run is carried out; none of it changes the result."""

    folder: Path
    device: torch.device
    precision: str = 'float32'
    """Autocast type of convolutions and attention: 'float32', 'bfloat16' or 'float16'."""
    compile: bool = False
    validate_every: float = 120.0
    """Seconds of training between validations."""
    save_every: float = 60.0
    """Seconds between checkpoints."""
    stop_after: int | None = None
    """Stop, resumably, after so many steps of this process."""


class Trainer:
    """One run, new or resumed, in one folder."""

    def __init__(
        self,
        options: TrainOptions,
        settings: RunSettings,
        source: BatchSource,
        validation: StereoBatch,
        *,
        init: Path | None = None,
        weights: LossWeights | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        """Build the network or load the weights ``init``; with ``group``, be one of several.

        Raises:
            TrainingError: if an option is out of range.
            CheckpointError: if ``init`` is not a checkpoint of S2M2.
        """
        validate(options)
        if options.seed == SEED:
            raise TrainingError(f'seed {SEED} is that of the validation pairs: choose another')
        self.options, self.settings, self.source = options, settings, source
        self.validation = validation
        self.weights = weights or LossWeights()
        self.group = group or ProcessGroup()
        self.state = RunState()
        self._saved = self._validated = 0.0
        self._resumed = False
        self._saved_step = 0
        self._left_out = torch.zeros((), device=settings.device)
        self.learner = _make_learner(options, settings, init)
        self._forward: Callable[..., Any] = self.learner.network.forward_all
        if settings.compile:
            self._forward = torch.compile(self._forward, dynamic=False)

    def resume(self) -> None:
        """Go on from the folder's last checkpoint, exactly.

        Raises:
            TrainingError: if there is none, or it belongs to a run with other options.
        """
        content = checkpoints.load_last(self.settings.folder)
        if not self.options.continues(content['options']):
            raise TrainingError(
                f'{self.settings.folder}: the checkpoint belongs to a run with other options; '
                'give the same ones, or start from its weights with --init'
            )
        checkpoints.restore(content, self.learner, self.state)
        self._resumed = True

    def run(self) -> None:
        """Train to the end, saving and validating on the way.

        Raises:
            TrainingError: if this is a new run, and the folder holds another one.
        """
        if self.group.is_main and not self._resumed:
            checkpoints.require_no_run(self.settings.folder)
        with write_errors(self.settings.folder):
            self.settings.folder.mkdir(parents=True, exist_ok=True)
        progress = Progress(self.settings.folder, self.options) if self.group.is_main else None
        started, before = time.monotonic(), self.state.elapsed
        self._saved = self._validated = before
        first = self._saved_step = self.state.step
        if progress is not None:
            progress.baseline(validate_baseline(self.validation))
        try:
            while self.progress < 1.0 and not self._stops(first):
                parts = self._guarded_step(progress)
                elapsed = before + time.monotonic() - started
                self.state.elapsed = self.group.broadcast(elapsed, self.settings.device)
                if progress is not None:
                    self._report(progress, parts)
            if progress is not None:
                self.validate(progress)
                self.save()
                progress.done(self.state, own_pairs=self._has_own_pairs)
            # torchrun ends all processes when one of them fails, be it at its very end.
            self.group.wait()
        finally:
            if progress is not None:
                progress.close()

    @property
    def _has_own_pairs(self) -> bool:
        return bool(self.options.data_folders or self.options.unlabeled_folders)

    def _guarded_step(self, progress: Progress | None) -> dict[str, Tensor]:
        """Take a step; where its pairs cannot be read, save those before it first."""
        try:
            return self.step()
        except S2M2Error:
            if progress is not None and self.state.step > self._saved_step:
                self.save()
            raise

    def _report(self, progress: Progress, parts: dict[str, Tensor]) -> None:
        """Log a step; validate and save when it is time."""
        progress.step(self.state, self.progress, parts)
        if self.state.elapsed - self._validated >= self.settings.validate_every:
            self.validate(progress)
            self._validated = self.state.elapsed
        if self.state.elapsed - self._saved >= self.settings.save_every:
            self.save()
            self._saved = self.state.elapsed

    @property
    def progress(self) -> float:
        """Return how far the run is, 0..1."""
        return self.options.progress(self.state.step, self.state.elapsed)

    def step(self) -> dict[str, Tensor]:
        """Take one optimizer step; return the losses, the gradient's norm and the rate."""
        options, learner, done = self.options, self.learner, self.progress
        crop = options.crop_at(done)
        rate = options.learning_rate * one_cycle(done, warm_up=options.warm_up)
        for group in learner.optimizer.param_groups:
            group['lr'] = rate
        number = self.state.step * self.group.size + self.group.rank
        pairs = self.source.batch(number, crop.batch, crop.height, crop.width)
        pairs = pairs.to(self.settings.device)
        with self._autocast():
            stages = self._forward(pairs.left, pairs.right)
        loss, parts = total_loss(
            stages, pairs, weights=self.weights, visible_only=done < options.visible_only
        )
        if options.unlabeled and not pairs.valid.any():
            # Added, so that every process has gradients of the same parameters.
            parts = self._self_supervised(stages, pairs)
            loss = loss + torch.stack(list(parts.values())).sum()
            parts = {name: part.detach() for name, part in parts.items()}
        norm = self._descend(loss)
        self._count(crop)
        learner.average.update(learner.network, self.state.step)
        return {**parts, 'total': loss.detach(), 'gradient': norm, 'rate': torch.tensor(rate)}

    def _self_supervised(self, stages: Stages, pairs: StereoBatch) -> dict[str, Tensor]:
        with self._autocast():
            right = disparity_of_right_view(self.learner.network, pairs)
        return self_supervised_loss(stages, right, pairs, PhotometricWeights())

    def _descend(self, loss: Tensor) -> Tensor:
        """Take the gradient step; one that is not finite is left out."""
        learner = self.learner
        learner.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(learner.scaler.scale(loss))
        # While still scaled, so that an overflow anywhere is one everywhere.
        self.group.average([p.grad for p in learner.network.parameters() if p.grad is not None])
        learner.scaler.unscale_(learner.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(learner.network.parameters(), self.options.clip)
        # Zeroed gradients instead of a test on the host, which would make the device wait.
        finite = norm.isfinite()
        self._left_out += ~finite
        for parameter in learner.network.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.where(finite, parameter.grad, 0.0)
        learner.scaler.step(learner.optimizer)
        learner.scaler.update()
        return norm.detach()

    def _count(self, crop: Crop) -> None:
        self.state.step += 1
        pairs = crop.batch * self.group.size
        self.state.pairs += pairs
        self.state.megapixels += pairs * crop.height * crop.width / 1e6

    def validate(self, progress: Progress) -> ValidationScores:
        """Score the averaged weights, and keep them if they are the best so far."""
        network = self.averaged_network()
        with self._autocast():
            scores = validate_network(network, self.validation, self.settings.device)
        if not math.isfinite(scores.ranking):
            raise self._diverged('the disparities of the network are no finite numbers')
        better = scores.ranking < self.state.best_score
        if better:
            self.state.best_score, self.state.best_step = scores.ranking, self.state.step
            facts = self.facts(scores)
            folder = self.settings.folder
            checkpoints.save_weights(
                folder / checkpoints.BEST, self.learner.average.weights, facts
            )
        progress.validation(self.state, scores, better=better)
        return scores

    def averaged_network(self) -> S2M2:
        """Return a copy of the network with the averaged weights, as it is used."""
        network = copy.deepcopy(self.learner.network).eval()
        network.load_state_dict(self.learner.average.weights)
        network.refine_iterations = INFERENCE_STEPS
        return network

    def facts(self, scores: ValidationScores) -> dict[str, Any]:
        """Return what a model card says of the weights, in plain numbers and strings."""
        return {
            'variant': self.options.config.name,
            'steps': self.state.step,
            'pairs': self.state.pairs,
            'megapixels': round(self.state.megapixels, 1),
            'seconds': round(self.state.elapsed),
            'device': _device_name(self.settings.device),
            'license': self.options.license,
            'options': json.dumps(self.options.as_facts(), sort_keys=True),
            'validation': json.dumps(scores.numbers(), sort_keys=True),
        }

    def save(self) -> None:
        """Write the checkpoint that `resume` reads.

        Raises:
            TrainingError: if no step since the one before had a finite gradient, or the file
                cannot be written; the one before stays.
        """
        self._check_gradients()
        checkpoints.save_last(self.settings.folder, self.learner, self.state, self.options)
        self._saved_step = self.state.step

    def _check_gradients(self) -> None:
        steps, left_out = self.state.step - self._saved_step, int(self._left_out)
        self._left_out.zero_()
        if left_out == steps >= HOPELESS_STEPS:
            raise self._diverged(f'the gradients of the last {steps} steps are not finite')
        if left_out:
            _logger.warning(
                '%d of the last %d steps were left out, since their gradients are not finite: '
                'with many of them, take a lower --learning-rate',
                *(left_out, steps),
            )

    def _diverged(self, what: str) -> TrainingError:
        kept = self.settings.folder / checkpoints.LAST
        return TrainingError(
            f'the run failed at step {self.state.step}: {what}. Start another one with a '
            f'--learning-rate below {self.options.learning_rate:g}'
            + (f"; '{kept}' is of step {self._saved_step}" if kept.exists() else '')
        )

    def _stops(self, first: int) -> bool:
        limit = self.settings.stop_after
        return limit is not None and self.state.step - first >= limit

    def _autocast(self) -> torch.autocast:
        kind = {'bfloat16': torch.bfloat16, 'float16': torch.float16}.get(self.settings.precision)
        return torch.autocast(self.settings.device.type, kind, enabled=kind is not None)


def _make_learner(options: TrainOptions, settings: RunSettings, init: Path | None) -> Learner:
    if init is None:
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            network = S2M2(options.config)
    else:
        network = load_network(init)
        if network.config != options.config:
            raise TrainingError(
                f'{init}: holds the variant {network.config.name}, '
                f'the options ask for {options.config.name}'
            )
    network.refine_iterations = options.refine_iterations
    network.allow_negative = options.allow_negative
    network.to(settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.AdamW(
        parameter_groups(network, weight_decay=options.weight_decay),
        lr=options.learning_rate,
        fused=settings.device.type == 'cuda',
    )
    scaler = torch.amp.GradScaler(settings.device.type, enabled=settings.precision == 'float16')
    return Learner(network, optimizer, scaler, MovingAverage(network, decay=options.average))


def _device_name(device: torch.device) -> str:
    if device.type == 'cuda':
        return str(torch.cuda.get_device_name(device))
    return f'CPU, {torch.get_num_threads()} threads'
