"""The train and evaluate commands, as people type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import s2m2_ros
from s2m2_ros.cli.main import main
from s2m2_ros.network import S2M2, S2M2Config, load_network, save_network
from s2m2_ros.network.checkpoint import read_metadata

TINY = ['--steps', '2', '--crops', '1:32x64x1', '--validation', '1x32x64', '--device', 'cpu']

# Nothing but torch and NumPy: what a rented machine with a GPU has.
BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'cv2', 'safetensors', 'tqdm', 'tensorboard', 'skimage', 'rclpy'}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return found(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
from s2m2_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_training_needs_torch_and_numpy_alone(tmp_path: Path) -> None:
    root = str(Path(s2m2_ros.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, '-c', BARE, 'train', str(tmp_path), *TINY],
        env={**os.environ, 'PYTHONPATH': root},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert 'OpenCV is not installed' in done.stderr
    assert load_network(tmp_path / 'best.pth').config == S2M2Config.named('XS')


def test_train_resume_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / 'run')
    assert main(['train', run, *TINY]) == 0
    assert main(['train', run, '--resume', '--device', 'cpu', '--validation', '1x32x64']) == 0
    file = tmp_path / 'starter.safetensors'
    for option in ('--stop-gap', '--baseline'):  # the former name, too
        assert main(['train', run, '--export', str(file), option]) == 0
        assert '"baseline_weights": true' in read_metadata(file)['training']
    assert file.stat().st_size < 14e6
    assert 'wrote' in capsys.readouterr().out


def write_scene(folder: Path, truth: float = 4) -> None:
    """Write a pair of noise of 96x64 whose disparity is 4 everywhere."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 100, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / 'im0.png'), noise[:, :96])
    cv2.imwrite(str(folder / 'im1.png'), noise[:, 4:])
    cv2.imwrite(str(folder / 'disp0.pfm'), np.full((64, 96), truth, np.float32))


def test_a_resumed_run_has_its_pairs_and_options_without_their_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, run = tmp_path / 'pairs', str(tmp_path / 'run')
    write_scene(pairs / 'a')
    words = ['--data', str(pairs), '--scenes-fraction', '0', '--learning-rate', '1e-5']
    assert main(['train', run, *TINY, *words]) == 0
    again = ['train', run, '--resume', '--device', 'cpu', '--validation', '1x32x64']
    assert main(again) == 0
    assert main([*again, *words]) == 0
    capsys.readouterr()
    assert main([*again, '--learning-rate', '1e-4']) == 2
    assert '--learning-rate: the run has 1e-05, not 0.0001' in capsys.readouterr().err
    pairs.rename(tmp_path / 'moved')
    assert main(again) == 2
    assert f'{pairs}: no such folder' in capsys.readouterr().err
    assert main([*again, '--data', str(tmp_path / 'moved')]) == 0


def test_a_pair_that_cannot_be_learned_from_ends_the_run_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene(tmp_path / 'pairs' / 'good')
    write_scene(tmp_path / 'pairs' / 'void', truth=4000)
    run = tmp_path / 'run'
    assert main(['train', str(run), *TINY, '--data', str(tmp_path / 'pairs')]) == 2
    assert 'void: not one pixel of the truth is known' in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.parametrize('option', ['--data', '--unlabeled'])
def test_no_folder_at_all_is_an_error(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(['train', str(tmp_path / 'run'), *TINY, option])
    assert f'argument {option}: expected at least one' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('licence', 'words', 'expected'),
    [
        ('CC BY-NC 4.0', [], 'CC BY-NC 4.0'),
        ('CC BY-NC 4.0', ['--license', 'Other'], 'Other'),
        ('', [], 'unknown'),
    ],
)
def test_weights_keep_the_license_of_those_that_they_began_with(
    licence: str, words: list[str], expected: str, tmp_path: Path
) -> None:
    init, run, file = (tmp_path / name for name in ('init.safetensors', 'run', 'x.safetensors'))
    save_network(S2M2(S2M2Config.named('XS')), init, licence=licence)
    assert main(['train', str(run), *TINY, '--init', str(init)]) == 0
    assert main(['train', str(run), '--export', str(file), *words]) == 0
    assert read_metadata(file)['licence'] == expected


def test_preview_is_a_picture(tmp_path: Path) -> None:
    file = tmp_path / 'sheet.png'
    arguments = ['train', str(tmp_path), '--preview', str(file), '--crops', '1:32x64x1']
    assert main([*arguments, '--device', 'cpu']) == 0
    picture = cv2.imread(str(file))
    assert picture is not None
    # Eight pairs of four pictures each, and the histogram.
    assert picture.shape == (8 * 32 + 120, 4 * 64, 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--crops', '1:32x64'], 'three whole numbers'),
        (['--crops', 'x:32x64x1'], 'until:HEIGHTxWIDTHxBATCH'),
        (['--variant', 'XXL'], 'XXL'),
        (['--device', 'toaster'], 'toaster'),
        (['--resume'], 'no such checkpoint'),
        (['--minutes', '0'], '--minutes'),
        (['--minutes', 'nan'], '--minutes'),
        (['--learning-rate', '-1'], '--learning-rate must be above 0, not -1'),
        (['--learning-rate', 'nan'], '--learning-rate must be above 0'),
        (['--average', '1'], '--average must be from 0 to below 1, not 1'),
        (['--seed', '-1'], '--seed must be 0 or more'),
        (['--scenes-fraction', '50'], '--scenes-fraction must be from 0 to 1, not 50'),
        (['--margins', '-0.1'], '--margins must be from 0 to 1'),
        (['--threads', '-2'], '--threads must be 0 or more'),
        (['--data', 'missing'], 'no such folder'),
    ],
)
def test_errors_say_what_to_mend(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ['--validation', '1x32x64', *([] if '--device' in arguments else ['--device', 'cpu'])]
    assert main(['train', str(tmp_path / 'run'), *common, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_evaluate_on_procedural_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / 'tiny.safetensors'
    save_network(S2M2(S2M2Config(8, 1)), weights, licence='Apache-2.0')
    file = tmp_path / 'scores.json'
    arguments = ['evaluate', 'procedural', '--size', '2x64x128', '--checkpoint', str(weights)]
    arguments += ['--backend', 'torch', '--device', 'cpu', '--json', str(file)]
    assert main([*arguments, '--pictures', str(tmp_path / 'pictures')]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert sum(line.startswith('| mean |') for line in lines) == 3
    content = json.loads(file.read_text())
    assert set(content['mean']) == {'S2M2', 'SGBM', 'SGBM filled'}
    assert content['backend'] == 'torch'
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 2


@pytest.mark.parametrize(
    ('size', 'words'),
    [
        ('1x100x128', 'multiples of 8'),
        ('1x24x128', 'at least 32'),
        ('0x64x128', 'must be 1 or more'),
        ('2x-64x128', 'must be 1 or more'),
    ],
)
def test_impossible_sizes_of_scenes_are_named(
    size: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['evaluate', 'procedural', '--backend', 'sgbm', '--size', size]) == 2
    assert words in capsys.readouterr().err
    assert main(['train', str(tmp_path / 'run'), *TINY, '--validation', size]) == 2
    assert words in capsys.readouterr().err


def test_evaluate_says_which_folder_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['evaluate', str(tmp_path / 'none'), '--backend', 'sgbm']) == 2
    assert 'no such folder' in capsys.readouterr().err
