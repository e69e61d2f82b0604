"""Score a matcher, and SGBM beside it, over pairs with ground truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2m2_ros.evaluation.baseline import fill_holes
from s2m2_ros.evaluation.metrics import (
    DisparityScores,
    average_precision,
    disparity_scores,
    sparsification_error,
)
from s2m2_ros.evaluation.pairs import FloatMap, Mask, Picture, StereoPair
from s2m2_ros.evaluation.truth import require_truth
from s2m2_ros.geometry import DisparityMaps, Output
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.pipeline import PairInput, PipelineOptions, PipelineState, StereoPipeline

RIGHT_ERROR = 4.0
"""Confidence predicts an error below this many pixels."""

SGBM, FILLED = 'SGBM', 'SGBM filled'


Match = Callable[[Picture, Picture], DisparityMaps]


MATCHED = (Output.RAW_DISPARITY, Output.VISIBILITY, Output.CONFIDENCE)


def pipeline_match(matcher: StereoMatcher) -> Match:
    """Return what matches two pictures as the node and `s2m2 match` do, without calibration."""
    pipeline, options, state = StereoPipeline(matcher), PipelineOptions(), PipelineState()

    def match(left: Picture, right: Picture) -> DisparityMaps:
        arrays = pipeline.process(PairInput(left, right), MATCHED, options, state).host.arrays
        disparity, visibility, confidence = (torch.from_numpy(arrays[o].copy()) for o in MATCHED)
        return MatchResult(disparity, visibility, confidence)

    return match


@dataclass(frozen=True)
class MethodScores:
    """One method on one pair."""

    every: DisparityScores
    """Over all pixels with truth."""
    visible: DisparityScores
    """Over pixels that both views show."""
    seconds: float
    visibility_ap: float = float('nan')
    """Average precision of visibility; NaN where the data set does not provide it."""
    occlusion_ap: float = float('nan')
    confidence_ap: float = float('nan')
    sparsification: float = float('nan')
    """Over the pixels that have an estimate."""


@dataclass(frozen=True)
class PairReport:
    """All methods on one pair, with what a picture of them needs."""

    pair: StereoPair
    estimates: dict[str, FloatMap]
    scores: dict[str, MethodScores]


def evaluate_pairs(
    pairs: Iterable[StereoPair],
    match: Match | None,
    *,
    name: str = 'S2M2',
    sgbm: Match | None = None,
) -> Iterator[PairReport]:
    """Yield a report per pair; a matcher that is None is skipped.

    `sgbm`, a matcher that leaves holes, is scored twice: holes counted as wrong, and filled.
    A network that has the name of one of both gets ' (network)' after it.

    Raises DatasetError for a pair without one pixel of known truth: nothing could be scored.
    """
    if name.casefold() in (SGBM.casefold(), FILLED.casefold()):
        name = f'{name} (network)'
    for pair in pairs:
        require_truth(pair)
        estimates: dict[str, FloatMap] = {}
        scores: dict[str, MethodScores] = {}
        if match is not None:
            estimates[name], scores[name] = _matched(pair, match)
        if sgbm is not None:
            estimates[SGBM], scores[SGBM] = _matched(pair, sgbm)
            filled = fill_holes(estimates[SGBM])
            estimates[FILLED] = filled
            scores[FILLED] = _scores(pair, torch.from_numpy(filled), scores[SGBM].seconds)
        yield PairReport(pair, estimates, scores)


def _matched(pair: StereoPair, match: Match) -> tuple[FloatMap, MethodScores]:
    start = time.perf_counter()
    maps = match(pair.left, pair.right)
    disparity = maps.disparity.float().cpu()
    seconds = time.perf_counter() - start
    plain = _scores(pair, disparity, seconds)
    known = torch.from_numpy(np.isfinite(pair.disparity))
    truth = torch.from_numpy(np.nan_to_num(pair.disparity))
    error = torch.nan_to_num((disparity - truth).abs(), nan=torch.inf)[known]
    confidence = maps.confidence.float().cpu()[known]
    found = torch.isfinite(error)
    seen, visibility = visible_mask(pair), maps.visibility.float().cpu()
    labeled = known if seen is not None else torch.zeros_like(known)
    labels = torch.from_numpy(seen) if seen is not None else known
    scores = MethodScores(
        every=plain.every,
        visible=plain.visible,
        seconds=seconds,
        visibility_ap=average_precision(visibility[labeled], labels[labeled]),
        occlusion_ap=average_precision(1 - visibility[labeled], ~labels[labeled]),
        confidence_ap=average_precision(confidence, error < RIGHT_ERROR),
        sparsification=sparsification_error(confidence[found], error[found]),
    )
    return disparity.numpy(), scores


def _scores(pair: StereoPair, estimate: Tensor, seconds: float) -> MethodScores:
    known = np.isfinite(pair.disparity)
    seen = visible_mask(pair)
    truth = torch.from_numpy(np.nan_to_num(pair.disparity))
    chosen = torch.from_numpy(known)
    visible = torch.from_numpy(known & seen) if seen is not None else chosen & False
    return MethodScores(
        every=disparity_scores(estimate, truth, chosen),
        visible=disparity_scores(estimate, truth, visible),
        seconds=seconds,
    )


def visible_mask(pair: StereoPair) -> Mask | None:
    """Return which pixels both views show, from the data set or else from dense truth.

    Without a mask, truth that covers more than 80 % of the image is projected into the
    right view: a pixel is hidden if its match lies outside of the image or within a pixel of a
    match that is nearer by more than 1 px. None for sparse truth.
    """
    if pair.visible is not None:
        return pair.visible
    known = np.isfinite(pair.disparity)
    if known.mean() < 0.8:
        return None
    height, width = pair.disparity.shape
    column = np.arange(width) - np.nan_to_num(pair.disparity)
    nearest = np.full((height, width), -np.inf, np.float32)
    rows = np.broadcast_to(np.arange(height)[:, None], column.shape)
    for shift in (0, 1):
        target = np.floor(column).astype(np.intp) + shift
        inside = known & (target >= 0) & (target < width)
        np.maximum.at(nearest, (rows[inside], target[inside]), pair.disparity[inside])
    target = np.rint(column).astype(np.intp).clip(0, width - 1)
    hidden = np.take_along_axis(nearest, target, axis=1) > pair.disparity + 1.0
    return np.asarray(known & ~hidden & (column >= 0) & (column <= width - 1))
