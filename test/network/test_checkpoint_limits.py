"""Files that are no checkpoints, or hostile ones: named, in little time and memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import re
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2m2_ros.network import S2M2, CheckpointError, S2M2Config, load_network

# Loading the smallest network takes a tenth; the limit for hostile files is 5 s.
SECONDS = 5.0


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('weights.pth'))
    return stream.getvalue()


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


OTHERS = {
    'git-lfs pointer': (
        b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'0' * 64 + b'\nsize 9\n',
        r'git-lfs pointer.*git lfs pull',
    ),
    'web page': (b'<!DOCTYPE html><html><body>log in</body></html>\n', 'web page'),
    'web page in capitals': (b'\xef\xbb\xbf\n <HTML lang=en>', 'web page'),
    'XML': (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'XML'),
    'JSON': (b'{"error": "Repository not found"}', 'JSON text'),
    'JSON after eight spaces': (b' ' * 8 + b'{"error": 1}', 'JSON text'),
    'text': (b'Entry not found', 'a text .*Entry not found'),
    'ONNX': (b'\x08\x08\x12\x07pytorch\x1a\x052.4.0:\xa0', 'ONNX'),
    'tar': (tar(), 'tar archive.*unpack'),
    'zip': (zipped('weights/model.safetensors', b'x' * 99), 'ZIP archive.*unpack'),
    'gzip': (b'\x1f\x8b\x08\x00' + b'\0' * 99, 'gzip.*unpack'),
    'zstd': (b'\x28\xb5\x2f\xfd' + b'\0' * 99, 'zstd'),
    'HDF5': (b'\x89HDF\r\n\x1a\n' + b'\0' * 99, 'HDF5'),
    'NumPy': (b'\x93NUMPY\x01\x00', 'NumPy'),
    'PNG': (b'\x89PNG\r\n\x1a\n', 'an image'),
    'pickle': (pickle.dumps({'state_dict': 1}), 'pickle that torch.save did not write'),
    'empty': (b'', 'the file is empty'),
    'zeros': (b'\0' * 1000, 'not a whole checkpoint'),
}


def message(path: Path) -> str:
    start = time.monotonic()
    with pytest.raises(CheckpointError, match=path.name) as caught:
        load_network(path)
    assert time.monotonic() - start < SECONDS
    text = str(caught.value)
    assert 'weights_only' not in text
    assert '\n' not in text
    return text


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors', '.ckpt'])
@pytest.mark.parametrize(('content', 'expected'), OTHERS.values(), ids=OTHERS.keys())
def test_other_files_are_named(content: bytes, expected: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f'w{suffix}'
    path.write_bytes(content)
    assert re.search(expected, message(path))


def test_a_folder_and_a_fifo_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'fifo.pth')
    assert 'no such file' in message(tmp_path / 'fifo.pth')
    (tmp_path / 'folder.pth').mkdir()
    assert 'no such file' in message(tmp_path / 'folder.pth')


def safetensors(header: object, data: bytes = b'') -> bytes:
    text = json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


def entry(shape: list[int], start: int, end: int, dtype: str = 'F32') -> dict[str, object]:
    return {'dtype': dtype, 'shape': shape, 'data_offsets': [start, end]}


class TestSafetensors:
    def test_a_network_of_very_many_transformers(self, tmp_path: Path) -> None:
        names = {
            'cnn_backbone.norm1.weight': entry([16], 0, 64),
            'transformer.uformer_list.200000.weight': entry([1], 64, 68),
        }
        (tmp_path / 'w.safetensors').write_bytes(safetensors(names, b'\0' * 68))
        assert 'numbered up to 200000' in message(tmp_path / 'w.safetensors')

    def test_a_network_of_many_transformers_that_are_all_there(self, tmp_path: Path) -> None:
        names = {
            f'transformer.uformer_list.{i}.w': entry([1], 4 * i, 4 * i + 4) for i in range(5000)
        }
        names['cnn_backbone.norm1.weight'] = entry([16], 20000, 20064)
        (tmp_path / 'w.safetensors').write_bytes(safetensors(names, b'\0' * 20064))
        assert 'expected 1 to 12' in message(tmp_path / 'w.safetensors')

    def test_a_wide_network(self, tmp_path: Path) -> None:
        names = {
            'cnn_backbone.norm1.weight': entry([1 << 20], 0, 4 << 20),
            'transformer.uformer_list.0.weight': entry([0], 4 << 20, 4 << 20),
        }
        (tmp_path / 'w.safetensors').write_bytes(safetensors(names, b'\0' * (4 << 20)))
        assert 'at most 1024' in message(tmp_path / 'w.safetensors')

    @pytest.mark.parametrize('length', [1 << 40, (1 << 63) + 5, 9 << 20])
    def test_a_long_header(self, length: int, tmp_path: Path) -> None:
        path = tmp_path / 'w.safetensors'
        path.write_bytes(struct.pack('<Q', length) + b'{"a":1}')
        assert 'its header would have' in message(path)

    def test_a_header_longer_than_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / 'w.safetensors'
        path.write_bytes(struct.pack('<Q', 5000) + b'{"a":1}')
        assert 'cut short' in message(path)

    @pytest.mark.parametrize(
        'header',
        [
            [],
            {'a': 3},
            {'a': entry([1 << 60, 1 << 60], 0, 4)},
            {'a': entry([2], 0, 1 << 62)},
            {'a': entry([-2], 0, 8)},
            {'a': entry([2], 0, 8, 'F31')},
            {'__metadata__': 3},
        ],
    )
    def test_a_header_of_nonsense(self, header: object, tmp_path: Path) -> None:
        path = tmp_path / 'w.safetensors'
        path.write_bytes(safetensors(header, b'\0' * 8))
        assert message(path)

    def test_a_number_of_a_million_digits(self, tmp_path: Path) -> None:
        text = b'{"a":' + b'9' * 1_000_000 + b'}'
        (tmp_path / 'w.safetensors').write_bytes(struct.pack('<Q', len(text)) + text)
        assert 'its header is damaged' in message(tmp_path / 'w.safetensors')

    def test_deep_nesting(self, tmp_path: Path) -> None:
        text = b'{"a":' * 100_000
        (tmp_path / 'w.safetensors').write_bytes(struct.pack('<Q', len(text)) + text)
        assert message(tmp_path / 'w.safetensors')


def archive(program: bytes, **data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as file:
        file.writestr('archive/data.pkl', program)
        for name, content in data.items():
            file.writestr(f'archive/data/{name}', content)
    return stream.getvalue()


class Calls:
    """Pickles to a call of a function with these arguments."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def doubling(levels: int) -> bytes:
    """Return a pickle of a tuple in tuples whose hash takes 2**levels steps, as a key."""
    tuples: tuple[object, ...] = (1,)
    for _ in range(levels):
        tuples = (tuples, tuples)
    program = pickle.dumps([tuples], protocol=2)
    assert len(program) < 1000
    # Make the list's only element the key of a dictionary.
    return program.replace(b']q\x00', b'}q\x00', 1).replace(b'a.', b'K\x01s.')


