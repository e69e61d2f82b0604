"""The pipeline: two images in, outputs out."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import HostOutputs, Output, compute_outputs
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.pipeline.options import PipelineOptions
from s2m2_ros.pipeline.pair import PairInput, PairOutputs, StageTimes
from s2m2_ros.pipeline.state import PipelineState

# The network's estimate is continuous; a sixteenth of a pixel, the step of OpenCV's matchers,
# is the finest difference that consumers should read into it.
DISPARITY_RESOLUTION = 1 / 16
# The mean confidence is taken over every n-th row and column.
CONFIDENCE_STEP = 8


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

        The arrays may lie in the workspace of `state`: use them before the next call. Raises
        ImageError for images that are no pair, CalibrationError for a calibration that cannot be
        used, and whatever the matcher raises.
        """
        left, right = alike(pair)
        camera = None
        if pair.calibration is not None:
            camera = state.camera(pair.calibration)
            camera.require_size(left.shape[1], left.shape[0])
        height, width = left.shape[:2]
        if not wanted:
            nothing = HostOutputs(camera, {}, 0.0, None, '')
            return PairOutputs(nothing, left, right, camera, DISPARITY_RESOLUTION, (height, width))
        result = self.matcher.match(left, right, timed=True)
        # Reading the durations waits for the device, so that they do not mix.
        times = result.timings
        upload_ms, inference_ms = (times.upload_ms, times.inference_ms) if times else (0.0, 0.0)
        started = time.perf_counter()
        host = compute_outputs(
            camera,
            result,
            wanted,
            image=left,
            options=options.outputs,
            workspace=state.workspace,
        )
        mean_confidence = _mean_confidence(result)
        elapsed = (time.perf_counter() - started) * 1e3
        working_size = self.matcher.working_size(height, width)
        return PairOutputs(
            host=host,
            left=left,
            right=right,
            camera=camera,
            resolution=DISPARITY_RESOLUTION * width / working_size[1],
            working_size=working_size,
            times=StageTimes(
                upload_ms, inference_ms, elapsed - host.download_ms, host.download_ms
            ),
            mean_confidence=mean_confidence,
        )


def alike(pair: PairInput) -> tuple[np.ndarray, np.ndarray]:
    """Return both images as color if one is, and as float32 if one is: drivers mix encodings.

    Raises ImageError if their sizes differ.
    """
    left, right = pair.left, pair.right
    if left.shape[:2] != right.shape[:2]:
        raise ImageError(
            f'{pair.left_name} is {_size(left)} and {pair.right_name} {_size(right)}: a rectified '
            'pair has one size; set both cameras to the same resolution'
        )
    if left.ndim != right.ndim:
        left, right = (i if i.ndim == 3 else np.stack((i,) * 3, axis=-1) for i in (left, right))
    if left.dtype != right.dtype:
        left, right = left.astype(np.float32), right.astype(np.float32)
    return left, right


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'


def _mean_confidence(result: MatchResult) -> float:
    return float(result.confidence[::CONFIDENCE_STEP, ::CONFIDENCE_STEP].mean())
