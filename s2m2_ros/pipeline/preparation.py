"""A pair as it came becomes a pair that can be matched: alike and rectified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.geometry import CalibrationError, CameraModel, StereoCamera
from s2m2_ros.geometry.content_check import ContentCheck, check_content
from s2m2_ros.geometry.distance_check import corrected
from s2m2_ros.geometry.download import upload
from s2m2_ros.geometry.rectification import (
    Rectifier,
    distortion_doubt,
    needs_rectification,
    raw_calibration,
)
from s2m2_ros.geometry.rectification_check import ViewOrder, examine, rectification_helps
from s2m2_ros.geometry.stereo_camera import NegativeBaselineError
from s2m2_ros.pipeline.options import PipelineOptions
from s2m2_ros.pipeline.pair import PairInput, host_image
from s2m2_ros.pipeline.state import PipelineState

Image = np.ndarray | torch.Tensor

UNDECIDED = (
    '{left} and {right}: the calibration is that of a raw camera, and too few matches show '
    'whether the images were rectified already; they are taken as rectified. Set rectify to true '
    'or false'
)
RECTIFIED_ALREADY = 'If the images are rectified already, set rectify to false'
RECTIFYING = '{left} and {right} are raw images: they are rectified here'


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """Two images that can be matched.

    Attributes:
        left, right: (H, W) or (H, W, 3) RGB, uint8 or float32 in 0..255; tensors on the matcher's
            device where they were rectified there.
        camera: of the images; None without calibration.
        valid: (H, W) bool, where the left rectified image shows something; None: everywhere.
        shown: both images on the host, as they came if they were rectified on a device.
        notes: what is worth knowing of images or calibration, whole sentences.
        warnings: what is suspicious of them.
        one_image: both came as one and the same image, which `shown` does not show, as two
            rectifications made it different.

    """

    left: Image
    right: Image
    camera: StereoCamera | None
    valid: torch.Tensor | None
    shown: tuple[Image, Image]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    one_image: bool = False

    @cached_property
    def content(self) -> ContentCheck:
        """Whether there is anything to match; takes milliseconds when it is first asked for.

        Ask once the match is queued: a GPU then works meanwhile.
        """
        found = check_content(gray(self.shown[0]), gray(self.shown[1]))
        return replace(found, identical=found.identical or (self.one_image and not found.blank))


def prepare(
    pair: PairInput, options: PipelineOptions, state: PipelineState, device: torch.device
) -> PreparedPair:
    """Return the pair as the matcher takes it. Raises ImageError or CalibrationError."""
    left, right = alike(pair)
    if pair.calibration is None:
        return PreparedPair(left, right, None, None, (left, right), pair.notes, pair.warnings)
    rectify = _decide(pair, left, right, options, state)
    names = {'left': pair.left_name, 'right': pair.right_name}
    notes, warnings = list(pair.notes), list(pair.warnings)
    if rectify:
        notes.append(RECTIFYING.format(**names))
    elif rectify is None:
        warnings.append(UNDECIDED.format(**names))
    images: tuple[Image, Image] = (left, right)
    valid, one_image = None, False
    # From a device the rectified images would have to come back first.
    shows_originals = device.type != 'cpu'
    if rectify is not False:
        raw = [raw_calibration(model) for model in pair.calibration]
        warnings += dict.fromkeys(doubt for doubt in map(distortion_doubt, raw) if doubt)
        if rectify:
            first, second = (state.rectifiers.get(model, device) for model in raw)
            images = rectified(left, first), rectified(right, second)
            valid = first.valid
            # Of originals the check of the content sees it itself.
            one_image = not shows_originals and np.array_equal(left, right)
    camera = corrected(_camera(pair.calibration, images, state), options.correction)
    camera.require_size(images[0].shape[1], images[0].shape[0])
    shown = (left, right) if shows_originals else images
    warnings += camera.warnings
    return PreparedPair(*images, camera, valid, shown, tuple(notes), tuple(warnings), one_image)


def alike(pair: PairInput) -> tuple[np.ndarray, np.ndarray]:
    """Return both images as color if one is, and as float32 if one is: drivers mix encodings.

    Raises ImageError if their sizes differ.
    """
    left, right = pair.left, pair.right
    if left.shape[:2] != right.shape[:2]:
        raise ImageError(
            f'{pair.left_name} is {_size(left)} and {pair.right_name} {_size(right)}: a rectified '
            'pair has one size; set both cameras to the same resolution'
        )
    if left.ndim != right.ndim:
        left, right = (i if i.ndim == 3 else np.stack((i,) * 3, axis=-1) for i in (left, right))
    if left.dtype != right.dtype:
        left, right = left.astype(np.float32), right.astype(np.float32)
    return left, right


def gray(image: Image) -> np.ndarray:
    """Return (H, W) uint8 on the host from (H, W) or (H, W, 3) RGB, uint8 or float in 0..255."""
    array = host_image(image)
    return array if array.ndim == 2 else np.asarray(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY))


def rectified(image: np.ndarray, rectifier: Rectifier) -> Image:
    """Return the rectified image: an array on a CPU, else a tensor on the rectifier's device."""
    # Images of recordings cannot be written to, which torch warns of.
    pixels = torch.from_numpy(np.require(image, requirements=['C', 'W']))
    planes = upload(pixels, torch.device(rectifier.device))
    planes = planes.permute(2, 0, 1) if planes.ndim == 3 else planes[None]
    result = rectifier(planes[None])[0]
    result = result.permute(1, 2, 0) if image.ndim == 3 else result[0]
    return result.contiguous().numpy() if rectifier.device.type == 'cpu' else result


