"""Maps against projections worked out here, and their application against cv2.remap."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2m2_ros.geometry import CalibrationError, RegionOfInterest
from s2m2_ros.geometry.rectification import (
    RawCalibration,
    Rectifier,
    RectifierCache,
    needs_rectification,
    rectification_maps,
    remap_on_cpu,
    remap_on_device,
    sampling_grid,
)

FloatArray = npt.NDArray[np.float64]
K = (500.0, 0.0, 330.0, 0.0, 505.0, 245.0, 0.0, 0.0, 1.0)
P = (480.0, 0.0, 320.0, 0.0, 0.0, 482.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0)
EYE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
PLUMB_BOB = (-0.3, 0.1, 0.001, -0.002, 0.01)
RATIONAL = (*PLUMB_BOB, 0.02, -0.01, 0.003)
FISHEYE = (-0.02, 0.01, 0.001, -0.002)
MODELS = [('plumb_bob', PLUMB_BOB), ('rational_polynomial', RATIONAL), ('equidistant', FISHEYE)]


def turned(degrees_x: float, degrees_y: float, degrees_z: float) -> tuple[float, ...]:
    """Return a rotation matrix from three elementary ones."""
    x, y, z = (math.radians(d) for d in (degrees_x, degrees_y, degrees_z))
    about_x = [[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]]
    about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    about_z = [[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]]
    matrix = np.array(about_z) @ np.array(about_y) @ np.array(about_x)
    return tuple(float(value) for value in matrix.ravel())


def calibration(**other: object) -> RawCalibration:
    values = {'K': K, 'D': PLUMB_BOB, 'R': EYE, 'P': P, 'width': 640, 'height': 480}
    return RawCalibration(**values | other)  # type: ignore[arg-type]


def distorted(model: str, D: tuple[float, ...], x: FloatArray, y: FloatArray) -> list[FloatArray]:
    """Return where the lens puts the ray (x, y, 1), in units of the focal length."""
    r = np.hypot(x, y)
    if model == 'equidistant':
        angle = np.arctan(r)
        bent = angle * sum(c * angle ** (2 * i) for i, c in enumerate((1.0, *D)))
        factor = np.where(r > 1e-12, bent / np.maximum(r, 1e-12), 1.0)
        return [x * factor, y * factor]
    k1, k2, p1, p2, k3, k4, k5, k6 = (*D, 0.0, 0.0, 0.0)[:8]
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    return [
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    ]


def raw_position(
    model: str, D: tuple[float, ...], R: tuple[float, ...], u: float, v: float
) -> tuple[float, float]:
    """Return column and row in the raw image of a rectified pixel, at full resolution."""
    ray = np.array([(u - P[2]) / P[0], (v - P[6]) / P[5], 1.0])
    x, y, z = np.array(R).reshape(3, 3).T @ ray
    x, y = distorted(model, D, np.array(x / z), np.array(y / z))
    return float(K[0] * x + K[2]), float(K[4] * y + K[5])


@pytest.mark.parametrize(('model', 'D'), MODELS)
@pytest.mark.parametrize('R', [EYE, turned(2, -3, 1)])
def test_maps_follow_the_closed_form(
    model: str, D: tuple[float, ...], R: tuple[float, ...]
) -> None:
    columns, rows = rectification_maps(calibration(D=D, R=R, distortion_model=model))
    assert columns.shape == rows.shape == (480, 640)
    for u, v in ((0, 0), (320, 240), (639, 479), (17, 400), (500, 33)):
        expected = raw_position(model, D, R, u, v)
        assert (columns[v, u], rows[v, u]) == pytest.approx(expected, abs=2e-3)


def test_without_distortion_only_the_cameras_differ() -> None:
    # A rectified pixel (u, v) is a ray (u - 320) / 480; the raw camera shows it at 500 x + 330.
    for D in ((), (0.0,) * 5, (0.0,) * 4):
        for model in ('plumb_bob', 'equidistant', '', 'none', 'some_model'):
            for R in (EYE, (), (0.0,) * 9):
                columns, rows = rectification_maps(calibration(D=D, R=R, distortion_model=model))
                assert columns[10, 416] == pytest.approx(430, abs=1e-3)
                assert rows[479, 0] == pytest.approx(505 * 239 / 482 + 245, abs=1e-3)


def test_binning_and_region_of_interest_apply_to_both_images() -> None:
    window = RegionOfInterest(x_offset=100, y_offset=60, width=400, height=320)
    R = turned(2, -3, 1)
    columns, rows = rectification_maps(calibration(R=R, roi=window, binning_x=2, binning_y=4))
    assert columns.shape == (80, 200)
    for u, v in ((0, 0), (150, 40), (199, 79)):
        # Pixel (u, v) of the small image is (2 u + 100, 4 v + 60) of the full one.
        x, y = raw_position('plumb_bob', PLUMB_BOB, R, 2 * u + 100, 4 * v + 60)
        expected = ((x - 100) / 2, (y - 60) / 4)
        assert (columns[v, u], rows[v, u]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(('model', 'D'), MODELS)
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_torch_samples_as_opencv_does(
    model: str, D: tuple[float, ...], dtype: torch.dtype
) -> None:
    smooth = cv2.GaussianBlur(
        np.random.default_rng(0).uniform(0, 255, (480, 640, 3)).astype(np.float32), (0, 0), 1.5
    )
    stretched = np.clip((smooth - 127.5) * 4 + 127.5, 0, 255)
    images = torch.from_numpy(stretched).permute(2, 0, 1)[None].repeat(2, 1, 1, 1).to(dtype)
    maps = rectification_maps(calibration(D=D, R=turned(2, -3, 1), distortion_model=model))
    expected = remap_on_cpu(images, *maps)
    found = remap_on_device(images, sampling_grid(*maps, device='cpu'))
    assert found.dtype == expected.dtype == dtype
    assert found.shape == images.shape
    difference = (found.float() - expected.float()).abs()
    assert (difference <= 1).float().mean() >= 0.999
    for channel in range(3):
        plane = images[1, channel].numpy()
        reference = cv2.remap(plane, *maps, cv2.INTER_LINEAR)
        assert np.array_equal(expected[1, channel].numpy(), reference)


@given(
    k1=st.floats(-0.3, 0.3),
    k2=st.floats(-0.1, 0.1),
    angle=st.floats(-5, 5),
    shift=st.floats(-20, 20),
)
@settings(max_examples=20, deadline=None)
def test_torch_and_opencv_agree_for_any_lens(
    k1: float, k2: float, angle: float, shift: float
) -> None:
    P_shifted = (*P[:2], P[2] + shift, *P[3:])
    model = calibration(D=(k1, k2, 0, 0, 0), R=turned(angle, -angle, angle), P=P_shifted)
    y, x = np.mgrid[:480, :640].astype(np.float32)
    images = torch.from_numpy(127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7))[None, None]
    maps = rectification_maps(model)
    found = remap_on_device(images.float(), sampling_grid(*maps, device='cpu'))
    assert ((found - remap_on_cpu(images.float(), *maps)).abs() <= 1).float().mean() >= 0.999


def test_a_rectified_pixel_shows_what_its_ray_meets() -> None:
    y, x = np.mgrid[:480, :640].astype(np.float32)
    raw = 100 + 0.1 * x + 0.05 * y
    model = calibration(R=turned(2, -3, 1))
    rectifier = Rectifier(model)
    rectified = rectifier(torch.from_numpy(raw)[None, None])[0, 0]
    for u, v in ((320, 240), (200, 100), (450, 380)):
        column, row = raw_position('plumb_bob', PLUMB_BOB, model.R, u, v)  # type: ignore[arg-type]
        assert rectifier.valid[v, u]
        assert float(rectified[v, u]) == pytest.approx(100 + 0.1 * column + 0.05 * row, abs=0.01)


def test_pixels_that_the_raw_image_does_not_show_are_black_and_invalid() -> None:
    # The rectified camera looks 5 degrees aside: some 40 columns on one side show nothing.
    rectifier = Rectifier(calibration(D=(), R=turned(0, 5, 0)))
    white = rectifier(torch.full((1, 1, 480, 640), 255, dtype=torch.uint8))[0, 0]
    outside = ~rectifier.valid
    assert 0.03 < outside.float().mean() < 0.2
    deep = cv2.erode(outside.numpy().astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert (white.numpy()[deep] == 0).all()
    assert (white[rectifier.valid] == 255).all()


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r'640x480 .* but they are 320x240'):
        Rectifier(calibration())(torch.zeros(1, 1, 240, 320))


@pytest.mark.parametrize(
    ('other', 'needed'),
    [
        ({}, True),
        ({'D': ()}, False),
        ({'D': (0.0,) * 5}, False),
        ({'D': (), 'R': (0.0,) * 9}, False),
        ({'D': (), 'R': ()}, False),
        ({'D': (), 'R': turned(0, 0.5, 0)}, True),
        ({'D': (0.0, 0.0, 0.0, 0.0, 1e-3)}, True),
        # Numbers that were written with eight digits.
        ({'D': (), 'R': tuple(value + 1e-8 for value in EYE)}, False),
    ],
)
def test_distortion_or_rotation_make_a_camera_raw(
    other: dict[str, tuple[float, ...]], needed: bool
) -> None:
    assert needs_rectification(calibration(**other)) is needed


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        ({'K': (0.0,) * 9}, 'K is empty'),
        ({'K': ()}, 'K is empty'),
        ({'K': (-500.0, *K[1:])}, r'K\[0\] = -500'),
        ({'K': (math.nan, *K[1:])}, 'K holds NaN'),
        ({'D': (math.inf, 0, 0, 0, 0)}, 'D holds NaN or infinity'),
        ({'D': (0.1, 0.2, 0.3)}, 'D has 3 numbers'),
        ({'D': (0.1, 0, 0), 'distortion_model': 'equidistant'}, 'D has 3 numbers'),
        ({'D': (0.1, 0, 0, 0, 0.2), 'distortion_model': 'equidistant'}, 'D has 5 numbers'),
        ({'distortion_model': 'double_sphere'}, "'double_sphere'.*plumb_bob"),
        ({'R': (1.0, 0.0, 0.0)}, 'R has 3 numbers'),
        ({'R': (2.0, *EYE[1:])}, 'no rotation matrix'),
        ({'R': (-1.0, *EYE[1:])}, 'no rotation matrix'),
        ({'P': (0.0,) * 12}, 'P is empty'),
        ({'width': 0}, 'image size is 0x480'),
    ],
)
def test_what_cannot_be_rectified_is_named(other: dict[str, object], words: str) -> None:
    with pytest.raises(CalibrationError, match=words) as raised:
        rectification_maps(calibration(source='left/camera_info', **other))
    assert str(raised.value).startswith('left/camera_info')


def test_maps_are_computed_once_for_each_calibration() -> None:
    cache = RectifierCache()
    first = cache.get(calibration())
    assert cache.get(calibration(D=list(PLUMB_BOB), K=list(K))) is first
    other = cache.get(calibration(R=turned(1, 0, 0)))
    assert other is not first
    assert cache.get(calibration()) is first
    for degrees in range(2, 6):
        cache.get(calibration(R=turned(degrees, 0, 0)))
    assert cache.get(calibration()) is not first
