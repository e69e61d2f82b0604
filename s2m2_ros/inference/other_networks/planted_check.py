"""Whether a description is right: a pair of known disparity is matched before anything else.

Wrong conventions give finite, plausible and wrong disparities. So a pair made of two textured
planes goes through the network when it is opened, at its own size or a small one. If it comes
out wrong, other conventions are tried, and the error names the one that fits.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import torch

from s2m2_ros.inference.engines.made_pairs import PlantedScene, planted_scene
from s2m2_ros.inference.errors import DeviceMemoryError, InferenceError
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory
from s2m2_ros.inference.other_networks.fitting import fit_for
from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork
from s2m2_ros.inference.other_networks.input_conventions import input_orders, joined
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError
from s2m2_ros.inference.other_networks.planted_outputs import BORDER, RIM, wrong_outputs
from s2m2_ros.weights.other_networks import NetworkDescription, description_path

_logger = logging.getLogger(__name__)

# Size in pixels of the pair where the network takes any, and a little more: see `scene_for`.
HEIGHT, WIDTH = 256, 384
# Multiples that are tried for a network which does not run at the one described.
MULTIPLES = (8, 14, 16, 32, 64, 96, 128, 192, 256)
# An estimate is right within so many pixels, or this fraction of the disparity.
TOLERANCE_PX, TOLERANCE = 1.0, 0.15


class DescriptionMismatchError(InferenceError):
    """A network gives wrong disparities for a pair of known ones; says what would fit."""


@dataclass(frozen=True)
class Finding:
    """What came out of the planted pair, in pixels of the network's input.

    Attributes:
        behind, front: medians of the estimates on the farther and the nearer plane.
        edge: median at the right edge of the nearer plane, where the right view's disparity shows
            the farther one.

    """

    behind: float
    front: float
    edge: float

    def is_right(self, scene: PlantedScene, factor: float = 1.0, *, with_edge: bool) -> bool:
        """Return whether these are the planted disparities once multiplied by a factor.

        Networks whose edges are very soft fail at `with_edge`.
        """
        found = (self.behind, self.front, self.edge)[: 3 if with_edge else 2]
        truth = (scene.behind, scene.front, scene.front)[: len(found)]
        # A comparison with NaN is false: it is never right.
        return all(
            abs(value * factor - planted) <= max(TOLERANCE_PX, TOLERANCE * planted)
            for value, planted in zip(found, truth, strict=True)
        )


# A description, what to set for it, and what came out with it.
Attempt = tuple[NetworkDescription, str, Finding]


def check_description(network: ForeignNetwork, device: torch.device) -> None:
    """Match the planted pair.

    Raises DescriptionMismatchError if it comes out wrong, with a description that fits if there
    is one, or if visibility and confidence do not mean what the description says; logs a warning
    instead if the description asks for that. Raises DeviceMemoryError if the memory does not
    suffice.
    """
    given = network.recognized.description
    scene = scene_for(given)
    try:
        disparity, *others = planted_maps(network, scene, device)
    except OnnxFileError as error:
        if advice := _multiple_that_runs(network, device):
            raise OnnxFileError(f'{error}. {advice}') from error
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(
            height=scene.height, width=scene.width, max_width=0, device=str(device)
        ) from error
    found = finding_of(disparity, scene)
    is_right = found.is_right(scene, with_edge=True)
    ways: list[str] = []
    if not is_right:
        _logger.info('the planted pair comes out wrong: trying other conventions')
        ways = _fitting_settings(network, scene, found, device)
        # As it is, where edges are soft.
        is_right = ways == ['']
    if is_right:
        _logger.info(
            'planted pair of %d and %d px: %.2f and %.2f px',
            *(scene.behind, scene.front, found.behind, found.front),
        )
    path = network.recognized.model.path
    file = description_path(path).name
    if is_right:
        wrong = list(wrong_outputs(disparity, others, given, scene, file))
        if not wrong:
            return
        text = f'{path}: in a planted pair {"; ".join(wrong)}'
    else:
        text = (
            f'{path}: a planted pair of {scene.behind} and {scene.front} px comes out as '
            f'{_in_pixels(found.behind)} and {_in_pixels(found.front)}: the description '
            f'({network.recognized.origin}) is wrong, or the network fails on it. '
            + _advice(ways, found, scene, file)
        )
    if given.planted_check == 'error':
        raise DescriptionMismatchError(text)
    _logger.warning('%s', text)


def scene_for(given: NetworkDescription) -> PlantedScene:
    """Return the planted pair for a network, at the network's own size.

    Open sides are odd multiples: a network that needs larger multiples than described fails here,
    not at the first images of such a size.
    """
    step = given.multiple
    height, width = ((-(-side // step) | 1) * step for side in (HEIGHT, WIDTH))
    fit = fit_for(given, given.height or height, given.width or width)
    return planted_scene(*fit.outer, given.largest)


def _multiple_that_runs(network: ForeignNetwork, device: torch.device) -> str:
    """Return what to set for a network to run whose sides are open, or nothing."""
    given = network.recognized.description
    if given.height and given.width:
        return ''
    file = description_path(network.recognized.model.path).name
    for multiple in MULTIPLES:
        other = replace(given, multiple=multiple)
        changed = replace(network, recognized=replace(network.recognized, description=other))
        try:
            planted_maps(changed, scene_for(other), device)
        except InferenceError:
            continue
        return (
            f'It runs on sides in multiples of {multiple}: set size.multiple: {multiple} in {file}'
        )
    return ''


def measure(network: ForeignNetwork, scene: PlantedScene, device: torch.device) -> Finding:
    """Return what a network makes of the planted pair."""
    return finding_of(planted_maps(network, scene, device)[0], scene)


def planted_maps(
    network: ForeignNetwork, scene: PlantedScene, device: torch.device
) -> list[torch.Tensor]:
    """Return the maps (H, W) of the planted pair on the host; see `ForeignNetwork.unclamped`."""
    left, right = (image.to(device) for image in scene.images())
    return [values[0, 0].cpu() for values in network.unclamped(left, right)]


def finding_of(disparity: torch.Tensor, scene: PlantedScene) -> Finding:
    """Return what matters in a disparity (H, W) of the planted pair."""
    # Noise would be taken for an estimate where only some values are unknown.
    disparity = torch.where(disparity.isfinite(), disparity, torch.inf)
    first, last = scene.columns.start, scene.columns.stop
    rows = slice(scene.rows.start + RIM, scene.rows.stop - RIM)
    border = round(scene.width * BORDER)
    above = disparity[: scene.rows.start - RIM, scene.behind + border : scene.width - border]
    front = disparity[rows, first + RIM : last - scene.front - RIM]
    edge = disparity[rows, last - scene.front + 1 : last - 1]
    medians = tuple(float(part.median()) for part in (above, front, edge))
    return Finding(medians[0], medians[1], medians[2])


def _fitting_settings(
    network: ForeignNetwork, scene: PlantedScene, found: Finding, device: torch.device
) -> list[str]:
    """Return what to set for the pair to come out right, each a way of its own; none if none fits.

    What is right at the edge of the nearer plane too comes first: without it, the right view's
    disparity passes for the left one's. Of one order of inputs, all normalizations that fit with
    as few other settings are returned: many networks match under several, but were made for one.
    """
    orders: list[list[Attempt]] = []
    for order in input_orders(network.recognized):
        seen: list[Attempt] = []
        for changed, how in order:
            other = replace(network, recognized=replace(network.recognized, description=changed))
            seen.append((changed, how, measure(other, scene, device) if how else found))
            # The normalization described is as good as any that fits.
            if _fitting(seen[:1], scene, with_edge=True):
                break
        orders.append(seen)
        if ways := _fitting(seen, scene, with_edge=True):
            return ways
    for seen in orders:
        if ways := _fitting(seen, scene, with_edge=False):
            return ways
    return []


def _fitting(seen: list[Attempt], scene: PlantedScene, *, with_edge: bool) -> list[str]:
    """Return what to set for one order of inputs to fit; the first is as described."""
    ways = []
    for changed, how, finding in seen:
        settings = _output_settings(finding, scene, changed, with_edge=with_edge)
        if settings is not None:
            ways.append((len(settings), joined(how, *settings)))
            if (changed, how, finding) == seen[0]:
                break
    fewest = min((count for count, _ in ways), default=0)
    return [way for count, way in ways if count == fewest]


def _advice(ways: list[str], found: Finding, scene: PlantedScene, file: str) -> str:
    """Return what to do, in a sentence; `file` is where descriptions are written to."""
    if len(ways) == 1:
        return f'This would fit; set it in {file}: {ways[0]}'
    if ways:
        listed = '; or '.join(f'({number}) {way}' for number, way in enumerate(ways, 1))
        return (
            'Several normalizations would fit, and this pair cannot show which the network was '
            f'trained with: look that up where it comes from, and set in {file} {listed}'
        )
    if math.inf in (found.behind, found.front):
        return (
            'The network gives NaN or infinite values for most of a plane: check inputs.range, '
            f'mean and std in {file}; if they are right, it fails on these images or in this '
            'precision, so export it again'
        )
    if abs(found.behind - scene.behind) <= TOLERANCE_PX:
        return (
            f'The farther plane is right: if the network finds no {scene.front} px, set '
            f'disparity.largest in {file} to the largest disparity that it finds'
        )
    if abs(found.front - found.behind) < 0.1 * (scene.front - scene.behind):
        return (
            'The network gives much the same everywhere: check inputs.range, mean and std, and '
            f'whether outputs.disparity names the right output (in {file})'
        )
    return (
        f'No other sign, scale, range or order of inputs fits: check the description in {file}, '
        'or set planted_check: warning there to use it all the same'
    )


def _in_pixels(value: float) -> str:
    return f'{value:.3g} px' if math.isfinite(value) else 'NaN or infinite'


def _output_settings(
    seen: Finding, scene: PlantedScene, given: NetworkDescription, *, with_edge: bool
) -> list[str] | None:
    """Return what sign, unit and scale must be for the estimates to be right; None if none fit."""
    if seen.is_right(scene, with_edge=with_edge):
        return []
    factor = scene.front / seen.front if seen.front else 0.0
    if not factor or not seen.is_right(scene, factor, with_edge=with_edge):
        return None
    settings = []
    if factor < 0:
        sign = 'negative' if given.sign == 'positive' else 'positive'
        settings.append(f'disparity.sign: {sign}')
    scale = given.scale * abs(factor)
    if given.unit == 'fraction_of_width':
        in_pixels = scale * scene.width
        if abs(in_pixels - 1) < TOLERANCE:
            return [*settings, 'disparity.unit: pixels']
    elif abs(scale / scene.width - 1) < TOLERANCE:
        return [*settings, 'disparity.unit: fraction_of_width']
    if abs(abs(factor) - 1) > TOLERANCE:
        settings.append(f'disparity.scale: {_usual(scale):.4g}')
    return settings


def _usual(scale: float) -> float:
    """Return the power of two that an estimated scale stands for, or the scale itself."""
    power = 2.0 ** round(math.log2(scale))
    return power if abs(scale / power - 1) < TOLERANCE / 2 else scale
