"""A rectified stereo camera: what a disparity means in meters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch.nn.functional import threshold

from s2m2_ros.geometry.calibration_warnings import calibration_warnings
from s2m2_ros.geometry.camera_model import (
    RELATIVE_NOISE,
    CalibrationError,
    CameraModel,
    ImageProjection,
    matrix_text,
)

# Shorter than any stereo camera, and what meters written for focal * meters come out as.
MIN_BASELINE = 0.003
# Longer than any stereo camera, and what millimeters written for meters come out as.
MAX_BASELINE = 20.0
# Two cameras rectified together share focal length and rows, but for rounding.
MAX_RELATIVE_FOCAL_DIFFERENCE = 1e-3
MAX_ROW_DIFFERENCE = 1.0
# KITTI's rectified cameras are published with millimeters between them in height and depth.
MAX_RELATIVE_OFFSET = 0.05


class NegativeBaselineError(CalibrationError):
    """The calibrations put the right camera left of the left one.

    The calibrations alone do not show why; the images do, so the message names every cause and
    :meth:`explained` the one that remains once the images were examined.

    Attributes:
        baseline: in meters, negative.

    """

    def __init__(self, found: str, left: CameraModel, right: CameraModel, baseline: float) -> None:
        """``found`` begins the message: whose P[3] has which value."""
        self.baseline = baseline
        focal, shift = right.P[0], right.P[3]
        self._beginning = (
            f'{found}, so the right camera would stand {-baseline:g} m left of the left one; P[3] '
            'of the right camera must be -fx * baseline, negative. '
        )
        self._wrong_sign = (
            f'only the sign is wrong, which some drivers do: write P[3] = {-focal * -baseline:g}'
            if shift > 0 and not left.P[3]
            else 'only the calibrations are exchanged: P[3] = -fx * baseline belongs to the right '
            'image, so exchange the two calibrations and leave the images'
        )
        super().__init__(
            f'{self._beginning}Either left and right are swapped: exchange the topics (or files), '
            f'images and calibrations alike. Or {self._wrong_sign}. Or both images were turned by '
            '180 degrees and then exchanged: only the calibration is the wrong way round then, '
            'P[3] belongs to the right image'
        )

    def explained(self, *, images_swapped: bool) -> str:
        """Return the message for images that were found to be swapped, or to be in order."""
        if images_swapped:
            return (
                f'{self._beginning}The images are swapped too: exchange the topics (or files), '
                'images and calibrations alike'
            )
        return f'{self._beginning}The images are in order, so {self._wrong_sign}'


@dataclass(frozen=True)
class PrincipalPoint:
    """Where the optical axis meets the image, in pixels; the first pixel's center is (0, 0)."""

    x: float
    y: float


