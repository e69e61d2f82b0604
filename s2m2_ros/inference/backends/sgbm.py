"""The `sgbm` backend: OpenCV's semi-global matching, for when no network can run.

Method: H. Hirschmueller, Stereo Processing by Semiglobal Matching and Mutual Information, PAMI
2008, in OpenCV's block variant, with that paper's left-right check (section 2.3) and a filter of
small regions (section 2.6).
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.inference.backend import BackendOptions, Maps
from s2m2_ros.inference.backends.subpixel import refine
from s2m2_ros.inference.scaling import EDGE_STEP
from s2m2_ros.inference.sgbm_options import SgbmOptions, search_range

FloatImage = npt.NDArray[np.float32]
ByteImage = npt.NDArray[np.uint8]

BLOCK_SIZE = 5
# The two smoothness penalties for a disparity step of 1 and of more, per OpenCV's documentation
# of StereoSGBM for one channel.
SMALL_STEP_PENALTY = 8 * BLOCK_SIZE**2
LARGE_STEP_PENALTY = 32 * BLOCK_SIZE**2
SUBPIXEL_SCALE = 16
# Left and right estimates of one point may differ by this much, in pixels.
CONSISTENCY_TOLERANCE = 1.0
# Neighbors of one region may differ by this much, in pixels.
SPECKLE_STEP = 1.0
# Support: in a window of this side, the fraction of pixels whose estimates agree. Where nothing
# can match, chance gives 0.15 to 0.35.
SUPPORT_WINDOW = 81
# Horizontal gradient in gray levels per pixel above which a pixel has texture to be matched ...
TEXTURE_GRADIENT = 2.0
# ... and the fraction of such pixels in the window above which they count by themselves.
MIN_TEXTURE = 0.02
# Smaller images are matched at their own size.
SMALLEST_SIDE = 32
# Fraction of estimates within 4 px of the truth, by the fraction of known pixels around them in
# a window of this side: fitted by `benchmark.confidence` (doc/accuracy.md has data and check).
DENSITY_WINDOW = 15
DENSITY_KNOTS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.96, 1.0)
CONFIDENCE_KNOTS = (0.45, 0.46, 0.57, 0.71, 0.77, 0.835, 0.89, 0.935, 0.996)
# The views' estimates disagree by chance, too: this fraction is lost for each pixel.
CONFIDENCE_LOST_PER_PIXEL = 0.12
# 4 px are fewer pixels of a smaller working size: this fraction is lost each time it is halved.
CONFIDENCE_LOST_PER_HALVING = 0.02


def unavailable(options: BackendOptions | None = None) -> str | None:
    """Return why this backend cannot be opened, or None."""
    del options
    if importlib.util.find_spec('cv2') is None:
        return 'OpenCV is missing (pip install opencv-python-headless)'
    return None


def open_backend(options: BackendOptions) -> SemiGlobalBackend:
    """Return the backend."""
    return SemiGlobalBackend(options.sgbm, allow_negative=options.allow_negative)


class SemiGlobalBackend:
    """Semi-global matching on the CPU, by default both ways, with a left-right check.

    Wide images are matched at `SgbmOptions.working_width`. A pixel is kept if the right image's
    own estimate leads back to within 1 px of it (of the working size) and its region is larger
    than a speckle. Then its fraction of a pixel is refined (`subpixel`), visibility is 1, and
    confidence grows with the fraction of known pixels around it. Every other pixel is unknown:
    disparity NaN, visibility 0, confidence 0.
    """

    def __init__(
        self, options: SgbmOptions | None = None, *, allow_negative: bool = False
    ) -> None:
        self.name = 'sgbm'
        self.precision = 'float32'
        self.device = torch.device('cpu')
        self.options = options or SgbmOptions()
        self._allow_negative = allow_negative

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs one by one; see `Backend.infer`."""
        height, width = left.shape[-2:]
        size = _working_size(height, width, self.options)
        pairs = zip(gray_images(left, size), gray_images(right, size), strict=True)
        found = [self._match(*pair, scale=size[1] / width) for pair in pairs]
        if size != (height, width):
            found = [_enlarged(maps, height, width) for maps in found]
        return Maps(*(torch.from_numpy(np.stack(m)) for m in zip(*found, strict=True)))

    def matched_width(self, height: int, width: int) -> int:
        """Return the width at which images of a size are matched."""
        return _working_size(height, width, self.options)[1]

    def close(self) -> None:
        """Do nothing: no memory outlives a call."""

    def _match(
        self, left: ByteImage, right: ByteImage, scale: float = 1.0
    ) -> tuple[FloatImage, ...]:
        """Return the maps at the working size, which is `scale` times the images' own."""
        options = self.options
        search = search_range(
            left.shape[1], options.search_fraction, allow_negative=self._allow_negative
        )
        matcher = _matcher(*search, options)
        disparity = _left_disparity(matcher, left, right, search, options.margin)
        difference = np.zeros_like(disparity)
        if options.left_right_check:
            # Mirrored, the right image takes the part of the left one, with the same sign.
            views = right[:, ::-1], left[:, ::-1]
            mirrored = _left_disparity(matcher, *views, search, options.margin)
            disparity, difference = check_consistency(disparity, mirrored[:, ::-1])
            disparity = remove_unsupported(disparity, left, options.min_support)
        disparity = remove_speckles(disparity, options.speckle_size)
        if options.refine_subpixel:
            disparity = refine(disparity, left, right)
        visibility = np.isfinite(disparity).astype(np.float32)
        return disparity, visibility, confidence_of(disparity, difference, scale)


