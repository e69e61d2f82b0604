"""Reading the weights of a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.checkpoint.file_kinds import FileKind, kind_of
from s2m2_ros.network.checkpoint.pickle_reader import PickleReadError
from s2m2_ros.network.checkpoint.safetensors_files import (
    read_safetensors,
    read_safetensors_metadata,
)
from s2m2_ros.network.checkpoint.state_dict import STACK_KEY, WIDTH_KEY, find_weights
from s2m2_ros.network.checkpoint.stored_tensor import StoredTensor
from s2m2_ros.network.checkpoint.torch_files import read_archive, read_older
from s2m2_ros.network.config import S2M2Config
from s2m2_ros.network.model import S2M2

# Building a network takes time and memory before its shapes can be compared with the file's; the
# largest published one has 384 channels and 3 transformers.
MOST_CHANNELS = 1024
MOST_TRANSFORMERS = 12
# Types that weights may be stored in.
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def load_network(
    path: str | os.PathLike[str],
    *,
    refine_iterations: int = 3,
    allow_negative: bool = False,
    device: str | torch.device = 'cpu',
) -> S2M2:
    """Build the network whose weights a file holds.

    The sizes of the network follow from the shapes in the file. The file's content decides how it
    is read, not its name. The weights may lie in an item such as ``state_dict`` or ``model``, and
    their names may begin with the prefixes of wrappers (``module.``, ``_orig_mod.``, ``model.``).
    Tensors only are read: no code in the file is run. Every key of the network must be there with
    its shape; other keys are ignored.

    Args:
        path: a file of ``torch.save`` (``.pth``, ``.pt``, ``.ckpt``) or a ``.safetensors`` file.
        refine_iterations: as for ``S2M2``.
        allow_negative: as for ``S2M2``.
        device: where the weights go.

    Returns: the network in evaluation mode, float32.

    Raises:
        CheckpointError: if the file is missing, damaged, of another kind or of another network,
            or holds values that are not finite.
    """
    file = Path(path)
    state = find_weights(file, _read(file))
    config = _config_of(state, file)
    with torch.device('meta'):
        network = S2M2(config, refine_iterations=refine_iterations, allow_negative=allow_negative)
    wanted = network.state_dict()
    entries = {key: _entry(state, key, like, file) for key, like in wanted.items()}
    _check_amount(file, wanted)
    weights = {key: _loaded(entry, key, file) for key, entry in entries.items()}
    network.load_state_dict(weights, strict=True, assign=True)
    network.requires_grad_(True)
    return network.to(device).eval()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return what ``save_network`` wrote about the weights; empty where there is nothing.

    Raises:
        CheckpointError: if the file is missing, damaged or not a ``.safetensors`` file.
    """
    file = Path(path)
    if kind_of(file) is not FileKind.SAFETENSORS:
        raise CheckpointError(f'{file}: not a .safetensors file')
    return read_safetensors_metadata(file)


def read_config(path: str | os.PathLike[str]) -> S2M2Config:
    """Return the sizes of the network whose weights a file holds.

    Raises:
        CheckpointError: if the file is missing, damaged, of another kind or of another network.
    """
    file = Path(path)
    return _config_of(find_weights(file, _read(file)), file)


def item_names(path: str | os.PathLike[str]) -> frozenset[str]:
    """Return the names of the outermost items of a checkpoint file.

    Raises:
        CheckpointError: if the file is missing, damaged or of another kind.
    """
    content = _read(Path(path))
    return frozenset(str(key) for key in content) if isinstance(content, Mapping) else frozenset()


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what ``s2m2 train`` wrote about the training; empty where there is nothing.

    Raises:
        CheckpointError: if the file is missing, damaged or of another kind.
    """
    file = Path(path)
    if kind_of(file) is FileKind.SAFETENSORS:
        try:
            facts = json.loads(read_safetensors_metadata(file).get('training', '{}'))
        except ValueError:
            facts = {}
    else:
        content = _read(file)
        facts = content.get('training') if isinstance(content, Mapping) else {}
    return dict(facts) if isinstance(facts, Mapping) else {}


def _read(file: Path) -> Any:
    kind = kind_of(file)
    if kind is FileKind.SAFETENSORS:
        return read_safetensors(file)
    return read_archive(file) if kind is FileKind.TORCH_ARCHIVE else read_older(file)


def _config_of(state: Mapping[str, Any], file: Path) -> S2M2Config:
    width = state.get(WIDTH_KEY)
    stack = {int(match[1]) for key in state if (match := STACK_KEY.match(key))}
    if not isinstance(width, StoredTensor) or len(width.shape) != 1 or not stack:
        found = ', '.join(repr(key) for key in list(state)[:3]) or 'nothing'
        raise CheckpointError(
            f'{file}: not the weights of an S2M2 network; expected {WIDTH_KEY!r} with one axis '
            f"and 'transformer.uformer_list.*', found {found}"
        )
    if stack != set(range(len(stack))) or len(stack) > MOST_TRANSFORMERS:
        raise CheckpointError(
            f'{file}: not the weights of an S2M2 network: transformers are numbered up to '
            f'{max(stack)}, but {len(stack)} are there; expected 1 to {MOST_TRANSFORMERS}, all of '
            'them'
        )
    if width.shape[0] > MOST_CHANNELS:
        raise CheckpointError(
            f'{file}: not the weights of an S2M2 network: {WIDTH_KEY!r} has {width.shape[0]} '
            f'values; expected at most {MOST_CHANNELS}'
        )
    try:
        return S2M2Config(channels=width.shape[0], transformers=len(stack))
    except ValueError as error:
        raise CheckpointError(
            f'{file}: {WIDTH_KEY!r} has {width.shape[0]} values; {error}'
        ) from None


def _entry(state: Mapping[str, Any], key: str, like: Tensor, file: Path) -> StoredTensor:
    """Return what the file says of one weight, or say what is wrong with that."""
    if key not in state:
        raise CheckpointError(f'{file}: {key!r} is missing; expected shape {tuple(like.shape)}')
    value = state[key]
    if not isinstance(value, StoredTensor) or value.dtype not in PRECISIONS:
        kind = value.dtype if isinstance(value, StoredTensor) else type(value).__name__
        raise CheckpointError(f'{file}: {key!r} holds {kind}; expected floating-point numbers')
    if value.shape != tuple(like.shape):
        raise CheckpointError(
            f'{file}: {key!r} has shape {value.shape}; expected {tuple(like.shape)}'
        )
    return value


def _loaded(entry: StoredTensor, key: str, file: Path) -> Tensor:
    """Return one weight as float32, or say what is wrong with it."""
    try:
        weight = entry.load()
    except PickleReadError as error:
        raise CheckpointError(f'{file}: {key!r} cannot be read: {error}') from error
    if not bool(weight.isfinite().all()):
        raise CheckpointError(f'{file}: {key!r} holds NaN or infinity; expected finite numbers')
    return weight.to(torch.float32, copy=True)


def _check_amount(file: Path, wanted: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for a file too small for its weights, as views of few numbers are."""
    count = sum(weight.numel() for weight in wanted.values())
    # Half precision is the shortest form that weights are kept in.
    if file.stat().st_size < 2 * count:
        raise CheckpointError(
            f'{file}: not the whole weights of an S2M2 network: the file is too small for '
            f'{count} numbers'
        )
