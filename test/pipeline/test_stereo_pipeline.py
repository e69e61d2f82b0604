"""Two images in, everything that follows from them out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import (
    UNKNOWN_DISPARITY,
    CalibrationError,
    CameraModel,
    HostOutputs,
    Output,
    OutputOptions,
    RegionOfInterest,
    RigidTransform,
    TargetCamera,
)
from s2m2_ros.geometry.distance_check import RigCorrection
from s2m2_ros.geometry.image_mask import ImageMask
from s2m2_ros.geometry.pair_findings import FindingKind
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.pipeline import (
    PairInput,
    PairOutputs,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    examine_outputs,
    output_options,
)
from s2m2_ros.pipeline.preparation import alike

SHIFT = 12
SIZE = (96, 160)
# f 200 px and B 0.1 m: 12 px are 200 * 0.1 / 12 m.
DEPTH = 200 * 0.1 / SHIFT


def model(shift: float, source: str) -> CameraModel:
    P = (200.0, 0.0, 80.0, shift, 0.0, 200.0, 48.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return CameraModel(P, SIZE[1], SIZE[0], source=source)


HOST = HostOutputs(None, {}, 0.0, None, '')
CALIBRATION = (model(0.0, 'l_info'), model(-20.0, 'r_info'))


def pair(calibration: tuple[CameraModel, CameraModel] | None = CALIBRATION) -> PairInput:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return PairInput(image, np.roll(image, -SHIFT, axis=1), calibration, '/l', '/r')


@pytest.fixture(scope='module')
def pipeline() -> StereoPipeline:
    return StereoPipeline(StereoMatcher.open(backend='sgbm'))


def test_depth_and_colors_of_another_camera(pipeline: StereoPipeline) -> None:
    # It is 1/12 of the baseline to the right, so it sees every point one pixel further left.
    transform = RigidTransform('color', IDENTITY_ROTATION, (-0.1 / SHIFT, 0.0, 0.0))
    target = TargetCamera.of(model(0.0, 'c_info'), transform, raw=False)
    columns = np.broadcast_to(np.arange(SIZE[1], dtype=np.uint8)[None, :, None], (*SIZE, 3))
    wanted = {Output.DEPTH, Output.REGISTERED_DEPTH, Output.POINTS}
    options = PipelineOptions(outputs=replace(output_options(), target=target))
    outputs = pipeline.process(
        replace(pair(), color=columns), wanted, options, PipelineState()
    ).host
    assert outputs.target == target
    depth, registered = (outputs.arrays[o] for o in (Output.DEPTH, Output.REGISTERED_DEPTH))
    center = slice(30, 66), slice(60, 120)
    moved = slice(30, 66), slice(59, 119)
    np.testing.assert_allclose(registered[moved], depth[center], rtol=0.02)
    points = outputs.arrays[Output.POINTS][center]
    red = np.ascontiguousarray(points[..., 3]).view(np.uint32) >> 16
    known = ~np.isnan(points[..., 2])
    assert known.mean() > 0.9
    expected = np.broadcast_to(np.arange(59, 119), known.shape)
    assert (np.abs(red[known].astype(int) - expected[known]) <= 1).all()


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


def test_clearing_rays_take_other_pixels_each_time(pipeline: StereoPipeline) -> None:
    state = PipelineState()

    def rays(*others: Output) -> set[tuple[float, ...]]:
        wanted = {Output.POINTS_CLEARING, *others}
        host = pipeline.process(pair(), wanted, PipelineOptions(), state).host
        return {tuple(point) for point in host.arrays[Output.POINTS_CLEARING]}

    first, second = rays(), rays()
    pipeline.process(pair(), {Output.DEPTH}, PipelineOptions(), state)
    third = rays(Output.DEPTH)
    assert 50 < len(first) <= 240
    assert not first & second
    assert not (first | second) & third
    assert state.clearing_phase == 3


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


@pytest.mark.parametrize('kind', [np.asarray, torch.from_numpy])
def test_the_left_image_comes_as_bytes(kind: Any) -> None:
    values = np.array([[-3.0, 0.4, 127.5], [128.5, 254.6, 300.0]], np.float32)
    outputs = PairOutputs(HOST, kind(values), kind(values), None, 1 / 16, (2, 3))
    # Halves go to the even neighbor.
    assert outputs.left_image.tolist() == [[0, 0, 128], [128, 255, 255]]
    assert outputs.left_image.dtype == np.uint8


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


def process(pipeline: StereoPipeline, given: PairInput, **options: Any) -> PairOutputs:
    wanted = {Output.DEPTH, Output.CONFIDENCE, Output.POINTS}
    return pipeline.process(given, wanted, PipelineOptions(**options), PipelineState())


@pytest.mark.parametrize('value', [0, 128, 255])
def test_blank_images_are_not_trusted(pipeline: StereoPipeline, value: int) -> None:
    blank = np.full(SIZE, value, np.uint8)
    outputs = process(pipeline, PairInput(blank, blank.copy(), CALIBRATION))
    assert [finding.kind for finding in outputs.findings] == [FindingKind.BLANK]
    assert (outputs.host.arrays[Output.CONFIDENCE] == 0).all()
    assert outputs.mean_confidence == 0


def test_a_covered_lens_is_named_and_nothing_is_trusted(pipeline: StereoPipeline) -> None:
    given = pair()
    outputs = process(pipeline, PairInput(np.zeros_like(given.left), given.right, CALIBRATION))
    (finding,) = outputs.findings
    assert 'the left image is blank' in finding.text
    assert (outputs.host.arrays[Output.CONFIDENCE] == 0).all()


def test_one_picture_on_both_sides_is_not_trusted(pipeline: StereoPipeline) -> None:
    given = pair()
    outputs = process(pipeline, PairInput(given.left, given.left.copy(), CALIBRATION))
    assert [finding.kind for finding in outputs.findings] == [FindingKind.IDENTICAL]
    assert (outputs.host.arrays[Output.CONFIDENCE] == 0).all()


def smooth_pair() -> PairInput:
    """Return a pair whose texture survives interpolation."""
    noise = np.random.default_rng(3).uniform(0, 255, (480, 640)).astype(np.float32)
    texture = np.clip((cv2.GaussianBlur(noise, (0, 0), 2.0) - 127.5) * 6 + 127.5, 0, 255)
    image = texture.astype(np.uint8)
    return PairInput(image, np.roll(image, -16, axis=1), None, 'l.png', 'r.png')


def test_swapped_images_are_found_by_the_examination(pipeline: StereoPipeline) -> None:
    given = smooth_pair()
    options = PipelineOptions()
    swapped = PairInput(given.right, given.left)
    outputs = pipeline.process(swapped, {Output.RAW_DISPARITY}, options, PipelineState())
    examination, found = examine_outputs(outputs, options)
    assert [finding.kind for finding in found] == [FindingKind.SWAPPED]
    assert examination.matches > 30


class TestRawCameras:
    """A raw pair, made by distorting a rectified one."""

    DISTORTION = (-0.3, 0.1, 0.001, -0.001, 0.0)
    FOCAL = 500.0

    def models(self, rotation: float = 0.0) -> tuple[CameraModel, CameraModel]:
        K = (self.FOCAL, 0.0, 320.0, 0.0, self.FOCAL, 240.0, 0.0, 0.0, 1.0)
        turned, _ = cv2.Rodrigues(np.array([rotation, 0.0, 0.0]))
        # 16 px at f 500 px and B 0.08 m are 2.5 m.
        left, right = (
            CameraModel(
                (self.FOCAL, 0.0, 320.0, shift, 0.0, self.FOCAL, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                640,
                480,
                source=source,
                K=K,
                D=self.DISTORTION,
                R=tuple(np.asarray(matrix, np.float64).ravel().tolist()),
                distortion_model='plumb_bob',
            )
            for shift, matrix, source in ((0.0, np.eye(3), 'l'), (-40.0, turned, 'r'))
        )
        return left, right

    def raw(self, image: np.ndarray, model: CameraModel) -> np.ndarray:
        """Return what the raw camera sees: each raw pixel looked up in the rectified image."""
        K = np.array(model.K).reshape(3, 3)
        y, x = np.mgrid[:480, :640]
        pixels = np.stack((x, y), axis=-1).reshape(-1, 1, 2).astype(np.float64)
        found = cv2.undistortPoints(
            pixels,
            K,
            np.array(model.D),
            R=np.array(model.R).reshape(3, 3),
            P=np.array(model.P).reshape(3, 4)[:, :3],
        )
        at = found.reshape(480, 640, 2).astype(np.float32)
        return cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR)

    def pair(self, left_name: str, right_name: str) -> PairInput:
        given, models = smooth_pair(), self.models(rotation=0.02)
        left, right = (
            self.raw(np.asarray(image), model)
            for image, model in zip((given.left, given.right), models, strict=True)
        )
        return PairInput(left, right, models, left_name, right_name)

    def depth(self, outputs: PairOutputs) -> np.ndarray:
        return np.asarray(outputs.host.arrays[Output.DEPTH][100:-100, 150:-100])

    @pytest.mark.parametrize('names', [('/l/image_raw', '/r/image_raw'), ('l.png', 'r.png')])
    def test_raw_images_are_rectified_by_themselves(
        self, pipeline: StereoPipeline, names: tuple[str, str]
    ) -> None:
        outputs = process(pipeline, self.pair(*names))
        assert outputs.rectified
        assert any('rectified here' in note for note in outputs.notes)
        assert np.nanmedian(self.depth(outputs)) == pytest.approx(2.5, rel=0.02)
        assert np.isfinite(self.depth(outputs)).mean() > 0.8

    def test_rectified_images_of_a_raw_calibration_stay_as_they_are(
        self, pipeline: StereoPipeline
    ) -> None:
        # As image_proc sends them: rectified, beside the camera_info of the raw camera.
        given = smooth_pair()
        names = ('/l/image_rect', '/r/image_rect')
        sent = PairInput(given.left, given.right, self.models(rotation=0.02), *names)
        outputs = process(pipeline, sent)
        assert not outputs.rectified
        assert np.nanmedian(self.depth(outputs)) == pytest.approx(2.5, rel=0.02)

    @pytest.mark.parametrize(
        'changes', [{'distortion_model': 'thin_prism'}, {'D': (0.1, 0.0, 0.0)}]
    )
    def test_a_raw_calibration_that_cannot_be_used_need_not_be(
        self, pipeline: StereoPipeline, changes: dict[str, Any]
    ) -> None:
        """Rectified images, whose driver has a model of distortion of its own."""
        left, right = (replace(model, **changes) for model in self.models())
        given = replace(smooth_pair(), calibration=(left, right))
        with pytest.raises(CalibrationError, match='rectified already, set rectify to false'):
            process(pipeline, given)
        depth = self.depth(process(pipeline, given, rectify='false'))
        assert np.nanmedian(depth) == pytest.approx(2.5, rel=0.02)

    def test_the_parameter_decides(self, pipeline: StereoPipeline) -> None:
        raw = self.pair('/l/image', '/r/image')
        assert process(pipeline, raw, rectify='true').rectified
        assert not process(pipeline, raw, rectify='false').rectified

    def test_one_raw_image_given_twice_is_not_called_swapped(
        self, pipeline: StereoPipeline
    ) -> None:
        """Two rectifications make two images of it, of which most points lie beyond infinity."""
        raw = self.pair('/l/image_raw', '/r/image_raw')
        outputs = process(pipeline, replace(raw, right=raw.left))
        assert outputs.rectified
        assert [finding.kind for finding in outputs.findings] == [FindingKind.IDENTICAL]
        assert not outputs.host.arrays[Output.CONFIDENCE].any()

    @pytest.mark.parametrize(
        ('name', 'doubted'), [('', True), ('plumb_bob', False), ('equidistant', False)]
    )
    def test_four_coefficients_of_no_model_are_doubted_where_they_count(
        self, pipeline: StereoPipeline, name: str, doubted: bool
    ) -> None:
        raw = self.pair('/l/image', '/r/image')
        assert raw.calibration is not None
        left, right = (
            replace(model, D=(0.01, 0.0, 0.0, 0.0), distortion_model=name)
            for model in raw.calibration
        )
        raw = replace(raw, calibration=(left, right))
        for rectify, said in (('true', doubted), ('false', False)):
            warnings = process(pipeline, raw, rectify=rectify).warnings
            assert any('distortion_model: equidistant' in text for text in warnings) == said

    def test_nothing_outside_of_the_raw_image_is_trusted(self, pipeline: StereoPipeline) -> None:
        given = self.pair('/l/image_raw', '/r/image_raw')
        left, right = (replace(m, P=(350.0, *m.P[1:5], 350.0, *m.P[6:])) for m in self.models())
        outputs = process(pipeline, replace(given, calibration=(left, right)))
        assert isinstance(outputs.left, np.ndarray)
        outside = outputs.left == 0
        assert outside[0].all()
        assert (outputs.host.arrays[Output.CONFIDENCE][:20] == 0).all()


def test_a_wrong_sign_is_explained_by_the_images(pipeline: StereoPipeline) -> None:
    given, models = smooth_pair(), TestRawCameras().models()
    left, right = (replace(m, D=(), R=(), K=()) for m in models)
    wrong = (left, replace(right, P=(*right.P[:3], 40.0, *right.P[4:])))
    with pytest.raises(CalibrationError, match='The images are in order, so only the sign'):
        process(pipeline, replace(given, calibration=wrong))
    with pytest.raises(CalibrationError, match='The images are swapped too'):
        process(
            pipeline,
            replace(given, left=given.right, right=given.left, calibration=wrong),
        )


def test_an_odd_calibration_is_used_and_noted(pipeline: StereoPipeline) -> None:
    long = (CALIBRATION[0], model(-2000.0, 'r_info'))
    outputs = process(pipeline, pair(long))
    assert any('r_info: the baseline is 10 m' in text for text in outputs.warnings)
    assert np.nanmedian(outputs.host.arrays[Output.DEPTH]) == pytest.approx(100 * DEPTH, rel=0.01)


def test_corrections_of_the_rig_count_in_every_output(pipeline: StereoPipeline) -> None:
    plain = process(pipeline, pair()).host.arrays[Output.DEPTH]
    doubled = process(pipeline, pair(), correction=RigCorrection(depth_scale=2.0))
    np.testing.assert_allclose(doubled.host.arrays[Output.DEPTH], 2 * plain, rtol=1e-6)
    # 12 px and 4 px more: f B / 16 instead of f B / 12.
    moved = process(pipeline, pair(), correction=RigCorrection(disparity_offset=4.0))
    assert np.nanmedian(moved.host.arrays[Output.DEPTH]) == pytest.approx(
        DEPTH * 12 / 16, abs=0.01
    )
    assert moved.camera is not None
    assert moved.camera.principal_point_difference == -4.0


def test_depth_comes_with_its_deviation(pipeline: StereoPipeline) -> None:
    wanted = {Output.DEPTH, Output.UNCERTAINTY}
    outputs = pipeline.process(pair(), wanted, PipelineOptions(), PipelineState())
    depth, deviation = (outputs.host.arrays[o] for o in (Output.DEPTH, Output.UNCERTAINTY))
    known = np.isfinite(depth)
    assert (np.isnan(deviation) == ~known).all()
    # f B = 20 px m and a sigma_d of 0.1 to 0.5 px at high confidence.
    relative = deviation[known] * 20 / depth[known] ** 2
    assert 0.1 < np.median(relative) < 0.5


def test_the_resolution_knows_that_sgbm_shrinks_by_itself() -> None:
    with StereoMatcher.open(backend='sgbm', sgbm=SgbmOptions(working_width=80)) as matcher:
        outputs = StereoPipeline(matcher).process(
            pair(), {Output.DEPTH}, PipelineOptions(), PipelineState()
        )
    assert outputs.resolution == 2 / 16


class TestMask:
    """A region of interest less a polygon: columns 40 to 119, without 60 to 79 of all rows."""

    MASK = ImageMask(
        RegionOfInterest(40, 0, 80, 0),
        (((60.0, 0.0), (79.0, 0.0), (79.0, 95.0), (60.0, 95.0)),),
    )
    KEPT = (*range(40, 60), *range(80, 120))

    # Registered to the left camera itself, depth stays where it is.
    TARGET = TargetCamera.of(
        model(0.0, 'c_info'),
        RigidTransform('left', IDENTITY_ROTATION, (0.0, 0.0, 0.0)),
        raw=False,
    )

    def outputs(
        self, pipeline: StereoPipeline, outputs: OutputOptions | None = None
    ) -> PairOutputs:
        chosen = replace(outputs or output_options(), target=self.TARGET)
        options = PipelineOptions(mask=self.MASK, outputs=chosen)
        return pipeline.process(pair(), set(Output), options, PipelineState())

    def test_gives_no_rays(self, pipeline: StereoPipeline) -> None:
        columns = []
        state = PipelineState()
        for _ in range(8):
            chosen = PipelineOptions(mask=self.MASK)
            host = pipeline.process(pair(), {Output.POINTS_CLEARING}, chosen, state).host
            x, _, z = host.arrays[Output.POINTS_CLEARING].T
            columns += np.rint(x / z * 200 + 80).astype(int).tolist()
        assert len(columns) > 200
        assert set(columns) <= set(self.KEPT)

    def test_left_out_of_every_output(self, pipeline: StereoPipeline) -> None:
        arrays = self.outputs(pipeline).host.arrays
        options = PipelineOptions(outputs=replace(output_options(), target=self.TARGET))
        whole = pipeline.process(pair(), set(Output), options, PipelineState())
        left_out = {
            Output.RAW_DISPARITY: np.nan,
            Output.DISPARITY: UNKNOWN_DISPARITY,
            Output.DEPTH: np.nan,
            Output.UNCERTAINTY: np.nan,
            Output.CONFIDENCE: 0,
            Output.VISIBILITY: 0,
            Output.CONFIDENCE_MASK: 0,
            Output.OCCLUSION_MASK: 255,
            Output.POINTS: np.nan,
            Output.REGISTERED_DEPTH: np.nan,
        }
        assert set(left_out) == set(Output) - {Output.POINTS_CLEARING}
        outside = np.setdiff1d(np.arange(SIZE[1]), self.KEPT)
        for output, value in left_out.items():
            found, expected = arrays[output], whole.host.arrays[output]
            places = found[:, outside]
            if output is Output.POINTS:
                places, found, expected = places[..., 2], found[..., 2], expected[..., 2]
            assert np.array_equal(places, np.full_like(places, value), equal_nan=True), output
            # At the edges the cloud's filter has no neighbors to compare with.
            inner = [c for c in self.KEPT if c not in (40, 59, 80, 119)]
            np.testing.assert_array_equal(found[:, inner], expected[:, inner])

    def test_unfiltered_and_merged_clouds_too(self, pipeline: StereoPipeline) -> None:
        options = output_options(
            points_filter=False, points_flying_pixel_filter=False, points_organized=False
        )
        cloud = self.outputs(pipeline, outputs=options).host.arrays[Output.POINTS]
        columns = 80 + 200 * cloud[:, 0] / cloud[:, 2]
        assert len(cloud)
        assert set(np.rint(columns).astype(int)) <= set(self.KEPT)
        merged = self.outputs(pipeline, outputs=output_options(points_voxel_size=0.1))
        assert 0 < len(merged.host.arrays[Output.POINTS]) < len(cloud)

    def test_the_valid_window_is_the_region(self, pipeline: StereoPipeline) -> None:
        assert self.outputs(pipeline).host.valid_window == RegionOfInterest(40, 0, 80, 96)
        without = pipeline.process(pair(), {Output.DEPTH}, PipelineOptions(), PipelineState())
        assert without.host.valid_window is None

    def test_the_mean_confidence_is_that_of_what_counts(self, pipeline: StereoPipeline) -> None:
        outputs = self.outputs(pipeline)
        confidence = outputs.host.arrays[Output.CONFIDENCE][::8, ::8]
        counts = [c // 8 for c in self.KEPT if c % 8 == 0]
        assert outputs.mean_confidence == pytest.approx(confidence[:, counts].mean(), rel=1e-5)

    def test_it_is_made_once_for_each_size(self, pipeline: StereoPipeline) -> None:
        state = PipelineState()
        first = state.kept(self.MASK, 160, 96, torch.device('cpu'))
        assert state.kept(self.MASK, 160, 96, torch.device('cpu')) is first
        assert state.kept(self.MASK, 160, 99, torch.device('cpu')).factor.shape == (99, 160)

    def test_what_does_not_fit_is_an_error_of_the_image(self, pipeline: StereoPipeline) -> None:
        wrong = ImageMask(RegionOfInterest(0, 0, 161, 0))
        with pytest.raises(ImageError, match=r'roi = \[0, 0, 161, 0\] .* 160x96 pixels'):
            pipeline.process(pair(), {Output.DEPTH}, PipelineOptions(mask=wrong), PipelineState())

    def test_without_calibration(self, pipeline: StereoPipeline) -> None:
        outputs = pipeline.process(
            pair(None),
            {Output.RAW_DISPARITY},
            PipelineOptions(mask=self.MASK),
            PipelineState(),
        )
        known = np.isfinite(outputs.host.arrays[Output.RAW_DISPARITY]).any(axis=0)
        assert set(np.flatnonzero(known)) <= set(self.KEPT)


def test_a_mask_file_without_effect_is_noted(pipeline: StereoPipeline) -> None:
    for picture, noted in ((np.ones(SIZE, bool), True), (np.arange(SIZE[1]) > 20, False)):
        mask = ImageMask(picture=np.broadcast_to(picture, SIZE))
        outputs = pipeline.process(
            pair(), {Output.DEPTH}, PipelineOptions(mask=mask), PipelineState()
        )
        assert any('leaves out no pixel' in note for note in outputs.notes) == noted
