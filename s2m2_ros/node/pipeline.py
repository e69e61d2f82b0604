"""From the messages of one pair to the outputs that are wanted, on the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.geometry import (
    Estimate,
    HostOutputs,
    Output,
    OutputOptions,
    RigidTransform,
    StereoCamera,
    Workspace,
    compute_outputs,
)
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.io.ros_calibration import stereo_camera
from s2m2_ros.io.ros_images import decode_compressed_image, decode_image
from s2m2_ros.node.synchronizer import StereoMessages

# The mean confidence is taken over every n-th row and column.
CONFIDENCE_STEP = 8


class PairError(S2M2Error):
    """Two images that cannot be a pair; names both topics."""


@dataclass(frozen=True, eq=False)
class StereoPair:
    """Two decoded images of one size and type, (H, W) or (H, W, 3) RGB, and their camera."""

    left: np.ndarray
    right: np.ndarray
    camera: StereoCamera


def decode_pair(messages: StereoMessages) -> StereoPair:
    """Return the pair that the messages hold.

    Raises ImageError, CalibrationError or PairError, each naming the topic.
    """
    left = _decode(messages.left, messages.topics.left)
    right = _decode(messages.right, messages.topics.right)
    if left.shape[:2] != right.shape[:2]:
        raise PairError(
            f'{messages.topics.left} is {_size(left)} and {messages.topics.right} {_size(right)}: '
            'a rectified pair has one size; set both cameras to the same resolution'
        )
    camera = stereo_camera(
        messages.left_info,
        messages.right_info,
        left_source=messages.topics.left_info,
        right_source=messages.topics.right_info,
    )
    camera.require_size(left.shape[1], left.shape[0])
    return StereoPair(*_alike(left, right), camera)


@dataclass(frozen=True, eq=False)
class Computed:
    """The outputs of one pair on the host, and what they took in milliseconds."""

    outputs: HostOutputs
    upload_ms: float
    inference_ms: float
    geometry_ms: float
    download_ms: float
    mean_confidence: float


def compute(
    pair: StereoPair,
    result: MatchResult,
    *,
    wanted: Collection[Output],
    options: OutputOptions,
    transform: RigidTransform | None,
    workspace: Workspace,
) -> Computed:
    """Turn the matcher's result, which must have been timed, into what is wanted.

    The outputs may lie in the workspace: use them up before the next call.
    """
    timings = result.timings
    if timings is None:
        raise ValueError('the result has no timings')
    if transform is not None:
        options = replace(options, cloud=replace(options.cloud, transform=transform))
    # Reading the durations waits for the device, so that they do not mix.
    upload_ms, inference_ms = timings.upload_ms, timings.inference_ms
    started = time.perf_counter()
    estimate = Estimate(result.disparity, result.visibility, result.confidence)
    outputs = compute_outputs(
        pair.camera, estimate, wanted, image=pair.left, options=options, workspace=workspace
    )
    sample = result.confidence[::CONFIDENCE_STEP, ::CONFIDENCE_STEP]
    mean_confidence = float(sample.mean())
    elapsed = (time.perf_counter() - started) * 1e3
    return Computed(
        outputs=outputs,
        upload_ms=upload_ms,
        inference_ms=inference_ms,
        geometry_ms=elapsed - outputs.download_ms,
        download_ms=outputs.download_ms,
        mean_confidence=mean_confidence,
    )


def match(matcher: StereoMatcher, pair: StereoPair) -> MatchResult:
    """Match the pair, timed."""
    return matcher.match(pair.left, pair.right, timed=True)


def grey(image: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8 from (H, W) or (H, W, 3) RGB, uint8 or float32 in 0..255."""
    if image.dtype != np.uint8:
        image = image.round().clip(0, 255).astype(np.uint8)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _decode(message: Any, topic: str) -> np.ndarray:
    compressed = isinstance(message, CompressedImage)
    try:
        return decode_compressed_image(message) if compressed else decode_image(message)
    except ImageError as error:
        raise ImageError(f'{topic}: {error}') from error


def _alike(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as colour if one is, and as float32 if one is: drivers mix encodings."""
    if left.ndim != right.ndim:
        left, right = (i if i.ndim == 3 else np.stack((i,) * 3, axis=-1) for i in (left, right))
    if left.dtype != right.dtype:
        left, right = left.astype(np.float32), right.astype(np.float32)
    return left, right


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
