"""Commands with an ONNX file of another network as the checkpoint."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2m2_ros.cli.main import main
from support.onnx_networks import BlockMatcher
from support.shifted_pairs import SHIFT, shifted_pair


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = BlockMatcher(sign=-1, shape=(1, 3, 96, 160)).write(tmp_path / 'net.onnx')
    path.with_suffix('.yaml').write_text(
        'name: Test\nlicense: MIT\ndisparity: {sign: negative, largest: 39}\n'
    )
    return path


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    names = [str(tmp_path / f'{side}.png') for side in ('left', 'right')]
    for name, image in zip(names, shifted_pair(), strict=True):
        cv2.imwrite(name, image[..., ::-1])
    return names


def test_match_writes_what_the_network_finds(
    network: Path, pair: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / 'out'
    command = ['match', *pair, '--checkpoint', str(network), '--output', str(output)]
    with caplog.at_level(logging.INFO):
        assert main([*command, '--device', 'cpu']) == 0
    disparity = cv2.imread(str(output / 'disparity.pfm'), cv2.IMREAD_UNCHANGED)
    assert disparity is not None
    assert np.median(disparity[np.isfinite(disparity)]) == SHIFT
    confidence = cv2.imread(str(output / 'confidence.png'), cv2.IMREAD_UNCHANGED)
    assert confidence is not None
    # What the left-right check found to agree is within 4 px in 97.9 % of the pixels.
    white = {np.dtype('uint8'): 255, np.dtype('uint16'): 65535}[confidence.dtype]
    assert np.median(confidence) / white == pytest.approx(0.979, abs=0.003)
    assert 'finds disparities up to 39 px in images of 160x96' in caplog.text
    record = json.loads((output / 'result.json').read_text())
    assert '"sign": "negative"' in json.dumps(record)
    assert 'up to 39 px' in json.dumps(record)


def test_a_wrong_description_is_one_line_and_no_result(
    network: Path, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network.with_suffix('.yaml').unlink()
    output = tmp_path / 'out'
    command = ['match', *pair, '--checkpoint', str(network), '--output', str(output)]
    assert main([*command, '--device', 'cpu']) == 2
    error = capsys.readouterr().err
    assert 'disparity.sign: negative' in error
    assert 'Traceback' not in error
    assert not output.exists()


def test_a_pair_is_matched_again_when_the_description_changed(
    network: Path, pair: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [tmp_path / side for side in ('lefts', 'rights')]
    for folder, name in zip(folders, pair, strict=True):
        folder.mkdir()
        for index in (1, 2):
            (folder / f'{index}.png').write_bytes(Path(name).read_bytes())
    command = ['match', *map(str, folders), '--checkpoint', str(network), '--device', 'cpu']
    command += ['--output', str(tmp_path / 'out')]
    with caplog.at_level(logging.INFO):
        assert main(command) == 0
        assert main(command) == 0
        assert '2 of 2 are done already' in caplog.text
        caplog.clear()
        text = network.with_suffix('.yaml').read_text()
        network.with_suffix('.yaml').write_text(text.replace('39', '38'))
        assert main(command) == 0
        assert 'are done already' not in caplog.text


def test_evaluate_scores_it(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / 'scores.json'
    command = ['evaluate', 'procedural', '--size', '1x96x160', '--checkpoint', str(network)]
    command += ['--device', 'cpu', '--no-sgbm', '--json', str(scores)]
    assert main(command) == 0
    found = json.loads(scores.read_text())
    assert str(network) in json.dumps(found)
    assert 'onnxruntime' in json.dumps(found)
    # As its description calls it.
    assert '| Test |' in capsys.readouterr().out


def test_doctor_compares_the_backends_with_onnx_runtime(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['doctor', '--verify', '--checkpoint', str(network), '--device', 'cpu']
    assert main([*command, '--size', '96x160']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('difference from ONNX Runtime on the processor')
    rows = {line.split()[1]: line for line in lines[2:]}
    assert list(rows) == ['onnxruntime', 'tensorrt']
    assert rows['onnxruntime'].startswith('ok')
    assert 'needs a CUDA device' in rows['tensorrt']


def test_doctor_says_which_backends_run_no_onnx_files(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['doctor', '--verify', '--checkpoint', str(network), '--device', 'cpu']
    assert main([*command, '--size', '96x160', '--backends', 'torch']) == 0
    assert 'runs checkpoints of S2M2' in capsys.readouterr().out


def test_doctor_reports_a_wrong_description(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network.with_suffix('.yaml').unlink()
    command = ['doctor', '--verify', '--checkpoint', str(network), '--device', 'cpu']
    assert main([*command, '--size', '96x160']) == 2
    assert 'disparity.sign: negative' in capsys.readouterr().err


def test_benchmark_times_it(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ['benchmark', '--checkpoints', str(network), '--device', 'cpu', '--sizes', '96x160']
    assert main([*command, '--backends', 'onnxruntime', '--calls', '2']) == 0
    assert 'onnxruntime' in capsys.readouterr().out
