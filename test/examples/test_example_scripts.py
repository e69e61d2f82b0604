"""Each script of `examples/` does what its first lines say, with numbers known beforehand."""

from __future__ import annotations

import json
import logging
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pytest
import rclpy
import torch
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from s2m2_ros.msg import StereoEstimate
from std_msgs.msg import Float32

from s2m2_ros.io.message_data import fill_image
from s2m2_ros.network import S2M2, S2M2Config, save_network
from support.processes import SOURCE, python_process
from support.recorded_pairs import write_mcap
from support.stereo_recordings import scene_pairs
from support.transcript import PATIENCE

EXAMPLES = SOURCE / 'examples'
DISPARITY = 12
# Runs what the first argument names, with the others.
AS_SCRIPT = """
import runpy, sys
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name='__main__')
"""
# The plane of support.stereo_scene is 1.2 m away in the middle; see its text.
PLANE_DEPTH = 1.2


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> dict[str, Any]:
    """Run a script as `python3 NAME ARGUMENTS` would, and return its variables."""
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    return runpy.run_path(str(EXAMPLES / name), run_name='__main__')


def printed_number(text: str, pattern: str) -> float:
    match = re.search(pattern, text)
    assert match, text
    return float(match[1])


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A texture, and the same 12 pixels further left; the sizes are no multiples of 32."""
    random = np.random.default_rng(3)
    noise = random.uniform(0, 255, (100, 210 + DISPARITY)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 1.0) * 2.5 - 190
    image = texture.clip(0, 255).astype(np.uint8)
    files = tmp_path / 'left.png', tmp_path / 'right.png'
    cv2.imwrite(str(files[0]), image[:, :-DISPARITY])
    cv2.imwrite(str(files[1]), image[:, DISPARITY:])
    return files


def test_match_images(
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run('match_images.py', monkeypatch, *pair, tmp_path / 'out')
    found = printed_number(capsys.readouterr().out, r'median disparity ([\d.]+)')
    assert found == pytest.approx(DISPARITY, abs=0.5)
    maps = np.load(tmp_path / 'out' / 'maps.npz')
    assert maps['disparity'].shape == maps['confidence'].shape == (100, 210)
    picture = cv2.imread(str(tmp_path / 'out' / 'disparity.png'))
    assert picture is not None
    assert picture.shape == (100, 210, 3)


def test_run_in_onnx_runtime(
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Untrained and narrow, since exporting takes time: only that both runtimes agree matters here.
    checkpoint = tmp_path / 'narrow.safetensors'
    torch.manual_seed(0)
    save_network(S2M2(S2M2Config(channels=16, transformers=1)), checkpoint, licence='Apache-2.0')
    for file in pair:
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        cv2.imwrite(str(file), image[:96, :128])
    # The exporter logs each of its steps where somebody records them, as pytest does.
    monkeypatch.setattr(logging.getLogger('torch'), 'propagate', False)
    run('run_in_onnx_runtime.py', monkeypatch, *pair, tmp_path / 'model.onnx', checkpoint)
    text = capsys.readouterr().out
    assert printed_number(text, r'differs from PyTorch by ([\d.]+)') < 0.001
    assert (tmp_path / 'model.onnx').stat().st_size > checkpoint.stat().st_size / 2


def test_process_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_mcap(tmp_path / 'run.mcap', scene_pairs(2))
    run('process_recording.py', monkeypatch, recording, tmp_path / 'out', 'sgbm')
    text = capsys.readouterr().out
    assert '2 pairs, 0 lost' in text
    depths = re.findall(r'median depth ([\d.]+) m', text)
    assert [float(depth) for depth in depths] == pytest.approx([PLANE_DEPTH] * 2, abs=0.1)


def test_depth_of_one_frame_and_its_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mpl.use('Agg')
    # doc/generate.py makes it from the script, and test_documents.py compares them.
    script = EXAMPLES / 'depth_of_one_frame.py'
    content = json.loads(script.with_suffix('.ipynb').read_text(encoding='utf-8'))
    names: dict[str, Any] = {'__name__': '__main__'}
    for cell in content['cells']:
        if cell['cell_type'] == 'code':
            exec(compile(''.join(cell['source']), cell['id'], 'exec'), names)  # noqa: S102  ours
    text = capsys.readouterr().out
    assert printed_number(text, r'median error ([\d.]+) cm') < 10
    assert np.median(names['depth'][80:140, 150:230]) == pytest.approx(1.5, abs=0.1)
    # Few of the pixels have a standard deviation above their distance.
    assert np.nanmedian(names['uncertainty']) < 0.5
    picture = cv2.imread(str(tmp_path / 'depth_of_one_frame.png'))
    assert picture is not None
    assert picture.std() > 20


def estimate(disparity: np.ndarray, confidence: np.ndarray) -> StereoEstimate:
    """Return a message with f = 200 px and t = 0.1 m; everything is visible."""
    message = StereoEstimate()
    message.disparity.f, message.disparity.t = 200.0, 0.1
    message.disparity.min_disparity = 0.5
    for image, values in (
        (message.disparity.image, disparity),
        (message.confidence, confidence),
        (message.visibility, np.ones_like(confidence)),
    ):
        fill_image(image, values.astype(np.float32), '32FC1')
    return message


def test_filter_estimates_over_dds() -> None:
    # At 2 m (10 px) all is sure; what would be at 0.5 m (40 px) is not, or occluded, or unknown.
    disparity = np.full((6, 8), 10.0)
    confidence = np.full((6, 8), 0.95)
    disparity[0], confidence[0] = 40.0, 0.3
    disparity[1, :4] = -1.0
    context = Context()
    context.init()
    node = rclpy.create_node('tester', namespace='/filtered', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard: list[float] = []
    node.create_subscription(Float32, 'nearest', lambda message: heard.append(message.data), 10)
    publisher = node.create_publisher(StereoEstimate, 'estimate', 1)
    message = estimate(disparity, confidence)
    arguments = ('--ros-args', '-r', '__ns:=/filtered')
    with python_process(AS_SCRIPT, str(EXAMPLES / 'filter_estimates.py'), *arguments) as process:
        deadline = node.get_clock().now().nanoseconds + PATIENCE * 1e9
        while not heard:
            assert process.poll() is None
            assert node.get_clock().now().nanoseconds < deadline
            publisher.publish(message)
            executor.spin_once(timeout_sec=0.2)
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    assert heard[0] == pytest.approx(2.0)


def test_every_example_is_run_here() -> None:
    scripts = {path.name for path in EXAMPLES.glob('*.py') if '.launch' not in path.name}
    text = Path(__file__).read_text(encoding='utf-8')
    # fine_tune.py has its own test, with the document that explains it.
    assert {name for name in scripts if name not in text} <= {'fine_tune.py'}
