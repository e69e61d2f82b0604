"""From the maps of one pair to everything published of it: one pass, one copy to the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import numpy as np
import torch

from s2m2_ros.geometry import pixel_kernel
from s2m2_ros.geometry.camera_model import RegionOfInterest
from s2m2_ros.geometry.clearing import ClearingOptions, clearing_points, rays_only
from s2m2_ros.geometry.cloud import CloudLayout, CloudOptions, Workspace, cloud_records
from s2m2_ros.geometry.download import download, upload
from s2m2_ros.geometry.filters import DisparityMaps, PixelFilter, filtered_depth, require_one_shape
from s2m2_ros.geometry.registration import ZBuffer, register, registered_colors
from s2m2_ros.geometry.registration_limits import DepthRange
from s2m2_ros.geometry.stereo_camera import StereoCamera
from s2m2_ros.geometry.target_camera import TargetCamera
from s2m2_ros.geometry.uncertainty import depth_deviation

Deviation = Callable[[torch.Tensor], torch.Tensor]


class Output(Enum):
    """What can be asked of :func:`compute_outputs`; the values say what each array holds."""

    RAW_DISPARITY = 'x_left - x_right as matched, float32 (H, W), NaN where unknown'
    DISPARITY = 'adjusted disparity in pixels, float32 (H, W), UNKNOWN_DISPARITY where unknown'
    UNCERTAINTY = 'standard deviation of DEPTH in meters, float32 (H, W), NaN where unknown'
    DEPTH = 'meters along the optical axis, float32 (H, W), NaN where unknown'
    CONFIDENCE = 'probability that the error is under 4 px, float32 (H, W)'
    VISIBILITY = '1 seen by both cameras, 0 occluded, float32 (H, W)'
    CONFIDENCE_MASK = 'uint8 (H, W), 255 where the disparity is trusted'
    OCCLUSION_MASK = 'uint8 (H, W), 255 where occluded'
    POINTS = 'records of CloudLayout, float32 (H, W, n), or (N, n) of known points or voxels'
    REGISTERED_DEPTH = (
        "meters along the target's optical axis, float32 (H', W'), NaN where unknown"
    )
    POINTS_CLEARING = 'where rays through free space end, meters, float32 (N, 3)'


MIN_DISPARITY = 0.0
UNKNOWN_DISPARITY = MIN_DISPARITY - 1.0


@dataclass(frozen=True)
class OutputOptions:
    """Thresholds and layouts; every one may change from pair to pair.

    ``min_confidence`` is where the confidence mask begins (255 = trusted), ``min_visibility``
    where the occlusion mask ends; ``depth_filter`` applies to the depth image, and to the
    registered one. ``target`` is the camera that depth is registered to, and that colors the
    cloud if its image is given. The transform of ``cloud`` applies to the ends of the
    ``clearing`` rays too.
    """

    min_confidence: float = 0.5
    min_visibility: float = 0.5
    depth_filter: PixelFilter = field(default_factory=PixelFilter)
    cloud: CloudOptions = field(default_factory=CloudOptions)
    target: TargetCamera | None = None
    clearing: ClearingOptions = field(default_factory=ClearingOptions)


@dataclass(frozen=True)
class HostOutputs:
    """What was asked for, as host arrays (see :class:`Output`), and what explains them.

    ``max_disparity`` is finite and greater than every known disparity; 0 without a DISPARITY.
    ``cloud_frame_id`` is empty for the left optical frame. ``download_ms`` is how long the copy
    to the host took, ``copied_at`` when it began, as `download.Downloaded` says; ``numbers`` came
    with it. Nothing is known outside of ``valid_window``; None: it is the whole image.
    ``target`` is the camera that depth was registered to.
    """

    camera: StereoCamera | None
    arrays: Mapping[Output, np.ndarray]
    max_disparity: float
    cloud_layout: CloudLayout | None
    cloud_frame_id: str
    download_ms: float = 0.0
    valid_window: RegionOfInterest | None = None
    target: TargetCamera | None = None
    numbers: tuple[float, ...] = ()
    copied_at: float | torch.cuda.Event = 0.0

    @property
    def required_target(self) -> TargetCamera:
        """Return the target camera; ValueError if there is none."""
        return _required_target(self.target)

    @property
    def calibrated_camera(self) -> StereoCamera:
        """Return the camera; ValueError if the outputs were computed without one."""
        return _required_camera(self.camera)


def compute_outputs(
    camera: StereoCamera | None,
    maps: DisparityMaps,
    wanted: Collection[Output],
    *,
    image: np.ndarray | torch.Tensor | None = None,
    color_image: np.ndarray | torch.Tensor | None = None,
    deviation: Deviation | None = None,
    options: OutputOptions | None = None,
    workspace: Workspace | None = None,
    numbers: Sequence[torch.Tensor] = (),
) -> HostOutputs:
    """Compute what is wanted on the maps' device and bring it to the host in one copy.

    Args:
        camera: None where there is no calibration; then only RAW_DISPARITY, CONFIDENCE,
            VISIBILITY and the masks can be asked for.
        maps: (H, W) tensors, as ``StereoMatcher.match`` returns them.
        wanted: what to compute.
        image: the left image, (H, W) or (H, W, 3) RGB, uint8 or float in 0..255; needed for a
            colored cloud.
        color_image: of the target camera, alike; it colors the points that this camera sees.
        deviation: returns the standard deviation of the disparity in pixels for a confidence;
            needed for UNCERTAINTY and the cloud's field of that name.
        options: thresholds and layouts.
        workspace: pass the same every time to save allocations on a CPU. The POINTS of the result
            may lie in it, so turn them into a message before the next call. Arrays may also share
            memory with the maps.
        numbers: tensors of one number each, which come to the host in the same copy.

    Raises:
        CalibrationError: the size is not the camera's.
        ValueError: an input is missing.

    """
    options = options or OutputOptions()
    require_one_shape(maps)
    with torch.inference_mode(False), torch.no_grad():
        context = _Pass(camera, maps, image, color_image, deviation, options, workspace)
        outputs = [output for output in Output if output in wanted]
        tensors = {output: _COMPUTE[output](context) for output in outputs}
        maximum = [tensors[output].amax() for output in outputs if output is Output.DISPARITY]
        arrays, copied_at, download_ms = download([*tensors.values(), *maximum, *numbers])
    single = [array.item() for array in arrays[len(outputs) :]]
    found = dict(zip(outputs, arrays, strict=False))
    if Output.POINTS_CLEARING in found:
        found[Output.POINTS_CLEARING] = rays_only(found[Output.POINTS_CLEARING])
    transform = options.cloud.transform
    return HostOutputs(
        camera=camera,
        arrays=found,
        max_disparity=_above(single[0]) if maximum else 0.0,
        cloud_layout=CloudLayout.of(options.cloud) if Output.POINTS in wanted else None,
        cloud_frame_id=transform.frame_id if transform else '',
        download_ms=download_ms,
        copied_at=copied_at,
        target=options.target,
        numbers=tuple(single[len(maximum) :]),
    )


@dataclass(frozen=True)
class _Pass:
    calibration: StereoCamera | None
    maps: DisparityMaps
    image: np.ndarray | torch.Tensor | None
    color_image: np.ndarray | torch.Tensor | None
    deviation: Deviation | None
    options: OutputOptions
    workspace: Workspace | None

    @property
    def camera(self) -> StereoCamera:
        return _required_camera(self.calibration)

    @cached_property
    def adjusted(self) -> torch.Tensor:
        return self.camera.adjusted(self.maps.disparity)

    @property
    def target(self) -> TargetCamera:
        return _required_target(self.options.target)

    @cached_property
    def unlimited_depth(self) -> torch.Tensor:
        """The filtered depth without the limits of its range: what is too near hides too."""
        return _filtered(self, replace(self.options.depth_filter, min_depth=0, max_depth=math.inf))

    @cached_property
    def target_view(self) -> ZBuffer:
        chosen = self.options.depth_filter
        kept = DepthRange(chosen.min_depth, chosen.max_depth)
        return register(self.unlimited_depth, self.camera, self.target, kept)

    @property
    def cloud_image(self) -> torch.Tensor | None:
        """The left image, with the target camera's colors where it sees the point."""
        device = self.maps.disparity.device
        left, color = _tensor(self.image, device), _tensor(self.color_image, device)
        if left is None or color is None or self.options.cloud.color == 'none':
            return left
        return registered_colors(
            self.unlimited_depth,
            self.camera,
            self.target,
            self.target_view,
            image=color,
            left_image=left,
        )

    def uncertainty(self, depth: torch.Tensor) -> torch.Tensor:
        if self.deviation is None:
            raise ValueError('the uncertainty needs the deviation of the disparity')
        return depth_deviation(
            depth,
            self.deviation(self.maps.confidence),
            focal_length=self.camera.focal_length,
            baseline=self.camera.baseline,
        )


