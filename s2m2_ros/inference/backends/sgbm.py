"""The `sgbm` backend: OpenCV's semi-global matching, for when no network can run.

Method: H. Hirschmueller, Stereo Processing by Semiglobal Matching and Mutual Information, PAMI
2008, in OpenCV's block variant, with that paper's left-right check (section 2.3).
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.inference.backend import BackendOptions, Maps

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
# Share of estimates within 4 px of the truth, by how far the two views differ in pixels: a line
# through what Middlebury's motorcycle gives (0.97 below 0.2 px, 0.78 at 0.5, 0.71 at 0.9).
CONFIDENCE_AT_AGREEMENT = 0.98
CONFIDENCE_LOST_PER_PIXEL = 0.3


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    del options
    if importlib.util.find_spec('cv2') is None:
        return 'OpenCV is missing (pip install opencv-python-headless)'
    return None


def open_backend(options: BackendOptions) -> SemiGlobalBackend:
    """Return the backend."""
    return SemiGlobalBackend(allow_negative=options.allow_negative)


class SemiGlobalBackend:
    """Semi-global matching on the CPU, both ways, with a left-right check.

    A pixel is kept if the right image's own estimate leads back to within 1 px of it. Then
    visibility is 1 and confidence falls linearly from 0.98 for perfect agreement to 0.68 for a
    disagreement of 1 px. Every other pixel is unknown: disparity NaN, visibility 0, confidence 0.
    The search covers a quarter of the image's width.
    """

    def __init__(self, *, allow_negative: bool = False) -> None:
        self.name = 'sgbm'
        self.precision = 'float32'
        self.device = torch.device('cpu')
        self._allow_negative = allow_negative

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs one by one; see `Backend.infer`."""
        pairs = zip(_grey(left), _grey(right), strict=True)
        maps = [self._match(left_image, right_image) for left_image, right_image in pairs]
        return Maps(*(torch.from_numpy(np.stack(m)) for m in zip(*maps, strict=True)))

    def close(self) -> None:
        """Do nothing: no memory outlives a call."""

    def _match(self, left: ByteImage, right: ByteImage) -> tuple[FloatImage, ...]:
        smallest, count = search_range(left.shape[1], allow_negative=self._allow_negative)
        matcher = _matcher(smallest, count)
        of_left = _left_disparity(matcher, left, right, smallest, count)
        # Mirrored, the right image takes the part of the left one, with the same sign.
        mirrored = _left_disparity(matcher, right[:, ::-1], left[:, ::-1], smallest, count)
        return check_consistency(of_left, mirrored[:, ::-1])


def search_range(width: int, *, allow_negative: bool) -> tuple[int, int]:
    """Return the smallest disparity and the number of disparities, both multiples of 16."""
    count = max(16, width // 4 // 16 * 16)
    return (-max(16, count // 4 // 16 * 16), count) if allow_negative else (0, count)


def check_consistency(of_left: FloatImage, of_right: FloatImage) -> tuple[FloatImage, ...]:
    """Return disparity, visibility and confidence of the left view.

    Args:
        of_left: (H, W) disparity of the left view in pixels, NaN = unknown.
        of_right: (H, W) disparity of the right view, same sign, NaN = unknown.

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
    likely = CONFIDENCE_AT_AGREEMENT - CONFIDENCE_LOST_PER_PIXEL * difference
    confidence = np.where(kept, likely, 0)
    return (
        np.where(kept, of_left, np.nan).astype(np.float32),
        kept.astype(np.float32),
        confidence.astype(np.float32),
    )


def _matcher(smallest: int, count: int) -> Any:
    import cv2

    return cv2.StereoSGBM.create(
        minDisparity=smallest,
        numDisparities=count,
        blockSize=BLOCK_SIZE,
        P1=SMALL_STEP_PENALTY,
        P2=LARGE_STEP_PENALTY,
        disp12MaxDiff=-1,
        uniquenessRatio=5,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )


def _left_disparity(
    matcher: Any, left: ByteImage, right: ByteImage, smallest: int, count: int
) -> FloatImage:
    """Return the left view's disparity (H, W) in pixels, NaN where nothing matched.

    OpenCV leaves as many columns without an estimate as the search is wide; a margin on both
    sides gives them one. Matches inside the margin are weeded out by the consistency check.
    """
    before, after = max(0, smallest + count), max(0, -smallest)
    margins = ((0, 0), (before, after))
    fixed = matcher.compute(np.pad(left, margins, 'edge'), np.pad(right, margins, 'edge'))
    inner = fixed[:, before : before + left.shape[1]]
    unknown = inner < smallest * SUBPIXEL_SCALE
    disparity: FloatImage = inner.astype(np.float32) / SUBPIXEL_SCALE
    disparity[unknown] = np.nan
    return disparity


def _grey(images: torch.Tensor) -> list[ByteImage]:
    """Return B grey (H, W) uint8 images of (B, 1 or 3, H, W), values 0..255."""
    import cv2

    planes = images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    if planes.shape[3] == 1:
        return [plane[..., 0] for plane in planes]
    return [np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.uint8) for p in planes]
