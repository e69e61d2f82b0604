"""Cameras whose numbers are easy to work with by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from s2m2_ros.geometry import (
    CameraModel,
    PrincipalPoint,
    StereoCamera,
    pixel_kernel,
    registration_kernel,
)

ModelFactory = Callable[..., CameraModel]
CameraFactory = Callable[..., StereoCamera]


@pytest.fixture
def make_model() -> ModelFactory:
    def make(
        *, fx: float = 700.0, cx: float = 640.0, tx: float = 0.0, **other: object
    ) -> CameraModel:
        P = (fx, 0, cx, tx, 0, fx, 360, 0, 0, 0, 1, 0)
        return CameraModel(**{'P': P, 'width': 1280, 'height': 720} | other)  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_camera() -> CameraFactory:
    """Return a maker of cameras with f = 100 px, B = 0.1 m: Z = 10 / d."""

    def make(width: int, height: int, **other: object) -> StereoCamera:
        options = {
            'focal_length': 100.0,
            'focal_length_y': 100.0,
            'baseline': 0.1,
            'left': PrincipalPoint(0.0, 0.0),
            'right': PrincipalPoint(0.0, 0.0),
        }
        return StereoCamera(width, height, **options | other)  # type: ignore[arg-type]

    return make


@pytest.fixture(params=['compiled', 'torch'])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the compiled loops over pixels and with torch, as on an accelerator."""
    for kernel in (pixel_kernel, registration_kernel):
        assert kernel.library() is not None
        if request.param == 'torch':
            monkeypatch.setattr(kernel, 'library', lambda: None)
