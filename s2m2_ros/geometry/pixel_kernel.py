"""The compiled loop over pixels (compiled/pixel_kernel.cpp): filtered depth and records on a CPU.

Torch does each operation over the whole map; one pass that does them all is several times as
fast.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from s2m2_ros import compiled_library
from s2m2_ros.geometry.filters import DisparityMaps, PixelFilter
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.voxels import Reduction, VoxelGrid

VERSION = 4
"""Of the structures below; an old library beside new sources must not be called."""
MAPS = 3
MOST_THREADS = 4
"""More gain nothing: the loop waits for memory."""


class _Map(ctypes.Structure):
    _fields_ = (
        ('values', ctypes.c_void_p),
        ('row_stride', ctypes.c_int64),
        ('column_stride', ctypes.c_int64),
        ('column', ctypes.c_int32),
        ('minimum', ctypes.c_float),
        ('reduction', ctypes.c_int32),
    )


class _Depth(ctypes.Structure):
    _fields_ = (
        ('disparity', ctypes.c_void_p),
        ('row_stride', ctypes.c_int64),
        ('height', ctypes.c_int32),
        ('width', ctypes.c_int32),
        ('step', ctypes.c_int32),
        ('flying_pixels', ctypes.c_int32),
        ('offset', ctypes.c_float),
        ('lowest', ctypes.c_float),
        ('focal_baseline', ctypes.c_float),
        ('min_depth', ctypes.c_float),
        ('max_depth', ctypes.c_float),
        ('min_step', ctypes.c_float),
        ('min_relative_step', ctypes.c_float),
        ('confidence', _Map),
        ('visibility', _Map),
    )


class _Cloud(ctypes.Structure):
    _fields_ = (
        ('x', ctypes.c_void_p),
        ('y', ctypes.c_void_p),
        ('transform', ctypes.c_void_p),
        ('image', ctypes.c_void_p),
        ('image_row', ctypes.c_int64),
        ('image_column', ctypes.c_int64),
        ('image_channel', ctypes.c_int64),
        ('rgb_column', ctypes.c_int32),
        ('record_size', ctypes.c_int32),
        ('organized', ctypes.c_int32),
        ('maps', _Map * MAPS),
        ('records', ctypes.c_void_p),
    )


class _Voxels(ctypes.Structure):
    _fields_ = (
        ('size', ctypes.c_float),
        ('growth', ctypes.c_float),
        ('deviation', _Map),
    )


@dataclass(frozen=True)
class FieldMap:
    """What fills a column of the records, float32 (H', W'), and how a voxel reduces it."""

    column: int
    values: torch.Tensor
    reduction: Reduction


@dataclass(frozen=True)
class RecordSources:
    """Where the fields of records come from; tensors of the decimated size on the CPU.

    ``x`` (W',) and ``y`` (H', 1) are the rays of `StereoCamera.rays`; ``transform`` is 3 rows of
    4 (rotation and translation) or None; ``rgb`` is uint8 (H', W', 3) or None; ``maps`` are at
    most three; the columns are those of the records. ``deviation`` is that of the depth in meters,
    float32 (H', W'), for voxels that grow.
    """

    x: torch.Tensor
    y: torch.Tensor
    transform: Sequence[Sequence[float]] | None
    rgb: torch.Tensor | None
    rgb_column: int
    maps: list[FieldMap]
    deviation: torch.Tensor | None = None


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the compiled library; None if it was not built, or from other sources."""
    found = compiled_library.load('pixel_kernel', VERSION)
    if found is not None:
        found.pixel_kernel_cloud.restype = ctypes.c_int64
        found.pixel_kernel_voxels.restype = ctypes.c_int64
        found.pixel_kernel_depth.restype = ctypes.c_int64
    return found


def serves(maps: DisparityMaps) -> bool:
    """Return whether the library is there and can work on these maps."""
    disparity = maps.disparity
    return disparity.device.type == 'cpu' and disparity.ndim == 2 and library() is not None


def depth(camera: StereoCamera, maps: DisparityMaps, options: PixelFilter) -> torch.Tensor:
    """Return the filtered depth (H, W) in meters, NaN where unknown or filtered out.

    Raises CalibrationError if the size is not the camera's, ValueError if a threshold is set on
    a confidence or visibility that is missing, MemoryError.
    """
    job, kept = _depth_job(camera, maps, options, 1)
    # Here and below: not the type and the device that the user made the default.
    result = torch.empty((camera.height, camera.width), dtype=torch.float32, device='cpu')
    _check(
        _compiled().pixel_kernel_depth(
            ctypes.byref(job), ctypes.c_void_p(result.data_ptr()), _threads()
        )
    )
    del kept
    return result


