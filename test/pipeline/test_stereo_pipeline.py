"""Two images in, everything that follows from them out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, CameraModel, Output
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.pipeline import PairInput, PipelineOptions, PipelineState, StereoPipeline
from s2m2_ros.pipeline.stereo_pipeline import alike

SHIFT = 12
SIZE = (96, 160)
# f 200 px and B 0.1 m: 12 px are 200 * 0.1 / 12 m.
DEPTH = 200 * 0.1 / SHIFT


def model(shift: float, source: str) -> CameraModel:
    P = (200.0, 0.0, 80.0, shift, 0.0, 200.0, 48.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return CameraModel(P, SIZE[1], SIZE[0], source=source)


CALIBRATION = (model(0.0, 'l_info'), model(-20.0, 'r_info'))


def pair(calibration: tuple[CameraModel, CameraModel] | None = CALIBRATION) -> PairInput:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return PairInput(image, np.roll(image, -SHIFT, axis=1), calibration, '/l', '/r')


@pytest.fixture(scope='module')
def pipeline() -> StereoPipeline:
    return StereoPipeline(StereoMatcher.open(backend='sgbm'))


def test_a_pair_becomes_depth(pipeline: StereoPipeline) -> None:
    outputs = pipeline.process(
        pair(), {Output.DEPTH, Output.POINTS}, PipelineOptions(), PipelineState()
    )
    depth = outputs.host.arrays[Output.DEPTH]
    assert np.nanmedian(depth) == pytest.approx(DEPTH, abs=0.01)
    assert outputs.host.arrays[Output.POINTS].shape == (*SIZE, 4)
    assert outputs.working_size == SIZE
    assert outputs.resolution == 1 / 16
    assert 0 < outputs.mean_confidence <= 1
    assert outputs.times.inference_ms > 0


def test_without_calibration_the_disparity_remains(pipeline: StereoPipeline) -> None:
    outputs = pipeline.process(
        pair(None), {Output.RAW_DISPARITY}, PipelineOptions(), PipelineState()
    )
    assert outputs.camera is None
    disparity = outputs.host.arrays[Output.RAW_DISPARITY]
    assert np.nanmedian(disparity) == pytest.approx(SHIFT, abs=0.1)


def test_nothing_is_matched_when_nothing_is_wanted(pipeline: StereoPipeline) -> None:
    outputs = pipeline.process(pair(), (), PipelineOptions(), PipelineState())
    assert not outputs.host.arrays
    assert math.isnan(outputs.times.inference_ms)
    assert math.isnan(outputs.mean_confidence)


def test_resolution_follows_the_working_size() -> None:
    with StereoMatcher.open(backend='sgbm', max_width=80) as matcher:
        outputs = StereoPipeline(matcher).process(
            pair(), {Output.DEPTH}, PipelineOptions(), PipelineState()
        )
    assert (outputs.working_size, outputs.resolution) == ((48, 80), 2 / 16)


def test_sizes_that_differ_name_both_images(pipeline: StereoPipeline) -> None:
    image = np.zeros((240, 320), np.uint8)
    odd = PairInput(image, image[:120, :160], None, '/cam/l', '/cam/r')
    with pytest.raises(ImageError, match='/cam/l is 320x240 and /cam/r 160x120'):
        pipeline.process(odd, {Output.RAW_DISPARITY}, PipelineOptions(), PipelineState())


def test_a_calibration_of_another_size_names_its_source(pipeline: StereoPipeline) -> None:
    small = pair()
    odd = PairInput(small.left[:48], small.right[:48], CALIBRATION)
    with pytest.raises(CalibrationError, match=r'l_info: .*160x96.*160x48'):
        pipeline.process(odd, {Output.DEPTH}, PipelineOptions(), PipelineState())


def test_a_gray_and_a_colored_view_both_become_colored() -> None:
    gray, color = np.full((2, 2), 3, np.uint8), np.full((2, 2, 3), 7, np.uint8)
    left, right = alike(PairInput(gray, color))
    assert left.shape == right.shape == (2, 2, 3)
    assert (left == 3).all()
    assert (right == 7).all()


def test_bytes_and_floats_both_become_float() -> None:
    left, right = alike(PairInput(np.zeros((2, 2), np.uint8), np.full((2, 2), 9.5, np.float32)))
    assert left.dtype == right.dtype == np.float32
    assert (right == 9.5).all()


def test_a_new_calibration_counts_at_once() -> None:
    state = PipelineState()
    assert state.camera(CALIBRATION).baseline == pytest.approx(0.1)
    assert state.camera(CALIBRATION) is state.camera(CALIBRATION)
    other = (CALIBRATION[0], model(-40.0, 'r_info'))
    assert state.camera(other).baseline == pytest.approx(0.2)
