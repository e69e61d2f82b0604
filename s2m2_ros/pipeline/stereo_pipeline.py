"""The pipeline: two images in, outputs out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch

from s2m2_ros.confidence_tables import ConfidenceMeaning
from s2m2_ros.geometry import HostOutputs, Output, OutputOptions, compute_outputs
from s2m2_ros.geometry.pair_findings import Finding, content_findings, findings
from s2m2_ros.geometry.rectification_check import Examination, examine
from s2m2_ros.geometry.uncertainty import calibrated_confidence, disparity_deviation
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.hardware.timing import mark, milliseconds_between
from s2m2_ros.pipeline.options import PipelineOptions
from s2m2_ros.pipeline.pair import PairInput, PairOutputs, StageTimes
from s2m2_ros.pipeline.preparation import PreparedPair, gray, prepare
from s2m2_ros.pipeline.state import KeptPixels, PipelineState
from s2m2_ros.pipeline.temporal import Measurement, filtered

# The network's estimate is continuous; a sixteenth of a pixel, the step of OpenCV's matchers,
# is the finest difference that consumers should read into it.
DISPARITY_RESOLUTION = 1 / 16
# The mean confidence is taken over every n-th row and column.
CONFIDENCE_STEP = 8


@dataclass(frozen=True, eq=False)
class PendingPair:
    """A pair that is ready to be matched.

    Attributes:
        pair: as it came.
        prepared: as the matcher takes it.
        wanted: what is to be computed.
        options, state: as given to `StereoPipeline.begin`.
        kept: which pixels count; None: all.

    """

    pair: PairInput
    prepared: PreparedPair
    wanted: Collection[Output]
    options: PipelineOptions
    state: PipelineState
    kept: KeptPixels | None

    @cached_property
    def outputs(self) -> PairOutputs:
        """What is known without matching; looks into the images when it is first asked for."""
        prepared = self.prepared
        height, width = prepared.left.shape[:2]
        target = self.options.outputs.target
        return PairOutputs(
            host=HostOutputs(prepared.camera, {}, 0.0, None, '', target=target),
            left=prepared.left,
            right=prepared.right,
            camera=prepared.camera,
            resolution=DISPARITY_RESOLUTION,
            working_size=(height, width),
            rectified=prepared.valid is not None,
            content=prepared.content,
            findings=content_findings(prepared.content),
            notes=(*prepared.notes, *self.options.mask.notes),
            warnings=prepared.warnings,
        )


@dataclass(frozen=True)
class StereoPipeline:
    """Matches pairs with one matcher and computes what is wanted of them."""

    matcher: StereoMatcher

    def process(
        self,
        pair: PairInput,
        wanted: Collection[Output],
        options: PipelineOptions,
        state: PipelineState,
    ) -> PairOutputs:
        """Return what is wanted of a pair; nothing is matched if nothing is wanted.

        Where there is nothing to match (blank images, one picture on both sides) the confidence
        is 0 everywhere. The arrays may lie in the workspace of `state`: use them before the next
        call. Raises ImageError for images that are no pair and masks that do not fit them,
        CalibrationError for a calibration that cannot be used, and whatever the matcher raises.
        """
        pending = self.begin(pair, wanted, options, state)
        if not wanted:
            return pending.outputs
        prepared = pending.prepared
        return self.finish(pending, self.matcher.match(prepared.left, prepared.right, timed=True))

    def begin(
        self,
        pair: PairInput,
        wanted: Collection[Output],
        options: PipelineOptions,
        state: PipelineState,
    ) -> PendingPair:
        """Return the pair, prepared to be matched; raises ImageError or CalibrationError."""
        prepared = prepare(pair, options, state, self.matcher.device)
        height, width = prepared.left.shape[:2]
        mask, kept = options.mask, None
        if wanted and not mask.keeps_all:
            kept = state.kept(mask, width, height, self.matcher.device)
        return PendingPair(pair, prepared, wanted, options, state, kept)

    def finish(self, pending: PendingPair, result: MatchResult) -> PairOutputs:
        """Return what is wanted of a pair that is matched, or being matched on a GPU."""
        prepared, options = pending.prepared, pending.options
        # First, while a GPU still matches: the content of the images is checked on the host.
        outputs = pending.outputs
        height, width = prepared.left.shape[:2]
        kept, wanted, state = pending.kept, pending.wanted, pending.state
        # It may be waited for, which is no work.
        moment = pending.pair.moment
        pose = moment.pose() if options.temporal.mode == 'tf' else None
        matched = result.timings
        started = mark(self.matcher.device)
        meaning = self.matcher.confidence_meaning
        result = _trusted(result, prepared, meaning)
        if kept is not None:
            result = _restricted(result, kept)
        working_size = self.matcher.working_size(height, width)
        scale = width / self.matcher.matched_width(height, width)
        deviation = partial(
            disparity_deviation,
            meaning=meaning,
            agreement=result.agreement,
            scale=scale,
            refined_scale=width / self.matcher.refined_width(height, width),
        )
        measurement = Measurement(
            result=result,
            deviation=deviation,
            camera=prepared.camera,
            source=(self.matcher.confidence_table, self.matcher.backend, scale, outputs.rectified),
            scale=scale,
            stamp_ns=moment.stamp_ns,
            pose=pose,
        )
        result, state.temporal, notes = filtered(measurement, state.temporal, options.temporal)
        host = compute_outputs(
            prepared.camera,
            result,
            wanted,
            image=prepared.left if result.image is None else _like(result.image, prepared.left),
            color_image=pending.pair.color,
            deviation=deviation,
            options=_in_phase(options.outputs, wanted, state),
            workspace=state.workspace,
            numbers=[_mean_confidence(result, kept)],
        )
        # Durations are read after the download, for which the host has waited: on a CUDA device
        # reading them earlier would be one wait more.
        upload_ms, inference_ms = (
            (matched.upload_ms, matched.inference_ms) if matched else (0.0, 0.0)
        )
        geometry_ms = milliseconds_between(started, host.copied_at)
        if kept is not None:
            host = replace(host, valid_window=options.mask.window(width, height))
        return replace(
            outputs,
            host=host,
            resolution=DISPARITY_RESOLUTION * scale,
            working_size=working_size,
            times=StageTimes(upload_ms, inference_ms, geometry_ms, host.download_ms),
            mean_confidence=host.numbers[0],
            notes=(*outputs.notes, *self.matcher.remarks(height, width), *notes),
        )


def examine_outputs(
    outputs: PairOutputs, options: PipelineOptions
) -> tuple[Examination, tuple[Finding, ...]]:
    """Return what the views of a processed pair show of the rig, and what is wrong with it.

    Takes tens of milliseconds: features are matched without regard to rows.
    """
    offset = outputs.camera.principal_point_difference if outputs.camera else 0.0
    examination = examine(
        gray(outputs.left),
        gray(outputs.right),
        disparity_offset=offset,
        content=outputs.content,
    )
    found = findings(
        examination,
        allow_negative=options.allow_negative,
        max_vertical_misalignment=options.max_vertical_misalignment,
        calibrated=outputs.camera is not None,
    )
    return examination, found


def _in_phase(
    options: OutputOptions, wanted: Collection[Output], state: PipelineState
) -> OutputOptions:
    """Return the options with the next phase of the clearing rays, if these are wanted."""
    if Output.POINTS_CLEARING not in wanted:
        return options
    state.clearing_phase += 1
    return replace(options, clearing=replace(options.clearing, phase=state.clearing_phase))


def _trusted(
    result: MatchResult, prepared: PreparedPair, meaning: ConfidenceMeaning
) -> MatchResult:
    """Return the result with calibrated confidence, 0 where there is nothing to match."""
    if prepared.content.nothing_to_match:
        return replace(result, confidence=torch.zeros_like(result.confidence))
    confidence = calibrated_confidence(result.confidence, meaning, result.agreement)
    if prepared.valid is None:
        return replace(result, confidence=confidence)
    return replace(
        result,
        confidence=confidence * prepared.valid,
        visibility=result.visibility * prepared.valid,
    )


def _restricted(result: MatchResult, kept: KeptPixels) -> MatchResult:
    """Return the result with nothing known outside of what counts."""
    return replace(
        result,
        disparity=result.disparity + kept.unknown,
        confidence=result.confidence * kept.factor,
        visibility=result.visibility * kept.factor,
    )


def _mean_confidence(result: MatchResult, kept: KeptPixels | None) -> torch.Tensor:
    """Return the mean over a coarse grid as a tensor of one number."""
    coarse = (slice(None, None, CONFIDENCE_STEP),) * 2
    confidence = result.confidence[coarse]
    if kept is None:
        return confidence.mean()
    factor = kept.factor[coarse]
    if confidence.device.type == 'cpu':
        return confidence[factor > 0].mean()
    # Choosing pixels would wait for their number; the confidence of the others is 0.
    return confidence.sum() / factor.sum()


def _like(uploaded: torch.Tensor, image: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return an uploaded image (H, W, C) in the shape of the image that it was."""
    return uploaded.reshape(image.shape)
