"""Depth in 16 bits, read as compressed_depth_image_transport's decoder reads it."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from s2m2_ros.geometry import HostOutputs, Output, PrincipalPoint, StereoCamera, compute_outputs
from s2m2_ros.node.outputs.depth_encodings import (
    compressed_depth_message,
    inverse_depth,
    millimeters,
    quantization,
)
from s2m2_ros.node.outputs.messages import depth_message
from support.maps import maps

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='left_optical')
# f = 700 px, B = 0.12 m: f B = 84 m px.
CAMERA = StereoCamera(
    width=100,
    height=2,
    focal_length=700.0,
    focal_length_y=700.0,
    baseline=0.12,
    left=PrincipalPoint(50.0, 1.0),
    right=PrincipalPoint(50.0, 1.0),
)


def outputs(camera: StereoCamera = CAMERA) -> HostOutputs:
    """Return d = 42 (2 m), an unknown pixel, d = 70 (1.2 m) and d = 1 (84 m)."""
    disparity = torch.full((2, camera.width), 42.0)
    disparity[0, 3], disparity[1, 98], disparity[1, 99] = math.nan, 1.0, 70.0
    return compute_outputs(camera, maps(disparity), [Output.DEPTH])


def decoded(message: CompressedImage) -> np.ndarray:
    """Return what the transport's subscriber makes of it, written from its documents.

    32FC1: `depth = A / (q - B)` with A and B of the header, NaN where q is 0; 16UC1: the PNG.
    """
    encoding, _, compression = message.format.partition('; ')
    assert compression == 'compressedDepth png'
    data = bytes(message.data)
    kind = int.from_bytes(data[:4], 'little', signed=True)
    assert kind == 0  # INV_DEPTH
    factor, offset = np.frombuffer(data[4:12], '<f4')
    pixels = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.dtype == np.uint16
    if encoding == '16UC1':
        return np.asarray(pixels)
    assert encoding == '32FC1'
    depth = np.full(pixels.shape, np.nan, np.float32)
    known = pixels != 0
    depth[known] = factor / (pixels[known].astype(np.float32) - offset)
    return depth


def test_millimeters_are_rounded_and_0_is_unknown() -> None:
    depth = np.array(
        [[1.0, 1.2346, 65.535, 65.5354], [65.5356, 100.0, math.nan, math.inf]], np.float32
    )
    found = millimeters(depth)
    assert found.dtype == np.uint16
    assert found.tolist() == [[1000, 1235, 65535, 65535], [0, 0, 0, 0]]


def test_the_depth_image_is_of_meters_or_of_millimeters() -> None:
    usual, short = (depth_message(outputs(), HEADER, e) for e in ('32FC1', '16UC1'))
    assert (usual.encoding, usual.step) == ('32FC1', 400)
    meters = np.frombuffer(usual.data, np.float32).reshape(2, 100)
    assert (meters[0, 0], meters[1, 99]) == pytest.approx((2.0, 1.2))
    assert np.isnan(meters[0, 3])
    assert (short.encoding, short.step, short.height, short.width) == ('16UC1', 200, 2, 100)
    assert (short.header, short.is_bigendian) == (HEADER, 0)
    whole = np.frombuffer(short.data, np.uint16).reshape(2, 100)
    # 84 m is more than 16 bits of millimeters hold.
    assert whole[:, [0, 3, 98, 99]].tolist() == [[2000, 0, 2000, 2000], [2000, 2000, 0, 1200]]


def test_the_bytes_of_compressed_depth() -> None:
    """A = 32 * 84 = 2688 = 2**11 * 1.3125 and B = 0.5, as floats; worked out by hand."""
    message = compressed_depth_message(outputs(), HEADER)
    assert message.header == HEADER
    assert message.format == '32FC1; compressedDepth png'
    data = bytes(message.data)
    assert data[:12] == bytes.fromhex('00000000 00002845 0000003f')
    assert data[12:20] == b'\x89PNG\r\n\x1a\n'
    pixels = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    # 32 steps a pixel: 42, unknown, 1 and 70 pixels of disparity, in the middle of a step each.
    found = pixels[[0, 0, 1, 1], [0, 3, 98, 99]].tolist()
    assert found in ([32 * 42 + 1, 0, 33, 32 * 70 + 1], [32 * 42 + 1, 0, 33, 32 * 70])


def test_what_is_decoded_is_the_depth() -> None:
    depth = decoded(compressed_depth_message(outputs(), HEADER))
    # Half a step is 1/64 px, which is 1/64/42 of 2 m, and 1/64 of 84 m.
    assert depth[0, 0] == pytest.approx(2.0, rel=1 / 64 / 42 * 1.01)
    assert depth[1, 99] == pytest.approx(1.2, rel=1 / 64 / 70 * 1.01)
    assert depth[1, 98] == pytest.approx(84.0, rel=1 / 63)
    assert np.isnan(depth[0, 3])
    assert np.isnan(depth).sum() == 1


def test_compressed_millimeters_are_those_of_the_depth_image() -> None:
    message = compressed_depth_message(outputs(), HEADER, '16UC1')
    assert message.format == '16UC1; compressedDepth png'
    assert bytes(message.data[:12]) == bytes(12)
    image = depth_message(outputs(), HEADER, '16UC1')
    assert decoded(message).tobytes() == bytes(image.data)


@given(
    st.floats(0.001, 1),
    st.integers(64, 8192),
    st.floats(50, 5000),
    st.floats(0.003, 20),
)
def test_every_disparity_of_an_image_survives(
    fraction: float, width: int, focal_length: float, baseline: float
) -> None:
    """Endoscope or telescope, near or far: half a step off, never unknown, never infinite."""
    disparity = fraction * (width - 1)
    scale = quantization(focal_length, baseline, width)
    steps = scale / (focal_length * baseline)
    assert steps == pytest.approx(min(32, 65534 / width))
    depth = np.array([[focal_length * baseline / disparity]], np.float32)
    (quantized,) = inverse_depth(depth, scale).ravel().tolist()
    assert 1 <= quantized <= 65535
    back = scale / (quantized - 0.5)
    assert focal_length * baseline / back == pytest.approx(disparity, abs=0.51 / steps)


def test_what_is_no_depth_is_unknown() -> None:
    depth = np.array([[math.nan, 0.0, -1.0, -1e-9, 1e-9]], np.float32)
    assert inverse_depth(depth, 2688.0).tolist() == [[0, 0, 0, 0, 0]]


def test_wide_images_keep_their_largest_disparity() -> None:
    camera = replace(CAMERA, width=8000, height=2)
    depth = decoded(compressed_depth_message(outputs(camera), HEADER))
    assert depth[0, 0] == pytest.approx(2.0, rel=0.5 / 8 / 42 * 1.1)
    near = np.array([[84 / 7999]], np.float32)
    assert inverse_depth(near, quantization(700.0, 0.12, 8000)).item() > 65000
