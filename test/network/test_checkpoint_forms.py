"""Checkpoints as programs for training save them: wrapped, prefixed, renamed, old."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from s2m2_ros.network import S2M2, CheckpointError, S2M2Config, load_network
from s2m2_ros.network.checkpoint import item_names

CONFIG = S2M2Config(8, 1)


@pytest.fixture(scope='module')
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(S2M2(CONFIG).state_dict())


def assert_loads(path: Path, weights: dict[str, Tensor]) -> None:
    state = load_network(path).state_dict()
    assert list(state) == list(weights)
    assert all(torch.equal(state[key], weights[key]) for key in weights)


def prefixed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


@pytest.mark.parametrize(
    'prefix',
    [
        'module.',
        'model.',
        '_orig_mod.',
        'network.',
        'net.',
        'module._orig_mod.',
        '_orig_mod.module.model.',
        'stereo.backbone.',
    ],
)
@pytest.mark.parametrize('item', [None, 'state_dict', 'model'])
def test_prefixes_of_wrappers(
    prefix: str, item: str | None, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    state = prefixed(weights, prefix)
    torch.save({item: state, 'epoch': 3} if item else state, tmp_path / 'w.pth')
    assert_loads(tmp_path / 'w.pth', weights)


def test_wrappers_of_parts_of_the_network(weights: dict[str, Tensor], tmp_path: Path) -> None:
    # torch.compile of one part, activation checkpoints of another.
    state = {
        key.replace('cnn_backbone.', 'cnn_backbone._orig_mod.').replace(
            'transformer.', 'transformer._checkpoint_wrapped_module.'
        ): value
        for key, value in weights.items()
    }
    torch.save(state, tmp_path / 'w.pth')
    assert_loads(tmp_path / 'w.pth', weights)


@pytest.mark.parametrize(
    'item',
    ['model', 'model_state_dict', 'net', 'params', 'params_ema', 'ema', 'weights', 'anything'],
)
@pytest.mark.parametrize('suffix', ['.pt', '.ckpt', '.bin', '.pth.tar', ''])
def test_items(item: str, suffix: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / f'w{suffix}'
    torch.save({'epoch': 3, item: weights}, path)
    assert_loads(path, weights)


def test_items_in_items(weights: dict[str, Tensor], tmp_path: Path) -> None:
    content = {'checkpoint': {'ema': {'decay': 0.99, 'module': prefixed(weights, 'module.')}}}
    torch.save(content, tmp_path / 'w.pth')
    assert_loads(tmp_path / 'w.pth', weights)


def test_the_network_itself_is_preferred_to_its_average(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    zeros = {key: torch.zeros_like(value) for key, value in weights.items()}
    torch.save({'ema': zeros, 'model': weights}, tmp_path / 'w.pth')
    assert_loads(tmp_path / 'w.pth', weights)


def test_a_second_network_under_a_longer_prefix_is_left_alone(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    zeros = {key: torch.zeros_like(value) for key, value in weights.items()}
    state = {**prefixed(zeros, 'teacher.model.'), **prefixed(weights, 'model.')}
    torch.save({'state_dict': state}, tmp_path / 'w.ckpt')
    assert_loads(tmp_path / 'w.ckpt', weights)


def test_state_of_an_optimizer_and_objects_of_programs_are_passed_over(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    network = S2M2(CONFIG)
    network.load_state_dict(weights)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    sum(p.sum() for p in network.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    content: dict[str, Any] = {
        'state_dict': weights,
        'optimizer_states': [optimizer.state_dict()],
        'lr_schedulers': [{'milestones': collections.Counter({3: 1})}],
        'hyper_parameters': argparse.Namespace(lr=1e-4, path=Path('/data')),
        'callbacks': {'best': np.float64(0.5), 'scores': np.arange(3)},
        'loops': {('a', 1): {1, 2}, 'b': frozenset({3})},
        'random': torch.get_rng_state(),
        'seen': 10**30,
    }
    for zipped in (True, False):
        path = tmp_path / f'{zipped}.ckpt'
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        assert_loads(path, weights)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
@pytest.mark.parametrize('zipped', [True, False])
def test_protocols_of_pickle(
    protocol: int, zipped: bool, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / 'w.pth'
    torch.save(
        {'state_dict': weights},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    assert_loads(path, weights)


@pytest.mark.parametrize('zipped', [True, False])
def test_views_parameters_and_other_precisions(
    zipped: bool, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    changed: dict[str, Tensor] = {}
    rounded: dict[str, Tensor] = {}
    for index, (key, value) in enumerate(weights.items()):
        if index % 3 == 0 and value.ndim > 1:
            # Other strides: the same numbers in another order in the file.
            changed[key] = value.transpose(0, 1).contiguous().transpose(0, 1)
        elif index % 3 == 1:
            changed[key] = torch.nn.Parameter(torch.stack([value, value * 2])[0])
        else:
            dtype = (torch.float64, torch.float16, torch.bfloat16)[index % 9 // 3]
            changed[key] = value.to(dtype)
        rounded[key] = changed[key].detach().float()
    path = tmp_path / 'w.pth'
    torch.save(changed, path, _use_new_zipfile_serialization=zipped)
    assert_loads(path, rounded)


def test_content_decides_not_the_name(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / 'a.pth')
    torch.save({'state_dict': weights}, tmp_path / 'b.safetensors')
    save_file(prefixed(weights, 'model.'), tmp_path / 'c')
    for name in 'a.pth', 'b.safetensors', 'c':
        assert_loads(tmp_path / name, weights)


def test_names_of_items(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({'state_dict': weights, 'training': {'steps': 1}}, tmp_path / 'w.pth')
    assert item_names(tmp_path / 'w.pth') == {'state_dict', 'training'}
    with pytest.raises(CheckpointError, match=r'absent\.pth: no such file'):
        item_names(tmp_path / 'absent.pth')


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / 'w.pt')
    with pytest.raises(CheckpointError, match=r'w\.pt: a TorchScript program'):
        load_network(tmp_path / 'w.pt')


def test_a_whole_module_is_named(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / 'w.pt')
    expected = r'torch\.nn\.modules\.linear\.Linear.*run code.*save_file\(model\.state_dict'
    with pytest.raises(CheckpointError, match=expected):
        load_network(tmp_path / 'w.pt')
    torch.save({'model': torch.nn.Linear(2, 2)}, tmp_path / 'w.pt')
    with pytest.raises(CheckpointError, match=expected):
        load_network(tmp_path / 'w.pt')
