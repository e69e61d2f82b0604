"""Point clouds as records in memory, ready to be sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike

from s2m2_ros.geometry.filters import Estimate, PixelFilter, filtered_depth
from s2m2_ros.geometry.stereo_camera import StereoCamera

Color = Literal['rgb', 'intensity', 'none']

# The size of PCL's PointXYZRGB and PointXYZI, which are aligned for SSE.
PADDED_SIZE = 32

# On a CPU a cloud is made in blocks of rows that stay in its cache, and just under the size from
# which torch spreads one operation over threads: on a robot whose cores are busy, waiting for a
# second core at each of some twenty operations costs many times what it saves.
CPU_BLOCK_PIXELS = 32767


@dataclass(frozen=True)
class RigidTransform:
    """``p_target = rotation @ p + translation`` from the left optical frame into ``frame_id``.

    ``rotation`` is a 3x3 rotation matrix, row by row; ``translation`` is in metres. ValueError
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


@dataclass(frozen=True)
class CloudOptions:
    """How a cloud is laid out and which pixels it holds.

    ``organized``: one record for each pixel, rows x columns, NaN for unknown; otherwise valid
    points only. ``padded``: the 32-byte layout of PCL (x, y, z at 0, 4, 8; colour at 16, then
    confidence), otherwise packed. ``color``: an ``rgb`` field (packed float), an ``intensity``
    field (0..255) or none. ``decimation``: every n-th row and column, beginning with the first.
    ``transform``: into another frame than the left optical one.
    """

    organized: bool = True
    padded: bool = False
    color: Color = 'rgb'
    confidence: bool = False
    decimation: int = 1
    filter: PixelFilter = field(default_factory=PixelFilter)
    transform: RigidTransform | None = None

    def __post_init__(self) -> None:
        if self.color not in get_args(Color):
            raise ValueError(f'color = {self.color!r} must be one of {get_args(Color)}')
        if self.decimation < 1:
            raise ValueError(f'decimation = {self.decimation} must be at least 1')


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
        first = 16 if options.padded else 12
        extra = tuple((name, first + 4 * i) for i, name in enumerate(names))
        size = PADDED_SIZE if options.padded else first + 4 * len(names)
        return cls((('x', 0), ('y', 4), ('z', 8), *extra), size)

    def column(self, name: str) -> int:
        """Return the index of a field in a record taken as float32 numbers."""
        return dict(self.fields)[name] // 4


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
            self._records = torch.zeros(shape, dtype=torch.float32, device=device)
            self._layout = layout
        return self._records


def cloud_records(
    camera: StereoCamera,
    estimate: Estimate,
    options: CloudOptions,
    *,
    image: torch.Tensor | None = None,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """Return records float32 (H', W', point_step / 4), or (N, point_step / 4) if unorganised.

    ``estimate``: (H, W). ``image``: the left image, (H, W) or (H, W, 3) RGB, uint8 or float in
    0..255; needed unless ``color`` is 'none'. Organised records lie in the workspace, if one is
    given, until it is used again. Raises ValueError if something that the options ask for is
    missing or of another size.
    """
    step, layout, device = options.decimation, CloudLayout.of(options), estimate.disparity.device
    height, width = -(-camera.height // step), -(-camera.width // step)
    records = (workspace or Workspace()).records(height, width, layout, device)
    x, y = camera.rays(device, step=step)
    colors = None if options.color == 'none' else _decimated(image, camera, step)
    confidence = estimate.required('confidence')[::step, ::step] if options.confidence else None
    for rows in _blocks(height, camera.width, options, device):
        block, depth = records[rows], _block_depth(camera, estimate, options, rows)
        _write_points(block, depth, x, y[rows], options.transform)
        if colors is not None:
            _write_color(block, layout, colors[rows], options.color)
        if confidence is not None:
            block[..., layout.column('confidence')] = confidence[rows]
    return records if options.organized else records[~records[..., 2].isnan()]


def _blocks(
    height: int, width: int, options: CloudOptions, device: torch.device
) -> Iterator[slice]:
    """Yield which decimated rows to take at a time: all of them on an accelerator."""
    rows = height
    if device.type == 'cpu':
        rows = max(1, CPU_BLOCK_PIXELS // (width * options.decimation) - 2 * _margin(options))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def _margin(options: CloudOptions) -> int:
    """Return how many more rows a block needs above and below, for filters to see neighbours."""
    return 0 if options.filter.flying_pixels is None else 1


def _block_depth(
    camera: StereoCamera, estimate: Estimate, options: CloudOptions, rows: slice
) -> torch.Tensor:
    """Return the filtered depth of some of the decimated rows."""
    step, margin = options.decimation, _margin(options)
    above = min(rows.start, margin)
    first = (rows.start - above) * step
    last = min((rows.stop + margin) * step, camera.height)
    part, seen = camera.rows(first, last), estimate.rows(first, last)
    depth = filtered_depth(part, part.adjusted(seen.disparity), seen, options.filter, step=step)
    return depth[above : above + rows.stop - rows.start]


def _write_points(
    records: torch.Tensor,
    depth: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    transform: RigidTransform | None,
) -> None:
    """Write the points of the depth (H', W') along the rays x (W',), y (H', 1) and 1."""
    if transform is None:
        torch.mul(depth, x, out=records[..., 0])
        torch.mul(depth, y, out=records[..., 1])
        records[..., 2] = depth
        return
    for axis, row in enumerate(transform.rotation):
        ray = x * row[0] + (y * row[1] + row[2])
        torch.add(depth * ray, transform.translation[axis], out=records[..., axis])


def _decimated(image: torch.Tensor | None, camera: StereoCamera, step: int) -> torch.Tensor:
    if image is None or image.shape[:2] != (camera.height, camera.width):
        found = 'none was given' if image is None else f'its shape is {tuple(image.shape)}'
        raise ValueError(
            f'the cloud needs an image of {camera.width}x{camera.height} pixels; {found}'
        )
    return image[::step, ::step]


def _write_color(
    records: torch.Tensor, layout: CloudLayout, image: torch.Tensor, color: Color
) -> None:
    image, column = image.to(records.device), layout.column(color)
    if color == 'intensity':
        records[..., column] = _grey(image)
        return
    if image.is_floating_point():
        image = image.round().clamp(0, 255).to(torch.uint8)
    rgb = image if image.ndim == 3 else image[..., None].expand(*image.shape, 3)
    # The packed float is 0x00RRGGBB, so in memory b, g, r, 0. An alpha of 255 would make a NaN.
    memory = records.view(torch.uint8)[..., 4 * column : 4 * column + 4]
    for offset, channel in enumerate((2, 1, 0)):
        memory[..., offset] = rgb[..., channel]
    memory[..., 3] = 0


def _grey(image: torch.Tensor) -> torch.Tensor:
    """Return the luma (ITU-R BT.601) of an image, float32 in 0..255."""
    if image.ndim == 2:
        return image.float()
    red, green, blue = image.float().unbind(-1)
    return 0.299 * red + 0.587 * green + 0.114 * blue
