"""Tensors in the files of `torch.save`, read without unpickling: archives and the older form."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from s2m2_ros.network.checkpoint.errors import CheckpointError
from s2m2_ros.network.checkpoint.pickle_reader import (
    Call,
    Name,
    PersistentId,
    PickleReadError,
    has_long_number,
    read_pickle,
)
from s2m2_ros.network.checkpoint.stored_tensor import StoredTensor

# Bytes of the pickle that lists the tensors; a state of training of XL takes a sixth.
LARGEST_PICKLE = 16 << 20
LARGEST_DIRECTORY = 4 << 20
# Pickles before the tensors' own in the older form: magic number, version, kind of machine.
LEADING_PICKLES = 3
DTYPES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
    'ComplexFloatStorage': torch.complex64,
    'ComplexDoubleStorage': torch.complex128,
}
LARGEST_SIZE = 1 << 62
NOT_WHOLE = 'cut short or damaged: not a whole .pth file; download or copy it again'
DIRECTORY_END = b'PK\5\6'
DIRECTORY64_LOCATOR = b'PK\6\7'
# Bytes of the end of the directory, of its 64-bit form, and of what says that there is one.
END_SIZE, END64_SIZE, LOCATOR_SIZE = 22, 56, 20
LONGEST_COMMENT = 65535
# What zipfile raises for damaged members.
UNREADABLE = (zipfile.BadZipFile, KeyError, OSError, ValueError, EOFError, RuntimeError)
# Functions that torch.save names, by what they return.
DICTIONARIES = ('collections.OrderedDict', 'collections.defaultdict')
TYPED_REBUILDER = 'torch._utils._rebuild_tensor_v3'
REBUILDERS = (
    'torch._utils._rebuild_tensor',
    'torch._utils._rebuild_tensor_v2',
    TYPED_REBUILDER,
)
PARAMETERS = ('torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state')
SUBCLASSES = ('torch._tensor._rebuild_from_type_v2',)


@dataclass(frozen=True)
class _Storage:
    """One block of numbers of a file."""

    key: str
    dtype: torch.dtype | None
    count: int


Read = Callable[[_Storage, torch.dtype], torch.Tensor]


class _Tensors:
    """Understands the calls in a pickle that describe tensors."""

    def __init__(self, read: Read, size: int) -> None:
        """``read`` returns the content of a storage; ``size`` is that of the file in bytes."""
        self._read = read
        self._size = size
        self.storages: dict[str, _Storage] = {}

    def value_of(self, call: Call) -> Any:
        """Return a dictionary, a `StoredTensor`, or the call itself where it is another one."""
        function, arguments = call.function, call.arguments
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            return call
        name = str(function)
        if name in DICTIONARIES:
            return {}
        if name in PARAMETERS:
            return arguments[0]
        if name in SUBCLASSES:
            return self.value_of(Call(arguments[0], arguments[2]))
        return self._tensor(name, arguments) if name in REBUILDERS else call

    def _tensor(self, name: str, arguments: tuple[Any, ...]) -> StoredTensor:
        storage = self._storage(arguments[0])
        offset, shape, stride = arguments[1:4]
        dtype = storage.dtype
        if name == TYPED_REBUILDER and isinstance(arguments[6], Name):
            dtype = getattr(torch, arguments[6].attribute, None)
        if not isinstance(dtype, torch.dtype):
            raise PickleReadError('a tensor is of an unknown type')
        numbers = (offset, *shape, *stride)
        if len(shape) != len(stride) or not all(_is_size(n) for n in numbers):
            raise PickleReadError('a tensor has an impossible shape')
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if all(shape) and (last + 1) * dtype.itemsize > self._size:
            raise PickleReadError('a tensor is larger than the file')

        def load() -> torch.Tensor:
            content = self._read(storage, dtype)
            if not all(shape):
                return torch.empty(shape, dtype=dtype)
            if last >= content.numel():
                raise PickleReadError('a tensor is larger than its data')
            return content.as_strided(shape, stride, offset)

        return StoredTensor(tuple(shape), dtype, load)

    def _storage(self, reference: Any) -> _Storage:
        if not isinstance(reference, PersistentId):
            raise PickleReadError('a tensor has no data')
        _, kind, key, _, count = reference.value[:5]
        if not isinstance(kind, Name) or not _is_size(count):
            raise PickleReadError('data are described wrongly')
        storage = _Storage(str(key), DTYPES.get(kind.attribute), count)
        return self.storages.setdefault(storage.key, storage)


def _is_size(value: Any) -> bool:
    """Return whether a value can be a size; products of larger numbers take forever."""
    return type(value) is int and 0 <= value < LARGEST_SIZE


def read_archive(file: Path) -> Any:
    """Return what a file of today's `torch.save` holds.

    Dictionaries, lists, numbers and text, with `StoredTensor` for tensors; a `Call` that is not
    made stands for any other object.

    Raises:
        CheckpointError: it is damaged, cut short, or an archive of something else.

    """
    _check_directory(file)
    try:
        # Stays open for the tensors, which are read later one by one.
        archive = zipfile.ZipFile(file)
        members = _members(file, archive)
        pickle = next((name for name in members if name.rpartition('/')[2] == 'data.pkl'), '')
        _check_kind(file, members, pickle)
        folder = pickle.removesuffix('data.pkl')
        if _small(archive, f'{folder}byteorder') == b'big':
            raise CheckpointError(f'{file}: written on a big-endian machine: not supported')
        data = archive.read(pickle)
    except (zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f'{file}: {NOT_WHOLE}') from error
    except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError(f'{file}: not a whole .pth file ({error})') from error

    def read(storage: _Storage, dtype: torch.dtype) -> torch.Tensor:
        try:
            return _as_tensor(archive.read(f'{folder}data/{storage.key}'), dtype)
        except (
            zipfile.BadZipFile,
            KeyError,
            OSError,
            ValueError,
            EOFError,
            RuntimeError,
        ) as error:
            raise CheckpointError(f'{file}: {NOT_WHOLE}') from error

    _check_numbers(file, data)
    return _read_object(file, io.BytesIO(data), _Tensors(read, file.stat().st_size))


def _check_directory(file: Path) -> None:
    """Raise CheckpointError if an archive's directory is missing or far too long."""
    length = LONGEST_COMMENT + END_SIZE + LOCATOR_SIZE + END64_SIZE
    with file.open('rb') as stream:
        stream.seek(max(file.stat().st_size - length, 0))
        tail = stream.read(length)
    end = tail.rfind(DIRECTORY_END)
    if end < 0 or len(tail) < end + END_SIZE:
        raise CheckpointError(f'{file}: {NOT_WHOLE}')
    (directory,) = struct.unpack_from('<I', tail, end + 12)
    # zipfile looks for the 64-bit form, which torch.save always writes, right before.
    end64 = end - LOCATOR_SIZE - END64_SIZE
    if end64 >= 0 and tail[end - LOCATOR_SIZE : end].startswith(DIRECTORY64_LOCATOR):
        (directory,) = struct.unpack_from('<Q', tail, end64 + 40)
    if directory > LARGEST_DIRECTORY:
        raise CheckpointError(f'{file}: its directory is far too large for a checkpoint')