@dataclass(frozen=True)
class StereoCamera:
    """A horizontal, rectified pair, in pixels of the images as sent (ROI and binning applied).

    ``focal_length`` (fx) turns disparity into depth, ``focal_length_y`` only shapes the rays;
    ``baseline`` is positive, in meters. A *raw* disparity is what a matcher measures, ``x_left -
    x_right``; the disparity that depth follows from is ``d = x_left - x_right - (cx_left -
    cx_right)``, with ``Z = focal_length * baseline / d`` (Hartley and Zisserman, *Multiple View
    Geometry*, with differing principal points). Points lie in the left camera's optical frame
    (REP 103: x right, y down, z forward). ``warnings`` says what is suspicious of the
    calibration, each a whole sentence that begins with its source.
    """

    width: int
    height: int
    focal_length: float
    focal_length_y: float
    baseline: float
    left: PrincipalPoint
    right: PrincipalPoint
    source: str = 'left/camera_info'
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_projection(cls, left: CameraModel, right: CameraModel) -> StereoCamera:
        """Return the pair that two calibrations describe; :class:`CalibrationError` if none.

        With ``P_left[3] = 0``, as REP 104 asks, ``baseline = -P_right[3] / P_right[0]``. A left
        camera that is itself shifted (KITTI's color pair) is taken into account.
        """
        first, second = left.image_projection(), right.image_projection()
        _check_rectified_together(left, first, right, second)
        return cls(
            width=first.width,
            height=first.height,
            focal_length=first.fx,
            focal_length_y=first.fy,
            baseline=_checked_baseline(left, right),
            left=PrincipalPoint(first.cx, first.cy),
            right=PrincipalPoint(second.cx, second.cy),
            source=left.source,
            warnings=calibration_warnings(left, right),
        )

    @property
    def principal_point_difference(self) -> float:
        """``cx_left - cx_right`` in pixels: the raw disparity of a point at infinity."""
        return self.left.x - self.right.x

    def scaled(self, *, width: int, height: int) -> StereoCamera:
        """Return the camera of the same images resized to ``width`` x ``height``.

        Follows the usual resizing (``cv2.resize``, ``interpolate(align_corners=False)``), where
        pixel centers move as ``x' = (x + 0.5) * s - 0.5``. Disparities scale by the ratio of
        the widths.
        """
        sx, sy = width / self.width, height / self.height

        def resized(point: PrincipalPoint) -> PrincipalPoint:
            return PrincipalPoint((point.x + 0.5) * sx - 0.5, (point.y + 0.5) * sy - 0.5)

        return replace(
            self,
            width=width,
            height=height,
            focal_length=self.focal_length * sx,
            focal_length_y=self.focal_length_y * sy,
            left=resized(self.left),
            right=resized(self.right),
        )

    def require_size(self, width: int, height: int) -> None:
        """Raise :class:`CalibrationError` unless images of this size belong to this camera."""
        if (width, height) != (self.width, self.height):
            cause = 'were the images resized without their camera_info?'
            doubled = {
                (2 * self.width, self.height): 'side_by_side',
                (self.width, 2 * self.height): 'top_bottom',
            }
            if (width, height) in doubled:
                layout = doubled[width, height]
                cause = f'each image seems to hold both views: set the input layout {layout}'
            raise CalibrationError(
                f'{self.source}: the calibration is for images of {self.width}x{self.height} '
                f'(after ROI and binning), but they are {width}x{height}; {cause}'
            )

    def adjusted(self, disparity: torch.Tensor) -> torch.Tensor:
        """Return ``d = disparity - (cx_left - cx_right)``, NaN where it has no depth.

        ``disparity``: raw, float32 (..., H, W). Unknown are NaN, infinity, ``d <= 0`` (at or
        beyond infinity) and raw disparities as wide as the image or wider.
        """
        self.require_size(disparity.shape[-1], disparity.shape[-2])
        offset = self.principal_point_difference
        # Thresholds keep what lies above, and NaN; several times faster on a CPU than a mask.
        adjusted = threshold(disparity.float() - offset, 0.0, torch.nan)
        return threshold(adjusted.neg_(), offset - self.width, torch.nan).neg_()

    def depth(self, disparity: torch.Tensor) -> torch.Tensor:
        """Return the depth Z in meters (along the optical axis), NaN where unknown.

        ``disparity``: raw, float32 (..., H, W); the result has its shape, type and device.
        """
        return self.depth_from_adjusted(self.adjusted(disparity))

    def depth_from_adjusted(self, adjusted: torch.Tensor) -> torch.Tensor:
        """Return ``focal_length * baseline / d`` for what :meth:`adjusted` returned."""
        return (self.focal_length * self.baseline) / adjusted

    def points(self, disparity: torch.Tensor) -> torch.Tensor:
        """Return points (..., H, W, 3) in meters in the left optical frame, NaN where unknown.

        ``disparity``: raw, float32 (..., H, W).
        """
        depth = self.depth(disparity)
        x, y = self.rays(depth.device)
        return torch.stack((depth * x, depth * y, depth), dim=-1)

    def rays(
        self, device: torch.device | None = None, *, step: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return X/Z for every ``step``-th column (W',) and Y/Z for every such row (H', 1)."""
        columns = torch.arange(0, self.width, step, dtype=torch.float32, device=device)
        rows = torch.arange(0, self.height, step, dtype=torch.float32, device=device)
        x = (columns - self.left.x) / self.focal_length
        y = (rows - self.left.y) / self.focal_length_y
        return x, y[:, None]


def _check_rectified_together(
    left: CameraModel, first: ImageProjection, right: CameraModel, second: ImageProjection
) -> None:
    names = left.source
    if right.source != left.source:
        names = f'{left.source} and {right.source}'
    if (first.width, first.height) != (second.width, second.height):
        raise CalibrationError(
            f'{names}: the left camera is calibrated for images of {first.width}x{first.height}, '
            f'the right one for {second.width}x{second.height} (after ROI and binning); a pair '
            'has one size'
        )
    tolerance = MAX_RELATIVE_FOCAL_DIFFERENCE
    if (
        abs(first.fx - second.fx) > tolerance * first.fx
        or abs(first.fy - second.fy) > tolerance * first.fy
    ):
        raise CalibrationError(
            f'{names}: the focal lengths differ, fx {first.fx:g} and {second.fx:g}, fy '
            f'{first.fy:g} and {second.fy:g} pixels; the cameras were probably rectified each by '
            'itself: run a stereo calibration'
        )
    if abs(first.cy - second.cy) > MAX_ROW_DIFFERENCE:
        raise CalibrationError(
            f'{names}: cy differs, {first.cy:g} and {second.cy:g} pixels, so the rows do not '
            'correspond; the cameras were probably rectified each by itself, or cut to different '
            'regions of interest: run a stereo calibration'
        )


def _check_offsets(left: CameraModel, right: CameraModel, baseline: float) -> None:
    """Raise CalibrationError for cameras one above or in front of the other."""
    down = left.P[7] / left.P[5] - right.P[7] / right.P[5]
    forward = left.P[11] - right.P[11]
    allowed = max(MAX_RELATIVE_OFFSET * abs(baseline), RELATIVE_NOISE)
    if abs(down) > allowed:
        other = right if abs(right.P[7]) >= abs(left.P[7]) else left
        raise CalibrationError(
            f'{other.source}: P[7] = {other.P[7]:g} says that the cameras stand one above the '
            'other; only horizontal pairs are supported: turn both images by 90 degrees and '
            'recalibrate'
        )
    if abs(forward) > allowed:
        other = right if abs(right.P[11]) >= abs(left.P[11]) else left
        raise CalibrationError(
            f'{other.source}: P = {matrix_text(other.P)} is no rectified projection '
            '[fx 0 cx Tx; 0 fy cy 0; 0 0 1 0]; is it written row by row, for rectified images?'
        )


def _checked_baseline(left: CameraModel, right: CameraModel) -> float:
    """Return the baseline in meters, from the full-resolution matrices that the user knows."""
    focal, shift = right.P[0], right.P[3]
    baseline = left.P[3] / left.P[0] - shift / focal
    _check_offsets(left, right, baseline)
    found = f'{right.source}: P[3] = {shift:g}'
    if left.P[3]:
        found += f' (and {left.source}: P[3] = {left.P[3]:g})'
    if baseline == 0:
        raise CalibrationError(
            f'{found}, so the baseline is zero; P[3] of the right camera must be -fx * baseline. '
            'Probably the cameras were calibrated one by one, or one calibration serves both: run '
            'a stereo calibration'
        )
    if baseline < 0:
        raise NegativeBaselineError(found, left, right, float(baseline))
    if baseline < MIN_BASELINE:
        raise CalibrationError(
            f'{found}, so with fx = {focal:g} the baseline is {baseline * 1000:.3g} mm; P[3] must '
            'be -fx * baseline. Probably meters were written where fx * meters belong: for a '
            f'baseline of {abs(shift):g} m, P[3] = {-focal * abs(shift):g}'
        )
    if baseline > MAX_BASELINE:
        raise CalibrationError(
            f'{found}, so with fx = {focal:g} the baseline is {baseline:g} m; P[3] must be '
            '-fx * baseline in pixel meters. Probably millimeters were written: divide by 1000'
        )
    return float(baseline)