HOSTILE = {
    'a large bytearray': pickle.dumps(Calls(bytearray, 10**10), protocol=2),
    'very many repetitions': pickle.dumps({'state_dict': Calls(bytes, 10**10)}, protocol=2),
    'a memo of any index': b'\x80\x02}r\xff\xff\xff\x7f.',
    'text that is not there': b'\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.',
    'a key that takes for ever': doubling(60),
    'a number of a million digits': b'\x80\x02L' + b'9' * 1_000_000 + b'L\n.',
    'a number of a million digits and blanks': b'\x80\x02L ' + b'9_' * 500_000 + b'9L\n.',
    'very many operations': b'\x80\x02' + b'N0' * 4_000_000 + b'N.',
    'very many marks': b'\x80\x02' + b'(' * 500_000 + b'1' * 500_000 + b'.',
    'no end': b'\x80\x02}',
    'an empty stack': b'\x80\x020000.',
    'a list in itself': b'\x80\x02]q\x00h\x00a.',
    'a dictionary in itself': b'\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.',
    'an unknown operation': b'\x80\x02\xff.',
}


@pytest.mark.parametrize('older', [True, False])
@pytest.mark.parametrize('program', HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles(program: bytes, older: bool, tmp_path: Path) -> None:
    values: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})
    leading = b''.join(pickle.dumps(value, protocol=2) for value in values)
    path = tmp_path / 'w.pth'
    path.write_bytes(leading + program + pickle.dumps([]) if older else archive(program))
    assert message(path)


