"""Point clouds as records in memory, ready to be sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike

from s2m2_ros.geometry import pixel_kernel
from s2m2_ros.geometry.filters import (
    DisparityMaps,
    PixelFilter,
    filtered_depth,
    require_one_shape,
    without_border,
)
from s2m2_ros.geometry.pixel_kernel import FieldMap, RecordSources
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.voxels import REDUCTIONS, VoxelGrid, merge

Color = Literal['rgb', 'intensity', 'none']

# The size of PCL's PointXYZRGB and PointXYZI, which are aligned for SSE.
PADDED_SIZE = 32


@dataclass(frozen=True)
class RigidTransform:
    """``p_target = rotation @ p + translation`` from the left optical frame into ``frame_id``.

    ``rotation`` is a 3x3 rotation matrix, row by row; ``translation`` is in meters. ValueError
    for anything else.
    """

    frame_id: str
    rotation: tuple[tuple[float, float, float], ...]
    translation: tuple[float, float, float]

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation, dtype=np.float64)
        translation = np.asarray(self.translation, dtype=np.float64)
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise ValueError(f'{self} needs a 3x3 rotation and a translation of 3')
        orthonormal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        if not (orthonormal and np.linalg.det(rotation) > 0 and np.isfinite(translation).all()):
            raise ValueError(f'{self} is not a rotation and a finite translation')

    @classmethod
    def from_matrix(cls, matrix: ArrayLike, frame_id: str) -> RigidTransform:
        """Return the transform of a 4x4 homogeneous matrix; ValueError if it is not rigid."""
        m = np.asarray(matrix, dtype=np.float64)
        if m.shape != (4, 4) or not np.allclose(m[3], (0, 0, 0, 1)):
            raise ValueError(f'not a homogeneous 4x4 matrix: {m.tolist()}')
        rows = [(float(r[0]), float(r[1]), float(r[2])) for r in m[:3]]
        return cls(frame_id, tuple(rows), (float(m[0, 3]), float(m[1, 3]), float(m[2, 3])))

    @property
    def matrix(self) -> tuple[tuple[float, ...], ...]:
        """Rotation and translation side by side, 3 rows of 4."""
        return tuple(
            (*row, shift) for row, shift in zip(self.rotation, self.translation, strict=True)
        )


@dataclass(frozen=True)
class CloudOptions:
    """How a cloud is laid out and which pixels it holds.

    ``organized``: one record for each pixel, rows x columns, NaN for unknown; otherwise valid
    points only. ``padded``: the 32-byte layout of PCL (x, y, z at 0, 4, 8; color at 16, then
    confidence), otherwise packed. ``color``: an ``rgb`` field (packed float), an ``intensity``
    field (0..255) or none. ``confidence`` and ``uncertainty`` (standard deviation of the depth in
    meters) are further fields. ``decimation``: every n-th row and column, beginning with the
    first. ``border``: what is removed at each edge, as a fraction of the width. ``transform``:
    into another frame than the left optical one. ``voxels``: one point for each voxel of that
    frame instead of one for each pixel, never organized.
    """

    organized: bool = True
    padded: bool = False
    color: Color = 'rgb'
    confidence: bool = False
    uncertainty: bool = False
    decimation: int = 1
    border: float = 0.0
    filter: PixelFilter = field(default_factory=PixelFilter)
    transform: RigidTransform | None = None
    voxels: VoxelGrid | None = None

    def __post_init__(self) -> None:
        if self.color not in get_args(Color):
            raise ValueError(f'color = {self.color!r} must be one of {get_args(Color)}')
        if self.decimation < 1:
            raise ValueError(f'decimation = {self.decimation} must be at least 1')
        if not 0 <= self.border < 0.5:
            raise ValueError(f'border = {self.border} must lie in [0, 0.5)')

    @property
    def needs_uncertainty(self) -> bool:
        """Whether the standard deviation of the depth is needed."""
        return self.uncertainty or (self.voxels is not None and self.voxels.growth > 0)


@dataclass(frozen=True)
class CloudLayout:
    """Where the FLOAT32 fields of one record lie: (name, byte offset) each, and its size."""

    fields: tuple[tuple[str, int], ...]
    point_step: int

    @classmethod
    def of(cls, options: CloudOptions) -> CloudLayout:
        """Return the layout that the options ask for."""
        names = [] if options.color == 'none' else [str(options.color)]
        names += ['confidence'] if options.confidence else []
        names += ['uncertainty'] if options.uncertainty else []
        first = 16 if options.padded else 12
        extra = tuple((name, first + 4 * i) for i, name in enumerate(names))
        size = PADDED_SIZE if options.padded else first + 4 * len(names)
        return cls((('x', 0), ('y', 4), ('z', 8), *extra), size)

    def column(self, name: str) -> int:
        """Return the index of a field in a record taken as float32 numbers."""
        return dict(self.fields)[name] // 4

    @property
    def columns(self) -> dict[str, int]:
        """The columns of the fields beside x, y and z."""
        return {name: offset // 4 for name, offset in self.fields[3:]}


class Workspace:
    """Memory for the records of a cloud, used again from one pair to the next.

    On a CPU fresh memory costs more than all the arithmetic. Not to be shared between threads.
    """

    def __init__(self) -> None:
        self._records = torch.empty(0)
        self._layout: CloudLayout | None = None

    def records(
        self, height: int, width: int, layout: CloudLayout, device: torch.device
    ) -> torch.Tensor:
        """Return float32 (height, width, point_step / 4); padding is zero, the rest undefined."""
        shape = (height, width, layout.point_step // 4)
        kept = self._records
        if layout != self._layout or kept.shape != shape or kept.device != device:
            self._records = self.allocate(shape, device)
            self._layout = layout
        return self._records

    def allocate(self, shape: tuple[int, int, int], device: torch.device) -> torch.Tensor:
        """Return zeros, float32 of this shape; to be overridden by who knows better memory."""
        return torch.zeros(shape, dtype=torch.float32, device=device)


def cloud_records(
    camera: StereoCamera,
    maps: DisparityMaps,
    options: CloudOptions,
    *,
    image: torch.Tensor | None = None,
    uncertainty: torch.Tensor | None = None,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """Return records float32 (H', W', point_step / 4), or (N, point_step / 4) if not organized.

    ``maps``: (H, W). ``image``: the left image, (H, W) or (H, W, 3) RGB, uint8 or float in
    0..255; needed unless ``color`` is 'none'. ``uncertainty``: (H, W) in meters, needed for its
    field and for voxels that grow. The records may lie in the workspace, if one is
    given, until it is used again. Raises ValueError if something that the options ask for is
    missing or of another size.
    """
    require_one_shape(maps)
    step, layout, device = options.decimation, CloudLayout.of(options), maps.disparity.device
    maps = without_border(maps, options.border)
    height, width = -(-camera.height // step), -(-camera.width // step)
    records = (workspace or Workspace()).records(height, width, layout, device)
    sources = _sources(camera, maps, options, layout, image=image, uncertainty=uncertainty)
    if pixel_kernel.serves(maps):
        return _compiled_records(camera, maps, options, sources, records)
    adjusted = camera.adjusted(maps.disparity)
    depth = filtered_depth(camera, adjusted, maps, options.filter, step=step)
    _write_points(records, depth, sources)
    if sources.rgb is not None:
        _write_rgb(records, sources.rgb, sources.rgb_column)
    for source in sources.maps:
        records[..., source.column] = source.values
    if options.organized and options.voxels is None:
        return records
    known = ~records[..., 2].isnan()
    if options.voxels is None:
        return records[known]
    deviation = None if sources.deviation is None else sources.deviation[known]
    return merge(records[known], layout.columns, options.voxels, deviation)


def _compiled_records(
    camera: StereoCamera,
    maps: DisparityMaps,
    options: CloudOptions,
    sources: RecordSources,
    records: torch.Tensor,
) -> torch.Tensor:
    step = options.decimation
    if options.voxels is not None:
        count = pixel_kernel.write_voxels(
            camera, maps, options.filter, sources, records, grid=options.voxels, step=step
        )
        return records.flatten(0, 1)[:count]
    count = pixel_kernel.write_records(
        camera, maps, options.filter, sources, records, step=step, organized=options.organized
    )
    return records if options.organized else records.flatten(0, 1)[:count]


def _sources(
    camera: StereoCamera,
    maps: DisparityMaps,
    options: CloudOptions,
    layout: CloudLayout,
    *,
    image: torch.Tensor | None,
    uncertainty: torch.Tensor | None,
) -> RecordSources:
    step, device = options.decimation, maps.disparity.device
    x, y = camera.rays(device, step=step)
    rgb, deviation = None, None
    fields: list[FieldMap] = []

    def add(name: str, values: torch.Tensor) -> None:
        fields.append(FieldMap(layout.column(name), values, REDUCTIONS[name]))

    if options.color != 'none':
        pixels = require_image(image, camera.width, camera.height)[::step, ::step].to(device)
        if options.color == 'rgb':
            rgb = as_rgb(pixels)
        else:
            add('intensity', _gray(pixels))
    if options.confidence:
        add('confidence', maps.confidence[::step, ::step].float())
    if options.needs_uncertainty:
        if uncertainty is None:
            raise ValueError('the cloud needs the uncertainty of the depth; none was given')
        if uncertainty.shape != maps.disparity.shape:
            raise ValueError(
                f'the uncertainty is {tuple(uncertainty.shape)}, the disparity '
                f'{tuple(maps.disparity.shape)}'
            )
        deviation = uncertainty[::step, ::step].float()
        if options.uncertainty:
            add('uncertainty', deviation)
    return RecordSources(
        x=x,
        y=y,
        transform=options.transform.matrix if options.transform else None,
        rgb=rgb,
        rgb_column=layout.column('rgb') if rgb is not None else 0,
        maps=fields,
        deviation=deviation,
    )


def _write_points(records: torch.Tensor, depth: torch.Tensor, sources: RecordSources) -> None:
    """Write the points of the depth (H', W') along the rays x (W',), y (H', 1) and 1."""
    x, y = sources.x, sources.y
    if sources.transform is None:
        torch.mul(depth, x, out=records[..., 0])
        torch.mul(depth, y, out=records[..., 1])
        records[..., 2] = depth
        return
    for axis, row in enumerate(sources.transform):
        ray = x * row[0] + (y * row[1] + row[2])
        torch.add(depth * ray, row[3], out=records[..., axis])


def require_image(
    image: torch.Tensor | None, width: int, height: int, needs: str = 'the cloud'
) -> torch.Tensor:
    """Return an image (height, width) or (height, width, 3); raise ValueError if it is not."""
    if image is None or image.shape not in ((height, width), (height, width, 3)):
        found = 'none was given' if image is None else f'its shape is {tuple(image.shape)}'
        raise ValueError(
            f'{needs} needs an image of {width}x{height} pixels, gray or of 3 channels; {found}'
        )
    return image


def as_rgb(image: torch.Tensor) -> torch.Tensor:
    """Return an image in 0..255 as uint8 (H', W', 3), a gray one with three equal channels."""
    image = (image.round().clamp(0, 255) if image.is_floating_point() else image).to(torch.uint8)
    return image if image.ndim == 3 else image[..., None].expand(-1, -1, 3)


def _write_rgb(records: torch.Tensor, rgb: torch.Tensor, column: int) -> None:
    # The packed float is 0x00RRGGBB, so in memory b, g, r, 0. An alpha of 255 would make a NaN.
    memory = records.view(torch.uint8)[..., 4 * column : 4 * column + 4]
    for offset, channel in enumerate((2, 1, 0)):
        memory[..., offset] = rgb[..., channel]
    memory[..., 3] = 0


def _gray(image: torch.Tensor) -> torch.Tensor:
    """Return the luma (ITU-R BT.601) of an image, float32 in 0..255."""
    if image.ndim == 2:
        return image.float()
    red, green, blue = image.float().unbind(-1)
    return 0.299 * red + 0.587 * green + 0.114 * blue
