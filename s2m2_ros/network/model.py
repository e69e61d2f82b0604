"""The S2M2 network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2m2_ros.network.backbone import Backbone
from s2m2_ros.network.config import S2M2Config
from s2m2_ros.network.layers import GatedFusion, conv
from s2m2_ros.network.lookup import pool_columns
from s2m2_ros.network.matching import Matcher
from s2m2_ros.network.prediction import Prediction, Stages
from s2m2_ros.network.refinement import Context, GlobalRefiner, Refiner, State, bound
from s2m2_ros.network.transformer import TransformerStack
from s2m2_ros.network.unet import UNet
from s2m2_ros.network.upsampling import Upsampler1x, Upsampler4x, upsample

SIZE_MULTIPLE = 32
_IMAGE_TYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32)
_QUARTER = 4


class Encoding(NamedTuple):
    """What the feature extraction leaves for matching, refinement and upsampling."""

    half: Tensor  # (B, C, H/2, W/2), left
    matched: Tensor  # (2B, C, H/4, W/4), left and right, after the transformer
    context: Tensor  # (B, C, H/4, W/4), left


class QuarterStages(NamedTuple):
    """What happens at 1/4: estimates as in ``Stages``, and the last hidden state."""

    probability: Tensor | None
    matching: Prediction
    global_disparity: Tensor
    iterations: tuple[Prediction, ...]
    last: State


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
        self.ctx_feat = nn.Sequential(
            conv(channels, channels, 1), nn.GELU(), conv(channels, channels, 1)
        )

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
        prediction: Prediction = self._run(left, right, keep_probability=False).prediction
        return prediction

    def forward_all(self, left: Tensor, right: Tensor) -> Stages:
        """Match as ``forward`` does and return everything that losses need, differentiable.

        Arguments and errors are those of ``forward``. The cost beyond it is the whole transport,
        (B, H/4, W/4, W/4) float32.
        """
        return self._run(left, right, keep_probability=True)

    def _run(self, left: Tensor, right: Tensor, *, keep_probability: bool) -> Stages:
        check_images(left, right)
        image = scaled(left)
        half, matched, context = self._encode(torch.cat((image, scaled(right))))
        quarter = self._estimate(matched, context, keep_probability=keep_probability)
        del matched, context
        upsampled, prediction = self._upsample(quarter.last, half, image)
        return Stages(*quarter[:-1], upsampled, prediction)

    def _encode(self, images: Tensor) -> Encoding:
        """Extract features of stacked images (2B, 3, H, W) scaled to −1..1."""
        dtype = self.ctx_feat[0].weight.dtype
        images = images.to(dtype, memory_format=torch.channels_last)
        half, quarter = self.cnn_backbone(images)
        pyramid = self.feat_pyramid(quarter)
        matched = self.transformer(pyramid)
        count = half.shape[0]
        fused = self.feat_fusion_layer(matched[:count], pyramid.quarter[:count])
        return Encoding(half, matched, self.ctx_feat(fused))

    def _estimate(
        self, matched: Tensor, context: Tensor, *, keep_probability: bool
    ) -> QuarterStages:
        """Match and refine at 1/4."""
        correlation = self.disp_init.correlate(matched)
        matching = self.disp_init(correlation, allow_negative=self.allow_negative)
        probability = None
        if keep_probability:
            probability = self.disp_init.probability(
                correlation, allow_negative=self.allow_negative
            )
        filled = self.global_refiner(matching.detached(), matched[: context.shape[0]])
        if not self.allow_negative:
            filled = filled.clamp_min(0.0)
        state = State(context.tanh(), matching._replace(disparity=filled))
        fixed = Context(
            self.refiner.context_share(context), correlation, pool_columns(correlation)
        )
        iterations = []
        for _ in range(self.refine_iterations):
            hidden, estimate = self.refiner(
                state._replace(estimate=state.estimate.detached()), fixed
            )
            state = State(hidden, bound(estimate, allow_negative=self.allow_negative))
            iterations.append(state.estimate)
        return QuarterStages(probability, matching, filled, tuple(iterations), state)

    def _upsample(
        self, state: State, half: Tensor, image: Tensor
    ) -> tuple[Prediction, Prediction]:
        """Return the maps at full resolution before and after the edge-guided filter."""
        estimate = state.estimate._replace(disparity=state.estimate.disparity * _QUARTER)
        logits = self.upsample_mask_4x_refine(state.hidden, half)
        upsampled = upsample(estimate, logits, _QUARTER)
        logits = self.upsample_mask_1x(upsampled.disparity, image, half)
        if not self.double_output:
            return upsampled, upsample(upsampled, logits, 1)
        logits = functional.interpolate(
            logits, scale_factor=2.0, mode='bilinear', align_corners=False
        )
        doubled = upsample(upsampled, logits, 2)
        return upsampled, doubled._replace(disparity=2.0 * doubled.disparity)


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