def check_consistency(of_left: FloatImage, of_right: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return the left view's disparity where the right view's leads back, and by how much not.

    Args:
        of_left: (H, W) disparity of the left view in pixels, NaN = unknown.
        of_right: (H, W) disparity of the right view, same sign, NaN = unknown.

    Returns:
        The disparity, NaN where the estimates differ by more than 1 px, and their difference.

    """
    height, width = of_left.shape
    columns = np.arange(width, dtype=np.float32)
    with np.errstate(invalid='ignore'):
        matched = np.rint(columns - of_left)
        inside = (matched >= 0) & (matched < width)
    target = np.where(inside, matched, 0).astype(np.intp)
    returned = of_right[np.arange(height)[:, None], target]
    with np.errstate(invalid='ignore'):
        difference = np.abs(of_left - returned)
        kept = inside & (difference <= CONSISTENCY_TOLERANCE)
    return (
        np.where(kept, of_left, np.nan).astype(np.float32),
        np.where(kept, difference, 0).astype(np.float32),
    )


def confidence_of(disparity: FloatImage, difference: FloatImage, scale: float = 1.0) -> FloatImage:
    """Return the probability (H, W) of an error below 4 px of the full size; 0 where unknown.

    Args:
        disparity: (H, W) at the working size, NaN = unknown.
        difference: (H, W) disagreement of both views' estimates in pixels.
        scale: working width over the images' own, at most 1.

    """
    import cv2

    known = np.isfinite(disparity).astype(np.float32)
    density = cv2.blur(known, (DENSITY_WINDOW, DENSITY_WINDOW))
    likely = np.interp(density, DENSITY_KNOTS, CONFIDENCE_KNOTS)
    likely *= 1 - CONFIDENCE_LOST_PER_PIXEL * difference
    likely *= 1 + CONFIDENCE_LOST_PER_HALVING * math.log2(scale)
    return np.asarray(known * np.clip(likely, 0, 1), np.float32)


def remove_unsupported(disparity: FloatImage, image: ByteImage, min_support: float) -> FloatImage:
    """Return the disparity (H, W) made NaN where too few estimates around agree.

    Supported are pixels with more than `min_support` known pixels in the window around them, of
    all or of the textured ones: a small object before a white wall is supported by the latter.
    """
    import cv2

    if not min_support:
        return disparity
    known = np.isfinite(disparity).astype(np.float32)
    textured = textured_pixels(image)
    side = min(SUPPORT_WINDOW, *image.shape)
    texture, of_all, of_textured = (
        cv2.blur(values, (side, side)) for values in (textured, known, known * textured)
    )
    by_texture = of_textured > min_support * texture
    supported = by_texture | (texture < MIN_TEXTURE) | (of_all > min_support)
    return np.where(supported, disparity, np.float32(np.nan))


def textured_pixels(image: ByteImage) -> FloatImage:
    """Return 1 where a gray image (H, W) changes along its rows, and 0 elsewhere, as float32."""
    import cv2

    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    gradient = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    return (np.abs(gradient) > TEXTURE_GRADIENT).astype(np.float32)


def remove_speckles(disparity: FloatImage, size: int) -> FloatImage:
    """Return the disparity (H, W) with connected regions of at most `size` pixels made NaN.

    Where nothing can match (a wall nearer than the search, unrelated images), agreement by chance
    leaves small regions only.
    """
    import cv2

    if not size:
        return disparity
    known = np.isfinite(disparity)
    # Below every disparity that fits into 16 bits with 4 for the fraction.
    unknown = np.iinfo(np.int16).min
    fixed = np.full(disparity.shape, unknown, np.int16)
    fixed[known] = np.rint(disparity[known] * SUBPIXEL_SCALE)
    cv2.filterSpeckles(fixed, int(unknown), size, SPECKLE_STEP * SUBPIXEL_SCALE)
    return np.where(fixed == unknown, np.float32(np.nan), disparity)


def _matcher(smallest: int, count: int, options: SgbmOptions) -> Any:
    import cv2

    return cv2.StereoSGBM.create(
        minDisparity=smallest,
        numDisparities=count,
        blockSize=BLOCK_SIZE,
        P1=SMALL_STEP_PENALTY * options.penalty_factor,
        P2=LARGE_STEP_PENALTY * options.penalty_factor,
        disp12MaxDiff=options.max_left_right_difference,
        uniquenessRatio=options.uniqueness_ratio,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )


def _left_disparity(
    matcher: Any, left: ByteImage, right: ByteImage, search: tuple[int, int], margin: bool
) -> FloatImage:
    """Return the left view's disparity (H, W) in pixels, NaN where nothing matched.

    OpenCV leaves as many columns without an estimate as the search is wide; a margin on both
    sides gives them one. Matches inside the margin are removed by the consistency check.
    """
    smallest, count = search
    before, after = (max(0, smallest + count), max(0, -smallest)) if margin else (0, 0)
    margins = ((0, 0), (before, after))
    fixed = matcher.compute(np.pad(left, margins, 'edge'), np.pad(right, margins, 'edge'))
    inner = fixed[:, before : before + left.shape[1]]
    unknown = inner < smallest * SUBPIXEL_SCALE
    disparity: FloatImage = inner.astype(np.float32) / SUBPIXEL_SCALE
    disparity[unknown] = np.nan
    return disparity


def _working_size(height: int, width: int, options: SgbmOptions) -> tuple[int, int]:
    """Return height and width to match at; the images' own where that would get too small."""
    working = options.effective_width(width)
    scaled = round(height * working / width)
    return (scaled, working) if scaled >= SMALLEST_SIDE else (height, width)


def _enlarged(maps: tuple[FloatImage, ...], height: int, width: int) -> tuple[FloatImage, ...]:
    """Return maps at full size, the disparity in its pixels.

    As `scaling.enlarge` does it, but an order of magnitude faster at 4K: bilinear disparity, its
    nearest neighbor at depth edges and beside unknown pixels, and the nearest confidence.
    """
    import cv2

    size = (width, height)
    nearest, visibility, confidence = (
        cv2.resize(m, size, interpolation=cv2.INTER_NEAREST_EXACT) for m in maps
    )
    smooth = cv2.resize(maps[0], size, interpolation=cv2.INTER_LINEAR)
    np.copyto(smooth, nearest, where=~(cv2.absdiff(smooth, nearest) <= EDGE_STEP))
    smooth *= width / maps[0].shape[1]
    return np.asarray(smooth), np.asarray(visibility), np.asarray(confidence)


def gray_images(images: torch.Tensor, size: tuple[int, int]) -> list[ByteImage]:
    """Return B gray uint8 images of `size` from (B, 1 or 3, H, W), values 0..255."""
    import cv2

    if images.dtype != torch.uint8:
        images = images.round().clamp(0, 255).to(torch.uint8)
    planes = images.permute(0, 2, 3, 1).contiguous().numpy()
    result = []
    for plane in planes:
        gray = plane[..., 0] if plane.shape[2] == 1 else cv2.cvtColor(plane, cv2.COLOR_RGB2GRAY)
        if gray.shape != size:
            gray = cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA)
        result.append(np.ascontiguousarray(gray, np.uint8))
    return result
