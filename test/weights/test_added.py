"""`s2m2 weights add`: files of users under names of their own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest
import torch

from s2m2_ros.cli.main import main
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.network import S2M2, S2M2Config, save_network
from s2m2_ros.weights import WeightsError, add_file, find_checkpoint
from s2m2_ros.weights.other_networks import read_description
from support.onnx_networks import BlockMatcher


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / 'cache'
    monkeypatch.setenv('S2M2_ROS_CACHE', str(folder))
    return folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / 'files').mkdir()
    return BlockMatcher(inputs=('a', 'b'), left='b', count=28).write(tmp_path / 'files/net.onnx')


def describe(network: Path, text: str) -> None:
    network.with_suffix('.yaml').write_text(text)


def test_an_added_network_is_found_by_its_name(
    cache: Path, network: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    describe(network, 'license: MIT\ninputs: {left: b, right: a}\n')
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    assert main(['weights', 'add', str(network), '--name', 'mine']) == 0
    shown = capsys.readouterr().out
    assert f'license: MIT; SHA-256: {digest}' in shown
    assert 'use it as checkpoint mine' in shown
    copy = find_checkpoint('mine')
    assert copy == cache / 'weights' / 'added' / 'mine.onnx'
    assert copy.read_bytes() == network.read_bytes()
    # What was left open in the description is written out in the copy.
    written = read_description(copy.with_suffix('.yaml'))
    assert (written.left, written.disparity, written.channels) == ('b', 'disparity', 'rgb')
    network.unlink()
    with StereoMatcher.open('mine', device='cpu') as matcher:
        image = torch.rand(64, 96, 3) * 255
        found = matcher.match(image, image.roll(-7, dims=1))
        assert float(found.disparity.median()) == 7
        assert matcher.checkpoint == 'mine'
    assert main(['weights', 'path', 'mine']) == 0
    assert capsys.readouterr().out.strip() == str(copy)
    assert main(['weights', 'list']) == 0
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert (line[0], line[-2], line[-1]) == ('mine', 'MIT', str(copy))


def test_a_damaged_copy_is_reported(
    cache: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(network, 'inputs: {left: b, right: a}\n')
    assert main(['weights', 'add', str(network)]) == 0
    assert main(['weights', 'verify']) == 0
    assert 'net      intact' in capsys.readouterr().out
    copy = cache / 'weights' / 'added' / 'net.onnx'
    copy.write_bytes(copy.read_bytes()[:-1])
    assert main(['weights', 'verify']) == 1
    assert 'net      DAMAGED' in capsys.readouterr().out
    from s2m2_ros.doctor import Health, added_files

    (found,) = added_files()
    assert (found.subject, found.health) == ('checkpoint net', Health.BROKEN)
    assert main(['weights', 'add', str(network), '--replace']) == 0
    (found,) = added_files()
    assert found.health is Health.GOOD


def test_a_changed_description_is_reported(
    cache: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(network, 'inputs: {left: b, right: a}\n')
    assert main(['weights', 'add', str(network)]) == 0
    copy = cache / 'weights' / 'added' / 'net.yaml'
    copy.write_text(copy.read_text().replace('positive', 'negative'))
    assert main(['weights', 'verify']) == 1
    assert 'net      DAMAGED' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('network_of', 'reason'),
    [
        (BlockMatcher(count=28, sign=-1), 'set it in net.yaml: disparity.sign: negative'),
        (BlockMatcher(count=28, coarse=64), 'set size.multiple: 64 in net.yaml'),
        (
            BlockMatcher(count=28, with_confidence=True, confidence=9),
            "outputs.confidence 'confidence' has values of 9 to 9, not 0 to 1",
        ),
    ],
)
def test_a_network_that_does_not_match_is_not_added(
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network_of: BlockMatcher,
    reason: str,
) -> None:
    path = network_of.write(tmp_path / 'net.onnx')
    assert main(['weights', 'add', str(path), '--name', 'mine']) == 2
    assert reason in capsys.readouterr().err
    assert not list(cache.rglob('mine*'))


def test_a_published_network_is_known_by_the_name_it_gets(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = BlockMatcher(count=28).write(tmp_path / 'net.onnx')
    assert main(['weights', 'add', str(path), '--name', 'LAS2-S']) == 0
    shown = capsys.readouterr().out
    assert 'described by the ready-made description of LiteAnyStereo V2 S' in shown
    assert 'license: MIT' in shown
    # It is listed as what is here, no longer as what could be got.
    assert main(['weights', 'list']) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('LAS2-')]
    assert [row.split()[0] for row in rows] == ['LAS2-M', 'LAS2-L', 'LAS2-H', 'LAS2-S']
    assert str(cache) in rows[-1]


def test_weights_in_other_files_become_part_of_the_copy(cache: Path, tmp_path: Path) -> None:
    model = BlockMatcher(count=28).model()
    for tensor in model.graph.initializer:
        tensor.raw_data = tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes()
    path = tmp_path / 'net.onnx'
    onnx.save_model(model, path, save_as_external_data=True, location='net.data', size_threshold=0)
    assert main(['weights', 'add', str(path)]) == 0
    for file in (path, tmp_path / 'net.data'):
        file.unlink()
    with StereoMatcher.open('net', device='cpu') as matcher:
        image = torch.rand(64, 96, 3) * 255
        assert float(matcher.match(image, image.roll(-7, dims=1)).disparity.median()) == 7


def test_a_taken_name_is_not_given_again(cache: Path, network: Path, tmp_path: Path) -> None:
    add_file(network, 'net', cache)
    add_file(network, 'net', cache)  # the same content
    other = tmp_path / 'other.onnx'
    other.write_bytes(b'other')
    with pytest.raises(WeightsError, match=r"another file is called 'net'.*--replace"):
        add_file(other, 'net', cache)
    assert find_checkpoint('net').read_bytes() == network.read_bytes()
    add_file(other, 'net', cache, replace=True)
    assert find_checkpoint('net').read_bytes() == b'other'


@pytest.mark.parametrize(
    'name', ['starter', 'S', 'sgbm', 'auto', '', '../x', 'a/b', '.x', 'a' * 65]
)
def test_names_that_cannot_be(cache: Path, network: Path, name: str) -> None:
    with pytest.raises(WeightsError, match='--name'):
        add_file(network, name, cache)
    assert not list(cache.rglob('*.onnx'))


@pytest.mark.parametrize('name', ['missing.onnx', 'folder.onnx', 'text.txt', 'text.onnx'])
def test_files_that_are_no_networks(
    cache: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'folder.onnx').mkdir()
    for text in ('text.txt', 'text.onnx'):
        (tmp_path / text).write_text('text')
    assert main(['weights', 'add', str(tmp_path / name), '--name', 'x']) == 2
    error = capsys.readouterr().err
    assert name in error
    assert 'Traceback' not in error
    assert not list(cache.rglob('x.*'))


def test_a_checkpoint_of_s2m2_can_be_added(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / 'tuned.safetensors'
    save_network(S2M2(S2M2Config(channels=16, transformers=1)), path, licence='Apache-2.0')
    assert main(['weights', 'add', str(path)]) == 0
    assert find_checkpoint('tuned').read_bytes() == path.read_bytes()


def test_a_changed_record_leads_nowhere_else(cache: Path, network: Path) -> None:
    add_file(network, 'net', cache)
    record = cache / 'weights' / 'added' / 'net.json'
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, 'filename': '../../../etc/passwd'}))
    with pytest.raises(WeightsError, match='damaged'):
        find_checkpoint('net')
    record.write_text('{')
    with pytest.raises(WeightsError, match='damaged'):
        find_checkpoint('net')


def test_a_folder_that_others_can_write_to_is_not_trusted(cache: Path, network: Path) -> None:
    add_file(network, 'net', cache)
    (cache / 'weights' / 'added').chmod(0o777)
    with pytest.raises(WeightsError, match='others'):
        find_checkpoint('net')


def test_a_published_network_that_is_missing_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(WeightsError, match=r'LiteAnyStereo.*weights add'):
        find_checkpoint('LAS2-S')
