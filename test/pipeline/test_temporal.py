"""When the running estimate of a camera goes on, and when it begins anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from s2m2_ros.geometry import (
    CameraModel,
    Output,
    PrincipalPoint,
    RegionOfInterest,
    RigidTransform,
    StereoCamera,
)
from s2m2_ros.geometry.image_mask import ImageMask
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.pipeline import (
    Moment,
    PairInput,
    PairOutputs,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    TemporalOptions,
)
from s2m2_ros.pipeline.temporal import Measurement, Remembered, filtered
from support.maps import maps

SECOND = 10**9
STATIC, TF = TemporalOptions('static'), TemporalOptions('tf')
CAMERA = StereoCamera(
    width=32,
    height=24,
    focal_length=100.0,
    focal_length_y=100.0,
    baseline=0.1,
    left=PrincipalPoint(16.0, 12.0),
    right=PrincipalPoint(16.0, 12.0),
)
# The mean of 10.0 and 10.2 with 20 frames of memory: K = 1 / 1.95.
AVERAGED = 10 + 0.2 / 1.95


def pose(x: float = 0.0, frame: str = 'odom') -> RigidTransform:
    return RigidTransform(frame, IDENTITY_ROTATION, (x, 0.0, 0.0))


def measurement(disparity: float, seconds: float | None, **changes: Any) -> Measurement:
    size = (CAMERA.height, CAMERA.width)
    given = {
        'result': maps(torch.full(size, disparity)),
        'deviation': lambda confidence: torch.full_like(confidence, 0.5),
        'camera': CAMERA,
        'source': ('network', 'torch', 1.0, False),
        'scale': 1.0,
        'stamp_ns': None if seconds is None else round(seconds * SECOND),
        'pose': pose(),
    }
    return Measurement(**(given | changes))  # type: ignore[arg-type]


def second(
    later: Measurement,
    options: TemporalOptions = STATIC,
    first: Measurement | None = None,
) -> float:
    """Return the disparity of a second pair, after one of 10 px at 5 s."""
    _, kept, _ = filtered(first or measurement(10.0, 5.0), None, options)
    result, _, _ = filtered(later, kept, options)
    assert result.disparity.amin() == result.disparity.amax()
    return float(result.disparity[0, 0])


@pytest.mark.parametrize('seconds', [5.0, 5.033, 5.5, 10.0, None])
def test_it_goes_on_over_dropped_frames_and_without_timestamps(seconds: float | None) -> None:
    assert second(measurement(10.2, seconds)) == pytest.approx(AVERAGED, abs=1e-5)


@pytest.mark.parametrize('seconds', [4.9, 0.1, 10.1, 500.0])
def test_a_jump_in_time_begins_anew(seconds: float) -> None:
    assert second(measurement(10.2, seconds)) == np.float32(10.2)
    patient = replace(STATIC, max_gap=1000.0)
    assert (second(measurement(10.2, seconds), patient) == np.float32(10.2)) == (seconds < 5)


@pytest.mark.parametrize(
    'changes',
    [
        {'camera': replace(CAMERA, baseline=0.11)},
        {'camera': None},
        {'source': ('sgbm', 'sgbm', 1.0, False)},
        {'source': ('network', 'torch', 2.0, False), 'scale': 2.0},
        {'result': maps(torch.full((48, 64), 10.2))},
    ],
)
def test_another_calibration_size_or_network_begins_anew(changes: dict[str, Any]) -> None:
    assert second(measurement(10.2, 5.1, **changes)) == np.float32(10.2)


def test_another_fixed_frame_begins_anew() -> None:
    later = measurement(10.2, 5.1, pose=pose(frame='map'))
    assert second(later, TF) == np.float32(10.2)
    assert second(later, STATIC) == pytest.approx(AVERAGED, abs=1e-5)


def test_another_mode_begins_anew_and_off_forgets() -> None:
    _, kept, _ = filtered(measurement(10.0, 5.0), None, STATIC)
    result, kept, _ = filtered(measurement(10.2, 5.1), kept, TF)
    assert float(result.disparity[0, 0]) == np.float32(10.2)
    given = measurement(10.4, 5.2)
    result, kept, notes = filtered(given, kept, TemporalOptions())
    assert (result, kept, notes) == (given.result, None, ())


def test_a_pair_without_pose_comes_back_and_the_next_one_goes_on() -> None:
    """The transform came late for one pair: the motion of both is made up for at once."""
    _, kept, _ = filtered(measurement(10.0, 5.0), None, TF)
    late = measurement(10.2, 5.1, pose=None)
    result, unchanged, notes = filtered(late, kept, TF)
    assert result is late.result
    assert unchanged is kept
    assert notes == ()
    # 100 * 0.1 / 10 px = 1 m away; 0.01 m to the right is one pixel.
    result, kept, _ = filtered(measurement(10.2, 5.2, pose=pose(0.01)), kept, TF)
    assert result.disparity[0].tolist() == pytest.approx([AVERAGED] * 31 + [10.2], abs=1e-4)
    assert kept is not None
    assert kept.pose == pose(0.01)


def test_motion_below_a_pixel_adds_up() -> None:
    """0.2 mm are 0.02 px, which is nothing; the third time it is more than 0.05 px."""
    _, kept, _ = filtered(measurement(10.0, 5.0), None, TF)
    poses = []
    for frame in range(1, 5):
        here = measurement(10.0, 5 + 0.1 * frame, pose=pose(0.0002 * frame))
        _, kept, _ = filtered(here, kept, TF)
        assert kept is not None and kept.pose is not None
        poses.append(kept.pose.translation[0])
    assert poses == pytest.approx([0, 0, 0.0006, 0.0006])


@pytest.mark.parametrize(
    ('options', 'advice'),
    [(STATIC, 'the node can follow one that moves'), (TF, 'transforms that follow')],
)
def test_motion_that_nothing_explains_begins_anew(options: TemporalOptions, advice: str) -> None:
    _, kept, _ = filtered(measurement(10.0, 5.0), None, options)
    for frame in range(4):
        _, kept, notes = filtered(measurement(10.0, 5 + frame / 10), kept, options)
        assert notes == ()
    jumped = measurement(13.0, 5.5)
    # A quarter of the view stays as it was, and would agree.
    jumped.result.disparity[:6] = 10.1
    result, kept, notes = filtered(jumped, kept, options)
    assert torch.equal(result.disparity, jumped.result.disparity)
    (note,) = notes
    assert 'most of the image changed' in note
    assert advice in note
    assert kept is not None
    assert torch.equal(kept.estimate.disparity, jumped.result.disparity)


def test_confidence_and_visibility_stay_those_of_the_pair() -> None:
    _, kept, _ = filtered(measurement(10.0, 5.0), None, STATIC)
    size = (CAMERA.height, CAMERA.width)
    confidence, visibility = torch.rand(size), torch.rand(size)
    given = maps(torch.full(size, 10.2), visibility, confidence)
    result, _, _ = filtered(measurement(10.2, 5.1, result=given), kept, STATIC)
    assert result.confidence is confidence
    assert result.visibility is visibility


def test_what_is_remembered_is_not_the_matchers_memory() -> None:
    """Captured graphs write every result into the same maps."""
    given = measurement(10.0, 5.0)
    _, kept, _ = filtered(given, None, STATIC)
    given.result.disparity.fill_(99.0)
    assert kept is not None
    assert float(kept.estimate.disparity.amax()) == 10


def test_maps_of_inference_mode_are_taken() -> None:
    kept: Remembered | None = None
    for disparity in (10.0, 10.2):
        with torch.inference_mode():
            given = measurement(disparity, 5.0)
        result, kept, _ = filtered(given, kept, STATIC)
    assert float(result.disparity[0, 0]) == pytest.approx(AVERAGED, abs=1e-5)


SHIFT = 12


def model(shift: float, focal: float = 200.0) -> CameraModel:
    P = (focal, 0.0, 80.0, shift, 0.0, focal, 48.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return CameraModel(P, 160, 96, source='info')


CALIBRATION = (model(0.0), model(-20.0))


def noisy_pairs(count: int, **changes: Any) -> Sequence[PairInput]:
    """Return pairs of one still scene with noise of the images, ten per second."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (96, 160)).astype(np.float32)
    views = image, np.roll(image, -SHIFT, axis=1)
    pairs = []
    for number in range(count):
        left, right = (
            np.clip(view + random.normal(0, 8, view.shape), 0, 255).astype(np.uint8)
            for view in views
        )
        moment = Moment(SECOND + number * SECOND // 10)
        pair = PairInput(left, right, CALIBRATION, '/l', '/r', moment=moment)
        pairs.append(replace(pair, **changes))
    return pairs


@pytest.fixture(scope='module')
def pipeline() -> StereoPipeline:
    return StereoPipeline(StereoMatcher.open(backend='sgbm'))


WANTED = {Output.RAW_DISPARITY, Output.CONFIDENCE, Output.VISIBILITY}


def run(
    pipeline: StereoPipeline,
    pairs: Sequence[PairInput],
    options: TemporalOptions,
    state: PipelineState | None = None,
    **others: Any,
) -> list[PairOutputs]:
    state = state or PipelineState()
    given = PipelineOptions(temporal=options, **others)
    return [pipeline.process(pair, WANTED, given, state) for pair in pairs]


def stacked(outputs: Sequence[PairOutputs], output: Output) -> np.ndarray:
    return np.stack([o.host.arrays[output] for o in outputs])


def test_flicker_of_a_still_scene_falls_by_three(pipeline: StereoPipeline) -> None:
    pairs = noisy_pairs(24)
    raw, averaged = (run(pipeline, pairs, options) for options in (TemporalOptions(), STATIC))
    measured, smooth = (stacked(made, Output.RAW_DISPARITY) for made in (raw, averaged))
    np.testing.assert_array_equal(np.isfinite(measured), np.isfinite(smooth))
    for output in (Output.CONFIDENCE, Output.VISIBILITY):
        np.testing.assert_array_equal(stacked(raw, output), stacked(averaged, output))
    known = np.isfinite(measured).all(axis=0)
    assert known.mean() > 0.8
    flicker = [made[8:, known].std(axis=0).mean() for made in (measured, smooth)]
    assert flicker[0] > 3 * flicker[1] > 0
    assert abs(np.mean(smooth[-1][known]) - np.mean(measured[:, known])) < 0.02


def test_the_state_forgets(pipeline: StereoPipeline) -> None:
    pairs = noisy_pairs(3)
    state = PipelineState()
    for change in ('reset', 'calibration', 'off', 'blank'):
        run(pipeline, pairs[:2], STATIC, state)
        assert state.temporal is not None
        later = pairs[2]
        if change == 'reset':
            state.reset()
        elif change == 'calibration':
            later = replace(later, calibration=(model(0.0, 210.0), model(-20.0, 210.0)))
        elif change == 'off':
            run(pipeline, pairs[:1], TemporalOptions(), state)
        else:
            blank = np.full((96, 160), 17, np.uint8)
            covered = [replace(later, left=blank, right=blank)] * 2
            for outputs in run(pipeline, covered, STATIC, state):
                assert not outputs.host.arrays[Output.CONFIDENCE].any()
        (fresh,) = run(pipeline, [later], TemporalOptions())
        (made,) = run(pipeline, [later], STATIC, state)
        np.testing.assert_array_equal(
            made.host.arrays[Output.RAW_DISPARITY], fresh.host.arrays[Output.RAW_DISPARITY]
        )
        state.reset()


def test_what_a_mask_leaves_out_is_never_known(pipeline: StereoPipeline) -> None:
    pairs = noisy_pairs(4)
    state = PipelineState()
    run(pipeline, pairs[:3], STATIC, state)
    mask = ImageMask(RegionOfInterest(0, 0, 80, 96))
    (made,) = run(pipeline, pairs[3:], STATIC, state, mask=mask)
    assert np.isnan(made.host.arrays[Output.RAW_DISPARITY][:, 80:]).all()
    assert not made.host.arrays[Output.CONFIDENCE][:, 80:].any()


def test_the_pose_is_asked_for_only_where_it_is_needed(pipeline: StereoPipeline) -> None:
    asked: list[str] = []

    def find() -> RigidTransform:
        asked.append('pose')
        return pose()

    pairs = noisy_pairs(2, moment=Moment(SECOND, find))
    run(pipeline, pairs, STATIC)
    run(pipeline, pairs, TemporalOptions())
    assert not asked
    state = PipelineState()
    run(pipeline, pairs, TF, state)
    assert len(asked) == 2
    assert state.temporal is not None


def test_without_calibration_a_still_camera_is_averaged(pipeline: StereoPipeline) -> None:
    pairs = noisy_pairs(2, calibration=None)
    raw, averaged = (
        stacked(run(pipeline, pairs, options), Output.RAW_DISPARITY)
        for options in (TemporalOptions(), STATIC)
    )
    assert (raw[1] != averaged[1])[np.isfinite(raw[1])].mean() > 0.5
