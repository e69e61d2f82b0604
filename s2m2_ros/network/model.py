"""The S2M2 network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network import device_path, device_refinement
from s2m2_ros.network.backbone import Backbone
from s2m2_ros.network.bands import in_overlapping_bands
from s2m2_ros.network.config import S2M2Config
from s2m2_ros.network.device_upsampling import empty_maps, scale_into
from s2m2_ros.network.layers import GatedFusion, halves
from s2m2_ros.network.matching import Matcher
from s2m2_ros.network.prediction import Prediction, Stages
from s2m2_ros.network.refinement import ContextLayers, GlobalRefiner, Refiner, State, bound
from s2m2_ros.network.transformer import TransformerStack
from s2m2_ros.network.unet import UNet
from s2m2_ros.network.upsampling import Upsampler1x, Upsampler4x, separate, window_means

SIZE_MULTIPLE = 32
_IMAGE_TYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)
_QUARTER = 4
_HALO = 4  # in upsampling, three convolutions or means look one row further each
_FILTER_CHANNELS = 48


class Encoding(NamedTuple):
    """What the feature extraction leaves for matching, refinement and upsampling."""

    half: Tensor  # (B, C, H/2, W/2), left
    features: Tensor  # (B, C, H/4, W/4), left, after the transformer
    fused: Tensor  # (B, C, H/4, W/4), left, those before and after the transformer
    correlation: Tensor  # (B, H/4, W/4, W/4) float32


class S2M2(nn.Module):
    """Stereo matching with multi-resolution transformers (arXiv 2507.13229).

    It computes in the type of its parameters: ``network.half()`` or ``network.bfloat16()`` lowers
    convolutions, linear layers and attention, as autocast does, and nothing else (see
    ``s2m2_ros.network.precision``).

    Args:
        config: sizes.
        refine_iterations: local refinement steps, at least 0; their weights are shared.
        allow_negative: whether disparities below 0 may be found, for views that converge or
            are not perfectly rectified. The weights are the same.
        double_output: whether the maps are returned at twice the size of the images, with the
            disparity in pixels of that size.

    Raises:
        ValueError: if ``refine_iterations`` is negative.
    """

    def __init__(
        self,
        config: S2M2Config,
        *,
        refine_iterations: int = 3,
        allow_negative: bool = False,
        double_output: bool = False,
    ) -> None:
        super().__init__()
        if refine_iterations < 0:
            raise ValueError(f'refine_iterations must be at least 0, not {refine_iterations}')
        self.config = config
        self.refine_iterations = refine_iterations
        self.allow_negative = allow_negative
        self.double_output = double_output
        channels = config.channels
        self.cnn_backbone = Backbone(channels)
        self.feat_pyramid = UNet(
            (channels, channels, 2 * channels), 2 * config.transformers, positional=True
        )
        self.transformer = TransformerStack(channels, config.transformers)
        self.disp_init = Matcher(channels)
        self.upsample_mask_1x = Upsampler1x(channels)
        self.upsample_mask_4x_refine = Upsampler4x(channels)
        self.global_refiner = GlobalRefiner(channels)
        self.feat_fusion_layer = GatedFusion(channels, kernel=3)
        self.refiner = Refiner(channels)
        self.ctx_feat = ContextLayers(channels)

    def forward(self, left: Tensor, right: Tensor) -> Prediction:
        """Match rectified pairs.

        Args:
            left: (B, 3, H, W) RGB in 0..255, of type uint8, float16, bfloat16 or float32; H and
                W multiples of 32.
            right: the same of the other view. What is at left column x is at right column
                x − disparity.

        Returns: maps (B, 1, H, W) float32, disparity in pixels.

        Raises:
            ValueError: if a shape or type is another one.
        """
        half, features, fused, correlation = self._encode(left, right)
        matching, filled = self._match(correlation, features)
        del features
        hidden, maps = self._refined(matching, filled, fused, correlation)
        del fused, correlation
        return self._upsample(hidden, maps, half, left)[1]

    def forward_all(self, left: Tensor, right: Tensor) -> Stages:
        """Match as ``forward`` does and return everything that losses need, differentiable.

        Arguments and errors are those of ``forward``. The cost beyond it is the whole transport,
        (B, H/4, W/4, W/4) float32.
        """
        half, features, fused, correlation = self._encode(left, right)
        probability = self.disp_init.probability(correlation, allow_negative=self.allow_negative)
        matching, filled = self._match(correlation, features)
        hidden, estimates = self._refine(matching, filled, fused, correlation)
        upsampled, prediction = self._upsample(hidden, in_pixels(estimates[-1]), half, left)
        iterations = tuple(estimates[1:])
        return Stages(probability, matching, filled, iterations, upsampled, prediction)

    def _encode(self, left: Tensor, right: Tensor) -> Encoding:
        """Extract features and correlate them."""
        check_images(left, right)
        half, quarter = self.cnn_backbone(self._stacked(left, right))
        pyramid = self.feat_pyramid(quarter)
        convolved = device_path.owned(pyramid.quarter[: left.shape[0]])
        matched = self.transformer(pyramid)
        features = matched[: left.shape[0]]
        if not device_path.serves(matched):
            # A copy lets go of the right half, which nothing needs after the correlation.
            features = features.clone()
        fused = self.feat_fusion_layer(features, convolved)
        correlation = self.disp_init.correlate(matched)
        return Encoding(half, features, fused, correlation)

    def _stacked(self, left: Tensor, right: Tensor) -> Tensor:
        """Return images scaled, in the network's type, left ones first: (2B, 3, H, W)."""
        dtype = self.disp_init.layer_norm.weight.dtype
        if not device_path.serves(left):
            images = torch.cat((scaled(left), scaled(right))).to(dtype)
            return images.contiguous(memory_format=torch.channels_last)
        both = empty_maps((2 * left.shape[0], *left.shape[1:]), dtype, left.device)
        for part, images in zip(halves(both), (left, right), strict=True):
            scale_into(part, images)
        return both

    def _match(self, correlation: Tensor, features: Tensor) -> tuple[Prediction, Tensor]:
        """Return the first estimate and its disparity with the unmatched parts filled in."""
        matching = self.disp_init(correlation, allow_negative=self.allow_negative)
        filled = self.global_refiner(matching.detached(), features)
        return matching, filled if self.allow_negative else filled.clamp_min(0.0)

    def _refine(
        self, matching: Prediction, filled: Tensor, fused: Tensor, correlation: Tensor
    ) -> tuple[Tensor, list[Prediction]]:
        """Return the last hidden state, and the estimates before and after every step."""
        estimates = [matching._replace(disparity=filled)]
        if device_path.serves(fused) and self.refine_iterations:
            for state in self._steps_on_device(estimates[0], fused, correlation):
                maps = device_refinement.estimates(state.maps, allow_negative=self.allow_negative)
                estimates.append(separate(maps))
                hidden = state.hidden
            return hidden, estimates
        context = self.ctx_feat(fused)
        hidden = context.tanh()
        shared = self.refiner.context(context, correlation)
        for _ in range(self.refine_iterations):
            hidden, estimate = self.refiner(State(hidden, estimates[-1].detached()), shared)
            estimates.append(bound(estimate, allow_negative=self.allow_negative))
        return hidden, estimates

    def _refined(
        self, matching: Prediction, filled: Tensor, fused: Tensor, correlation: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the last hidden state and estimate: maps (B, 3, h, w), disparity in pixels."""
        if device_path.serves(fused) and self.refine_iterations:
            start = matching._replace(disparity=filled)
            *_, last = self._steps_on_device(start, fused, correlation)
            return last.hidden, device_refinement.estimates(
                last.maps, allow_negative=self.allow_negative, unit=_QUARTER
            )
        hidden, estimates = self._refine(matching, filled, fused, correlation)
        return hidden, in_pixels(estimates[-1])

    def _steps_on_device(
        self, start: Prediction, fused: Tensor, correlation: Tensor
    ) -> Iterator[device_refinement.DeviceState]:
        """Yield the state after each step, until the next step in the same memory."""
        shared = device_refinement.shared_context(self.ctx_feat, fused, correlation)
        state = device_refinement.first_state(shared, start)
        for index in range(self.refine_iterations):
            if index:
                device_refinement.limit(state.maps, allow_negative=self.allow_negative)
            state = device_refinement.step(self.refiner, state, shared)
            yield state

    def _upsample(
        self, hidden: Tensor, maps: Tensor, half: Tensor, left: Tensor
    ) -> tuple[Prediction, Prediction]:
        """Return the maps at full resolution before and after the edge-guided filter."""
        coarse = in_overlapping_bands(self._enlarge, half, hidden, maps, halo=_HALO)
        # On a GPU the images are scaled where they are read.
        images = left if device_path.serves(left) else scaled(left)
        fine = in_overlapping_bands(
            self._sharpen, coarse, images, half, halo=_HALO, channels=_FILTER_CHANNELS
        )
        return separate(coarse), separate(fine)

    def _enlarge(self, half: Tensor, hidden: Tensor, maps: Tensor) -> Tensor:
        """Take (B, 3, H/4, W/4) maps to full resolution."""
        return self.upsample_mask_4x_refine.upsample(maps, hidden, half)

    def _sharpen(self, maps: Tensor, image: Tensor, half: Tensor) -> Tensor:
        """Filter (B, 3, H, W) maps along the edges of the image; its first is the disparity."""
        logits = self.upsample_mask_1x(maps[:, :1], image, half)
        if not self.double_output:
            return window_means(maps, logits, 1)
        logits = functional.interpolate(logits.float(), scale_factor=2.0, mode='bilinear')
        disparity, others = torch.split(window_means(maps, logits, 2), [1, 2], dim=1)
        return torch.cat((2.0 * disparity, others), dim=1)


def in_pixels(estimate: Prediction) -> Tensor:
    """Return an estimate at 1/4 as maps (B, 3, h, w), disparity in pixels of the image."""
    # A plain tuple: the compiler of torch 2.11 takes a named one for an empty list.
    disparity = estimate.disparity * _QUARTER
    return torch.cat((disparity, estimate.visibility, estimate.confidence), dim=1)


def scaled(images: Tensor) -> Tensor:
    """Return images of 0..255 as float32 in −1..1."""
    return (images.float() / 255.0 - 0.5) * 2.0


def check_images(left: Tensor, right: Tensor) -> None:
    """Raise ValueError unless both are (B, 3, H, W) of one shape, H and W multiples of 32."""
    for name, images in (('left', left), ('right', right)):
        if images.dtype not in _IMAGE_TYPES:
            known = ', '.join(str(dtype).removeprefix('torch.') for dtype in _IMAGE_TYPES)
            raise ValueError(f'{name} images are {images.dtype}; they must be one of {known}')
        shape = tuple(images.shape)
        if (
            len(shape) != 4
            or shape[1] != 3
            or min(shape) < 1
            or shape[2] % SIZE_MULTIPLE
            or shape[3] % SIZE_MULTIPLE
        ):
            raise ValueError(
                f'{name} images have shape {shape}; needed is (B, 3, H, W) with H and W '
                f'multiples of {SIZE_MULTIPLE}'
            )
    if left.shape != right.shape:
        raise ValueError(
            f'left images have shape {tuple(left.shape)} and right images '
            f'{tuple(right.shape)}; needed is one shape for both'
        )
