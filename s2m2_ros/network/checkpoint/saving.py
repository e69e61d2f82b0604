"""Writing the weights of a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from s2m2_ros.atomic_files import write_atomically
from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.model import S2M2

PRECISIONS = {
    'float32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


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
    if precision not in PRECISIONS:
        raise ValueError(f'precision must be one of {", ".join(PRECISIONS)}, not {precision!r}')
    weights = {
        key: value.detach().to('cpu', PRECISIONS[precision]).contiguous()
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


def _replace_file(file: Path, content: bytes) -> None:
    try:
        write_atomically(file, content)
    except OSError as error:
        raise CheckpointError(f'{file}: cannot be written ({error})') from error
