"""ONNX files from anybody: what is read, and what is said of what cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.other_networks import onnx_model
from s2m2_ros.inference.other_networks.onnx_model import OnnxFileError, read_onnx
from support.onnx_networks import BlockMatcher
from support.shifted_pairs import SHIFT, matched, median, shifted_pair

Writer = Callable[..., Path]


def with_external_data(path: Path, **changes: str) -> Path:
    """Write a network whose weights are in net.data, with other facts of where they are."""
    model = BlockMatcher(count=28).model()
    for tensor in model.graph.initializer:
        tensor.raw_data = onnx.numpy_helper.to_array(tensor).tobytes()
    onnx.save_model(model, path, save_as_external_data=True, location='net.data', size_threshold=0)
    if changes:
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = changes.get(entry.key, entry.value)
        path.write_bytes(model.SerializeToString())
    return path


def test_inputs_outputs_and_shapes() -> None:
    model = BlockMatcher(shape=(1, 3, 0, 160), with_confidence=True).model()
    path = Path('net.onnx')
    found = onnx_model.OnnxModel(
        path,
        b'',
        tuple(map(onnx_model._port, model.graph.input)),
        tuple(map(onnx_model._port, model.graph.output)),
        False,
        False,
    )
    assert found.describe() == (
        'inputs: left float32 (1, 3, ?, 160), right float32 (1, 3, ?, 160); outputs: '
        'confidence float32 (1, 1, ?, 160), disparity float32 (1, 1, ?, 160)'
    )


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    path = with_external_data(tmp_path / 'net.onnx')
    assert read_onnx(path).has_external_data
    assert median(matched(path, shifted_pair()).disparity) == SHIFT


@pytest.mark.parametrize(
    'location',
    ['../secret.data', '/etc/passwd', 'sub/net.data', '..', '.', '', 'a\0b', '../../etc/shadow'],
)
def test_weights_in_other_folders_are_not(tmp_path: Path, location: str) -> None:
    folder = tmp_path / 'folder'
    (folder / 'sub').mkdir(parents=True)
    (tmp_path / 'secret.data').write_bytes(bytes(10000))
    (folder / 'sub' / 'net.data').write_bytes(bytes(10000))
    path = with_external_data(folder / 'net.onnx', location=location)
    with pytest.raises(OnnxFileError, match='same folder') as caught:
        read_onnx(path)
    assert '\0' not in str(caught.value)


def test_weights_behind_a_link_to_another_folder_are_not(tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    folder.mkdir()
    path = with_external_data(folder / 'net.onnx')
    (folder / 'net.data').rename(tmp_path / 'elsewhere.data')
    (folder / 'net.data').symlink_to(tmp_path / 'elsewhere.data')
    with pytest.raises(OnnxFileError, match='a link to another folder'):
        read_onnx(path)


def test_weights_that_wait_forever_are_not_read(tmp_path: Path) -> None:
    path = with_external_data(tmp_path / 'net.onnx')
    (tmp_path / 'net.data').unlink()
    with pytest.raises(OnnxFileError, match=r'external data net\.data: cannot be read \(No such'):
        read_onnx(path)
    os.mkfifo(tmp_path / 'net.data')
    with pytest.raises(OnnxFileError, match='not a regular file'):
        read_onnx(path)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'offset': '99999999'}, 'cut short'),
        ({'offset': '-8'}, 'cut short'),
        ({'length': '99999999999999'}, 'cut short'),
        ({'length': 'many'}, 'no number'),
    ],
)
def test_places_of_weights_are_checked(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    with pytest.raises(OnnxFileError, match=reason):
        read_onnx(with_external_data(tmp_path / 'net.onnx', **changes))


def test_the_same_weights_named_very_often_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_external_data(tmp_path / 'net.onnx')
    monkeypatch.setattr(onnx_model, 'LARGEST_MODEL', path.stat().st_size + 50)
    with pytest.raises(OnnxFileError, match=r'2 GB|are more than'):
        read_onnx(path)


def test_a_file_beyond_the_limit_is_not_read(
    tmp_path: Path, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(BlockMatcher())
    monkeypatch.setattr(onnx_model, 'LARGEST_MODEL', 1000)
    with pytest.raises(OnnxFileError, match='more than 1000'):
        read_onnx(path)


def test_weights_in_inner_graphs_are_found(tmp_path: Path) -> None:
    secret = TensorProto(
        name='w', data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
    )
    for key, value in (('location', '../secret.data'), ('length', '16')):
        entry = secret.external_data.add()
        entry.key, entry.value = key, value
    inner = helper.make_graph(
        [helper.make_node('Constant', [], ['c'], value=secret)],
        'inner',
        [],
        [helper.make_tensor_value_info('c', TensorProto.FLOAT, [4])],
    )
    node = helper.make_node('If', ['flag'], ['out'], then_branch=inner, else_branch=inner)
    graph = helper.make_graph(
        [node],
        'outer',
        [helper.make_tensor_value_info('flag', TensorProto.BOOL, [])],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, [4])],
    )
    path = tmp_path / 'net.onnx'
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(OnnxFileError, match=r"'\.\./secret\.data' is not a file in the same"):
        read_onnx(path)


@pytest.mark.parametrize(
    'content', [b'', b'text, not a model', b'\x08\x08' + b'\xff' * 40, b'\x00' * 100]
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'net.onnx'
    path.write_bytes(content)
    with pytest.raises(OnnxFileError, match=r'net\.onnx: not an ONNX model'):
        read_onnx(path)


@pytest.mark.parametrize('part', [0.3, 0.9, 0.999])
def test_a_cut_file_is_an_error_of_one_line(tmp_path: Path, write: Writer, part: float) -> None:
    path = write(BlockMatcher())
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(S2M2Error) as caught:
        StereoMatcher.open(path, device='cpu')
    assert '\n' not in str(caught.value)


def test_an_unknown_operation_is_an_error_of_one_line(tmp_path: Path) -> None:
    model = BlockMatcher(count=2).model()
    model.graph.node[-1].op_type = 'NoSuchOperation'
    path = tmp_path / 'net.onnx'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        OnnxFileError, match=r'ONNX Runtime .* cannot load it .*NoSuchOp.*: it uses an operation'
    ) as caught:
        StereoMatcher.open(path, device='cpu')
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_an_opset_of_the_future_is_named(tmp_path: Path) -> None:
    model = BlockMatcher(count=2).model()
    model.opset_import[0].version = 99
    path = tmp_path / 'net.onnx'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(OnnxFileError) as caught:
        StereoMatcher.open(path, device='cpu')
    # The end of what ONNX Runtime says is what matters.
    assert 'Opset 99 is under development' in str(caught.value)
    assert 'Current official support for domain ai.onnx is till opset' in str(caught.value)
    assert str(caught.value).endswith('export it with an older opset, or update onnxruntime')


def test_an_operation_that_fails_later_is_an_error_of_one_line(tmp_path: Path) -> None:
    model = BlockMatcher(count=2).model()
    graph = model.graph
    # A shape that no image has.
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([7, 7]), 'bad'))
    graph.node.append(helper.make_node('Reshape', ['disparity', 'bad'], ['reshaped']))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info('reshaped', TensorProto.FLOAT, None))
    path = tmp_path / 'net.onnx'
    path.write_bytes(model.SerializeToString())
    match = 'cannot run it on 1x3x[0-9]+x[0-9]+, 1x3x[0-9]+x[0-9]+ .*size.multiple'
    with pytest.raises(OnnxFileError, match=match) as caught:
        StereoMatcher.open(path, device='cpu')
    assert '\n' not in str(caught.value)


BYTES = BlockMatcher(count=2).model().SerializeToString()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), max_size=6))
def test_changed_bytes_end_with_a_model_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(BYTES)
    for place, value in changes:
        content[place] = value
    path = tmp_path_factory.mktemp('fuzz') / 'net.onnx'
    path.write_bytes(bytes(content))
    try:
        read_onnx(path)
    except OnnxFileError as error:
        assert '\n' not in str(error)