def _raw_disparity(context: _Pass) -> torch.Tensor:
    return context.maps.disparity.float().nan_to_num(torch.nan, torch.nan, torch.nan)


def _disparity(context: _Pass) -> torch.Tensor:
    return context.adjusted.nan_to_num(nan=UNKNOWN_DISPARITY)


def _depth(context: _Pass) -> torch.Tensor:
    return _filtered(context, context.options.depth_filter)


def _filtered(context: _Pass, chosen: PixelFilter) -> torch.Tensor:
    camera, maps = context.camera, context.maps
    if pixel_kernel.serves(maps):
        return pixel_kernel.depth(camera, maps, chosen)
    return filtered_depth(camera, context.adjusted, maps, chosen)


def _uncertainty(context: _Pass) -> torch.Tensor:
    return context.uncertainty(_depth(context))


def _confidence(context: _Pass) -> torch.Tensor:
    return context.maps.confidence


def _visibility(context: _Pass) -> torch.Tensor:
    return context.maps.visibility


def _confidence_mask(context: _Pass) -> torch.Tensor:
    trusted = _confidence(context) >= context.options.min_confidence
    if context.calibration is None:
        return _mask(trusted & context.maps.disparity.isfinite())
    return _mask(trusted & (context.adjusted > 0))


def _occlusion_mask(context: _Pass) -> torch.Tensor:
    return _mask(_visibility(context) < context.options.min_visibility)


