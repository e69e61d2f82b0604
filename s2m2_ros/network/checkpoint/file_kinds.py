"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.checkpoint.safetensors_files import header_length

EXPECTED = 'expected a .pth or .safetensors file with the weights of an S2M2 network'
# Enough bytes for every signature; that of a tar archive is at 257.
HEAD = 512


class FileKind(Enum):
    """The kinds that are read."""

    SAFETENSORS = 'safetensors'
    TORCH_ARCHIVE = 'file of torch.save'
    TORCH_OLDER = 'file of torch.save before version 1.6'


# Beginnings of files of torch.save: a ZIP archive, and a pickle of its magic number.
TORCH_ARCHIVE = b'PK\x03\x04'
TORCH_OLDER = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
AGAIN = 'download the file itself again'
UNPACK = 'if a checkpoint is in it, unpack it'
# What other files begin with, what they are, and what to do.
OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        lambda head: head.startswith(b'version https://git-lfs'),
        'a git-lfs pointer, not the file it stands for: run `git lfs pull` in its repository, or '
        'download the file itself',
    ),
    (
        lambda head: _plain(head).startswith((b'<!doctype html', b'<html', b'<head', b'<body')),
        f'a web page (HTML), e.g. one to sign in or an error: {AGAIN}',
    ),
    (
        lambda head: _plain(head).startswith(b'<'),
        f'an XML or HTML text, probably the error message of a server: {AGAIN}',
    ),
    (
        lambda head: _plain(head).startswith((b'{', b'[')) and _is_text(head),
        f'a JSON text, probably the error message of a server: {AGAIN}',
    ),
    (
        lambda head: (head[:1] == b'\x08' and head[2:3] == b'\x12') or b'onnx' in head[:64],
        'an ONNX model, which runs as it is if its name ends with .onnx; to export or train, give '
        'the checkpoint that it was exported from',
    ),
    (lambda head: head[257:262] == b'ustar', f'a tar archive: {UNPACK}'),
    (lambda head: head.startswith(b'\x1f\x8b'), f'a gzip file: {UNPACK}'),
    (lambda head: head.startswith(b'BZh'), f'a bzip2 file: {UNPACK}'),
    (lambda head: head.startswith(b'\xfd7zXZ'), f'an xz file: {UNPACK}'),
    (lambda head: head.startswith(b'\x28\xb5\x2f\xfd'), f'a zstd file: {UNPACK}'),
    (lambda head: head.startswith(b'7z\xbc\xaf'), f'a 7z archive: {UNPACK}'),
    (lambda head: head.startswith(b'Rar!'), f'a RAR archive: {UNPACK}'),
    (lambda head: head.startswith((b'PK\x05\x06', b'PK\x07\x08')), 'an empty ZIP archive'),
    (lambda head: head.startswith(b'\x89HDF'), 'an HDF5 file (Keras, MATLAB)'),
    (lambda head: head.startswith((b'ftrt', b'ptrt')), 'a TensorRT engine'),
    (lambda head: head[4:8] == b'TFL3', 'a TensorFlow Lite model'),
    (lambda head: head.startswith(b'GGUF'), 'a GGUF file'),
    (lambda head: head.startswith(b'\x93NUMPY'), 'an array of NumPy'),
    (lambda head: head.startswith((b'\x89PNG', b'\xff\xd8\xff')), 'an image'),
    (lambda head: head.startswith(b'%PDF'), 'a PDF document'),
    (
        lambda head: head[:1] == b'\x80' and head[1:2] in b'\2\3\4\5',
        'a pickle that torch.save did not write; it is not read, because a pickle can run code: '
        'not a whole .pth file of tensors',
    ),
)


def kind_of(file: Path) -> FileKind:
    """Return of which kind a file is.

    Raises:
        CheckpointError: it is missing, unreadable or not a regular file, or of a kind that holds
            no weights; says which.

    """
    head = _head(file)
    if not head:
        raise CheckpointError(f'{file}: the file is empty: not a whole checkpoint; {EXPECTED}')
    # A header of the length of a space or a tab looks like JSON otherwise.
    if header_length(head) is not None and not _is_text(head[:9]):
        return FileKind.SAFETENSORS
    if head.startswith(TORCH_ARCHIVE):
        return FileKind.TORCH_ARCHIVE
    if TORCH_OLDER in head[:32]:
        return FileKind.TORCH_OLDER
    for is_it, what in OTHERS:
        if is_it(head):
            raise CheckpointError(f'{file}: this is {what}; {EXPECTED}')
    if _is_text(head):
        shown = head[:60].decode('utf-8', 'replace').split('\n')[0]
        raise CheckpointError(f'{file}: this is a text ({shown!r}); {EXPECTED}')
    raise CheckpointError(
        f'{file}: not a whole checkpoint, or none: cut short, damaged or of another kind; '
        f'{EXPECTED}'
    )


def _head(file: Path) -> bytes:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, 'rb') as stream:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return stream.read(HEAD)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or str(error)
        raise CheckpointError(f'{file}: cannot be read ({reason}); {EXPECTED}') from error
    raise CheckpointError(f'{file}: no such file; {EXPECTED}')


def _plain(head: bytes) -> bytes:
    return head.removeprefix(b'\xef\xbb\xbf').lstrip()[:32].lower()


def _is_text(head: bytes) -> bool:
    return not any(byte < 32 and byte not in (9, 10, 12, 13) for byte in head)
