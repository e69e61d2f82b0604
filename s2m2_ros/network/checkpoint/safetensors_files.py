"""Tensors and metadata in ``.safetensors`` files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.checkpoint.stored_tensor import StoredTensor

# Bytes of the header, and tensors in it; XL has some two thousand.
LARGEST_HEADER = 8 << 20
MOST_TENSORS = 50_000
LONGEST_INTEGER = 20
DTYPES = {
    'F64': torch.float64,
    'F32': torch.float32,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
    'I64': torch.int64,
    'I32': torch.int32,
    'I16': torch.int16,
    'I8': torch.int8,
    'U8': torch.uint8,
    'BOOL': torch.bool,
}


def header_length(head: bytes) -> int | None:
    """Return the length that a file's first bytes declare; None if it is another kind of file."""
    if len(head) < 9 or head[8:9] != b'{':
        return None
    return int(struct.unpack_from('<Q', head)[0])


def check_header(file: Path, length: int) -> None:
    """Raise CheckpointError if a header is longer than its file, or than any checkpoint's."""
    size = file.stat().st_size
    if length > LARGEST_HEADER:
        raise CheckpointError(
            f'{file}: not a .safetensors file: its header would have {length} bytes'
        )
    if length + 8 > size:
        raise CheckpointError(
            f'{file}: cut short: not a whole .safetensors file; download or copy it again'
        )


def read_safetensors(file: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name; CheckpointError if it is damaged or cut short."""
    header = _header(file)
    if len(header) > MOST_TENSORS:
        raise CheckpointError(f'{file}: {len(header)} tensors are far too many for a checkpoint')
    content = _opened(file)
    return {
        name: StoredTensor(tuple(entry['shape']), dtype, _loader(file, content, name))
        for name, entry in header.items()
        # Tensors of types that no weights have are left out.
        if name != '__metadata__' and (dtype := DTYPES.get(entry['dtype']))
    }


def read_safetensors_metadata(file: Path) -> dict[str, str]:
    """Return the text beside the tensors; errors as `read_safetensors`."""
    metadata = _header(file).get('__metadata__', {})
    if not isinstance(metadata, dict):
        raise CheckpointError(f'{file}: not a whole .safetensors file (its metadata are no texts)')
    return {str(key): str(value) for key, value in metadata.items()}


def _header(file: Path) -> dict[str, Any]:
    with file.open('rb') as stream:
        length = header_length(stream.read(9))
        if length is None:
            raise CheckpointError(f'{file}: not a whole .safetensors file')
        check_header(file, length)
        stream.seek(8)
        text = stream.read(length)
    try:
        header = json.loads(text, parse_int=_short_integer)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f'{file}: not a whole .safetensors file: its header is damaged'
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f'{file}: not a whole .safetensors file: its header is damaged')
    return header


def _short_integer(digits: str) -> int:
    # Python 3.10 takes minutes for millions of digits.
    if len(digits) > LONGEST_INTEGER:
        raise ValueError('a number of very many digits')
    return int(digits)


def _opened(file: Path) -> Any:
    """Return the file as the library opens it, which compares the header with the file."""
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework='pt')
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f'{file}: cut short or damaged: not a whole .safetensors file ({error})'
        ) from error


def _loader(file: Path, content: Any, name: str) -> Callable[[], torch.Tensor]:
    def load() -> torch.Tensor:
        from safetensors import SafetensorError

        try:
            tensor: torch.Tensor = content.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f'{file}: not a whole .safetensors file ({error})') from error
        return tensor

    return load
