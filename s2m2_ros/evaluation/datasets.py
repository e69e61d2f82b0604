"""Folders of real stereo pairs with ground truth, in the layouts of the public benchmarks.

| layout | left image | truth |
| --- | --- | --- |
| Middlebury 2014, v3; ETH3D two-view | ``SCENE/im0.png``, ``im1.png`` | ``disp0GT.pfm`` or ``disp0.pfm``; ``mask0nocc.png``: 255 = visible |
| Middlebury 2001-2006 | ``SCENE/view1.png``, ``view5.png`` or ``im2.png``, ``im6.png`` | ``disp1.png``, ``disp2.png`` |
| KITTI 2012, 2015 | ``image_2/X_10.png`` or ``colored_0``, ``image_3`` or ``colored_1`` | ``disp_occ_0`` or ``disp_occ``, 16 bit / 256; visible where ``disp_noc`` has a value |
| Scene Flow | ``frames_cleanpass/.../left/X.png``, ``right`` | ``disparity/.../left/X.pfm`` |
"""  # noqa: E501

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import S2M2Error

FloatMap = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]

KITTI_SCALE = 256.0
QUARTER_SIZE_SCALE = 4.0
"""The old Middlebury pairs at quarter size store disparities times 4."""


class DatasetError(S2M2Error):
    """A folder or file of a data set cannot be used; the message names it."""


@dataclass(frozen=True)
class StereoFiles:
    """Where one pair and its truth lie."""

    name: str
    left: Path
    right: Path
    truth: Path
    visible: Path | None = None
    """A mask (255 = visible), or a second disparity map that has no value where occluded."""
    scale: float = 1.0
    """Integer truth is divided by this."""


@dataclass(frozen=True)
class StereoPair:
    """One pair with its truth."""

    name: str
    left: Picture
    """(H, W, 3) uint8 RGB."""
    right: Picture
    disparity: FloatMap
    """(H, W) float32 in pixels, NaN = unknown."""
    visible: Mask | None
    """(H, W), true where both views show the point; None if the data set does not say."""


def find_pairs(folder: Path) -> list[StereoFiles]:
    """Return all pairs below ``folder``, of whatever layout, in the order of their names.

    Raises:
        DatasetError: if there is no such folder or it holds no pair with truth.
    """
    if not folder.is_dir():
        raise DatasetError(f'{folder}: no such folder')
    found = sorted(
        (pair for layout in LAYOUTS for pair in layout(folder)), key=lambda pair: pair.name
    )
    if not found:
        raise DatasetError(
            f'{folder}: no pair with ground truth in the layout of Middlebury, ETH3D, KITTI or '
            'Scene Flow was found below it'
        )
    return found


def load_pair(files: StereoFiles) -> StereoPair:
    """Read the images and the truth of one pair.

    Raises:
        DatasetError: if a file cannot be read or the sizes differ.
    """
    left, right = _read_image(files.left), _read_image(files.right)
    disparity = read_disparity(files.truth, scale=files.scale)
    visible = None if files.visible is None else _read_visible(files.visible)
    for name, array in (('right image', right), ('truth', disparity), ('mask', visible)):
        if array is not None and array.shape[:2] != left.shape[:2]:
            raise DatasetError(
                f'{files.name}: the {name} is {array.shape[1]}x{array.shape[0]}, '
                f'the left image {left.shape[1]}x{left.shape[0]}'
            )
    return StereoPair(files.name, left, right, disparity, visible)


def read_disparity(file: Path, *, scale: float = 1.0) -> FloatMap:
    """Return the disparity (H, W) of a ``.pfm`` or integer ``.png`` file, NaN = unknown.

    In a PFM file infinite values are unknown, in an image zeros; integers are divided by
    ``scale``. The sign is that of Scene Flow's and Middlebury's maps: positive.

    Raises:
        DatasetError: if the file cannot be read.
    """
    cv2 = _opencv()
    values = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise DatasetError(f'{file}: cannot be read as a disparity map')
    if values.ndim == 3:
        values = values[..., 0]
    known = np.isfinite(values) if values.dtype.kind == 'f' else values > 0
    if values.dtype.kind == 'f':
        scale = 1.0
    return np.where(known, values.astype(np.float32) / np.float32(scale), np.nan)


