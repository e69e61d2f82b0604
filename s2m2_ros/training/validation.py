"""Scores on procedural pairs of a fixed seed, which no training run draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from s2m2_ros.errors import S2M2Error
from s2m2_ros.evaluation.baseline import open_baseline
from s2m2_ros.evaluation.metrics import (
    DisparityScores,
    average_precision,
    disparity_scores,
    mean_scores,
    sparsification_error,
)
from s2m2_ros.evaluation.pairs import StereoPair
from s2m2_ros.inference import InferenceError
from s2m2_ros.inference.images import SMALLEST_SIDE
from s2m2_ros.network import Prediction
from s2m2_ros.training.batch import StereoBatch, stack
from s2m2_ros.training.procedural.placement import SceneOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator

# The blocks of the JPEG noise of the scenes.
SIDE_MULTIPLE = 8
SEED = 987_654_321
"""Rejected as the seed of a run."""

Match = Callable[[Tensor, Tensor], Prediction]


@dataclass(frozen=True)
class ValidationScores:
    """Means over the validation pairs."""

    every: DisparityScores
    """Over all pixels."""
    visible: DisparityScores
    """Over pixels that both views show."""
    visibility_ap: float
    """Average precision of visibility, positives being visible pixels."""
    occlusion_ap: float
    """Average precision of 1 - visibility, positives being occluded pixels."""
    confidence_ap: float
    """Average precision of confidence, positives being errors below 4 px."""
    sparsification: float
    """Area between the sparsification curve and the oracle's, pixels."""

    @property
    def ranking(self) -> float:
        """Return the score that ranks weights, lower is better: bad 2.0 + EPE / 100.

        The second part keeps weights out that are wild in places, which bad 2.0 hardly sees.
        """
        return self.every.bad_2 + self.every.epe / 100

    def numbers(self) -> dict[str, float]:
        """Return the figures that are worth a line in a log."""
        return {
            'epe': self.every.epe,
            'bad_1': self.every.bad_1,
            'bad_2': self.every.bad_2,
            'bad_4': self.every.bad_4,
            'epe_visible': self.visible.epe,
            'bad_2_visible': self.visible.bad_2,
            'visibility_ap': self.visibility_ap,
            'occlusion_ap': self.occlusion_ap,
            'confidence_ap': self.confidence_ap,
            'sparsification': self.sparsification,
        }


def validation_pairs(count: int, height: int, width: int) -> StereoBatch:
    """Return ``count`` pairs of height x width pixels, the same on every machine's CPU.

    Raises S2M2Error if they cannot have this size.
    """
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE or min(height, width) < SMALLEST_SIDE:
        raise S2M2Error(
            f'scenes of {height}x{width} (height, width) cannot be made: both must be '
            f'multiples of {SIDE_MULTIPLE} and at least {SMALLEST_SIDE}'
        )
    options = SceneOptions(negative_fraction=0.0)
    scenes = SceneGenerator(SEED, options=options, bank_size=36)
    return stack([scenes.batch(i, 1, height, width) for i in range(count)])


def procedural_pairs(count: int, height: int, width: int) -> Iterator[StereoPair]:
    """Yield the pairs of `validation_pairs` one by one, as `evaluate_pairs` takes them."""
    pairs = validation_pairs(count, height, width)
    for number in range(count):
        left, right = (
            image[number].permute(1, 2, 0).to(torch.uint8).numpy()
            for image in (pairs.left, pairs.right)
        )
        yield StereoPair(
            name=f'procedural {number}',
            left=left,
            right=right,
            disparity=pairs.disparity[number, 0].numpy(),
            visible=pairs.visibility[number, 0].numpy() > 0,
        )


@torch.no_grad()
def validate_network(match: Match, pairs: StereoBatch, device: torch.device) -> ValidationScores:
    """Return the scores of a network on pairs kept on the host, matched one by one."""
    results = []
    for number in range(pairs.left.shape[0]):
        pair = pairs.part(number, number + 1)
        maps = match(pair.left.to(device), pair.right.to(device))
        results.append(Prediction(*(m.float().cpu() for m in maps)))
    return _scores(pairs, Prediction(*(torch.cat(maps) for maps in zip(*results, strict=True))))


def validate_baseline(pairs: StereoBatch) -> DisparityScores | None:
    """Return SGBM's scores over all pixels, holes counted as wrong; None where it cannot run."""
    try:
        matcher = open_baseline()
    except InferenceError:
        return None
    scores = []
    with matcher:
        for number in range(pairs.left.shape[0]):
            left, right = (
                image[number].permute(1, 2, 0).to(torch.uint8).numpy()
                for image in (pairs.left, pairs.right)
            )
            estimate = matcher.match(left, right).disparity
            truth, valid = pairs.disparity[number, 0], pairs.valid[number, 0] > 0
            scores.append(disparity_scores(estimate, truth, valid))
    return mean_scores(scores)


def _scores(pairs: StereoBatch, maps: Prediction) -> ValidationScores:
    every, visible = [], []
    for number in range(pairs.left.shape[0]):
        estimate, truth = maps.disparity[number, 0], pairs.disparity[number, 0]
        valid = pairs.valid[number, 0] > 0
        seen = valid & (pairs.visibility[number, 0] > 0)
        every.append(disparity_scores(estimate, truth, valid))
        visible.append(disparity_scores(estimate, truth, seen))
    valid = pairs.valid > 0
    error = (maps.disparity - pairs.disparity).abs()[valid]
    seen = pairs.visibility[valid] > 0
    return ValidationScores(
        every=mean_scores(every),
        visible=mean_scores(visible),
        visibility_ap=average_precision(maps.visibility[valid], seen),
        occlusion_ap=average_precision(1 - maps.visibility[valid], ~seen),
        confidence_ap=average_precision(maps.confidence[valid], error < 4.0),
        sparsification=sparsification_error(maps.confidence[valid], error),
    )
