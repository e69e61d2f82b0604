"""Whether the outputs of a device are those of the processor, for the same disparity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from s2m2_ros.confidence_tables import meaning_of
from s2m2_ros.geometry import CameraModel, Output, RegionOfInterest, TargetCamera
from s2m2_ros.geometry.image_mask import ImageMask
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.inference import MatchResult, StereoMatcher
from s2m2_ros.inference.engines.made_pairs import PlantedScene
from s2m2_ros.pipeline.options import PipelineOptions, output_options
from s2m2_ros.pipeline.pair import PairInput
from s2m2_ros.pipeline.state import PipelineState
from s2m2_ros.pipeline.stereo_pipeline import StereoPipeline
from s2m2_ros.pipeline.temporal import Moment, TemporalOptions

SCENE = PlantedScene(height=96, width=160, behind=5, front=12)
FOCAL, BASELINE = 120.0, 0.1  # pixels, meters
PAIRS = 3
# Values agree if they differ by less than this, relative to themselves where they exceed 1.
TOLERANCE = 1e-4
# Pixels at which rounding may decide otherwise: edges of thresholds, masks and footprints.
MOST_DIFFERING = 0.005
# What a packed color can be; as numbers these are all as good as 0.
LARGEST_COLOR = 0x00FFFFFF
# Voxels average whatever falls into them, so that a pixel more or less moves a few points.
MOST_DIFFERING_VOXELS = 0.02


@dataclass(frozen=True)
class OutputCheck:
    """How one output of a device compares with the processor's.

    Attributes:
        case: how the pipeline was set, of `cases`.
        output: name of the `Output`.
        differing: fraction of the values that do not agree; 1 if there are more or fewer.
        agrees: whether that is little enough.

    """

    case: str
    output: str
    differing: float
    agrees: bool


class PlantedMatcher:
    """Knows the answer, and gives it on a device; in place of a `StereoMatcher`."""

    backend = 'planted'
    confidence_table = 'S'
    confidence_meaning = meaning_of('S')

    def __init__(self, device: torch.device) -> None:
        self.device = device
        random = np.random.default_rng(0)
        disparity = np.full((SCENE.height, SCENE.width), SCENE.behind, np.float32)
        disparity[SCENE.rows, SCENE.columns] = SCENE.front
        disparity += random.uniform(0, 0.5, disparity.shape).astype(np.float32)
        # Nothing near a threshold, where rounding would decide.
        masks = random.choice(np.array([0.2, 0.9], np.float32), (2, *disparity.shape))
        self._maps = [torch.from_numpy(m).to(device) for m in (disparity, *masks)]

    def match(self, left: Any, right: Any, *, timed: bool) -> MatchResult:
        """Return the planted maps, whatever the images."""
        del right, timed
        image = torch.as_tensor(left, device=self.device) if self.device.type != 'cpu' else None
        disparity, visibility, confidence = (m.clone() for m in self._maps)
        return MatchResult(disparity, visibility, confidence, image=image)

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size itself, as for all that follows."""
        return height, width

    def matched_width(self, height: int, width: int) -> int:
        """Return the width."""
        return width

    def refined_width(self, height: int, width: int) -> int:
        """Return the width."""
        return width

    def remarks(self, height: int, width: int) -> tuple[str, ...]:
        """Return nothing worth saying."""
        return ()


def cases() -> Mapping[str, PipelineOptions]:
    """Return the settings that are tried, by name."""
    target = TargetCamera(
        width=120,
        height=80,
        fx=100.0,
        fy=100.0,
        cx=60.0,
        cy=40.0,
        rotation=IDENTITY_ROTATION,
        translation=(0.02, 0.01, 0.0),
    )
    return {
        'plain': PipelineOptions(),
        'rectified here': PipelineOptions(rectify='true'),
        'averaged': PipelineOptions(temporal=TemporalOptions('static')),
        'masked': PipelineOptions(mask=ImageMask(RegionOfInterest(8, 4, width=120, height=80))),
        'known points': PipelineOptions(
            outputs=output_options(
                points_organized=False, points_confidence=True, points_uncertainty=True
            )
        ),
        'voxels': PipelineOptions(outputs=output_options(points_voxel_size=0.1)),
        'registered': PipelineOptions(outputs=replace(output_options(), target=target)),
    }


def check_outputs(device: torch.device) -> Iterator[OutputCheck]:
    """Compare all outputs of a device with those of the processor, for each of the `cases`."""
    for case, options in cases().items():
        expected = _outputs(torch.device('cpu'), options)
        found = _outputs(device, options)
        limit = MOST_DIFFERING_VOXELS if case == 'voxels' else MOST_DIFFERING
        for output, values in expected.items():
            differing = differing_fraction(found[output], values)
            yield OutputCheck(case, output.name, differing, differing <= limit)


def differing_fraction(found: np.ndarray, expected: np.ndarray) -> float:
    """Return which fraction of the values do not agree; 1 for another shape or type.

    Unknown values (NaN) agree with each other, and colors of clouds (packed into float32) by one
    step in each channel.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return 1.0
    if not expected.size:
        return 0.0
    if expected.dtype != np.float32:
        return float((found != expected).mean())
    near = np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    bits = np.ascontiguousarray(expected).view(np.uint32)
    is_color = (bits > 0) & (bits <= LARGEST_COLOR)
    return float(1 - np.where(is_color, _alike_colors(found, expected), near).mean())


def _alike_colors(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return where the four bytes of float32 values are one apart at most."""
    bytes_of = [
        np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, 4).astype(np.int16)
        for values in (found, expected)
    ]
    return np.asarray(np.abs(bytes_of[0] - bytes_of[1]).max(axis=-1) <= 1)


def _outputs(device: torch.device, options: PipelineOptions) -> dict[Output, np.ndarray]:
    """Return copies of all outputs of the last of a few pairs."""
    matcher = cast(StereoMatcher, PlantedMatcher(device))
    pipeline, state = StereoPipeline(matcher), PipelineState()
    left, right = (image[0].permute(1, 2, 0).to(torch.uint8).numpy() for image in SCENE.images())
    calibration = _camera(0.0), _camera(-FOCAL * BASELINE)
    wanted = set(Output)
    if options.outputs.target is None:
        wanted.remove(Output.REGISTERED_DEPTH)
    arrays: dict[Output, np.ndarray] = {}
    for number in range(PAIRS):
        pair = PairInput(left, right, calibration, moment=Moment(number * 10**8))
        outputs = pipeline.process(pair, wanted, options, state)
        arrays = {output: np.array(array) for output, array in outputs.host.arrays.items()}
    return arrays


def _camera(shift: float) -> CameraModel:
    """Return a camera with a slightly distorting lens; ``shift`` is ``P[3]``."""
    cx, cy = SCENE.width / 2, SCENE.height / 2
    cosine, sine = math.cos(0.01), math.sin(0.01)
    return CameraModel(
        (FOCAL, 0.0, cx, shift, 0.0, FOCAL, cy, 0.0, 0.0, 0.0, 1.0, 0.0),
        SCENE.width,
        SCENE.height,
        K=(FOCAL, 0.0, cx, 0.0, FOCAL, cy, 0.0, 0.0, 1.0),
        D=(-0.05, 0.01, 0.0, 0.0, 0.0),
        R=(1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine),
        distortion_model='plumb_bob',
    )