def _read_visible(file: Path) -> Mask:
    cv2 = _opencv()
    values = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise DatasetError(f'{file}: cannot be read as a mask')
    if values.dtype == np.uint8:
        return np.asarray(values == 255)
    return np.asarray(values > 0)


def _read_image(file: Path) -> Picture:
    cv2 = _opencv()
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f'{file}: cannot be read as an image')
    return np.ascontiguousarray(image[..., ::-1])


def _opencv() -> Any:
    if importlib.util.find_spec('cv2') is None:
        raise DatasetError('reading data sets needs OpenCV: pip install opencv-python-headless')
    import cv2

    return cv2


def middlebury_and_eth3d(folder: Path) -> Iterator[StereoFiles]:
    """Yield scenes with ``im0.png`` and a PFM truth: Middlebury 2014, v3 and ETH3D."""
    for left in folder.rglob('im0.png'):
        scene = left.parent
        truth = _first(scene / 'disp0GT.pfm', scene / 'disp0.pfm')
        right, mask = scene / 'im1.png', scene / 'mask0nocc.png'
        if truth and right.is_file():
            name = str(scene.relative_to(folder))
            yield StereoFiles(name, left, right, truth, mask if mask.is_file() else None)


def old_middlebury(folder: Path) -> Iterator[StereoFiles]:
    """Yield scenes of Middlebury 2001 to 2006, whose truth is a small PNG."""
    for left_name, right_name, truth_name, scale in (
        ('view1.png', 'view5.png', 'disp1.png', 1.0),
        ('im2.png', 'im6.png', 'disp2.png', QUARTER_SIZE_SCALE),
    ):
        for left in folder.rglob(left_name):
            right, truth = left.with_name(right_name), left.with_name(truth_name)
            if right.is_file() and truth.is_file():
                name = str(left.parent.relative_to(folder))
                yield StereoFiles(name, left, right, truth, scale=scale)


def kitti(folder: Path) -> Iterator[StereoFiles]:
    """Yield the frames ``*_10.png`` of KITTI 2012 and 2015 that have truth."""
    for left_name, right_name, all_name, seen_name in (
        ('image_2', 'image_3', 'disp_occ_0', 'disp_noc_0'),
        ('colored_0', 'colored_1', 'disp_occ', 'disp_noc'),
    ):
        for left in folder.rglob(f'{left_name}/*_10.png'):
            root = left.parents[1]
            truth = root / all_name / left.name
            right, seen = root / right_name / left.name, root / seen_name / left.name
            if truth.is_file() and right.is_file():
                name = str(left.relative_to(folder).with_suffix(''))
                mask = seen if seen.is_file() else None
                yield StereoFiles(name, left, right, truth, mask, KITTI_SCALE)


def scene_flow(folder: Path) -> Iterator[StereoFiles]:
    """Yield the frames of Scene Flow's clean or final pass that have truth."""
    for passed in ('frames_cleanpass', 'frames_finalpass'):
        for root in [folder / passed, *folder.rglob(f'*/{passed}')]:
            for left in root.rglob('left/*.png') if root.is_dir() else ():
                part = left.relative_to(root)
                truth = (root.parent / 'disparity' / part).with_suffix('.pfm')
                right = left.parents[1] / 'right' / left.name
                if truth.is_file() and right.is_file():
                    name = str(left.relative_to(folder).with_suffix(''))
                    yield StereoFiles(name, left, right, truth)


LAYOUTS: tuple[Callable[[Path], Iterator[StereoFiles]], ...] = (
    middlebury_and_eth3d,
    old_middlebury,
    kitti,
    scene_flow,
)


def _first(*files: Path) -> Path | None:
    return next((file for file in files if file.is_file()), None)
