"""The compiled loops of registration (compiled/registration_kernel.cpp), for a CPU."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import torch

from s2m2_ros import compiled_library
from s2m2_ros.geometry.registration_limits import (
    EDGE_ON,
    LARGEST_EXTENT,
    LARGEST_REACH,
    NEAREST,
    OVERLAP,
    SMALLEST_EXTENT,
    DepthRange,
    Tolerance,
)
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.target_camera import PINHOLE_TERMS, TargetCamera

VERSION = 2
NO_LENS, PINHOLE, FISHEYE = range(3)


class _Job(ctypes.Structure):
    _fields_ = (
        ('depth', ctypes.c_void_p),
        ('row_stride', ctypes.c_int64),
        ('x', ctypes.c_void_p),
        ('y', ctypes.c_void_p),
        ('height', ctypes.c_int32),
        ('width', ctypes.c_int32),
        ('target_height', ctypes.c_int32),
        ('target_width', ctypes.c_int32),
        ('lens', ctypes.c_int32),
        ('pose', ctypes.c_float * 12),
        ('fx', ctypes.c_float),
        ('fy', ctypes.c_float),
        ('cx', ctypes.c_float),
        ('cy', ctypes.c_float),
        ('tx', ctypes.c_float),
        ('ty', ctypes.c_float),
        ('terms', ctypes.c_float * PINHOLE_TERMS),
        ('largest_square', ctypes.c_float),
        ('scale_x', ctypes.c_float),
        ('scale_y', ctypes.c_float),
        ('step', ctypes.c_float),
        ('fraction', ctypes.c_float),
        ('nearest', ctypes.c_float),
        ('smallest', ctypes.c_float),
        ('largest', ctypes.c_float),
        ('largest_reach', ctypes.c_float),
        ('edge_on', ctypes.c_float),
        ('overlap', ctypes.c_float),
        ('kept_nearest', ctypes.c_float),
        ('kept_farthest', ctypes.c_float),
    )


class _Picture(ctypes.Structure):
    _fields_ = (
        ('pixels', ctypes.c_void_p),
        ('row', ctypes.c_int64),
        ('column', ctypes.c_int64),
        ('channel', ctypes.c_int64),
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the compiled library; None if it was not built, or from other sources."""
    found = compiled_library.load('registration_kernel', VERSION)
    if found is not None:
        found.registration_kernel_depth.restype = None
    return found


def serves(values: torch.Tensor) -> bool:
    """Return whether the library is there and can work on these."""
    return values.device.type == 'cpu' and library() is not None


def z_buffer(
    depth: torch.Tensor, camera: StereoCamera, target: TargetCamera, kept: DepthRange
) -> torch.Tensor:
    """Return what `registration.register` does of a depth (H, W) on the CPU.

    Raises MemoryError.
    """
    job, alive = _job(depth, camera, target, kept)
    size = target.height, target.width
    # Here and below: not the type and the device that the user made the default.
    values = torch.zeros(size, dtype=torch.int32, device='cpu')
    filled = torch.empty_like(values)
    _check(
        _compiled().registration_kernel_z_buffer(
            ctypes.byref(job),
            ctypes.c_void_p(values.data_ptr()),
            ctypes.c_void_p(filled.data_ptr()),
        )
    )
    del alive
    return filled


def depth(values: torch.Tensor) -> torch.Tensor:
    """Return what `registration.ZBuffer.depth` is, of values on the CPU."""
    values = values.contiguous()
    result = torch.empty(values.shape, dtype=torch.float32, device='cpu')
    _compiled().registration_kernel_depth(
        ctypes.c_void_p(values.data_ptr()),
        ctypes.c_int64(values.numel()),
        ctypes.c_void_p(result.data_ptr()),
    )
    return result


def colors(
    depth: torch.Tensor,
    camera: StereoCamera,
    target: TargetCamera,
    values: torch.Tensor,
    *,
    image: torch.Tensor,
    left_image: torch.Tensor,
) -> torch.Tensor:
    """Return what `registration.registered_colors` does; images are uint8 (H, W, 3), any strides.

    ``values``: as `z_buffer` returned them. Raises MemoryError.
    """
    values = values.contiguous()
    job, alive = _job(depth, camera, target, DepthRange())
    result = torch.empty((camera.height, camera.width, 3), dtype=torch.uint8, device='cpu')
    _check(
        _compiled().registration_kernel_colors(
            ctypes.byref(job),
            ctypes.c_void_p(values.data_ptr()),
            ctypes.byref(_picture(image)),
            ctypes.byref(_picture(left_image)),
            ctypes.c_void_p(result.data_ptr()),
        )
    )
    del alive
    return result


def _compiled() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise RuntimeError('the registration kernel is not built; ask serves() first')
    return found


def _check(result: int) -> None:
    if result < 0:
        raise MemoryError('not enough memory to register depth to another camera')


def _picture(image: torch.Tensor) -> _Picture:
    return _Picture(image.data_ptr(), *image.stride())


def _job(
    depth: torch.Tensor, camera: StereoCamera, target: TargetCamera, kept: DepthRange
) -> tuple[_Job, list[torch.Tensor]]:
    """Return the structure, and the tensors that must live as long as it."""
    depth = depth.float()
    rows = depth if depth.stride(1) == 1 else depth.contiguous()
    x, y = (rays.contiguous() for rays in camera.rays(depth.device))
    pose = [
        value
        for row, shift in zip(target.rotation, target.translation, strict=True)
        for value in (*row, shift)
    ]
    terms = target.distortion + (0.0,) * (PINHOLE_TERMS - len(target.distortion))
    tolerance = Tolerance.of(camera)
    job = _Job(
        depth=rows.data_ptr(),
        row_stride=rows.stride(0),
        x=x.data_ptr(),
        y=y.data_ptr(),
        height=camera.height,
        width=camera.width,
        target_height=target.height,
        target_width=target.width,
        lens=(FISHEYE if target.fisheye else PINHOLE) if target.distortion else NO_LENS,
        pose=(ctypes.c_float * 12)(*pose),
        fx=target.fx,
        fy=target.fy,
        cx=target.cx,
        cy=target.cy,
        tx=target.tx,
        ty=target.ty,
        terms=(ctypes.c_float * PINHOLE_TERMS)(*terms),
        largest_square=target.largest_radius**2,
        scale_x=target.magnification / camera.focal_length,
        scale_y=target.magnification / camera.focal_length_y,
        step=tolerance.step,
        fraction=tolerance.fraction,
        nearest=NEAREST,
        smallest=SMALLEST_EXTENT,
        largest=LARGEST_EXTENT,
        largest_reach=LARGEST_REACH,
        edge_on=EDGE_ON,
        overlap=OVERLAP,
        kept_nearest=kept.nearest,
        kept_farthest=kept.farthest,
    )
    return job, [rows, x, y]
