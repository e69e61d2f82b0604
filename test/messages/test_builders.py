"""Results as messages: what a consumer reads out of them."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from s2m2_ros.msg import StereoEstimate
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from s2m2_ros.geometry import (
    ClearingOptions,
    CloudOptions,
    HostOutputs,
    Output,
    OutputOptions,
    PrincipalPoint,
    RegionOfInterest,
    RigidTransform,
    StereoCamera,
    TargetCamera,
    VoxelGrid,
    compute_outputs,
)
from s2m2_ros.io.message_data import fill
from s2m2_ros.messages import builders as messages
from s2m2_ros.messages.output_topics import OUTPUT_TOPICS
from support.maps import maps

NAN = math.nan
HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='left_optical')
# f = 700 px, B = 0.12 m, so f B = 84; the raw disparities are 20 px larger than d.
CAMERA = StereoCamera(
    width=100,
    height=2,
    focal_length=700.0,
    focal_length_y=700.0,
    baseline=0.12,
    left=PrincipalPoint(50.0, 1.0),
    right=PrincipalPoint(30.0, 1.0),
)
IMAGE = np.full((2, 100, 3), (200, 100, 50), np.uint8)
# Half as fine, 0.1 m to the right of the left camera.
TARGET = TargetCamera(
    width=50,
    height=1,
    fx=350.0,
    fy=350.0,
    cx=25.0,
    cy=0.0,
    rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    translation=(-0.1, 0.0, 0.0),
    frame_id='color',
)


def outputs(
    options: CloudOptions | None = None,
    memory: messages.CloudMemory | None = None,
    *,
    target: TargetCamera | None = None,
) -> HostOutputs:
    """Return d = 42 (2 m) everywhere but for an unknown pixel in row 0 and d = 70 in row 1."""
    disparity = torch.full((2, 100), 62.0)
    disparity[0, 3] = NAN
    disparity[1, 99] = 90.0
    confidence = torch.linspace(0, 1, 200).reshape(2, 100)
    estimate = maps(disparity, visibility=1 - confidence, confidence=confidence)
    chosen = OutputOptions(cloud=options or CloudOptions(), target=target or TARGET)
    return compute_outputs(
        CAMERA,
        estimate,
        list(Output),
        image=IMAGE,
        deviation=torch.ones_like,
        options=chosen,
        workspace=memory,
    )


def pixels(message: Image) -> np.ndarray:
    kind = '<f4' if message.encoding == '32FC1' else 'u1'
    assert message.encoding in ('32FC1', 'mono8')
    assert not message.is_bigendian
    values: np.ndarray = np.frombuffer(message.data, kind)
    assert message.step == message.width * values.itemsize
    return values.reshape(message.height, message.width)


def test_topics_say_what_they_need() -> None:
    needed = frozenset[Output]().union(*(topic.needs for topic in OUTPUT_TOPICS.values()))
    assert needed == frozenset(Output) - {Output.RAW_DISPARITY}


class TestDisparity:
    def test_every_field(self) -> None:
        message = messages.disparity_message(outputs(), HEADER)
        assert message.header == HEADER
        assert message.image.header == HEADER
        assert message.f == 700.0
        assert message.t == pytest.approx(0.12)
        window = message.valid_window
        assert (window.x_offset, window.y_offset) == (0, 0)
        assert (window.width, window.height) == (100, 2)
        assert not window.do_rectify
        assert message.delta_d == 0.0625
        assert messages.disparity_message(outputs(), HEADER, resolution=0.5).delta_d == 0.5

    def test_the_valid_window_is_the_region_of_interest(self) -> None:
        chosen = replace(outputs(), valid_window=RegionOfInterest(7, 1, 90, 1))
        window = messages.disparity_message(chosen, HEADER).valid_window
        assert (window.x_offset, window.y_offset, window.width, window.height) == (7, 1, 90, 1)

    def test_depth_follows_from_the_message_alone(self) -> None:
        message = messages.disparity_message(outputs(), HEADER)
        depth = message.f * message.t / pixels(message.image)
        assert depth[0, 0] == pytest.approx(2.0)
        assert depth[1, 99] == pytest.approx(1.2)

    def test_unknown_is_finite_and_below_the_minimum(self) -> None:
        message = messages.disparity_message(outputs(), HEADER)
        disparity = pixels(message.image)
        assert disparity[0, 3] == message.min_disparity - 1
        known = disparity[disparity != message.min_disparity - 1]
        assert known.size == 199
        assert message.min_disparity < known.min()
        assert known.max() < message.max_disparity
        assert math.isfinite(message.max_disparity)

    def test_opencv_consumers_find_the_unknown_pixels(self) -> None:
        message = messages.disparity_message(outputs(), HEADER)
        Q = np.array([[1.0, 0, 0, -50], [0, 1, 0, -1], [0, 0, 0, 700], [0, 0, 1 / 0.12, 0]])
        depth = cv2.reprojectImageTo3D(pixels(message.image), Q, handleMissingValues=True)[..., 2]
        assert depth[0, 3] == 10000
        assert depth[0, 0] == pytest.approx(2.0)
        assert np.count_nonzero(depth == 10000) == 1


class TestImages:
    def test_depth(self) -> None:
        message = messages.depth_message(outputs(), HEADER)
        assert (message.header, message.encoding) == (HEADER, '32FC1')
        depth = pixels(message)
        assert math.isnan(depth[0, 3])
        assert depth[0, 4] == pytest.approx(2.0)
        assert depth[1, 99] == pytest.approx(1.2)

    def test_depth_camera_info_is_the_left_one_with_the_header_of_the_image(self) -> None:
        left = CameraInfo(width=100, height=2, binning_x=2, distortion_model='plumb_bob')
        left.header.frame_id = 'elsewhere'
        left.p = [float(i) for i in range(12)]
        left.k, left.d = [0.0, 0, 2, 0, 5, 6, 0, 0, 1], [0.0] * 5
        left.r = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
        info = messages.depth_camera_info(left, HEADER)
        assert info.header == HEADER
        assert left.header.frame_id == 'elsewhere'
        # The image lies in the left camera's own frame: P[3] and P[7] are 0 (3 and 7 here).
        assert (list(info.p), left.p[3]) == ([0.0, 1, 2, 0, 4, 5, 6, 0, 8, 9, 10, 11], 3.0)
        left.header, left.p = HEADER, info.p
        assert info == left

    @pytest.mark.parametrize('distortion_model', ['plumb_bob', 'equidistant', ''])
    def test_consumers_that_read_k_and_those_that_read_p_see_one_camera(
        self, distortion_model: str
    ) -> None:
        """image_proc sends rectified images with the K, D and R of the raw ones."""
        left = CameraInfo(width=640, height=480, distortion_model=distortion_model)
        left.k = [500.0, 0, 310, 0, 505, 250, 0, 0, 1]
        left.d, left.r = [-0.3, 0.1, 0.0, 0.0], [0.0, 1, 0, 1, 0, 0, 0, 0, -1]
        left.p = [420.0, 0, 330, 0, 0, 420, 240, 0, 0, 0, 1, 0]
        info = messages.depth_camera_info(left, HEADER)
        assert list(info.k) == [420.0, 0, 330, 0, 420, 240, 0, 0, 1]
        assert list(info.r) == [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
        assert (info.distortion_model, list(info.d)) == ('plumb_bob', [0.0] * 5)
        assert (left.k[0], left.distortion_model) == (500.0, distortion_model)

    def test_confidence_and_masks(self) -> None:
        result = outputs()
        confidence = messages.confidence_message(result, HEADER)
        assert (confidence.header, confidence.encoding) == (HEADER, '32FC1')
        expected = np.linspace(0, 1, 200).reshape(2, 100)
        np.testing.assert_allclose(pixels(confidence), expected, atol=1e-6)
        trusted = messages.confidence_mask_message(result, HEADER)
        occluded = messages.occlusion_mask_message(result, HEADER)
        assert {trusted.encoding, occluded.encoding} == {'mono8'}
        assert pixels(trusted).tolist() == [[0] * 100, [255] * 100]
        assert pixels(occluded).tolist() == [[0] * 100, [255] * 100]


class TestRegistered:
    def test_depth_has_the_frame_and_size_of_the_color_camera(self) -> None:
        message = messages.registered_depth_message(outputs(), HEADER)
        assert message.header == Header(stamp=HEADER.stamp, frame_id='color')
        assert (message.height, message.width, message.encoding) == (1, 50, '32FC1')
        # 2 m: u = (column - 50) / 2 + 25 - 350 * 0.1 / 2 = column / 2 - 17.5.
        depth = pixels(message)
        # 1.2 m: (99 - 50) / 2 + 25 - 350 * 0.1 / 1.2 = 20.3.
        expected = [2.0] * 20 + [1.2] + [2.0] * 11
        np.testing.assert_allclose(depth[0, :32], expected, rtol=1e-6)
        assert np.isnan(depth[0, 33:]).all()

    def info(self, **changes: Any) -> CameraInfo:
        info = CameraInfo(width=100, height=2, binning_x=2, distortion_model='plumb_bob')
        info.header.frame_id = 'color'
        info.p = [700.0, 0.0, 50.0, -70.0, 0.0, 700.0, 1.0, 3.0, 0.0, 0.0, 1.0, 0.0]
        info.k = [690.0, 0.0, 51.0, 0.0, 695.0, 1.5, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
        for name, value in changes.items():
            setattr(info, name, value)
        return info

    def test_camera_info_of_a_rectified_image_has_no_distortion(self) -> None:
        info = messages.registered_camera_info(outputs(), HEADER, self.info())
        assert info.header == Header(stamp=HEADER.stamp, frame_id='color')
        assert list(info.k) == [700.0, 0, 50, 0, 700, 1, 0, 0, 1]
        assert list(info.d) == [0.0] * 5
        assert list(info.p) == [700.0, 0, 50, 0, 0, 700, 1, 0, 0, 0, 1, 0]
        assert (info.width, info.height, info.binning_x) == (100, 2, 2)

    def test_camera_info_of_a_raw_image_is_the_cameras_own(self) -> None:
        raw = outputs(target=replace(TARGET, is_raw=True))
        info = messages.registered_camera_info(raw, HEADER, self.info())
        assert list(info.k) == list(self.info().k)
        assert list(info.d) == [0.1, 0, 0, 0, 0]
        assert list(info.p) == [700.0, 0, 50, 0, 0, 700, 1, 0, 0, 0, 1, 0]
        empty = messages.registered_camera_info(raw, HEADER, self.info(p=[0.0] * 12))
        assert list(empty.p) == [690.0, 0, 51, 0, 0, 695, 1.5, 0, 0, 0, 1, 0]

    def test_camera_info_in_the_frame_of_another_camera_keeps_its_shift(self) -> None:
        shared = outputs(target=replace(TARGET, tx=-70.0))
        info = messages.registered_camera_info(shared, HEADER, self.info())
        assert list(info.p) == list(self.info().p)

    def test_without_the_color_camera_there_is_none(self) -> None:
        with pytest.raises(ValueError, match='calibration of the target camera is missing'):
            messages.registered_camera_info(outputs(), HEADER, None)


class TestPointCloud:
    def cloud(self, **options: Any) -> PointCloud2:
        return messages.point_cloud_message(outputs(CloudOptions(**options)), HEADER)

    def test_default_layout(self) -> None:
        cloud = self.cloud()
        assert cloud.header == HEADER
        assert (cloud.height, cloud.width) == (2, 100)
        assert (cloud.point_step, cloud.row_step) == (16, 1600)
        assert len(cloud.data) == 3200
        assert not cloud.is_dense
        assert not cloud.is_bigendian
        assert [(f.name, f.offset) for f in cloud.fields] == [
            ('x', 0),
            ('y', 4),
            ('z', 8),
            ('rgb', 12),
        ]
        assert {(f.datatype, f.count) for f in cloud.fields} == {(PointField.FLOAT32, 1)}

    def test_bytes_of_one_point(self) -> None:
        record = bytes(self.cloud().data[16 * 199 : 16 * 200])
        # u = 99, v = 1, Z = 84 / 70 = 1.2: X = 49 / 700 * 1.2
        xyz = np.frombuffer(record[:12], '<f4')
        np.testing.assert_allclose(xyz, [0.084, 0.0, 1.2], rtol=1e-6)
        assert record[12:] == bytes([50, 100, 200, 0])  # b, g, r

    def test_read_points_reads_it_back(self) -> None:
        points = point_cloud2.read_points(self.cloud()).reshape(2, 100)
        assert np.isnan([points[name][0, 3] for name in 'xyz']).all()
        assert points['z'][0, 0] == pytest.approx(2.0)
        assert points['x'][0, 0] == pytest.approx(-50 / 700 * 2)
        assert points['y'][0, 0] == pytest.approx(-1 / 700 * 2)
        valid = point_cloud2.read_points(self.cloud(), skip_nans=True)
        assert valid.shape == (199,)  # the color is never NaN

    def test_padded_layout_with_confidence(self) -> None:
        cloud = self.cloud(padded=True, confidence=True)
        offsets = {field.name: field.offset for field in cloud.fields}
        assert offsets == {'x': 0, 'y': 4, 'z': 8, 'rgb': 16, 'confidence': 20}
        assert (cloud.point_step, cloud.row_step) == (32, 3200)
        points = point_cloud2.read_points(cloud, field_names=['confidence', 'z'])
        assert points['confidence'][199] == 1.0
        assert points['z'][199] == pytest.approx(1.2)

    @pytest.mark.parametrize(
        ('options', 'names', 'point_step'),
        [
            ({'color': 'none'}, 'x y z', 12),
            ({'color': 'none', 'confidence': True}, 'x y z confidence', 16),
            ({'color': 'intensity'}, 'x y z intensity', 16),
            ({'confidence': True}, 'x y z rgb confidence', 20),
        ],
    )
    def test_other_fields(self, options: dict[str, Any], names: str, point_step: int) -> None:
        cloud = self.cloud(**options)
        assert [field.name for field in cloud.fields] == names.split()
        assert cloud.point_step == point_step
        points = point_cloud2.read_points(cloud)
        assert points['z'][199] == pytest.approx(1.2)

    def test_voxels_are_dense_in_one_row(self) -> None:
        # Both columns of Z = 2 m and 1.2 m lie in a voxel of 100 m for each sign of X and Y.
        memory = messages.CloudMemory()
        chosen = CloudOptions(voxels=VoxelGrid(100.0), confidence=True)
        cloud = messages.point_cloud_message(outputs(chosen, memory), HEADER, memory)
        points = point_cloud2.read_points(cloud)
        signs = {(x < 0, y < 0) for x, y in zip(points['x'], points['y'], strict=True)}
        assert (cloud.height, cloud.width, cloud.is_dense) == (1, len(signs), True)
        assert len(cloud.data) == cloud.row_step == 20 * cloud.width
        assert points['confidence'].max() == 1.0

    def test_dense(self) -> None:
        cloud = self.cloud(organized=False)
        assert (cloud.height, cloud.width) == (1, 199)
        assert cloud.is_dense
        assert cloud.row_step == 199 * 16 == len(cloud.data)
        assert point_cloud2.read_points(cloud)['z'][-1] == pytest.approx(1.2)

    def test_decimation(self) -> None:
        cloud = self.cloud(decimation=3)
        assert (cloud.height, cloud.width) == (1, 34)
        x = point_cloud2.read_points(cloud)['x']
        assert x[33] == pytest.approx((99 - 50) / 700 * 2)

    def test_another_frame(self) -> None:
        shift = RigidTransform('map', ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 5.0))
        cloud = self.cloud(transform=shift)
        assert cloud.header == Header(stamp=HEADER.stamp, frame_id='map')
        assert HEADER.frame_id == 'left_optical'
        assert point_cloud2.read_points(cloud)['z'][0] == pytest.approx(7.0)

    def test_memory_of_a_message_is_written_to_and_used_again(self) -> None:
        memory = messages.CloudMemory()
        first = messages.point_cloud_message(outputs(memory=memory), HEADER, memory)
        assert first == self.cloud()
        first.data[:] = array('B', bytes(3200))  # as if the next pair were another
        later = Header(stamp=Time(sec=9), frame_id='left_optical')
        second = messages.point_cloud_message(outputs(memory=memory), later, memory)
        assert second is first
        assert second.header == later
        assert second.data == self.cloud().data

    def test_clouds_that_do_not_fill_the_memory_are_copied(self) -> None:
        memory = messages.CloudMemory()
        options = CloudOptions(organized=False)
        dense = messages.point_cloud_message(outputs(options, memory=memory), HEADER, memory)
        assert dense == self.cloud(organized=False)
        whole = messages.point_cloud_message(outputs(memory=memory), HEADER, memory)
        assert whole is not dense
        assert whole == self.cloud()
        padded = CloudOptions(padded=True)
        assert messages.point_cloud_message(
            outputs(padded, memory=memory), HEADER, memory
        ) == self.cloud(padded=True)

    def test_asking_for_a_cloud_that_was_not_computed(self) -> None:
        result = compute_outputs(CAMERA, maps(torch.full((2, 100), 62.0)), {Output.DEPTH})
        with pytest.raises(ValueError, match='POINTS'):
            messages.point_cloud_message(result, HEADER)


class TestClearing:
    def test_a_small_cloud_of_x_y_z(self) -> None:
        estimate = maps(torch.full((2, 100), NAN))
        estimate.disparity[1, 50] = 62.0  # 2 m ahead
        estimate.disparity[1, 99] = 20.0  # infinity, along the ray (0.07, 0, 1)
        options = OutputOptions(clearing=ClearingOptions(decimation=1, max_range=5.0))
        result = compute_outputs(CAMERA, estimate, {Output.POINTS_CLEARING}, options=options)
        message = messages.clearing_message(result, HEADER)
        assert message.header == HEADER
        assert (message.height, message.width) == (1, 2)
        assert (message.point_step, message.row_step, len(message.data)) == (12, 24, 24)
        assert message.is_dense
        points = point_cloud2.read_points_numpy(message, ('x', 'y', 'z'))
        far = 5 / math.hypot(0.07, 1)
        np.testing.assert_allclose(points, [[0.0, 0.0, 2.0], [0.07 * far, 0.0, far]], atol=1e-6)

    def test_no_rays_and_another_frame(self) -> None:
        shift = RigidTransform('map', ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 5.0))
        options = OutputOptions(cloud=CloudOptions(transform=shift))
        unknown = maps(torch.full((2, 100), NAN))
        result = compute_outputs(CAMERA, unknown, {Output.POINTS_CLEARING}, options=options)
        message = messages.clearing_message(result, HEADER)
        assert message.header.frame_id == 'map'
        assert (message.height, message.width, len(message.data)) == (1, 0, 0)
        assert deserialize_message(serialize_message(message), PointCloud2) == message


class TestEstimate:
    def test_one_message_holds_all_three(self) -> None:
        result = outputs()
        message = messages.estimate_message(result, HEADER, resolution=0.25)
        assert message.header == HEADER
        expected = messages.disparity_message(result, HEADER, resolution=0.25)
        assert message.disparity == expected
        assert message.confidence == messages.confidence_message(result, HEADER)
        visibility = pixels(message.visibility)
        np.testing.assert_allclose(visibility, 1 - pixels(message.confidence), atol=1e-6)

    def test_it_survives_serialization(self) -> None:
        message = messages.estimate_message(outputs(), HEADER)
        received = deserialize_message(serialize_message(message), StereoEstimate)
        assert received.confidence == message.confidence
        assert received.visibility == message.visibility
        assert received.disparity.image == message.disparity.image
        assert received.disparity.valid_window == message.disparity.valid_window


class TestFill:
    def test_the_array_that_a_message_came_with_is_filled(self) -> None:
        image = Image()
        data = image.data
        fill(image.data, np.arange(3, dtype=np.float32))
        assert image.data is data
        assert isinstance(data, array)
        assert data.typecode == 'B'
        assert np.frombuffer(image.data, np.float32).tolist() == [0, 1, 2]

    def test_no_two_messages_share_their_data(self) -> None:
        first, second = (messages.depth_message(outputs(), HEADER) for _ in range(2))
        assert first.data is not second.data
        assert len(second.data) == 800

    @pytest.mark.parametrize('values', [np.empty((0, 4)), np.arange(12).reshape(3, 4).T])
    def test_any_array(self, values: np.ndarray) -> None:
        data = array('B')
        fill(data, values)
        assert data.tobytes() == values.tobytes()
