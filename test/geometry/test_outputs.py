"""Everything that is published of one estimate, as host arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.geometry import (
    UNKNOWN_DISPARITY,
    CalibrationError,
    CloudLayout,
    CloudOptions,
    FlyingPixelFilter,
    HostOutputs,
    Output,
    OutputOptions,
    PixelFilter,
    PrincipalPoint,
    RigidTransform,
    StereoCamera,
    TargetCamera,
    Workspace,
    compute_outputs,
    pixel_kernel,
)
from s2m2_ros.geometry.download import pack, unpack
from s2m2_ros.geometry.filters import flying_pixels
from s2m2_ros.geometry.target_camera import IDENTITY_ROTATION
from s2m2_ros.inference import MatchResult
from support.maps import maps

NAN = math.nan
IMAGE = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [250, 251, 252]]], np.uint8)


@pytest.fixture
def estimate() -> MatchResult:
    return maps(
        disparity=torch.tensor([[1.0, 0.5], [NAN, 1.25]]),
        visibility=torch.tensor([[1.0, 0.4], [0.5, 0.0]]),
        confidence=torch.tensor([[0.9, 0.5], [0.8, 0.1]]),
    )


def cloud(
    camera: StereoCamera, estimate: MatchResult, image: Any = IMAGE, **options: object
) -> np.ndarray:
    chosen = OutputOptions(cloud=CloudOptions(**options))  # type: ignore[arg-type]
    outputs = compute_outputs(camera, estimate, {Output.POINTS}, image=image, options=chosen)
    return outputs.arrays[Output.POINTS]


@pytest.mark.usefixtures('either_way')
class TestImages:
    def compute(
        self,
        make_camera: Callable[..., StereoCamera],
        estimate: MatchResult,
        *wanted: Output,
        **options: object,
    ) -> HostOutputs:
        chosen = OutputOptions(**options)  # type: ignore[arg-type]
        return compute_outputs(make_camera(2, 2), estimate, wanted, options=chosen)

    def test_only_what_is_wanted(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        assert set(self.compute(make_camera, estimate).arrays) == set()
        outputs = self.compute(make_camera, estimate, Output.DEPTH, Output.CONFIDENCE)
        assert set(outputs.arrays) == {Output.DEPTH, Output.CONFIDENCE}

    def test_disparity_is_finite_everywhere(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        outputs = self.compute(make_camera, estimate, Output.DISPARITY)
        assert outputs.arrays[Output.DISPARITY].tolist() == [[1.0, 0.5], [-1.0, 1.25]]
        assert outputs.max_disparity == 16.0

    def test_disparity_is_adjusted_by_the_principal_points(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        camera = make_camera(2, 2, left=PrincipalPoint(0.75, 0), right=PrincipalPoint(0, 0))
        outputs = compute_outputs(camera, estimate, {Output.DISPARITY})
        assert outputs.arrays[Output.DISPARITY].tolist() == [[0.25, -1.0], [-1.0, 0.5]]

    @pytest.mark.parametrize(('largest', 'limit'), [(15.9, 16), (16.0, 32), (63.0, 64), (NAN, 16)])
    def test_max_disparity_is_above_every_disparity(
        self, make_camera: Callable[..., StereoCamera], largest: float, limit: float
    ) -> None:
        estimate = maps(torch.tensor([[largest] * 64]))
        outputs = compute_outputs(make_camera(64, 1), estimate, {Output.DISPARITY})
        assert outputs.max_disparity == limit

    def test_depth(self, make_camera: Callable[..., StereoCamera], estimate: MatchResult) -> None:
        depth = self.compute(make_camera, estimate, Output.DEPTH).arrays[Output.DEPTH]
        np.testing.assert_array_equal(depth, [[10, 20], [NAN, 8]])
        limited = PixelFilter(max_depth=9.0)
        outputs = self.compute(make_camera, estimate, Output.DEPTH, depth_filter=limited)
        np.testing.assert_array_equal(outputs.arrays[Output.DEPTH], [[NAN, NAN], [NAN, 8]])

    def test_masks(self, make_camera: Callable[..., StereoCamera], estimate: MatchResult) -> None:
        wanted = (Output.CONFIDENCE_MASK, Output.OCCLUSION_MASK)
        arrays = self.compute(make_camera, estimate, *wanted).arrays
        # An unknown disparity is not trusted, whatever its confidence.
        assert arrays[Output.CONFIDENCE_MASK].tolist() == [[255, 255], [0, 0]]
        assert arrays[Output.OCCLUSION_MASK].tolist() == [[0, 255], [0, 255]]
        arrays = self.compute(
            make_camera, estimate, *wanted, min_confidence=0.6, min_visibility=0.2
        ).arrays
        assert arrays[Output.CONFIDENCE_MASK].tolist() == [[255, 0], [0, 0]]
        assert arrays[Output.OCCLUSION_MASK].tolist() == [[0, 0], [0, 255]]
        assert arrays[Output.OCCLUSION_MASK].dtype == np.uint8

    def test_confidence_and_visibility_are_filled_everywhere(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        arrays = self.compute(make_camera, estimate, Output.CONFIDENCE, Output.VISIBILITY).arrays
        np.testing.assert_array_equal(arrays[Output.CONFIDENCE], estimate.confidence)
        np.testing.assert_array_equal(arrays[Output.VISIBILITY], estimate.visibility)

    def test_missing_inputs_are_told(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        with pytest.raises(ValueError, match='image'):
            self.compute(make_camera, estimate, Output.POINTS)
        with pytest.raises(ValueError, match='calibrated camera'):
            compute_outputs(None, estimate, {Output.DEPTH})

    def test_without_calibration_the_maps_themselves_remain(self) -> None:
        raw = torch.tensor([[3.0, math.inf, math.nan, -2.0]])
        sure = torch.tensor([[0.9, 0.9, 0.9, 0.1]])
        arrays = compute_outputs(
            None,
            maps(raw, sure, sure),
            {Output.RAW_DISPARITY, Output.CONFIDENCE_MASK, Output.OCCLUSION_MASK},
        ).arrays
        expected = np.array([[3.0, math.nan, math.nan, -2.0]], np.float32)
        np.testing.assert_array_equal(arrays[Output.RAW_DISPARITY], expected)
        assert arrays[Output.CONFIDENCE_MASK].tolist() == [[255, 0, 0, 0]]
        assert arrays[Output.OCCLUSION_MASK].tolist() == [[0, 0, 0, 255]]

    def test_wrong_size_is_told(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        with pytest.raises(CalibrationError, match='2x2'):
            compute_outputs(make_camera(3, 2), estimate, {Output.DEPTH})

    def test_results_of_inference_mode_are_welcome(
        self, make_camera: Callable[..., StereoCamera]
    ) -> None:
        with torch.inference_mode():
            estimate = maps(*(torch.full((2, 2), 0.5) for _ in range(3)))
        workspace, camera = Workspace(), make_camera(2, 2)
        target = TargetCamera(
            2, 2, 100.0, 100.0, 0.0, 0.0, IDENTITY_ROTATION, (0.0, 0.0, 0.0), 'color'
        )
        for inside in (True, False):
            with torch.inference_mode(inside):
                outputs = compute_outputs(
                    camera,
                    estimate,
                    list(Output),
                    image=IMAGE,
                    deviation=torch.ones_like,
                    options=OutputOptions(target=target),
                    workspace=workspace,
                )
            assert set(outputs.arrays) == set(Output)
            assert outputs.arrays[Output.POINTS][0, 0, 2] == 20.0


def test_opencv_finds_the_unknown_pixels_of_the_disparity(
    make_camera: Callable[..., StereoCamera],
) -> None:
    disparity = torch.tensor([[NAN, 2.0, 1.0], [3.5, -4.0, math.inf]])
    camera = make_camera(4, 2)
    estimate = maps(torch.nn.functional.pad(disparity, (0, 1), value=3.0))
    array = compute_outputs(camera, estimate, {Output.DISPARITY}).arrays[Output.DISPARITY]
    Q = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 100], [0, 0, 1 / 0.1, 0]])
    depth = cv2.reprojectImageTo3D(array, Q, handleMissingValues=True)[..., 2]
    missing = 10000.0  # OpenCV's marker
    expected = np.array([[missing, 5, 10, 10 / 3], [10 / 3.5, missing, missing, 10 / 3]])
    np.testing.assert_allclose(depth, expected, rtol=1e-6)
    assert UNKNOWN_DISPARITY == -1.0


@pytest.mark.usefixtures('either_way')
class TestClouds:
    def test_organized_xyzrgb(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        records = cloud(make_camera(2, 2), estimate)
        assert records.shape == (2, 2, 4)
        # Z = 10 / d, X = u / 100 * Z, Y = v / 100 * Z
        xyz = np.array([[[0, 0, 10], [0.2, 0, 20]], [[NAN, NAN, NAN], [0.08, 0.08, 8]]])
        np.testing.assert_allclose(records[..., :3], xyz, rtol=1e-6)
        colors = records[..., 3:].view(np.uint32)[..., 0]
        assert colors.tolist() == [[0x010203, 0x040506], [0x070809, 0xFAFBFC]]

    def test_dense_holds_valid_points_only(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        records = cloud(make_camera(2, 2), estimate, organized=False)
        assert records.shape == (3, 4)
        np.testing.assert_allclose(records[:, 2], [10, 20, 8])
        assert records[:, 3].view(np.uint32).tolist() == [0x010203, 0x040506, 0xFAFBFC]

    def test_dense_may_be_empty(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        far = PixelFilter(min_depth=1000.0)
        records = cloud(make_camera(2, 2), estimate, organized=False, filter=far)
        assert records.shape == (0, 4)

    def test_padded_with_confidence(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        records = cloud(make_camera(2, 2), estimate, padded=True, confidence=True)
        assert records.shape == (2, 2, 8)
        assert records[1, 1, 4:5].view(np.uint32).tolist() == [0xFAFBFC]
        np.testing.assert_array_equal(records[..., 5], estimate.confidence)
        assert not records[..., [3, 6, 7]].any()

    def test_intensity_is_luma(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        records = cloud(make_camera(2, 2), estimate, color='intensity')
        # 0.299 * 250 + 0.587 * 251 + 0.114 * 252
        assert records[1, 1, 3] == pytest.approx(250.815, abs=1e-3)

    def test_gray_images(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        gray = IMAGE[..., 0]
        records = cloud(make_camera(2, 2), estimate, gray, color='intensity')
        np.testing.assert_array_equal(records[..., 3], gray)
        records = cloud(make_camera(2, 2), estimate, gray)
        assert records[1, 1, 3:].view(np.uint32).tolist() == [0xFAFAFA]

    def test_float_images_are_rounded_and_clamped(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        image = torch.tensor([[-3.0, 0.6], [254.4, 300.0]])
        colors = cloud(make_camera(2, 2), estimate, image)[..., 3:].view(np.uint32)[..., 0]
        assert colors.tolist() == [[0, 0x010101], [0xFEFEFE, 0xFFFFFF]]

    def test_no_color_needs_no_image(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        records = cloud(make_camera(2, 2), estimate, None, color='none')
        assert records.shape == (2, 2, 3)

    def test_images_that_cannot_be_written_or_run_backwards(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        backwards = IMAGE[..., ::-1]
        frozen = IMAGE.copy()
        frozen.flags.writeable = False
        camera = make_camera(2, 2)
        assert cloud(camera, estimate, backwards)[0, 0, 3:].view(np.uint32).tolist() == [0x030201]
        assert cloud(camera, estimate, frozen)[0, 0, 3:].view(np.uint32).tolist() == [0x010203]

    def test_image_of_another_size_is_told(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        with pytest.raises(ValueError, match=r'image of 2x2.*\(1, 2, 3\)'):
            cloud(make_camera(2, 2), estimate, IMAGE[:1])
        with pytest.raises(ValueError, match=r'of 3 channels; its shape is \(2, 2, 1\)'):
            cloud(make_camera(2, 2), estimate, IMAGE[..., :1])

    def test_decimation_keeps_every_nth_row_and_column(
        self, make_camera: Callable[..., StereoCamera]
    ) -> None:
        image = np.arange(35, dtype=np.uint8).reshape(5, 7)
        estimate = maps(torch.arange(35.0).reshape(5, 7) / 5 + 0.1, None, torch.rand(5, 7))
        everything = {'color': 'intensity', 'confidence': True}
        camera = make_camera(7, 5)
        whole = cloud(camera, estimate, image, **everything)
        third = cloud(camera, estimate, image, decimation=3, **everything)
        assert third.shape == (2, 3, 5)
        np.testing.assert_array_equal(third, whole[::3, ::3])

    @pytest.mark.parametrize(('border', 'rows', 'columns'), [
        (0.0, 5, 10), (0.04, 5, 10), (0.1, 3, 8), (0.2, 1, 6), (0.3, 0, 0), (0.49, 0, 0),
    ])  # fmt: skip
    def test_the_border_is_a_fraction_of_the_width(
        self, make_camera: Callable[..., StereoCamera], border: float, rows: int, columns: int
    ) -> None:
        estimate = maps(torch.ones(5, 10))
        options: dict[str, Any] = {'color': 'none', 'border': border}
        known = ~np.isnan(cloud(make_camera(10, 5), estimate, None, **options)[..., 2])
        expected = np.zeros((5, 10), bool)
        top, left = (5 - rows) // 2, (10 - columns) // 2
        expected[top : top + rows, left : left + columns] = True
        np.testing.assert_array_equal(known, expected)
        assert bool((estimate.disparity == 1).all())
        dense = cloud(make_camera(10, 5), estimate, None, organized=False, **options)
        assert len(dense) == rows * columns

    @pytest.mark.parametrize('border', [-0.1, 0.5, NAN])
    def test_no_border_is_half_the_image(self, border: float) -> None:
        with pytest.raises(ValueError, match='border'):
            CloudOptions(border=border)

    def test_flying_pixels_go_before_decimation(
        self, make_camera: Callable[..., StereoCamera]
    ) -> None:
        estimate = maps(torch.tensor([[4.0, 4.0, 2.5, 1.0, 1.0]]))
        options = {
            'color': 'none',
            'decimation': 2,
            'filter': PixelFilter(flying_pixels=FlyingPixelFilter()),
        }
        depth = cloud(make_camera(5, 1), estimate, None, **options)[0, :, 2]
        np.testing.assert_array_equal(depth, [2.5, NAN, 10])

    @pytest.mark.parametrize('step', [1, 2, 3])
    @pytest.mark.parametrize('flying', [None, FlyingPixelFilter(min_step=0.1)])
    def test_every_pixel_of_a_large_cloud(
        self, make_camera: Callable[..., StereoCamera], step: int, flying: FlyingPixelFilter | None
    ) -> None:
        width, height = 1203, 151
        generator = torch.Generator().manual_seed(0)
        disparity = torch.rand(height, width, generator=generator) * 20 + 601.5
        camera = make_camera(width, height, left=PrincipalPoint(600.5, 70.25))
        expected = camera.points(disparity)
        if flying is not None:
            judged = flying_pixels(camera.adjusted(disparity), flying)
            assert judged.any()
            expected[judged] = NAN
        options: dict[str, Any] = {'color': 'none', 'decimation': step}
        options['filter'] = PixelFilter(flying_pixels=flying)
        estimate = maps(disparity)
        records = cloud(camera, estimate, None, **options)
        np.testing.assert_allclose(records, expected[::step, ::step], rtol=1e-6)
        dense = cloud(camera, estimate, None, organized=False, **options)
        np.testing.assert_array_equal(dense, records[~np.isnan(records[..., 2])])

    def test_workspace_is_used_again_and_changes_nothing(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        workspace, camera = Workspace(), make_camera(2, 2)
        for padded in (False, True, True, False, False):
            chosen = OutputOptions(cloud=CloudOptions(padded=padded, confidence=padded))
            records = compute_outputs(
                camera,
                estimate,
                {Output.POINTS},
                image=IMAGE,
                options=chosen,
                workspace=workspace,
            ).arrays[Output.POINTS]
            expected = cloud(camera, estimate, padded=padded, confidence=padded)
            assert records.tobytes() == expected.tobytes()
        layout = CloudLayout.of(CloudOptions())
        kept = workspace.records(2, 2, layout, torch.device('cpu'))
        assert np.shares_memory(records, kept.numpy())

    def test_transform_into_another_frame(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        # From the optical frame (z forward) into one of a body (x forward, z up), 1 m up.
        to_body = RigidTransform('base_link', ((0, 0, 1), (-1, 0, 0), (0, -1, 0)), (0.5, 0, 1))
        records = cloud(make_camera(2, 2), estimate, transform=to_body)
        expected = [
            [[10.5, 0, 1], [20.5, -0.2, 1]],
            [[NAN, NAN, NAN], [8.5, -0.08, 0.92]],
        ]
        np.testing.assert_allclose(records[..., :3], expected, rtol=1e-6)

    @pytest.mark.parametrize(
        'options', [{'decimation': 0}, {'color': 'bgr'}, {'color': ''}, {'decimation': -2}]
    )
    def test_impossible_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r'decimation|color'):
            CloudOptions(**options)


class TestRigidTransform:
    def test_from_matrix(self) -> None:
        matrix = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
        transform = RigidTransform.from_matrix(matrix, 'map')
        np.testing.assert_array_equal(transform.rotation, matrix[:3, :3])
        assert list(transform.translation) == [1, 2, 3]
        assert transform.frame_id == 'map'

    @pytest.mark.parametrize(
        'matrix',
        [np.eye(3), np.diag([1.0, 1, 2, 1]), np.diag([1.0, 1, -1, 1]), np.diag([1.0, 1, 1, 2])],
    )
    def test_what_is_not_rigid_is_refused(self, matrix: np.ndarray) -> None:
        with pytest.raises(ValueError, match=r'not a'):
            RigidTransform.from_matrix(matrix, 'map')


def test_packing_and_unpacking_keep_everything() -> None:
    tensors = [
        torch.arange(5, dtype=torch.uint8),
        torch.rand(3, 4).T,
        torch.tensor(2.5),
        torch.empty(0, 4),
        torch.full((2, 3), 7, dtype=torch.int32),
    ]
    packed = pack(tensors)
    assert packed.dtype == torch.uint8
    for array, tensor in zip(unpack(packed, tensors), tensors, strict=True):
        assert array.shape == tuple(tensor.shape)
        assert array.flags.aligned
        np.testing.assert_array_equal(array, tensor.numpy())


class TestUncertainty:
    """sigma_Z = Z^2 / (f B) * sigma_d, with a sigma_d that the test gives."""

    def deviation(self, confidence: torch.Tensor) -> torch.Tensor:
        return 2.0 - confidence

    def test_it_grows_with_the_square_of_depth(
        self, make_camera: Callable[..., StereoCamera]
    ) -> None:
        camera = make_camera(4, 1)
        product = camera.focal_length * camera.baseline
        offset = camera.principal_point_difference
        disparity = torch.tensor([[1.0, 2.0, 2.0, math.nan]]) + offset
        given = maps(disparity, None, torch.tensor([[1.0, 1.0, 0.5, 1.0]]))
        arrays = compute_outputs(
            camera, given, {Output.UNCERTAINTY, Output.DEPTH}, deviation=self.deviation
        ).arrays
        # Z = fB / d: fB, fB / 2, fB / 2; so Z^2 / fB: fB, fB / 4, fB / 4.
        expected = np.array([[product, product / 4, product / 4 * 1.5, math.nan]])
        np.testing.assert_allclose(arrays[Output.UNCERTAINTY], expected, rtol=1e-5)

    @pytest.mark.parametrize('color', ['rgb', 'intensity', 'none'])
    @pytest.mark.parametrize('compiled', [True, False])
    def test_the_cloud_carries_it(
        self,
        make_camera: Callable[..., StereoCamera],
        monkeypatch: pytest.MonkeyPatch,
        color: str,
        compiled: bool,
    ) -> None:
        if not compiled:
            monkeypatch.setattr(pixel_kernel, 'library', lambda: None)
        camera = make_camera(2, 2)
        given = maps(torch.full((2, 2), 1.5), None, torch.full((2, 2), 0.5))
        options = OutputOptions(
            cloud=CloudOptions(color=color, confidence=True, uncertainty=True)  # type: ignore[arg-type]
        )
        result = compute_outputs(
            camera,
            given,
            {Output.POINTS, Output.UNCERTAINTY},
            image=IMAGE,
            deviation=self.deviation,
            options=options,
        )
        layout = result.cloud_layout
        assert layout is not None
        column = result.arrays[Output.POINTS][..., layout.column('uncertainty')]
        np.testing.assert_array_equal(column, result.arrays[Output.UNCERTAINTY])
        assert (column > 0).all()

    def test_without_a_deviation_it_says_so(
        self, make_camera: Callable[..., StereoCamera], estimate: MatchResult
    ) -> None:
        with pytest.raises(ValueError, match='deviation of the disparity'):
            compute_outputs(make_camera(2, 2), estimate, {Output.UNCERTAINTY})


class TestTarget:
    """Depth registered to another camera, and its colors in the cloud."""

    def outputs(self, make_camera: Callable[..., StereoCamera], **options: Any) -> Any:
        """Return outputs of a wall 5 m away with one pixel at 1 m; the target is 0.5 m right."""
        disparity = torch.full((8, 20), 2.0)
        disparity[4, 12] = 10.0
        confidence = torch.ones_like(disparity)
        confidence[4, 12] = options.pop('confidence', 1.0)
        color = options.pop('color_image', None)
        shift = (-0.5, 0.0, 0.0)
        target = TargetCamera(20, 8, 10.0, 10.0, 0.0, 0.0, IDENTITY_ROTATION, shift, 'color')
        cloud = CloudOptions(decimation=options.pop('decimation', 1))
        return compute_outputs(
            make_camera(20, 8, focal_length=10.0, focal_length_y=10.0, baseline=1.0),
            maps(disparity, confidence=confidence),
            {Output.REGISTERED_DEPTH, Output.POINTS},
            image=np.full((8, 20), 7, np.uint8),
            color_image=color,
            options=OutputOptions(target=target, cloud=cloud, depth_filter=PixelFilter(**options)),
        )

    @pytest.mark.usefixtures('either_way')
    def test_depth_is_shifted_and_filtered(self, make_camera: Callable[..., StereoCamera]) -> None:
        # The wall moves by 10 * 0.5 / 5 = 1 px, the near pixel by 5 px, from 12 to 7.
        result = self.outputs(make_camera)
        row = result.arrays[Output.REGISTERED_DEPTH][4]
        np.testing.assert_allclose(row[:19], [5.0] * 7 + [1.0] + [5.0] * 11, rtol=1e-6)
        assert math.isnan(row[19])
        assert result.target.frame_id == 'color'
        # A pixel that is too near hides what is behind it, and is not there.
        row = self.outputs(make_camera, min_depth=2.0).arrays[Output.REGISTERED_DEPTH][4]
        assert np.flatnonzero(np.isnan(row)).tolist() == [7, 19]
        row = self.outputs(make_camera, max_depth=2.0).arrays[Output.REGISTERED_DEPTH][4]
        assert np.flatnonzero(~np.isnan(row)).tolist() == [7]

    @pytest.mark.usefixtures('either_way')
    def test_what_is_not_trusted_hides_nothing(
        self, make_camera: Callable[..., StereoCamera]
    ) -> None:
        result = self.outputs(make_camera, confidence=0.1, min_confidence=0.5)
        row = result.arrays[Output.REGISTERED_DEPTH][4]
        np.testing.assert_allclose(row[:19], 5.0, rtol=1e-6)

    @pytest.mark.usefixtures('either_way')
    @pytest.mark.parametrize('decimation', [1, 2])
    def test_the_cloud_is_colored_where_the_target_sees_it(
        self, make_camera: Callable[..., StereoCamera], decimation: int
    ) -> None:
        color = np.zeros((8, 20, 3), np.uint8)
        color[..., 0] = 10 * np.arange(20)
        points = self.outputs(make_camera, color_image=color, decimation=decimation).arrays[
            Output.POINTS
        ]
        red = (np.ascontiguousarray(points[..., 3]).view(np.uint32) >> 16)[4 // decimation]
        # Column c of the wall is seen at c - 1: column 8 behind the near pixel, 0 outside.
        expected = 10 * (np.arange(20) - 1)
        expected[0], expected[8], expected[12] = 7, 7, 70
        np.testing.assert_array_equal(red, expected[::decimation])

    def test_it_needs_the_target(self, make_camera: Callable[..., StereoCamera]) -> None:
        with pytest.raises(ValueError, match='needs the camera to register it to'):
            compute_outputs(make_camera(2, 2), maps(torch.ones((2, 2))), {Output.REGISTERED_DEPTH})