def _points(context: _Pass) -> torch.Tensor:
    options = context.options.cloud
    uncertainty = None
    if options.needs_uncertainty:
        uncertainty = context.uncertainty(context.camera.depth(context.maps.disparity))
    return cloud_records(
        context.camera,
        context.maps,
        options,
        image=context.cloud_image,
        uncertainty=uncertainty,
        workspace=context.workspace,
    )


def _registered_depth(context: _Pass) -> torch.Tensor:
    return context.target_view.depth


def _points_clearing(context: _Pass) -> torch.Tensor:
    options = context.options
    return clearing_points(context.camera, context.maps, options.clearing, options.cloud.transform)


_COMPUTE: Mapping[Output, Callable[[_Pass], torch.Tensor]] = {
    Output.RAW_DISPARITY: _raw_disparity,
    Output.DISPARITY: _disparity,
    Output.DEPTH: _depth,
    Output.UNCERTAINTY: _uncertainty,
    Output.CONFIDENCE: _confidence,
    Output.VISIBILITY: _visibility,
    Output.CONFIDENCE_MASK: _confidence_mask,
    Output.OCCLUSION_MASK: _occlusion_mask,
    Output.POINTS: _points,
    Output.REGISTERED_DEPTH: _registered_depth,
    Output.POINTS_CLEARING: _points_clearing,
}


def _required_camera(camera: StereoCamera | None) -> StereoCamera:
    if camera is None:
        raise ValueError('this output needs a calibrated camera')
    return camera


def _required_target(target: TargetCamera | None) -> TargetCamera:
    if target is None:
        raise ValueError('registering depth needs the camera to register it to')
    return target


def _mask(condition: torch.Tensor) -> torch.Tensor:
    return condition.to(torch.uint8).mul_(255)


def _tensor(image: np.ndarray | torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    """Return the image as a tensor on a device, which on a CPU shares its memory if it can."""
    if image is None:
        return None
    if isinstance(image, torch.Tensor):
        return upload(image, device)
    if not image.flags.writeable or min(image.strides) < 0:
        image = image.copy()
    return upload(torch.from_numpy(image), device)


def _above(maximum: float) -> float:
    """Return the next multiple of 16 px above: steady from pair to pair, for whoever draws it."""
    return 16.0 * (max(maximum, MIN_DISPARITY) // 16 + 1)
