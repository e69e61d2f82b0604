"""A running estimate of the disparity of what does not move, pixel by pixel.

A scalar Kalman filter with fading memory (Matthies, Kanade and Szeliski, *Kalman filter-based
algorithms for estimating depth from image sequences*, IJCV 3, 1989): with the weight
``w = 1 / sigma_d^2`` of a measurement and ``n`` frames of memory,

    W' = (1 - 1/n) W + w,   K = w / W',   m' = m + K (z - m).

A measurement is averaged only where it agrees with the estimate: its innovation, normalized to
the noise of one measurement, ``e = (z - m) sqrt(1 - K)``, is at most ``GATE`` times the noise
that was seen at this pixel so far, and its mean over the last frames at most ``DRIFT_GATE`` times,
which finds what moves slowly. Elsewhere the measurement comes back as it is: nothing of the past
is ever shown where the present says something else, or nothing. An estimate that two pairs in a
row do not confirm is forgotten. `doc/temporal_filter.md` derives the numbers.

Everything is float32 arithmetic on the device of the maps, without selections, which cost 30 times
as much on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

# Largest normalized innovation of a measurement that agrees, and largest recent mean, in standard
# deviations of one: on a still scene with Gaussian noise 6 in 100000 measurements exceed the
# first, and fewer the second, since the mean varies by 1 / sqrt(3) of that. Noise that was learned
# from few measurements makes it 4 in 10000.
GATE = 4.0
DRIFT_GATE = 2.5
DRIFT_MEMORY = 0.5
# Least fraction by which each innovation that agrees changes the noise of its pixel; in the
# beginning it is half of the gain. What agrees by chance raises a noise that is too small: an even
# spread within the gate has 2.5 times the noise.
NOISE_GAIN = 0.0625
# The noise is that about the recent mean, else motion would count as noise: innovations vary about
# it by sqrt(4 / 3) of their own deviation.
ABOUT_DRIFT = math.sqrt(3) / 2
# In pixels of the size that was matched: the noise of a pixel is at least the first, which is what
# steps of a sixteenth need, at most the last; before a pixel has noise of its own, at most the
# second.
SMALLEST_NOISE = 0.04
LARGEST_FIRST_NOISE = 0.5
LARGEST_NOISE = 1.5
# Of a normal distribution: the standard deviation over the mean, and the median, of magnitudes.
OVER_MEAN = math.sqrt(math.pi / 2)
OVER_MEDIAN = 1.4826
# The noise of new pixels is the median over every n-th row and column.
SAMPLE_STEP = 4


@dataclass(frozen=True, eq=False)
class Estimate:
    """What is kept of the pairs so far, each float32 (H, W), finite.

    Attributes:
        disparity: as measured, ``x_left - x_right`` in pixels.
        weight: what it weighs, in 1 / square pixels; 0 where nothing is known.
        noise: standard deviation of one measurement about the others in pixels, 0 if not known.
        drift: recent mean of the normalized innovations, in pixels.
        missed: 1 where the newest pair did not confirm it, else 0.

    """

    disparity: torch.Tensor
    weight: torch.Tensor
    noise: torch.Tensor
    drift: torch.Tensor
    missed: torch.Tensor


@dataclass(frozen=True, eq=False)
class Filtered:
    """What the filter made of one pair.

    Attributes:
        disparity: float32 (H, W), the measurement where it was not averaged.
        estimate: for the next pair.
        changed: the fraction of the pixels known before and now that disagree, () float32, NaN if
            there are none.

    """

    disparity: torch.Tensor
    estimate: Estimate
    changed: torch.Tensor


def measurement_weight(disparity: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Return ``1 / sigma_d^2``, 0 where the disparity is not finite, (H, W) float32.

    ``deviation``: standard deviation of the disparity in pixels, infinite where nothing is known.
    """
    return deviation.square().reciprocal_().mul_(_truth(disparity.abs() < math.inf))


def first_estimate(disparity: torch.Tensor, weight: torch.Tensor) -> Estimate:
    """Return the estimate after one pair, which shares no memory with it.

    ``weight``: as `measurement_weight` returned it.
    """
    nothing = torch.zeros_like(weight)
    return Estimate(_finite(disparity), weight.clone(), nothing, nothing, nothing)


def update(
    estimate: Estimate,
    disparity: torch.Tensor,
    weight: torch.Tensor,
    *,
    frames: int,
    scale: float = 1.0,
) -> Filtered:
    """Return the measured disparity, averaged with the estimate where both agree.

    Args:
        estimate: of the pairs before, in this view.
        disparity: as measured, float32 (H, W), not finite where unknown.
        weight: as `measurement_weight` returned it.
        frames: of memory, 2 or more; white noise falls by ``sqrt(2 * frames - 1)``.
        scale: width of the images over the width at which they were matched, 1 or more.

    """
    measured, known = _finite(disparity), _truth(estimate.weight > 0)
    compared = known * _truth(weight > 0)
    faded = estimate.weight * (1 - 1 / frames) + weight
    gain = weight / faded.clamp(min=torch.finfo(torch.float32).tiny)
    innovation = measured - estimate.disparity
    normalized = innovation * (1 - gain).sqrt_()
    noise = estimate.noise + _truth(estimate.noise == 0) * _typical(normalized, compared, scale)
    drift = torch.lerp(normalized, estimate.drift, DRIFT_MEMORY)
    agrees = compared * _truth(normalized.abs() <= noise * GATE)
    agrees *= _truth(drift.abs() <= noise * DRIFT_GATE)
    kept = known * (1 - agrees) * (1 - estimate.missed)
    new = 1 - agrees - kept
    spread = (normalized - estimate.drift).abs_().mul_(OVER_MEAN * ABOUT_DRIFT)
    # Without a mean, what the first innovation shows may be motion.
    rate = (gain / 2).clamp_(min=NOISE_GAIN) * _truth(estimate.drift != 0)
    learned = torch.lerp(noise, spread, rate)
    learned.clamp_(SMALLEST_NOISE * scale, LARGEST_NOISE * scale)
    return Filtered(
        # Adds exactly nothing where the measurement stays.
        disparity=disparity - agrees * (1 - gain) * innovation,
        estimate=Estimate(
            disparity=estimate.disparity + (agrees * gain + new) * innovation,
            weight=agrees * faded + kept * estimate.weight + new * weight,
            noise=agrees * learned + (1 - agrees) * estimate.noise,
            drift=agrees * drift + kept * estimate.drift,
            missed=kept,
        ),
        changed=1 - agrees.sum() / compared.sum(),
    )


def _typical(normalized: torch.Tensor, compared: torch.Tensor, scale: float) -> torch.Tensor:
    """Return the noise of a pixel without one of its own, () float32."""
    sample = (slice(None, None, SAMPLE_STEP),) * 2
    magnitudes = normalized[sample][compared[sample] > 0].abs()
    if not len(magnitudes):
        return normalized.new_tensor(LARGEST_FIRST_NOISE * scale)
    typical = magnitudes.median() * OVER_MEDIAN
    return typical.clamp(SMALLEST_NOISE * scale, LARGEST_FIRST_NOISE * scale)


def _truth(condition: torch.Tensor) -> torch.Tensor:
    return condition.to(torch.float32)


def _finite(disparity: torch.Tensor) -> torch.Tensor:
    """Return a copy with 0 where the disparity is not finite."""
    return disparity.nan_to_num(0.0, 0.0, 0.0)