def write_records(
    camera: StereoCamera,
    maps: DisparityMaps,
    options: PixelFilter,
    sources: RecordSources,
    records: torch.Tensor,
    *,
    step: int,
    organized: bool,
) -> int:
    """Write records, contiguous float32 (H', W', n), and return how many.

    Unorganized, those of known depth stand one after the other at the beginning of the memory.
    Errors are those of :func:`depth`.
    """
    job, kept = _depth_job(camera, maps, options, step)
    cloud, also_kept = _cloud(sources, records)
    cloud.organized = organized
    written = _check(
        _compiled().pixel_kernel_cloud(ctypes.byref(job), ctypes.byref(cloud), _threads())
    )
    del kept, also_kept  # and with them the memory that the addresses meant
    return written


def write_voxels(
    camera: StereoCamera,
    maps: DisparityMaps,
    options: PixelFilter,
    sources: RecordSources,
    records: torch.Tensor,
    *,
    grid: VoxelGrid,
    step: int,
) -> int:
    """Write one record for each voxel to the beginning of the records; return how many.

    The same as `voxels.merge` of the records of known depth. Errors are those of :func:`depth`.
    """
    job, kept = _depth_job(camera, maps, options, step)
    cloud, also_kept = _cloud(sources, records)
    voxels = _Voxels(size=grid.size, growth=grid.growth)
    if grid.growth and sources.deviation is not None:
        voxels.deviation = _map(sources.deviation)
    written = _check(
        _compiled().pixel_kernel_voxels(
            ctypes.byref(job), ctypes.byref(cloud), ctypes.byref(voxels)
        )
    )
    del kept, also_kept
    return written


def _threads() -> int:
    return min(torch.get_num_threads(), MOST_THREADS)


def _check(result: int) -> int:
    if result < 0:
        raise MemoryError('not enough memory for a point cloud or depth image')
    return result


def _cloud(sources: RecordSources, records: torch.Tensor) -> tuple[_Cloud, list[torch.Tensor]]:
    """Return the structure, and the tensors that must live as long as it."""
    kept = [sources.x.contiguous(), sources.y.contiguous()]
    cloud = _Cloud(
        x=kept[0].data_ptr(),
        y=kept[1].data_ptr(),
        rgb_column=sources.rgb_column,
        record_size=records.shape[-1],
        records=records.data_ptr(),
    )
    if sources.transform is not None:
        kept.append(torch.tensor(sources.transform, dtype=torch.float32, device='cpu'))
        cloud.transform = kept[-1].data_ptr()
    if sources.rgb is not None:
        cloud.image = sources.rgb.data_ptr()
        cloud.image_row, cloud.image_column, cloud.image_channel = sources.rgb.stride()
    for number, field in enumerate(sources.maps):
        cloud.maps[number] = _map(field.values, column=field.column, reduction=field.reduction)
    return cloud, kept


def _compiled() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise RuntimeError('the pixel kernel is not built; ask serves() first')
    return found


def _depth_job(
    camera: StereoCamera, maps: DisparityMaps, options: PixelFilter, step: int
) -> tuple[_Depth, list[torch.Tensor]]:
    """Return the structure, and the tensors that must live as long as it."""
    disparity = _rows(maps.disparity)
    camera.require_size(disparity.shape[1], disparity.shape[0])
    offset, flying = camera.principal_point_difference, options.flying_pixels
    job = _Depth(
        disparity=disparity.data_ptr(),
        row_stride=disparity.stride(0),
        height=camera.height,
        width=camera.width,
        step=step,
        flying_pixels=flying is not None,
        offset=offset,
        lowest=offset - camera.width,
        focal_baseline=camera.focal_length * camera.baseline,
        min_depth=np.float32(options.min_depth),
        max_depth=np.float32(options.max_depth),
        min_step=flying.min_step if flying else math.inf,
        min_relative_step=flying.min_relative_step if flying else 0.0,
    )
    kept = [disparity]
    if options.min_confidence > 0:
        kept.append(_rows(maps.confidence))
        job.confidence = _map(kept[-1][::step, ::step], minimum=options.min_confidence)
    if options.min_visibility > 0:
        kept.append(_rows(maps.visibility))
        job.visibility = _map(kept[-1][::step, ::step], minimum=options.min_visibility)
    return job, kept


def _rows(values: torch.Tensor) -> torch.Tensor:
    """Return float32 whose rows are contiguous."""
    values = values.float()
    return values if values.stride(1) == 1 else values.contiguous()


def _map(
    values: torch.Tensor,
    *,
    column: int = 0,
    minimum: float = 0.0,
    reduction: Reduction = Reduction.MEAN,
) -> _Map:
    row_stride, column_stride = values.stride()
    return _Map(values.data_ptr(), row_stride, column_stride, column, minimum, reduction)
