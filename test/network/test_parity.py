"""The published numbers, stage by stage."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from s2m2_ros.network import S2M2, S2M2Config, Stages, prepare_for_inference, winograd
from s2m2_ros.network.lookup import look_up
from s2m2_ros.network.positional import positional_tables

GOLDENS = (
    'golden_S_64x96_pos_r3',
    'golden_S_64x96_neg_r3',
    'golden_S_64x96_pos_r3_negpair',
    'golden_S_64x96_pos_r3_batch2',
    'golden_S_64x96_pos_r3_up2',
    'golden_M_64x96_pos_r3',
)
TAPPED = ('golden_S_64x96_pos_r3', 'golden_S_64x96_neg_r3', 'golden_S_64x96_pos_r3_negpair')
LEVELS = ('quarter', 'eighth', 'sixteenth', 'thirtysecond')
# Modules whose output is a tap of the same name, in the first transformer where there are more.
UFORMER = 'transformer.uformer_list.0'
PLAIN = (
    *(f'cnn_backbone.{name}' for name in ('conv0', 'norm1')),
    *(f'feat_pyramid.{name}' for name in ('enc0', 'down_conv2', 'enc3s.0.self_attn')),
    *(f'feat_pyramid.{name}3s.{index}' for name in ('enc', 'dec') for index in (0, 1)),
    'feat_pyramid.concat_conv2',
    *(f'{UFORMER}.{name}' for name in ('enc_attn0.cross_attn', 'enc_attn0', 'down_concat1')),
    *(f'{UFORMER}.{name}' for name in ('enc_attn1', 'enc_attn3s.0', 'up_concat0')),
    'global_refiner.init_feat',
    'global_refiner.out_feat',
    'global_refiner',
    'feat_fusion_layer',
    'ctx_feat',
    'upsample_mask_4x_refine',
    'upsample_mask_1x',
)
# Modules that run once in every refinement step: tap prefix by module.
REPEATED = {
    'refiner.disp_corr_ctx_cat.2': 'refiner.disp_corr_ctx_cat',
    'refiner.gru': 'refiner.gru',
    'refiner.disp_update': 'refiner.disp_update',
}
NOT_OBSERVED = {'disp_init.layer_norm'}  # inside the correlation, which is observed


@pytest.fixture(autouse=True)
def _smallest_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a network that is prepared filter all maps, as it does at the sizes of cameras."""
    monkeypatch.setattr(winograd, 'LEAST_PIXELS', 0)


class Taps:
    """Intermediate tensors of one run, by the name of their stage."""

    def __init__(self, network: S2M2) -> None:
        self.values: dict[str, Tensor] = {}
        self.steps: dict[str, int] = {}
        for name in PLAIN:
            self._watch(network, name, self._keep)
        for name in REPEATED:
            self._watch(network, name, self._keep_step)
        for name in ('cnn_backbone', 'feat_pyramid', UFORMER, 'disp_init', 'refiner'):
            self._watch(network, name, getattr(self, f'_on_{name.split(".")[0]}'))

    def _watch(self, network: S2M2, name: str, keep: Callable[[str, Any, Any], None]) -> None:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            keep(name, inputs, output)

        network.get_submodule(name).register_forward_hook(hook)

    def _count(self, name: str) -> int:
        self.steps[name] = self.steps.get(name, 0) + 1
        return self.steps[name]

    def _keep(self, name: str, _: Any, output: Tensor) -> None:
        self.values[name] = output.clone()

    def _keep_step(self, name: str, _: Any, output: Tensor) -> None:
        self.values[f'{REPEATED[name]}.iter{self._count(name)}'] = output.clone()

    def _on_cnn_backbone(self, _: str, __: Any, output: tuple[Tensor, Tensor]) -> None:
        self.values['cnn_backbone.half'], self.values['cnn_backbone.quarter'] = output

    def _on_feat_pyramid(self, name: str, inputs: Any, output: tuple[Tensor, ...]) -> None:
        self.values |= {
            f'{name}.{level}': maps for level, maps in zip(LEVELS, output, strict=True)
        }
        if name != 'feat_pyramid':
            return
        height, width = output[-1].shape[-2:]
        tables = positional_tables(height, width, output[-1].device)
        columns = tables.columns[None, :, None].expand(height, width, height, width, -1)
        rows = tables.rows[:, None, :, None].expand(height, width, height, width, -1)
        code = torch.cat((columns, rows), dim=-1)
        self.values[f'{name}.positional_encoding'] = code.flatten(2, 3).flatten(0, 1)

    _on_transformer = _on_feat_pyramid

    def _on_disp_init(self, name: str, inputs: tuple[Tensor], output: Any) -> None:
        self.values[f'{name}.correlation'] = inputs[0]
        self._keep_maps(name, output)

    def _on_refiner(self, name: str, inputs: Any, output: Any) -> None:
        state, context = inputs
        step = self._count(name)
        columns = torch.arange(context.correlation.shape[-1])
        position = columns - state.estimate.disparity
        self.values[f'lookup.iter{step}.full'] = look_up(context.correlation, position)
        self.values[f'lookup.iter{step}.half'] = look_up(context.pooled, position / 2)
        self.values[f'refiner.iter{step}.hidden'] = output.hidden
        self._keep_maps(f'refiner.iter{step}', output.estimate)

    def _keep_maps(self, prefix: str, maps: Any) -> None:
        self.values[f'{prefix}.disparity'] = maps.disparity
        self.values[f'{prefix}.occlusion'] = maps.visibility
        self.values[f'{prefix}.confidence'] = maps.confidence

    def finish(self, stages: Stages) -> None:
        self.values['disp_init.probability'] = stages.probability
        self._keep_maps('upsample4x', stages.upsampled)


