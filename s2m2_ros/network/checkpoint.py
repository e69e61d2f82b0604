"""Reading and writing the weights of a network."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from s2m2_ros.errors import S2M2Error
from s2m2_ros.network.config import S2M2Config
from s2m2_ros.network.model import S2M2

# Names that published files are known to use for what is called otherwise today.
_OLD_PREFIXES = {
    'disp_init.layer_norm1.': 'disp_init.layer_norm.',
    'upsample_mask_4x.': 'upsample_mask_4x_refine.',
}
_WIDTH_KEY = 'cnn_backbone.norm1.weight'
_STACK_KEY = re.compile(r'transformer\.uformer_list\.(\d+)\.')
_FORMATS = ('.pth', '.safetensors')


class CheckpointError(S2M2Error):
    """A file is not the weights of an S2M2 network; the message names it and what is wrong."""


def load_network(
    path: str | os.PathLike[str],
    *,
    refine_iterations: int = 3,
    allow_negative: bool = False,
    device: str | torch.device = 'cpu',
) -> S2M2:
    """Build the network whose weights a file holds.

    The sizes of the network follow from the shapes in the file. A ``.pth`` file holds the state
    dict in its item ``state_dict``, as published, or is the state dict itself; no code in it is
    run. Every key of the network must be there with its shape; other keys are ignored.

    Args:
        path: a ``.pth`` or ``.safetensors`` file.
        refine_iterations: as for ``S2M2``.
        allow_negative: as for ``S2M2``.
        device: where the weights go.

    Returns: the network in evaluation mode, float32.

    Raises:
        CheckpointError: if the file is missing, damaged, of another kind or of another network,
            or holds values that are not finite.
    """
    file = Path(path)
    state = _with_current_names(_read(file))
    config = _config_of(state, file)
    with torch.device('meta'):
        network = S2M2(config, refine_iterations=refine_iterations, allow_negative=allow_negative)
    wanted = network.state_dict()
    weights = {key: _checked(state, key, like, file) for key, like in wanted.items()}
    network.load_state_dict(weights, strict=True, assign=True)
    network.requires_grad_(True)
    return network.to(device).eval()


def save_network(
    network: S2M2,
    path: str | os.PathLike[str],
    *,
    licence: str,
    precision: str = 'float32',
    training: Mapping[str, object] | None = None,
) -> None:
    """Write the weights of a network and what is known of them, atomically.

    Args:
        network: what to save.
        path: a ``.safetensors`` file; it is replaced only when the new one is complete.
        licence: terms of the weights, an SPDX expression where there is one.
        precision: type the weights are stored in: 'float32', 'float16' or 'bfloat16'.
        training: facts of the training, anything JSON can hold.

    Raises:
        ValueError: if the precision or the suffix is another one.
        CheckpointError: if a weight is not finite in this precision, or the file cannot be
            written.
    """
    from safetensors.torch import save

    file = Path(path)
    if file.suffix != '.safetensors':
        raise ValueError(f'weights are written as .safetensors, not {file.name!r}')
    if precision not in _PRECISIONS:
        raise ValueError(f'precision must be one of {", ".join(_PRECISIONS)}, not {precision!r}')
    weights = {
        key: value.detach().to('cpu', _PRECISIONS[precision]).contiguous()
        for key, value in network.state_dict().items()
    }
    for key, value in weights.items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(f'{file}: not written, {key!r} is not finite as {precision}')
    metadata = {
        'format': 'pt',
        'variant': network.config.name,
        'precision': precision,
        'licence': licence,
        'training': json.dumps(dict(training or {}), sort_keys=True),
    }
    _replace_file(file, save(weights, metadata))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return what ``save_network`` wrote about the weights; empty where there is nothing.

    Raises:
        CheckpointError: if the file is missing, damaged or not a ``.safetensors`` file.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    _require_file(file)
    try:
        with safe_open(file, framework='pt') as content:
            return dict(content.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file}: not a whole .safetensors file ({error})') from error


_PRECISIONS = {
    'float32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


def _replace_file(file: Path, content: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f'.{file.name}.')
    except OSError as error:
        raise CheckpointError(f'{file}: cannot be written ({error})') from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, 'wb') as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    except OSError as error:
        raise CheckpointError(f'{file}: cannot be written ({error})') from error
    finally:
        temporary.unlink(missing_ok=True)


def _require_file(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f'{file}: no such file; expected the weights of an S2M2 network')


def _read(file: Path) -> dict[str, Tensor]:
    _require_file(file)
    if file.suffix == '.safetensors':
        return _read_safetensors(file)
    if file.suffix == '.pth':
        return _read_pth(file)
    raise CheckpointError(
        f'{file}: weights are {" or ".join(_FORMATS)} files, not {file.suffix or "nameless"!r}'
    )


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file}: not a whole .safetensors file ({error})') from error


def _read_pth(file: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(file, map_location='cpu', weights_only=True)
    except Exception as error:  # torch.load has no error of its own for damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f'{file}: not a whole .pth file of tensors alone, which is all that is read ({reason})'
        ) from error
    state = content.get('state_dict', content) if isinstance(content, dict) else content
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f'{file}: holds a {type(state).__name__}; expected a dictionary of tensors, '
            "or one in its item 'state_dict'"
        )
    return {str(key): value for key, value in state.items()}


def _with_current_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename keys of earlier files, never overwriting one that is there."""
    renamed = dict(state)
    for old, new in _OLD_PREFIXES.items():
        for key, value in state.items():
            if key.startswith(old):
                renamed.setdefault(new + key.removeprefix(old), value)
    return renamed


def _config_of(state: Mapping[str, Tensor], file: Path) -> S2M2Config:
    width = state.get(_WIDTH_KEY)
    stack = {int(match[1]) for key in state if (match := _STACK_KEY.match(key))}
    if not isinstance(width, Tensor) or width.ndim != 1 or not stack:
        found = ', '.join(repr(key) for key in list(state)[:3]) or 'nothing'
        raise CheckpointError(
            f'{file}: not the weights of an S2M2 network; expected {_WIDTH_KEY!r} with one axis '
            f"and 'transformer.uformer_list.*', found {found}"
        )
    try:
        return S2M2Config(channels=width.shape[0], transformers=max(stack) + 1)
    except ValueError as error:
        raise CheckpointError(
            f'{file}: {_WIDTH_KEY!r} has {width.shape[0]} values; {error}'
        ) from None


def _checked(state: Mapping[str, Tensor], key: str, like: Tensor, file: Path) -> Tensor:
    """Return one weight as float32, or say what is wrong with it."""
    if key not in state:
        raise CheckpointError(f'{file}: {key!r} is missing; expected shape {tuple(like.shape)}')
    value = state[key]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise CheckpointError(f'{file}: {key!r} holds {kind}; expected floating-point numbers')
    if value.shape != like.shape:
        raise CheckpointError(
            f'{file}: {key!r} has shape {tuple(value.shape)}; expected {tuple(like.shape)}'
        )
    if not bool(value.isfinite().all()):
        raise CheckpointError(f'{file}: {key!r} holds NaN or infinity; expected finite numbers')
    return value.to(torch.float32, copy=True)