def _members(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, if none is larger than it is in the file."""
    members = {member.filename: member for member in archive.infolist()}
    if any('/code/' in name for name in members):
        raise CheckpointError(
            f'{file}: a TorchScript program (torch.jit.save), which holds code; expected a '
            '.pth or .safetensors file of tensors: torch.save(model.state_dict(), FILE)'
        )
    for member in members.values():
        # torch.save never compresses; a compressed archive can be a bomb.
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise CheckpointError(
                f'{file}: a compressed ZIP archive, not a .pth file as torch.save writes it; if '
                'a checkpoint is in it, unpack it'
            )
    return members


def _check_kind(file: Path, members: Mapping[str, zipfile.ZipInfo], pickle: str) -> None:
    if not pickle:
        names = ', '.join(repr(name[:60]) for name in list(members)[:3]) or 'nothing'
        raise CheckpointError(
            f'{file}: a ZIP archive with {names} in it, not a .pth file; if a checkpoint is in '
            'it, unpack it'
        )
    if members[pickle].file_size > LARGEST_PICKLE:
        raise CheckpointError(f'{file}: its list of tensors is far too large for a checkpoint')


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as member:
            return member.read(16).strip()
    except KeyError:
        return b''


def read_older(file: Path) -> Any:
    """Return what a file of `torch.save` before version 1.6 holds; as `read_archive`."""
    with file.open('rb') as stream:
        head = io.BytesIO(stream.read(LARGEST_PICKLE))
    _check_numbers(file, head.getvalue())
    places: dict[str, int] = {}

    def read(storage: _Storage, dtype: torch.dtype) -> torch.Tensor:
        with file.open('rb') as stream:
            stream.seek(places.get(storage.key, file.stat().st_size))
            return _as_tensor(stream.read(storage.count * dtype.itemsize), dtype)

    tensors = _Tensors(read, file.stat().st_size)
    try:
        for _ in range(LEADING_PICKLES):
            read_pickle(head, lambda call: call)
        value = _read_object(file, head, tensors)
        keys = read_pickle(head, lambda call: call)
        position = head.tell()
        for key in keys:
            storage = tensors.storages[str(key)]
            # Eight bytes before the data repeat their number.
            places[storage.key] = position + 8
            position += 8 + storage.count * (storage.dtype or torch.uint8).itemsize
    except (PickleReadError, KeyError, TypeError) as error:
        raise CheckpointError(f'{file}: {NOT_WHOLE}') from error
    if position > file.stat().st_size:
        raise CheckpointError(f'{file}: {NOT_WHOLE}')
    return value


def _check_numbers(file: Path, data: bytes) -> None:
    if has_long_number(data):
        raise CheckpointError(f'{file}: holds a number of thousands of digits: no checkpoint')


def _read_object(file: Path, stream: IO[bytes], tensors: _Tensors) -> Any:
    try:
        return read_pickle(stream, tensors.value_of)
    except PickleReadError as error:
        raise CheckpointError(f'{file}: not a whole .pth file of tensors: {error}') from error


def _as_tensor(content: bytes, dtype: torch.dtype) -> torch.Tensor:
    count = len(content) // dtype.itemsize
    if not count:
        return torch.empty(0, dtype=dtype)
    # torch wants memory that may be written to.
    return torch.frombuffer(bytearray(content), dtype=dtype, count=count)