def run(
    record: Any, filled: Any, pairs: Any, *, taps: bool = False, prepared: bool = False
) -> tuple[Stages, Taps | None]:
    meta = record.meta
    network = filled(
        meta['variant'],
        refine_iterations=meta['refine_iter'],
        allow_negative=meta['allow_negative'],
        double_output=meta['output_upsample'],
    )
    images = pairs(
        meta['height'],
        meta['width'],
        kind=meta['pair_kind'],
        index=meta['pair_index'],
        batch=meta['batch'],
    )
    if prepared:
        prepare_for_inference(network)
    observed = Taps(network) if taps else None
    with torch.inference_mode():
        stages = network.forward_all(*images)
    if observed is not None:
        observed.finish(stages)
    return stages, observed


def samples(tensor: Tensor, shape: str) -> NDArray[np.float32]:
    """Return 64 values, or as many as there are, at equal distances in the recorded order."""
    size = int(np.prod([int(n) for n in shape.split('x')]))
    count = min(64, size)
    flat = tensor.contiguous().numpy().reshape(-1)
    index = [k * size // count for k in range(count)]
    return flat[[i for i in index if i < flat.size]]  # of a left half there are only the first


def test_the_rules_make_the_published_weights_and_images(filled: Any, pairs: Any) -> None:
    weights = filled('S').state_dict()
    left, right = pairs(64, 96, kind='neg')
    found = {
        key: zlib.crc32(weights[key].numpy().tobytes())
        for key in ('cnn_backbone.conv0.0.weight', 'refiner.gru.convq2.weight')
    }
    assert found['cnn_backbone.conv0.0.weight'] == 0xD5C7586E
    assert found['refiner.gru.convq2.weight'] == 0x5AD28B2E
    channels_last = [image[0].permute(1, 2, 0).numpy().astype(np.uint8) for image in (left, right)]
    assert [zlib.crc32(image.tobytes()) for image in channels_last] == [0x17B4625F, 0xDC026CA6]


@pytest.mark.parametrize('variant', ['S', 'M', 'L', 'XL'])
def test_keys_are_the_published_ones_in_order(variant: str, published_keys: Any) -> None:
    with torch.device('meta'):
        network = S2M2(S2M2Config.named(variant))
    found = [(key, tuple(value.shape)) for key, value in network.state_dict().items()]
    assert found == published_keys[variant]
    assert not list(network.buffers())


@pytest.mark.parametrize('name', TAPPED)
def test_every_stage_is_reproduced(name: str, golden: Any, filled: Any, pairs: Any) -> None:
    record = golden(name)
    _, taps = run(record, filled, pairs, taps=True)
    assert taps is not None
    names = [str(tap) for tap in record.arrays['tap_names']]
    assert set(names) - set(taps.values) == NOT_OBSERVED
    for index, tap in enumerate(names):
        if tap in NOT_OBSERVED:
            continue
        found = samples(taps.values[tap], str(record.arrays['tap_shapes'][index]))
        wanted = record.arrays['tap_samples'][index][: found.size]
        scale = np.abs(record.arrays['tap_stats'][index, 2:]).max()
        worst = np.abs(found - wanted).max() / scale
        assert worst < 2e-5, f'stage {tap!r} is the first to differ, by {worst:.1e} of its range'


@pytest.mark.parametrize('prepared', [False, True])
@pytest.mark.parametrize('name', GOLDENS)
def test_outputs_are_within_the_rounding_noise(
    name: str,
    prepared: bool,
    golden: Any,
    filled: Any,
    pairs: Any,
) -> None:
    record = golden(name)
    stages, _ = run(record, filled, pairs, prepared=prepared)
    limits = record.meta['max_and_mean_difference_to_float64']
    for output, maps in zip(
        ('disparity', 'occlusion', 'confidence'), stages.prediction, strict=True
    ):
        error = np.abs(maps[:, 0].numpy() - record.arrays[output])
        largest, mean = limits[output]
        assert error.max() <= 20 * largest, output
        assert error.mean() <= 4 * mean, output