def _decide(
    pair: PairInput,
    left: np.ndarray,
    right: np.ndarray,
    options: PipelineOptions,
    state: PipelineState,
) -> bool | None:
    """Return whether the images are to be rectified here; None if nothing shows it."""
    if pair.calibration is None or options.rectify != 'auto':
        return options.rectify == 'true'
    state.follow(pair.calibration)
    if state.rectify is None:
        state.rectify = _are_raw(pair, left, right, state)
    return state.rectify


def _are_raw(
    pair: PairInput, left: np.ndarray, right: np.ndarray, state: PipelineState
) -> bool | None:
    """Return whether the images are raw; None where the images do not show it.

    Drivers and image_proc send rectified images with the calibration of the raw camera, so the
    calibration alone is no evidence: the rows of the images decide, unless the names do.
    """
    if pair.calibration is None:
        return False
    raw = [raw_calibration(model) for model in pair.calibration]
    if not any(needs_rectification(model) for model in raw):
        return False
    names = (pair.left_name.rpartition('/')[2], pair.right_name.rpartition('/')[2])
    if all('raw' in name and 'rect' not in name for name in names):
        return True
    try:
        rectifiers = [state.rectifiers.get(model, 'cpu') for model in raw]
    except CalibrationError as error:
        raise CalibrationError(f'{error}. {RECTIFIED_ALREADY}') from error
    after = [
        gray(rectified(image, rectifier))
        for image, rectifier in zip((left, right), rectifiers, strict=True)
    ]
    return rectification_helps(examine(gray(left), gray(right)), examine(after[0], after[1]))


def _camera(
    calibration: tuple[CameraModel, CameraModel],
    images: tuple[Image, Image],
    state: PipelineState,
) -> StereoCamera:
    """Return the stereo camera; where its sign is wrong, the images show why."""
    try:
        return state.camera(calibration)
    except NegativeBaselineError as error:
        order = examine(gray(images[0]), gray(images[1])).order
        if order is ViewOrder.UNKNOWN:
            raise
        swapped = order is ViewOrder.SWAPPED
        raise CalibrationError(error.explained(images_swapped=swapped)) from error


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
