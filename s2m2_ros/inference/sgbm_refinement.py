"""Semi-global matching in the last pixels of what a network found.

Semi-global matching places what has texture to a fraction of a pixel, at the images' own size. A
network that was trained briefly, or that sees the images smaller, does not, but knows the surface;
so the one is taken where it agrees with the other, and where the other doubts itself. By how much
the network is off where they agree is known then, and it is off by as much beside that, on the
same surface. Good weights are finer than semi-global matching, and it makes them worse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from s2m2_ros.confidence_tables import Agreement
from s2m2_ros.inference.backend import Maps
from s2m2_ros.inference.backends import sgbm
from s2m2_ros.inference.errors import BackendUnavailableError
from s2m2_ros.inference.neighborhoods import farther_neighbors, mean_on_surface
from s2m2_ros.inference.sgbm_options import SgbmOptions

# Pixels of the size that the network matched at: so far a network is off that knows the surface.
# Of 2 to 6, 4 and 5 leave the fewest wrong pixels of real pairs with `starter`; each pixel more
# costs procedural scenes 0.2 to 0.5 points.
AGREEMENT_PX = 4.0
# Below this confidence of the network, the other estimate is the likelier one where they disagree.
DOUBT = 0.8
# Of the bilateral filter of how far the network is off: diameter and spatial deviation in pixels,
# and deviation of the values, in pixels of the size that semi-global matching works at.
SMOOTHING = 9, 3.0
SMOOTHING_PX = 1.0
# Below this visibility, what a pixel shows is hidden in the right view.
VISIBLE = 0.5
# Cells in which the network's errors are averaged: of the width, and of `AGREEMENT_PX`.
CELLS_IN_WIDTH = 100
LEAST_CELL_PX = 4.0
CELL_OF_AGREEMENT = 0.75
_FAR = 1e4
# A weight from which on the other estimate is the weightier one.
EVEN = 0.5
# In a window of this side, and in a region that the network doubts, so many pixels must have
# texture (in the window from half to one and a half times as many, by and by): on blank surfaces
# both views agree on whatever costs least.
TEXTURE_WINDOW = 15
TEXTURED_FRACTION = 0.2
# The more semi-global matching knows of what the network is sure of, the more it counts: nothing
# below the first fraction, all above the second. It knows 0.96 of real pairs with texture, 0.7 to
# 0.9 of white rooms; less means that rows are misaligned or noise is strong, which a network takes
# better. A limit instead would make videos near it flicker, and the mean is better than either: of
# 100 path-traced interiors 28.9 % of the pixels are wrong, with the one limit 0.75 29.4 %.
SURE = 0.9
KNOWN_FRACTIONS = 0.6, 0.9


class Refined(NamedTuple):
    """What refinement makes of the maps of a network."""

    maps: Maps
    agreement: torch.Tensor  # (B, H, W) int8 of `Agreement`


class SgbmRefinement:
    """Refines the disparity of a network by semi-global matching, which runs on the processor.

    What semi-global matching found counts where there is texture, if it agrees with the network or
    that doubts itself. What only the left view shows continues the farther surface beside it, if
    the network agrees. Elsewhere the network's disparity counts, corrected as on the same surface
    around. The less semi-global matching knows of the pair, the less all this counts.
    """

    def __init__(
        self, options: SgbmOptions | None = None, *, allow_negative: bool = False
    ) -> None:
        """Match as the `sgbm` backend does with these options.

        Raises BackendUnavailableError if OpenCV is missing.
        """
        missing = sgbm.unavailable()
        if missing:
            raise BackendUnavailableError('sgbm_refinement', missing, subject='option')
        self._matcher = sgbm.SemiGlobalBackend(options, allow_negative=allow_negative)
        self._lowest = -math.inf if allow_negative else 0.0

    def matched_width(self, height: int, width: int) -> int:
        """Return the width at which images of a size are matched."""
        return self._matcher.matched_width(height, width)

    def refine(
        self, maps: Maps, left: torch.Tensor, right: torch.Tensor, *, matched_width: int
    ) -> Refined:
        """Return the maps with the disparity refined, the others as they are.

        Args:
            maps: of the network, (B, H, W) float32 at the images' size, on any device.
            left: (B, 1 or 3, H, W) images, values 0..255.
            right: the same shape.
            matched_width: the width that the network saw the images at.

        """
        host = Maps(*(one.cpu() for one in maps))
        found = self._matcher.infer(left.cpu(), right.cpu()).disparity
        weights = _weights(found.isfinite(), host)
        limit = AGREEMENT_PX * left.shape[-1] / matched_width
        refined = host.disparity.clone()
        agreement = torch.full_like(refined, Agreement.NOT_COMPARED, dtype=torch.int8)
        for index in weights.nonzero().flatten().tolist():
            network = Maps(*(one[index] for one in host))
            texture = _textured_pixels(left[index])
            kinds = _agreement(network.disparity, found[index], limit)
            combined = self._combined(network, found[index], kinds, texture, limit)
            weight = float(weights[index])
            refined[index] = _blended(network.disparity, combined, weight, limit)
            if weight >= EVEN:
                agreement[index] = kinds
        device = maps.disparity.device
        return Refined(maps._replace(disparity=refined.to(device)), agreement.to(device))

    def _combined(
        self,
        network: Maps,
        found: torch.Tensor,
        agreement: torch.Tensor,
        texture: torch.Tensor,
        limit: float,
    ) -> torch.Tensor:
        """Return the disparity of both, (H, W); texture is 1 where a pixel has some."""
        disparity, hidden = network.disparity, network.visibility < VISIBLE
        agreeing = agreement == Agreement.CONFIRMED
        doubted = (agreement == Agreement.CONTRADICTED) & (network.confidence < DOUBT)
        regions = _textured_regions(doubted, texture)
        behind = farther_neighbors(found)
        near = (behind - disparity).abs() < limit
        continued = hidden & near & (agreement == Agreement.UNCONFIRMED)
        combined = torch.where(regions, found, torch.where(continued, behind, disparity))
        rest = ~regions & (~hidden | agreeing)
        off = found - disparity
        combined[rest] += mean_on_surface(
            off,
            agreeing,
            disparity.nan_to_num(0.0, 0.0, 0.0),
            rest,
            cell=max(found.shape[-1] / CELLS_IN_WIDTH, LEAST_CELL_PX),
            step=CELL_OF_AGREEMENT * limit,
        )
        # Where there is little texture, what was found is noisy, and right on average.
        smooth = disparity + self._smoothed(off, agreeing)
        weighted = torch.lerp(combined, smooth, _texture_weights(texture))
        # Below what is allowed only as far as the network is.
        lowest = disparity.clamp_max(self._lowest)
        return torch.fmax(torch.where(agreeing, weighted, combined), lowest)

    def _smoothed(self, off: torch.Tensor, agreeing: torch.Tensor) -> torch.Tensor:
        """Return how far the network is off without most of the noise, (H, W), where it agrees.

        That changes less from pixel to pixel than the disparity.
        """
        import cv2

        scale = off.shape[-1] / self.matched_width(*off.shape)
        # Too far away from all that agrees to be mixed with it.
        apart = torch.where(agreeing, off, _FAR).numpy()
        diameter, reach = SMOOTHING
        smooth = cv2.bilateralFilter(apart, diameter, SMOOTHING_PX * scale, reach)
        return torch.from_numpy(smooth)


def _agreement(disparity: torch.Tensor, found: torch.Tensor, limit: float) -> torch.Tensor:
    """Return what semi-global matching says of a network: (H, W) int8 of `Agreement`.

    Disparities that differ by less than `limit` agree.
    """
    # A comparison with NaN, which is unknown, is false.
    agreeing = (found - disparity).abs() < limit
    kinds = torch.where(agreeing, Agreement.CONFIRMED, Agreement.CONTRADICTED)
    return torch.where(found.isfinite(), kinds, Agreement.UNCONFIRMED).to(torch.int8)


def _weights(known: torch.Tensor, maps: Maps) -> torch.Tensor:
    """Return how much counts in each of B pairs what semi-global matching knows: (B,), 0 to 1.

    Where it knows something is `known`, (B, H, W) bool.
    """
    sure = (maps.confidence > SURE) & (maps.visibility >= VISIBLE)
    both, all_sure = (mask.sum((1, 2)) for mask in (known & sure, sure))
    least, all_of_it = KNOWN_FRACTIONS
    return (both / all_sure.clamp_min(1) - least).div_(all_of_it - least).clamp_(0.0, 1.0)


def _blended(
    disparity: torch.Tensor, combined: torch.Tensor, weight: float, limit: float
) -> torch.Tensor:
    """Return the weighted mean of both, (H, W); of what is another surface the weightier one."""
    mean = torch.lerp(disparity, combined, weight)
    heavier = combined if weight >= EVEN else disparity
    return torch.where((combined - disparity).abs() < limit, mean, heavier)


def _textured_pixels(image: torch.Tensor) -> torch.Tensor:
    """Return 1 where an image (C, H, W) has texture to be matched, else 0: (H, W) float32."""
    (gray,) = sgbm.gray_images(image[None].cpu(), (image.shape[-2], image.shape[-1]))
    return torch.from_numpy(sgbm.textured_pixels(gray).astype(np.float32))


def _texture_weights(texture: torch.Tensor) -> torch.Tensor:
    """Return how much counts what was found, 0 to 1, by the texture around: (H, W) float32."""
    import cv2

    fraction = cv2.blur(texture.numpy(), (TEXTURE_WINDOW, TEXTURE_WINDOW))
    return torch.from_numpy(fraction).div_(TEXTURED_FRACTION).sub_(0.5).clamp_(0.0, 1.0)


def _textured_regions(mask: torch.Tensor, texture: torch.Tensor) -> torch.Tensor:
    """Return the connected regions of a mask (H, W) bool that have texture, whole ones only."""
    import cv2

    count, labels = cv2.connectedComponents(mask.numpy().astype(np.uint8), connectivity=4)
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    textured = np.bincount(flat, texture.numpy().ravel(), minlength=count)
    has_texture = textured > TEXTURED_FRACTION * sizes
    # Label 0 is what lies outside.
    has_texture[0] = False
    return torch.from_numpy(has_texture[labels])


def is_available() -> bool:
    """Return whether OpenCV is there."""
    return sgbm.unavailable() is None
