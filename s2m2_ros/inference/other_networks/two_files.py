"""Networks in two ONNX files with a cost volume between them.

Operations of a cost volume export badly, so some networks leave it out: one file makes features
of both images, the other makes the disparity of the features and of the volume, which is made
here, with PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, OnnxModel, read_onnx
from s2m2_ros.text_safety import safe_text
from s2m2_ros.weights.other_networks import NetworkDescription, description_path

TYPES = {'float32': torch.float32, 'float16': torch.float16}
# Products of features of length 0 stay 0.
SMALLEST_LENGTH = 1e-6


def second_model(first: OnnxModel, given: NetworkDescription) -> OnnxModel:
    """Return the second file of a network.

    Raises OnnxFileError, with the key of the description, if it cannot be read, or if an input of
    it comes from nowhere.
    """
    description = description_path(first.path)
    path = first.path.parent / given.second_file
    if path.resolve() == first.path.resolve():
        raise OnnxFileError(
            f'{description}: second.file is {path.name}, the first file itself: set it to the '
            'file that gives the disparity'
        )
    try:
        second = read_onnx(path)
    except OnnxFileError as error:
        raise OnnxFileError(f'{description}: second.file: {error}') from error
    for key, name in (('left', given.second_left), ('right', given.second_right)):
        if name not in {port.name for port in first.outputs}:
            raise OnnxFileError(
                f"{description}: second.{key} is '{safe_text(name, 60)}', but {first.path.name} "
                f'has no such output; it has {first.describe()}'
            )
    if given.second_volume not in [port.name for port in second.inputs]:
        raise OnnxFileError(
            f"{description}: second.volume is '{safe_text(given.second_volume, 60)}', but "
            f'{path.name} has no such input; it has {second.describe()}'
        )
    made = {port.name for port in (*first.inputs, *first.outputs)}
    for port in second.inputs:
        if port.name != given.second_volume and port.name not in made:
            raise OnnxFileError(
                f"{path}: its input '{port}' is neither an output nor an input of "
                f'{first.path.name}: export both with the same names; {first.path.name} has '
                f'{first.describe()}'
            )
        if port.element not in TYPES:
            raise OnnxFileError(
                f"{path}: its input '{port}' is no float: export it as {' or '.join(TYPES)}"
            )
    return second


@dataclass(frozen=True)
class TwoFiles:
    """Runs one file, makes the cost volume, and runs the other; see `foreign_network.Runner`.

    Attributes:
        given: how the volume is made.
        description: its file.
        between: the outputs of the first file that are read, in their order.
        inputs: type of each input of the second file, by name.
        first, second: run the files.

    """

    given: NetworkDescription
    description: Path
    between: Sequence[str]
    inputs: Mapping[str, torch.dtype]
    first: Callable[[Mapping[str, torch.Tensor]], Sequence[torch.Tensor]]
    second: Callable[[Mapping[str, torch.Tensor]], Sequence[torch.Tensor]]

    def __call__(self, images: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """Return the outputs of the second file."""
        given = self.given
        features = dict(zip(self.between, self.first(images), strict=True))
        views = (features[given.second_left], features[given.second_right])
        try:
            volume = cost_volume(*views, given)
        except InferenceError as error:
            raise OnnxFileError(f'{self.description}: {error}') from error
        known = {**images, **features, given.second_volume: volume}
        return self.second(
            {name: known[name].to(element).contiguous() for name, element in self.inputs.items()}
        )


def between_files(first: OnnxModel, second: OnnxModel, given: NetworkDescription) -> list[str]:
    """Return the outputs of the first file that are needed."""
    needed = {given.second_left, given.second_right, *(port.name for port in second.inputs)}
    return [port.name for port in first.outputs if port.name in needed]


def cost_volume(
    left: torch.Tensor, right: torch.Tensor, given: NetworkDescription
) -> torch.Tensor:
    """Return how well features match at each disparity, (1, channels, count, H, W) float32.

    At disparity d and column x the left features of x meet the right ones of x - d; where these
    are outside, the volume is 0.

    Args:
        left: (1, C, H, W) features of the left view.
        right: the same of the right view.
        given: kind and size of the volume.

    Raises InferenceError if the features do not fit.

    """
    if left.ndim != 4 or left.shape != right.shape:
        raise InferenceError(
            f'second.left and second.right are features of shapes {tuple(left.shape)} and '
            f'{tuple(right.shape)}: they must be (1, channels, rows, columns), both the same'
        )
    if left.shape[1] % given.second_groups:
        raise InferenceError(
            f'second.groups is {given.second_groups}, which does not divide the {left.shape[1]} '
            'channels of the features: set it to the number that the network was made with'
        )
    left, right = left.float(), right.float()
    if given.second_normalize:
        left, right = (
            values / values.norm(dim=1, keepdim=True).clamp_min(SMALLEST_LENGTH)
            for values in (left, right)
        )
    batch, channels, height, width = left.shape
    groups, count = given.second_groups, given.second_count
    is_product = given.second_kind == 'group_correlation'
    volume = left.new_zeros(batch, groups if is_product else 2 * channels, count, height, width)
    for shift in range(min(count, width)):
        one, other = left[..., shift:], right[..., : width - shift]
        if is_product:
            products = (one * other).reshape(batch, groups, -1, height, width - shift)
            volume[:, :, shift, :, shift:] = products.mean(dim=2)
        else:
            volume[:, :, shift, :, shift:] = torch.cat((one, other), dim=1)
    return volume