def saved(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def test_a_large_network_in_a_small_file(tmp_path: Path) -> None:
    # Every weight is a view of one number.
    with torch.device('meta'):
        state = S2M2(S2M2Config(512, 4)).state_dict()
    one = torch.ones(1)
    small = {key: one.expand(value.shape) for key, value in state.items()}
    (tmp_path / 'w.pth').write_bytes(saved(small))
    assert 'too small for' in message(tmp_path / 'w.pth')


def test_a_tensor_beyond_its_data(tmp_path: Path) -> None:
    path = tmp_path / 'w.pth'
    content = saved({'cnn_backbone.norm1.weight': torch.ones(1000)})
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        program = next(file.read(name) for name in file.namelist() if name.endswith('data.pkl'))
    # The shape (1000,) stands as the short integer 1000, M\xe8\x03, in a tuple of one.
    changed = program.replace(b'M\xe8\x03\x85', b'M\xff\xff\x85')
    assert changed != program
    path.write_bytes(archive(changed))
    assert 'larger than the file' in message(path)


def test_a_tensor_of_astronomical_shape(tmp_path: Path) -> None:
    huge = pickle.LONG4 + (4_000_000).to_bytes(4, 'little') + b'\x7f' * 4_000_000
    storage = b'(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ'
    program = (
        b'\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n('
        + storage
        + b'K\0'
        + 2 * (huge + huge + b'\x86')
        + b'\x89}tRs.'
    )
    (tmp_path / 'w.pth').write_bytes(archive(program))
    assert 'impossible shape' in message(tmp_path / 'w.pth')


def test_archives_that_unpack_to_very_much(tmp_path: Path) -> None:
    path = tmp_path / 'w.pth'
    path.write_bytes(zipped('archive/data.pkl', b'\0' * (200 << 20), zipfile.ZIP_DEFLATED))
    assert 'compressed' in message(path)


def test_archives_of_very_many_members(tmp_path: Path) -> None:
    path = tmp_path / 'w.pth'
    with zipfile.ZipFile(path, 'w') as file:
        for number in range(70_000):
            file.writestr(f'{number}', b'')
    assert message(path)


def test_damaged_data_are_noticed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = bytearray(saved(S2M2(S2M2Config(8, 1)).state_dict()))
    place = len(content) // 2
    content[place : place + 64] = bytes(byte ^ 0xFF for byte in content[place : place + 64])
    (tmp_path / 'w.pth').write_bytes(content)
    assert 'damaged' in message(tmp_path / 'w.pth')


def test_pickletools_knows_the_operations() -> None:
    """What the reader takes for constants are operations that push their argument alone."""
    plain = {
        operation.name
        for operation in pickletools.opcodes
        if not operation.stack_before and len(operation.stack_after) == 1
    }
    assert {'BININT', 'BINUNICODE', 'BINFLOAT', 'LONG1', 'SHORT_BINBYTES'} <= plain


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    position=st.floats(0, 1),
    junk=st.binary(max_size=12),
    cut=st.floats(0.5, 1),
    older=st.booleans(),
)
def test_damaged_files_raise_nothing_else(
    position: float, junk: bytes, cut: float, older: bool, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    state = {
        'cnn_backbone.norm1.weight': torch.ones(16),
        'transformer.uformer_list.0.weight': torch.zeros(2, 2),
        'score': np.float64(0.5),
    }
    torch.save({'state_dict': state}, stream, _use_new_zipfile_serialization=not older)
    content = stream.getvalue()
    place = int(position * len(content))
    content = content[:place] + junk + content[place + len(junk) :]
    path = tmp_path / 'w.pth'
    path.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(CheckpointError, match=r'w\.pth'):
        load_network(path)
