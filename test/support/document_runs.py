"""Where each command of the documents is run: here, by another test, or nowhere, and why."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import yaml

from support.document_commands import OTHERS, simple_commands
from support.documents import Block
from support.onnx_networks import BlockMatcher
from support.recorded_pairs import Written, write_mcap
from support.shifted_pairs import SHIFT, shifted_pair
from support.stereo_recordings import START, in_order, scene_pairs, texts, transform
from support.stereo_scene import FRAME

# f 250 px and B 0.1 m.
CALIBRATION = 'cam0=[250 0 80; 0 250 48; 0 0 1]\ncam1=[250 0 80; 0 250 48; 0 0 1]\nbaseline=100\n'
DISTANCE = 250 * 0.1 / SHIFT
# What stands for what the reader has, in commands that are run here.
STAND_INS: Mapping[str, str] = {
    'LEFT': 'left.png',
    'RIGHT': 'right.png',
    'LEFT2': 'left.png',
    'RIGHT2': 'right.png',
    'FILE': 'calib.txt',
    '1.000': f'{DISTANCE}',
    '2.500': f'{DISTANCE}',
    'L': 'starter',  # its license and size
    'RUN/fine_tuned.pth': 'starter',
    '480x640': '64x96',
}
# Of these commands all are run here, but for what ELSEWHERE has.
HERE = ('s2m2',)
# Commands that another test runs, with other paths or through Python: pattern, file of the test.
ELSEWHERE: Mapping[str, str] = {
    r'make demo|s2m2 demo': 'test/demo/test_demo_view.py',
    r's2m2 match .* --view': 'test/viewer/test_browser.py',
    r's2m2 process .*--ray': 'test/offline/test_cluster.py',
    r's2m2 train': 'test/training/test_cli.py',
    r's2m2 doctor': 'test/test_doctor.py',
    r'make latency': 'test/ros/test_latency_script.py',
    r'python examples/fine_tune\.py': 'test/training/test_fine_tune_example.py',
    r's2m2 weights fit-confidence': 'test/cli/test_fit_confidence.py',
    r'python -m benchmark\.confidence': 'test/geometry/test_uncertainty.py',
    r'pip install \.': 'test/ros/test_installation.py',
    r'(python3 -m )?colcon build': 'test/ros/test_installation.py',
    r'ros2 run s2m2_ros stereo_player': 'test/player/test_stereo_player.py',
    r'ros2 run s2m2_ros stereo_node .*cameras': 'test/ros/test_several_cameras.py',
    r'ros2 run s2m2_ros stereo_node': 'test/ros/test_stereo_node.py',
    r'ros2 launch s2m2_ros multi_stereo': 'test/launch/test_multi_stereo.py',
    r'ros2 launch s2m2_ros (nvblox|rtabmap)': 'test/launch/test_examples.py',
    r'ros2 launch s2m2_ros': 'test/launch/test_launch_files.py',
    r'ros2 param set': 'test/ros/test_stereo_node_parameters.py',
    r'ros2 service call': 'test/ros/test_stereo_node_load.py',
    r'python3? -m venv': 'test/ros/test_installation.py',
}
# Commands that nothing runs, and why; with the programs of OTHERS. CONTRIBUTING.md lists both.
NOWHERE: Mapping[str, str] = {
    r'pip install': 'changes the environment, and downloads',
    r'ros2 topic|ros2 pkg|ros2 security': 'needs a ROS 2 installation; there is none here',
    r'python -m benchmark\.(settings|render_scenes)': 'takes minutes: it is a measurement',
    r'python3 -c': 'prints the version of NumPy alone',
}


def place(words: Sequence[str]) -> str:
    """Return 'here', the file of a test, or why nothing runs a command; empty if unknown."""
    text = shlex.join(words).replace("'", '')
    for known in (ELSEWHERE, NOWHERE):
        for pattern, where in known.items():
            if re.match(pattern, text):
                return where
    program = Path(words[0]).name
    return 'here' if program in HERE else OTHERS.get(program, '')


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the simple commands of a block, programs of `.venv` by their names."""
    for words in simple_commands(block.text):
        yield [words[0].removeprefix('.venv/bin/'), *words[1:]]


def run_here(block: Block) -> list[list[str]]:
    """Return the commands of a block that are run, with what stands for the reader's things."""
    return [
        list(expanded([STAND_INS.get(word, word) for word in words]))
        for words in commands(block)
        if place(words) == 'here'
    ]


def expanded(words: Sequence[str]) -> Iterator[str]:
    """Expand patterns of files as the shell does, where they match."""
    for word in words:
        found = (
            sorted(map(str, Path().glob(word)))
            if '*' in word and '://' not in word and not word.startswith('/')
            else []
        )
        yield from found or [word.replace('/path/to/', '')]


def provide_files() -> None:
    """Write what the documents name into the working directory."""
    for name, image in zip(('left.png', 'right.png'), shifted_pair(), strict=True):
        cv2.imwrite(name, image)
    Path('calib.txt').write_text(CALIBRATION)
    Path('fleet').mkdir()
    Path('bag_folder').mkdir()
    for recording in ('run.mcap', 'fleet/a.mcap', 'bag_folder/bag.mcap'):
        still = transform(START, 'odom', FRAME, (0.0, 0.0, 1.0))
        others = [Written('/tf_static', START - 5, still), *texts(2, topic='/odom')]
        messages = in_order(scene_pairs(2), others)
        write_mcap(Path(recording), messages)
    settings = {'/**': {'ros__parameters': {'max_depth': 5.0}}}
    Path('stereo.yaml').write_text(yaml.safe_dump(settings))
    BlockMatcher().write(Path('network.onnx'))
