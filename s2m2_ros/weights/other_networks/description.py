"""What must be known of a stereo network in an ONNX file to feed it and to read its results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros.errors import S2M2Error

SUFFIX = '.onnx'
CHANNEL_ORDERS = ('rgb', 'bgr', 'gray')
LAYOUTS = ('nchw', 'nhwc')
FITS = ('resize', 'pad', 'stretch')
SIGNS = ('positive', 'negative')
UNITS = ('pixels', 'fraction_of_width')
PLANTED_CHECKS = ('error', 'warning')
VOLUMES = ('group_correlation', 'concatenation')
LARGEST_COUNT = 1024
LARGEST_SIDE = 16384
# That of 8K, with some room; textures of a planted pair take 24 bytes for each.
MOST_PIXELS = 1 << 25
LARGEST_MULTIPLE = 1024
LARGEST_VALUE = 1e6


class DescriptionError(S2M2Error):
    """A description of a network is wrong or lacks something; says where and what to write."""


@dataclass(frozen=True)
class NetworkDescription:
    """The conventions of one network; what is left empty or 0 is read from the ONNX file.

    Attributes:
        name: what people call the network.
        license: of the weights.
        source: where the file comes from.
        left, right: names of the inputs.
        pair: name of the one input that takes both images, the channels of the left one first;
            instead of `left` and `right`.
        channels: their order, one of `CHANNEL_ORDERS`; empty: gray for inputs of one channel, else
            rgb.
        layout: one of `LAYOUTS`, the order of batch, channels, rows and columns.
        range: values of black and of white.
        mean, std: per channel in their order, subtracted and divided by after that; one value for
            all channels, or empty.
        height, width: size in pixels that the network works at; 0: that of the file, or any.
        multiple: what open sizes are padded to a multiple of, in pixels.
        fit: how images come to a fixed size: 'resize' scales them, keeps the aspect and pads the
            rest, 'pad' pads smaller images and scales larger ones, 'stretch' scales both axes.
        disparity, confidence, visibility, occlusion: names of outputs; visibility is 1 and
            occlusion 0 where both views show a point.
        sign: 'positive' for x_left - x_right, 'negative' for its opposite.
        unit: 'pixels' of the network's input, or 'fraction_of_width' of it.
        scale: what the output is multiplied by to be in that unit.
        largest: largest disparity that the network finds, in pixels of its input; 0: unknown.
        second_file: name of a second ONNX file in the same folder, which gives the outputs; empty
            for none. Its inputs are outputs of the first file and the images, by name, and a cost
            volume.
        second_volume: its input that takes the cost volume, (1, channels, disparities, rows,
            columns).
        second_left, second_right: outputs of the first file that the volume is made of.
        second_kind: one of `VOLUMES`: the mean product of each group of channels, or the left
            channels and then the right ones.
        second_groups: number of groups of channels.
        second_count: number of disparities, from 0, in pixels of these outputs.
        second_normalize: whether the channels are divided by their length first.
        planted_check: whether a pair of known disparity that comes out wrong is an error or a
            warning.

    Raises DescriptionError if a value is out of range.

    """

    name: str = ''
    license: str = ''
    source: str = ''
    left: str = ''
    right: str = ''
    pair: str = ''
    channels: str = ''
    layout: str = ''
    range: tuple[float, float] = (0.0, 255.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    height: int = 0
    width: int = 0
    multiple: int = 32
    fit: str = 'resize'
    disparity: str = ''
    confidence: str = ''
    visibility: str = ''
    occlusion: str = ''
    sign: str = 'positive'
    unit: str = 'pixels'
    scale: float = 1.0
    largest: float = 0.0
    second_file: str = ''
    second_volume: str = ''
    second_left: str = ''
    second_right: str = ''
    second_kind: str = 'group_correlation'
    second_groups: int = 1
    second_count: int = 0
    second_normalize: bool = False
    planted_check: str = 'error'

    def __post_init__(self) -> None:
        """Check the values, alone and beside each other."""
        for key, choices in (
            ('channels', ('', *CHANNEL_ORDERS)),
            ('layout', ('', *LAYOUTS)),
            ('fit', FITS),
            ('sign', SIGNS),
            ('unit', UNITS),
            ('second_kind', VOLUMES),
            ('planted_check', PLANTED_CHECKS),
        ):
            if getattr(self, key) not in choices:
                known = ', '.join(choice for choice in choices if choice)
                raise DescriptionError(f"{key} must be one of {known}, not '{getattr(self, key)}'")
        self._check_names()
        self._check_values()
        self._check_second()
        for key in ('height', 'width'):
            if getattr(self, key) and not 16 <= getattr(self, key) <= LARGEST_SIDE:
                raise DescriptionError(
                    f'{key} must be 16 to {LARGEST_SIDE} pixels, or 0 for any, not '
                    f'{getattr(self, key)}'
                )
        if self.height * self.width > MOST_PIXELS:
            raise DescriptionError(
                f'{self.width}x{self.height} are more than {MOST_PIXELS} pixels'
            )
        if not 1 <= self.multiple <= LARGEST_MULTIPLE:
            raise DescriptionError(
                f'multiple must be 1 to {LARGEST_MULTIPLE} pixels, not {self.multiple}'
            )

    def _check_names(self) -> None:
        if self.pair and (self.left or self.right):
            raise DescriptionError(
                'pair is the one input that takes both images: give it, or left and right'
            )
        if bool(self.left) != bool(self.right):
            raise DescriptionError('give the names of both inputs, left and right, or of neither')
        if self.left and self.left == self.right:
            raise DescriptionError(f"left and right are the same input '{self.left}'")
        if self.visibility and self.occlusion:
            raise DescriptionError('give visibility or its opposite, occlusion, not both')
        keys: dict[str, str] = {}
        for key in ('disparity', 'confidence', 'visibility', 'occlusion'):
            name = getattr(self, key)
            if name and name in keys:
                raise DescriptionError(
                    f"outputs.{keys[name]} and outputs.{key} are both '{name}': each must be an "
                    'output of its own, or be left out'
                )
            keys[name] = key

    def _check_values(self) -> None:
        values = (*self.range, *self.mean, *self.std, self.scale, self.largest)
        if not all(math.isfinite(value) and abs(value) <= LARGEST_VALUE for value in values):
            raise DescriptionError(f'numbers must be finite and at most {LARGEST_VALUE:g}')
        if self.range[0] >= self.range[1]:
            raise DescriptionError(
                f'range must be the values of black and of white, the smaller one first, not '
                f'{self.range[0]:g}..{self.range[1]:g}'
            )
        for key in ('mean', 'std'):
            if len(getattr(self, key)) not in (0, 1, 3):
                raise DescriptionError(f'{key} must be one value, or one for each of 3 channels')
        if min(self.std, default=1.0) <= 0:
            raise DescriptionError('std must be above 0')
        if self.scale <= 0:
            raise DescriptionError(
                f'scale must be above 0, not {self.scale:g}: for the opposite sign set sign'
            )
        if self.largest < 0:
            raise DescriptionError(f'largest must be 0 (unknown) or above, not {self.largest:g}')

    def _check_second(self) -> None:
        parts = (self.second_volume, self.second_left, self.second_right, self.second_count)
        if self.second_file and not all(parts):
            raise DescriptionError(
                'a second file needs second.volume, its input for the cost volume, second.left '
                'and second.right, the features it is made of, and second.count'
            )
        if any(parts) and not self.second_file:
            raise DescriptionError('second.file is missing: the name of the second ONNX file')
        if self.second_file and Path(self.second_file).name != self.second_file:
            raise DescriptionError(
                f"second.file must be a file in the same folder, not '{self.second_file}'"
            )
        if not 1 <= self.second_groups <= LARGEST_COUNT or self.second_count > LARGEST_COUNT:
            raise DescriptionError(
                f'second.groups and second.count must be 1 to {LARGEST_COUNT}, not '
                f'{self.second_groups} and {self.second_count}'
            )

    @property
    def offset(self) -> tuple[float, ...]:
        """What is subtracted after the range, per channel."""
        return self.mean or (0.0,)

    @property
    def divisor(self) -> tuple[float, ...]:
        """What is divided by after that, per channel."""
        return self.std or (1.0,)


def is_onnx_file(path: Path) -> bool:
    """Return whether a checkpoint is an ONNX file, by its name."""
    return path.suffix.lower() == SUFFIX
