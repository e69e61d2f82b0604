"""Weights on disk: what loads, and what is said of what does not."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from s2m2_ros.errors import S2M2Error
from s2m2_ros.network import S2M2, CheckpointError, S2M2Config, load_network, save_network
from s2m2_ros.network.checkpoint import read_metadata

Weights = dict[str, Tensor]
NORM = 'disp_init.layer_norm.weight'
FIRST = 'cnn_backbone.conv0.0.weight'


@pytest.fixture(scope='module')
def network() -> S2M2:
    torch.manual_seed(0)
    return S2M2(S2M2Config.named('XS'))


@pytest.fixture
def weights(network: S2M2) -> Weights:
    return dict(network.state_dict())


def equal(found: S2M2, wanted: Weights) -> bool:
    state = found.state_dict()
    return list(state) == list(wanted) and all(torch.equal(state[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize('wrapped', [True, False])
def test_pth_loads(wrapped: bool, weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': weights} if wrapped else weights, path)
    found = load_network(path, refine_iterations=1, allow_negative=True)
    assert equal(found, weights)
    assert (found.refine_iterations, found.allow_negative, found.training) == (1, True, False)
    assert all(p.requires_grad and p.device.type == 'cpu' for p in found.parameters())


@pytest.mark.parametrize('variant', ['XS', 'S'])
def test_the_variant_is_found_from_the_shapes(variant: str, tmp_path: Path) -> None:
    config = S2M2Config.named(variant)
    save_network(S2M2(config), tmp_path / 'w.safetensors', licence='Apache-2.0')
    assert load_network(tmp_path / 'w.safetensors').config == config


@pytest.mark.parametrize('precision', ['float32', 'float16', 'bfloat16'])
def test_what_is_saved_loads_with_its_metadata(
    precision: str, network: S2M2, weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / 'w.safetensors'
    save_network(
        network, path, licence='Apache-2.0', precision=precision, training={'steps': 7, 'a': 'b'}
    )
    dtype = getattr(torch, precision)
    found = load_network(path)
    assert equal(found, {key: value.to(dtype).float() for key, value in weights.items()})
    assert load_file(path)[FIRST].dtype == dtype
    assert read_metadata(path) == {
        'format': 'pt',
        'variant': 'XS',
        'precision': precision,
        'licence': 'Apache-2.0',
        'training': '{"a": "b", "steps": 7}',
    }
    assert [p.name for p in tmp_path.iterdir()] == ['w.safetensors']


def test_earlier_names_are_read(weights: Weights, tmp_path: Path) -> None:
    old = {
        key.replace('disp_init.layer_norm.', 'disp_init.layer_norm1.').replace(
            'upsample_mask_4x_refine.', 'upsample_mask_4x.'
        ): value
        for key, value in weights.items()
    }
    old['feature_flow_attn.q.weight'] = torch.zeros(2)  # no part of the network any more
    torch.save({'state_dict': old}, tmp_path / 'old.pth')
    assert equal(load_network(tmp_path / 'old.pth'), weights)


def test_an_earlier_name_never_overwrites_the_present_one(
    weights: Weights, tmp_path: Path
) -> None:
    both = {'disp_init.layer_norm1.weight': torch.full((64,), 9.0), **weights}
    torch.save({'state_dict': both}, tmp_path / 'both.pth')
    assert equal(load_network(tmp_path / 'both.pth'), weights)


def broken(weights: Weights, how: str) -> dict[str, Any]:
    changed: dict[str, Any] = dict(weights)
    if how == 'missing':
        del changed[NORM]
    elif how == 'shape':
        changed[NORM] = torch.zeros(65)
    elif how in ('nan', 'inf'):
        changed[NORM] = torch.full((64,), float(how))
    elif how == 'integer':
        changed[NORM] = torch.zeros(64, dtype=torch.int32)
    elif how == 'width':
        changed['cnn_backbone.norm1.weight'] = torch.zeros(63)
    elif how == 'foreign':
        changed = {'backbone.weight': torch.zeros(3)}
    elif how == 'empty':
        changed = {}
    return changed


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('missing', rf"'{NORM}' is missing; expected shape \(64,\)"),
        ('shape', rf"'{NORM}' has shape \(65,\); expected \(64,\)"),
        ('nan', rf"'{NORM}' holds NaN or infinity"),
        ('inf', rf"'{NORM}' holds NaN or infinity"),
        ('integer', rf"'{NORM}' holds torch.int32; expected floating-point"),
        ('width', r"'cnn_backbone.norm1.weight' has 63 values; .* multiple of 8"),
        ('foreign', r"not the weights of an S2M2 network; .* found 'backbone.weight'"),
        ('empty', r'not the weights of an S2M2 network; .* found nothing'),
    ],
)
def test_wrong_content_is_named(
    how: str, message: str, suffix: str, weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / f'bad{suffix}'
    content = broken(weights, how)
    if suffix == '.pth':
        torch.save({'state_dict': content}, path)
    else:
        save_file(content, path)
    with pytest.raises(CheckpointError, match=rf'bad\{suffix}: {message}'):
        load_network(path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('kept', [0, 7, 1000, 100_000])
def test_a_truncated_file_is_named(
    kept: int, suffix: str, network: S2M2, weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / f'cut{suffix}'
    if suffix == '.pth':
        torch.save({'state_dict': weights}, path)
    else:
        save_network(network, path, licence='Apache-2.0')
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=rf'cut\{suffix}: .*not a whole'):
        load_network(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'none.pth: no such file'):
        load_network(tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match=r'no such file'):
        load_network(tmp_path)
    assert issubclass(CheckpointError, S2M2Error)


OBJECT = r'holds a Python object \(.*getattr\).*run code.*environment that you trust'


class Trap:
    """Runs code when it is unpickled freely."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize(
    ('form', 'message'),
    [
        ('pickle', 'a pickle that torch.save did not write'),
        (
            'archive',
            r'holds a Python object \(.*getattr\).*would run code.*environment that you trust',
        ),
        (
            'older',
            r'holds a Python object \(.*getattr\).*would run code.*environment that you trust',
        ),
    ],
)
def test_no_code_in_a_file_is_run(form: str, message: str, tmp_path: Path) -> None:
    path, mark = tmp_path / 'trap.pth', tmp_path / 'ran'
    if form == 'pickle':
        path.write_bytes(pickle.dumps({'state_dict': Trap(mark)}))
    else:
        torch.save(Trap(mark), path, _use_new_zipfile_serialization=form == 'archive')
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(path)
    assert 'weights_only' not in str(caught.value)
    assert not mark.exists()


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match=r'holds a list; expected a dictionary'):
        load_network(tmp_path / 'list.pth')
    torch.save({'state_dict': {'a': 1}}, tmp_path / 'int.pth')
    with pytest.raises(CheckpointError, match=r"found 'a'"):
        load_network(tmp_path / 'int.pth')


