"""The whole demo in a short form: processes, DDS, pictures, PLY, recording and figures.

The same checks as a person would make: what comes out fits the left image, two independent
matchers agree where both are sure, and other people's libraries read every file.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from plyfile import PlyData

from s2m2_ros.cli.main import main
from s2m2_ros.demo.subscriber import INPUTS, OUTPUTS
from s2m2_ros.io.recordings.recording_reader import Recording
from support.demo_room import HEIGHT, WIDTH

PAIRS = 2
PICTURES = ('left', 'disparity', 'depth', 'confidence', 'occlusion', 'points', 'overview')


@pytest.fixture(scope='module')
def output(room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once, with the starter checkpoint, as the command line does."""
    folder = tmp_path_factory.mktemp('demo') / 'demo_output'
    options = {
        'source': room,
        'calibration': room / 'calib.txt',
        'output': folder,
        'pairs': PAIRS,
        'seconds': 120,
    }
    arguments = [f'--{name}={value}' for name, value in options.items()]
    assert main(['demo', *arguments]) == 0
    return folder


@pytest.fixture(scope='module')
def summary(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / 'summary.json').read_text())
    return content


def recorded(output: Path) -> list[tuple[str, Any]]:
    (path,) = (output / 'recording').glob('*.mcap')
    with path.open('rb') as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        return [
            (channel.topic, message) for _, channel, _, message in reader.iter_decoded_messages()
        ]


def test_figures_are_those_of_two_nodes(summary: dict[str, Any]) -> None:
    network, classic = summary['nodes']['s2m2'], summary['nodes']['sgbm']
    assert (network['checkpoint'], network['backend']) == ('starter', 'torch')
    assert (classic['checkpoint'], classic['backend']) == ('', 'sgbm')
    for node in (network, classic):
        assert (node['width'], node['height']) == (WIDTH, HEIGHT)
        assert node['pairs'] >= PAIRS
        assert 0 < node['points_per_cloud'] <= WIDTH * HEIGHT
        # Seen from outside it takes at least as long as the node says, give or take a message.
        assert node['latency_ms_seen'] > 0.9 * node['latency_ms_reported'] > 0
        assert 0 < node['mean_confidence'] < 1


def test_two_independent_matchers_agree_where_both_are_sure(summary: dict[str, Any]) -> None:
    assert summary['agreement']['common_share'] > 0.1
    assert summary['agreement']['median_difference_px'] < 1


def test_recording_holds_every_topic_and_count(output: Path, summary: dict[str, Any]) -> None:
    counts = Counter(topic for topic, _ in recorded(output))
    inputs = {f'/camera/{name}': 2 * PAIRS for name in INPUTS}
    outputs = {f'/{node}/{name}': PAIRS for node in ('s2m2', 'sgbm') for name in OUTPUTS}
    assert counts.keys() == inputs.keys() | outputs.keys()
    assert counts == summary['recorded']
    for topic, least in (inputs | outputs).items():
        assert counts[topic] >= least


def test_recorded_depth_follows_from_the_recorded_disparity(output: Path, room: Path) -> None:
    messages = dict(recorded(output))
    left = messages['/camera/left/image_rect']
    expected = cv2.imread(str(room / 'room_left.png'), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(
        np.frombuffer(left.data, np.uint8).reshape(HEIGHT, WIDTH), expected
    )
    for node in ('s2m2', 'sgbm'):
        disparity = messages[f'/{node}/disparity']
        pixels = np.frombuffer(disparity.image.data, np.float32)
        depth = np.frombuffer(messages[f'/{node}/depth'].data, np.float32)
        known = pixels >= disparity.min_disparity
        assert known.mean() > 0.3
        # 225.517 pixels * 0.075 m = 16.9138
        np.testing.assert_allclose(depth[known], 16.913775 / pixels[known], rtol=1e-4)


def test_the_recording_can_be_played(output: Path) -> None:
    frames = list(Recording(output / 'recording'))
    assert len(frames) >= 2 * PAIRS
    assert all(frame.left_info.p[0] == pytest.approx(225.517) for frame in frames)


@pytest.mark.parametrize('name', PICTURES)
def test_pictures_show_something(output: Path, name: str) -> None:
    picture = cv2.imread(str(output / f'{name}.png'))
    assert picture is not None
    assert min(picture.shape[:2]) > 300
    assert picture.std() > 20


@pytest.mark.parametrize('node', ['s2m2', 'sgbm'])
def test_another_library_reads_the_clouds(
    output: Path, summary: dict[str, Any], node: str
) -> None:
    vertices = PlyData.read(str(output / f'points_{node}.ply'))['vertex']
    assert len(vertices) > 0.5 * summary['nodes'][node]['points_per_cloud']
    z = np.asarray(vertices['z'])
    # The room is some meters deep, and every point lies before the camera, within its view.
    assert 0.5 < np.median(z) < 8
    assert z.min() > 0
    assert (np.abs(vertices['x']) <= z * 0.5 * 1.2 * WIDTH / 225.517).all()
    # The room is gray.
    np.testing.assert_array_equal(vertices['red'], vertices['green'])


def test_a_second_demo_replaces_the_first_one_and_says_what_ended(
    room: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in room.glob('*.png'):  # without the calibration that lies beside them
        shutil.copy(image, tmp_path)
    arguments = [f'--source={tmp_path}', f'--output={output}', '--backend=sgbm']
    assert main(['demo', *arguments]) == 2
    assert 'set the parameter calibration' in capsys.readouterr().err


def test_a_missing_checkpoint_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['demo', '--checkpoint', '/no/such/file.pth']) == 2
    assert "no file '/no/such/file.pth'" in capsys.readouterr().err
