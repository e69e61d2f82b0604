"""Checking images and bringing them to the device as one batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from s2m2_ros.errors import ImageError
from s2m2_ros.inference.hardware.timing import new_event

_logger = logging.getLogger(__name__)

Image = npt.NDArray[np.generic] | torch.Tensor

SMALLEST_SIDE = 32
# 65535 / 257 = 255: the full range of uint16 becomes that of uint8.
UINT16_DIVISOR = 257.0
# Images of 16 bits with no value above those of 14 bits are probably those of a sensor of fewer.
FEWER_BITS = ((1 << 14) - 1) / UINT16_DIVISOR
KINDS = ('uint8', 'uint16', 'float16', 'float32', 'float64')


@dataclass(frozen=True)
class ImageFormat:
    """Size in pixels, channels (1 or 3) and element type, one of `KINDS`."""

    height: int
    width: int
    channels: int
    kind: str

    def __str__(self) -> str:
        return f'{self.width}x{self.height}, {self.channels} channel(s), {self.kind}'


def image_format(image: Image, name: str = 'image') -> ImageFormat:
    """Return the format of one image; raises ImageError, calling it `name`, if it is not one."""
    if not isinstance(image, np.ndarray | torch.Tensor):
        raise ImageError(
            f'the {name} image must be a NumPy array or a tensor, not {type(image).__name__}'
        )
    # The name of a NumPy type leaves the byte order out: copying takes care of it.
    kind = image.dtype.name if isinstance(image, np.ndarray) else str(image.dtype)[6:]
    if kind not in KINDS:
        raise ImageError(
            f'the {name} image has elements of type {kind}: give one of {", ".join(KINDS)}'
        )
    shape = tuple(image.shape)
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3):
        hint = ' (channels come last: transpose it)' if len(shape) == 3 and shape[0] == 3 else ''
        raise ImageError(
            f'the {name} image has shape {tuple(image.shape)}: give (H, W) or (H, W, 3){hint}'
        )
    if min(shape[:2]) < SMALLEST_SIDE:
        raise ImageError(
            f'the {name} image is {shape[1]}x{shape[0]}: both sides must be at least '
            f'{SMALLEST_SIDE} pixels'
        )
    return ImageFormat(shape[0], shape[1], shape[2], kind)


def common_format(lefts: Sequence[Image], rights: Sequence[Image]) -> ImageFormat:
    """Return the one format of all images of a batch; raises ImageError if they differ."""
    if not lefts or len(lefts) != len(rights):
        raise ImageError(f'a batch of {len(lefts)} left and {len(rights)} right images')
    expected = image_format(lefts[0], 'left')
    for name, images in (('left', lefts), ('right', rights)):
        for image in images:
            found = image_format(image, name)
            if found != expected:
                raise ImageError(
                    f'all images must be alike: the first left one is {expected}, '
                    f'but a {name} one is {found}'
                )
    return expected


def check_values(images: torch.Tensor) -> None:
    """Raise ImageError unless float images (any shape) are finite and fill 0..255.

    On a CUDA device this waits.
    """
    smallest, largest = (bound.item() for bound in torch.aminmax(images))
    if not np.isfinite((smallest, largest)).all():
        raise ImageError('an image holds NaN or infinite values')
    if smallest < -1 or largest > 256:
        raise ImageError(
            f'float images must hold values from 0 to 255, these go from {smallest:g} to '
            f'{largest:g}'
        )
    if smallest < largest <= 1:
        raise ImageError(
            f'float images must hold values from 0 to 255, the largest here is {largest:g}: '
            'multiply images of 0..1 by 255'
        )


class Uploader:
    """Brings batches of images to one device, through one reused (pinned, for CUDA) buffer."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._staging: torch.Tensor | None = None
        self._copied: torch.cuda.Event | None = None
        self._warned_of_bits = False

    def upload(
        self, lefts: Sequence[Image], rights: Sequence[Image]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the left and right images as (B, C, H, W) uint8 or float32 in 0..255.

        The result is valid until the next call. From host memory to a CUDA device the copy is
        asynchronous on the current stream. Raises ImageError.
        """
        layout = common_format(lefts, rights)
        images = [*lefts, *rights]
        if all(isinstance(i, torch.Tensor) and i.device == self._device for i in images):
            batch = _stack_on_device(images, layout)
            _check_pairs(batch, layout)
            if batch.device.type == 'cpu':  # elsewhere looking at them waits
                self._warn_of_fewer_bits(batch, layout)
        else:
            staged = self._stage(images, layout)
            # In host memory, where looking at them waits for nothing.
            _check_pairs(staged, layout)
            self._warn_of_fewer_bits(staged, layout)
            batch = self._copy_to_device(staged)
        planes = batch.permute(0, 3, 1, 2)
        return planes[: len(lefts)], planes[len(lefts) :]

    def close(self) -> None:
        """Free the buffer."""
        self._staging = None
        self._copied = None

    def _warn_of_fewer_bits(self, images: torch.Tensor, layout: ImageFormat) -> None:
        """Say once that images of 16 bits look like those of 8 to 14, which are nearly black."""
        if self._warned_of_bits or layout.kind != 'uint16':
            return
        largest = float(images.max())
        if 0 < largest <= FEWER_BITS:
            self._warned_of_bits = True
            _logger.warning(
                'uint16 images are taken as 0 to 65535, but the largest value here is %d: if the '
                'camera has fewer bits, scale them (12 bits: image * 16), else they are matched '
                'as nearly black',
                round(largest * UINT16_DIVISOR),
            )

    def _stage(self, images: Sequence[Image], layout: ImageFormat) -> torch.Tensor:
        shape = (len(images), layout.height, layout.width, layout.channels)
        element = torch.uint8 if layout.kind == 'uint8' else torch.float32
        if self._copied is not None and not self._copied.query():  # type: ignore[no-untyped-call]
            self._copied.synchronize()
        if self._staging is None or self._staging.shape != shape or self._staging.dtype != element:
            pinned = self._device.type == 'cuda'
            self._staging = torch.empty(shape, dtype=element, device='cpu', pin_memory=pinned)
        for slot, image in zip(self._staging.numpy(), images, strict=True):
            host = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else image
            np.copyto(slot, host.reshape(slot.shape), casting='same_kind')
            if layout.kind == 'uint16':
                np.divide(slot, np.float32(UINT16_DIVISOR), out=slot)
        return self._staging

    def _copy_to_device(self, staging: torch.Tensor) -> torch.Tensor:
        if self._device.type != 'cuda':
            return staging.to(self._device)
        batch = staging.to(self._device, non_blocking=True)
        if self._copied is None:
            self._copied = new_event()
        self._copied.record(torch.cuda.current_stream(self._device))
        return batch


def _check_pairs(batch: torch.Tensor, layout: ImageFormat) -> None:
    """Check the values of float images, left ones first, pair by pair.

    One pair of 0..1 would pass beside another.
    """
    if layout.kind.startswith('float'):
        pairs = batch.shape[0] // 2
        for number in range(pairs):
            check_values(batch[number::pairs])


def _stack_on_device(images: Sequence[Image], layout: ImageFormat) -> torch.Tensor:
    shape = (layout.height, layout.width, layout.channels)
    tensors = [i.detach().reshape(shape) for i in images if isinstance(i, torch.Tensor)]
    batch = torch.stack(tensors)
    if layout.kind == 'uint16':
        return batch.float() / UINT16_DIVISOR
    return batch if layout.kind == 'uint8' else batch.float()