def test_weights_that_no_reader_would_take_are_not_written(tmp_path: Path) -> None:
    network = S2M2(S2M2Config.named('XS'))
    with torch.no_grad():
        network.disp_init.layer_norm.weight[3] = 1e6
    path = tmp_path / 'w.safetensors'
    path.write_bytes(b'before')
    with pytest.raises(CheckpointError, match=rf"not written, '{NORM}' is not finite as float16"):
        save_network(network, path, licence='Apache-2.0', precision='float16')
    assert path.read_bytes() == b'before'


def test_saving_refuses_what_it_cannot_do(network: S2M2, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"as \.safetensors, not 'w\.pth'"):
        save_network(network, tmp_path / 'w.pth', licence='Apache-2.0')
    with pytest.raises(ValueError, match="not 'int8'"):
        save_network(network, tmp_path / 'w.safetensors', licence='x', precision='int8')
    with pytest.raises(CheckpointError, match='cannot be written'):
        save_network(network, tmp_path / 'no' / 'w.safetensors', licence='Apache-2.0')


def test_metadata_of_a_foreign_file_is_empty_or_an_error(tmp_path: Path) -> None:
    save_file({'a': torch.zeros(1)}, tmp_path / 'a.safetensors')
    assert read_metadata(tmp_path / 'a.safetensors') == {}
    (tmp_path / 'b.safetensors').write_bytes(b'nothing')
    with pytest.raises(CheckpointError, match=r'b\.safetensors'):
        read_metadata(tmp_path / 'b.safetensors')
