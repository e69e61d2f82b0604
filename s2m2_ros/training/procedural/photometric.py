"""What two cameras do differently to the same light: exposure, noise, blur, compression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from s2m2_ros.training.procedural.seeded_random import SeededRandom


def augment(
    left: Tensor, right: Tensor, random: SeededRandom, *, asymmetric_fraction: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return both images (B, 3, H, W), 0..1, as two imperfect cameras would record them.

    Every pair shares one random exposure, blur and noise level; ``asymmetric_fraction`` of the
    pairs also differ between the views, and in some a rectangle of the right image is erased.
    """
    batch = left.shape[0]
    uneven = random.chance((batch, 1, 1, 1), asymmetric_fraction).float()
    common = CameraEffects.draw(random, batch)
    images = []
    for image in (left, right):
        camera = common.mixed(CameraEffects.draw(random, batch, spread=0.5), uneven)
        images.append(camera.record(image, random))
    erased = _erase(images[1], random, uneven)
    return images[0], erased


@dataclass(frozen=True)
class CameraEffects:
    """Exposure, blur, noise and compression of B cameras; every field is (B, 1 or 3, 1, 1)."""

    gain: Tensor
    gamma: Tensor
    blur: Tensor
    """Standard deviation in pixels."""
    noise: Tensor
    """Standard deviation as a fraction of full scale."""
    jpeg: Tensor
    """Step of the lowest frequency as a fraction of full scale; 0: not compressed."""

    @classmethod
    def draw(cls, random: SeededRandom, batch: int, *, spread: float = 1.0) -> CameraEffects:
        """Draw B cameras; ``spread`` scales how far they are from an ideal one."""
        shape = (batch, 1, 1, 1)
        gain = random.uniform(shape, -0.3, 0.3) + random.uniform((batch, 3, 1, 1), -0.1, 0.1)
        return cls(
            gain=(gain * spread).exp(),
            gamma=(random.uniform(shape, -0.35, 0.35) * spread).exp(),
            blur=random.uniform(shape).square() * 1.2 * spread,
            noise=random.uniform(shape).square() * 0.03 * spread,
            jpeg=random.uniform(shape, 0.0, 0.08) * random.chance(shape, 0.3) * spread,
        )

    def mixed(self, other: CameraEffects, fraction: Tensor) -> CameraEffects:
        """Return this camera with the deviations of ``other`` added where ``fraction`` is 1."""
        return CameraEffects(
            gain=self.gain * other.gain**fraction,
            gamma=self.gamma * other.gamma**fraction,
            blur=(self.blur + other.blur * fraction),
            noise=(self.noise + other.noise * fraction),
            jpeg=torch.maximum(self.jpeg, other.jpeg * fraction),
        )

    def record(self, image: Tensor, random: SeededRandom) -> Tensor:
        """Return the image (B, 3, H, W), 0..1, quantized to 8 bits as a file would hold it."""
        image = gaussian_blur(image, self.blur)
        image = (image.clamp(1e-4, 1.0) ** self.gamma * self.gain).clamp(0, 1)
        image = image + random.normal(tuple(image.shape)) * self.noise
        image = compress(image.clamp(0, 1), self.jpeg)
        return (image.clamp(0, 1) * 255).round() / 255


def gaussian_blur(image: Tensor, deviation: Tensor, *, radius: int = 3) -> Tensor:
    """Blur each image (B, C, H, W) with its own ``deviation`` (B, 1, 1, 1) in pixels."""
    batch, channels, height, width = image.shape
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / deviation.view(batch, 1).clamp_min(1e-3)).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = image.reshape(1, batch * channels, height, width)
    across = functional.conv2d(
        functional.pad(flat, (radius, radius, 0, 0), mode='replicate'),
        kernel[:, None, None, :],
        groups=batch * channels,
    )
    down = functional.conv2d(
        functional.pad(across, (0, 0, radius, radius), mode='replicate'),
        kernel[:, None, :, None],
        groups=batch * channels,
    )
    return down.view_as(image)


def compress(image: Tensor, step: Tensor) -> Tensor:
    """Quantize 8x8 blocks in the cosine domain as JPEG does (ITU-T T.81, without subsampling).

    ``image``: (B, 3, H, W), 0..1, H and W multiples of 8. ``step`` (B, 1, 1, 1) is the step of
    the lowest frequency; steps grow with frequency, and 0 leaves an image as it is.
    """
    batch, channels, height, width = image.shape
    frequency = torch.arange(8, device=image.device, dtype=image.dtype)
    basis = torch.cos((2 * frequency[None] + 1) * frequency[:, None] * (math.pi / 16)) / 2
    basis[0] = basis[0] / math.sqrt(2)
    blocks = image.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = basis @ blocks @ basis.T
    steps = (1 + frequency[:, None] + frequency[None]) * step.view(batch, 1, 1, 1, 1, 1)
    rounded = (coefficients / steps.clamp_min(1e-6)).round() * steps
    coarse = (basis.T @ rounded @ basis).transpose(3, 4).reshape(image.shape)
    return torch.where(step > 0, coarse, image)


def _erase(right: Tensor, random: SeededRandom, uneven: Tensor) -> Tensor:
    """Fill a rectangle of the right image with its mean color in a third of uneven pairs."""
    batch, _, height, width = right.shape
    chosen = random.chance((batch, 1, 1, 1), 1 / 3) & (uneven > 0)
    cx, cy, half_width, half_height = random.uniform((4, batch, 1, 1, 1))
    rows = torch.arange(height, device=right.device)[:, None] / height
    columns = torch.arange(width, device=right.device) / width
    inside = ((columns - cx).abs() < 0.02 + 0.08 * half_width) & (
        (rows - cy).abs() < 0.03 + 0.12 * half_height
    )
    return torch.where(chosen & inside, right.mean((2, 3), keepdim=True), right)
