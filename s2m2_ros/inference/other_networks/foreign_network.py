"""A network in its own conventions, made to take and to give what all networks here do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, Port
from s2m2_ros.inference.other_networks.recognition import Recognized
from s2m2_ros.inference.scaling import resize_maps
from s2m2_ros.weights.other_networks import NetworkDescription

# Takes the inputs by name, gives the outputs in the order of `Recognized.outputs`.
Runner = Callable[[Mapping[str, torch.Tensor]], Sequence[torch.Tensor]]

WHITE = 255.0
# ITU-R BT.601, as OpenCV's conversion to gray.
GRAY_WEIGHTS = (0.299, 0.587, 0.114)
ELEMENTS = {
    'float32': torch.float32,
    'float16': torch.float16,
    'float64': torch.float64,
    'int32': torch.int32,
    'int64': torch.int64,
    'uint8': torch.uint8,
}


@dataclass(frozen=True)
class ForeignNetwork:
    """Feeds a model by its description and reads its results."""

    recognized: Recognized
    run: Runner

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
        """Match one pair of the network's size.

        Args:
            left: (1, 3, H, W) float32 RGB in 0..255.
            right: the same.

        Returns:
            Disparity in pixels of the input, x_left - x_right, then visibility and confidence if
            the network has them; each (1, 1, H, W) float32.

        Raises:
            OnnxFileError: the model gives something else than described.

        """
        given = self.recognized.description
        disparity, *others = self.unclamped(left, right)
        others = [values.clamp(0, 1) for values in others]
        if given.occlusion:
            others[0] = 1 - others[0]
        return [disparity, *others]

    def unclamped(self, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
        """Return the same with visibility, or occlusion, and confidence as the model gives them.

        Raises OnnxFileError.
        """
        found = self.recognized
        given = found.description
        images = [as_input(image, given, found.element) for image in (left, right)]
        if given.pair:
            images = [torch.cat(images, dim=1 if given.layout == 'nchw' else 3)]
        if not found.has_batch_axis:
            images = [image[0] for image in images]
        inputs = dict(zip(found.inputs, images, strict=True))
        size = (left.shape[-2], left.shape[-1])
        ports = [next(p for p in found.model.outputs if p.name == n) for n in found.outputs]
        maps = [
            _as_map(values, port, size, found.model.path)
            for values, port in zip(self.run(inputs), ports, strict=True)
        ]
        disparity = maps[0] * given.scale
        if given.unit == 'fraction_of_width':
            disparity = disparity * size[1]
        if given.sign == 'negative':
            disparity = -disparity
        return [disparity, *maps[1:]]


def as_input(images: torch.Tensor, given: NetworkDescription, element: str) -> torch.Tensor:
    """Return (1, 3, H, W) float32 RGB images in 0..255 as a network wants them."""
    if given.channels == 'gray':
        weights = images.new_tensor(GRAY_WEIGHTS)[:, None, None]
        images = (images * weights).sum(dim=1, keepdim=True)
    elif given.channels == 'bgr':
        images = images.flip(1)
    low, high = given.range
    if (low, high) != (0.0, WHITE):
        images = images * ((high - low) / WHITE) + low
    if given.mean or given.std:
        offset, divisor = (
            images.new_tensor(values)[:, None, None] for values in (given.offset, given.divisor)
        )
        images = (images - offset) / divisor
    if given.layout == 'nhwc':
        images = images.permute(0, 2, 3, 1)
    if element == 'uint8':
        images = images.round().clamp(0, WHITE)
    return images.to(ELEMENTS[element]).contiguous()


def _as_map(values: torch.Tensor, port: Port, size: tuple[int, int], file: Path) -> torch.Tensor:
    """Return an output as (1, 1, H, W) float32 of the input's size.

    Outputs at a whole fraction of the size are enlarged; their values stay as they are.
    """
    shape = tuple(values.shape)
    rows_first = len(shape) == 4 and shape[3] == 1 and shape[1] != 1
    planes = values[..., 0] if rows_first else values
    if len(shape) < 2 or planes.numel() != planes.shape[-1] * planes.shape[-2]:
        raise OnnxFileError(
            f"{file}: its output '{port.name}' has shape {shape}, not one value for each pixel: "
            'export it with such an output'
        )
    planes = planes.reshape(1, 1, *planes.shape[-2:]).float()
    height, width = planes.shape[-2:]
    if (height, width) == size:
        return planes
    # Anything else was cropped or padded inside the network, by how much on which side is unknown.
    if size[0] % height or size[1] % width or size[0] // height != size[1] // width:
        raise OnnxFileError(
            f"{file}: its output '{port.name}' is {width}x{height} for images of {size[1]}x"
            f'{size[0]}: neither that size nor the same whole fraction of both sides. Export it '
            'without cropping, or for a size that it divides'
        )
    return resize_maps(planes[0], size)[None]
