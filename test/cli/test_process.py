"""`s2m2 process` as people call it: options, exit status, what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mcap.reader import make_reader

from s2m2_ros.cli.main import main
from s2m2_ros.cli.node_parameters import DEFAULTS, PAIR_PARAMETERS
from s2m2_ros.cli.process_progress import progress_line
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.node.parameters import Settings
from s2m2_ros.offline.processing import MatcherOptions, Processor
from s2m2_ros.offline.processing.options import as_json
from s2m2_ros.offline.processing.processor import Progress
from support.processes import SOURCE
from support.recorded_pairs import write_mcap
from support.stereo_recordings import in_order, scene_pairs, texts

FAST = ['--backend', 'sgbm', '--outputs', 'depth']


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('recording') / 'run.mcap'
    return write_mcap(path, in_order(scene_pairs(3), texts(3)))


def topics(path: Path) -> dict[str, int]:
    with path.open('rb') as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    counts = summary.statistics.channel_message_counts
    return {channel.topic: counts.get(n, 0) for n, channel in summary.channels.items()}


def test_the_example_of_the_readme(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / 'out'
    arguments = ['process', str(recording), '--output', str(output), '--keep', '/log', *FAST]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f'{output / "run.mcap"}\n'
    assert topics(output / 'run.mcap') == {'/stereo/depth': 3, '/log': 3}
    assert main(arguments) == 0
    assert main([*arguments, '--overwrite']) == 0


def test_defaults_are_those_of_node_and_library() -> None:
    settings = Settings(**{name: DEFAULTS[name] for name in PAIR_PARAMETERS})
    assert as_json(settings.pipeline_options()) == as_json(Processor().pipeline)
    assert settings.matcher_options() == MatcherOptions()
    assert settings.matcher_options().sgbm == SgbmOptions()
    for name in ('checkpoint', 'backend', 'device', 'precision', 'refine_iterations', 'max_width'):
        assert getattr(MatcherOptions(), name) == DEFAULTS[name]


def test_a_parameter_file_of_the_node_counts_unless_an_option_says_otherwise(
    recording: Path, tmp_path: Path
) -> None:
    file = tmp_path / 'stereo.yaml'
    file.write_text(
        '/**:\n  ros__parameters:\n    backend: sgbm\n    max_depth: 1.15\n    sync_timeout: 9.0\n'
    )
    for number, options in enumerate(([], ['--max-depth', '0'])):
        output = tmp_path / str(number)
        arguments = ['process', str(recording), '--output', str(output), '--outputs', 'depth']
        assert main([*arguments, '--params-file', str(file), *options]) == 0
    first, second = ((tmp_path / n / 'run.mcap').read_bytes() for n in '01')
    assert first != second
    assert b'1.15' in first


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--outputs', 'depht'], "no output 'depht'"),
        (['--keep', '/nothing'], '/stereo/left/image_rect'),
        (['--pair', '/a', '/b'], '/stereo/left/image_rect'),
        (['--format', 'mcap', 'png'], 'alone'),
        (['--format', 'png', '--keep', 'all'], 'recording only'),
        (['--max-depth', '1', '--min-depth', '2'], 'max_depth'),
        (['--rate', '0'], 'rate'),
        (['--batch', '-1'], 'batch'),
        (['--ray-workers', '2'], '--ray'),
        (['--ray-address', ''], 'HOST:PORT'),
        (['--ray-address', '127.0.0.1:1'], 'no cluster'),
        (['--ray', '--ray-cores', '0'], 'cores'),
        (['--points-frame', 'nowhere', '--color-info', '/no'], "'/no'"),
        (['--points-color-source', 'color'], 'color_info'),
        (['--color-slop', '0'], 'color_slop'),
        (['--params-file', 'missing.yaml'], 'missing.yaml'),
        (['--calibration', 'missing.yaml'], 'missing.yaml'),
    ],
)
def test_what_cannot_be_is_one_message(
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    arguments = ['process', str(recording), '--output', str(tmp_path / 'out'), '--backend', 'sgbm']
    assert main([*arguments, *options]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert not list(tmp_path.rglob('*.mcap'))


@pytest.mark.parametrize('name', ['missing.mcap', 'empty.mcap', 'text.mcap', 'folder'])
def test_inputs_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / name
    if name == 'folder':
        path.mkdir()
    elif name != 'missing.mcap':
        path.write_text('' if name == 'empty.mcap' else 'no recording')
    assert main(['process', str(path), '--output', str(tmp_path / 'out'), *FAST]) == 2
    assert name in capsys.readouterr().err


def test_one_of_several_inputs_may_fail(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'nothing')
    output = tmp_path / 'out'
    arguments = ['process', str(broken), str(recording), '--output', str(output), *FAST]
    assert main(arguments) == 1
    assert 'broken.mcap' in capsys.readouterr().err
    assert (output / 'run.mcap').exists()


def test_lost_pairs_show_in_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = list(scene_pairs(2))
    written[2].message.encoding = 'strange'
    path = write_mcap(tmp_path / 'run.mcap', written)
    arguments = ['process', str(path), '--output', str(tmp_path / 'out'), *FAST]
    assert main(arguments) == 1
    assert '1 pairs processed, 1 lost' in capsys.readouterr().err
    # It is done, and stays what it is.
    assert main(arguments) == 1


def test_recordings_of_one_name_and_folders_of_recordings(recording: Path, tmp_path: Path) -> None:
    for robot in ('a', 'b'):
        (tmp_path / 'fleet' / robot).mkdir(parents=True)
        (tmp_path / 'fleet' / robot / 'run.mcap').write_bytes(recording.read_bytes())
    output = tmp_path / 'out'
    assert main(['process', str(tmp_path / 'fleet'), '--output', str(output), *FAST]) == 0
    assert {path.name for path in output.glob('*.mcap')} == {'a.mcap', 'b.mcap'}
    runs = [str(path) for path in sorted((tmp_path / 'fleet').rglob('run.mcap'))]
    assert main(['process', *runs, '--output', str(tmp_path / 'two'), *FAST]) == 0
    assert {path.name for path in (tmp_path / 'two').glob('*.mcap')} == {
        'a_run.mcap',
        'b_run.mcap',
    }


def test_inputs_after_an_option_of_several_values_are_explained(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(['process', '--output', 'out', '--keep', 'all', str(recording)])
    assert 'write it first' in capsys.readouterr().err


class TestProgress:
    def test_a_line_says_rate_and_time_left(self) -> None:
        line = progress_line(Progress('run', 60, 3660, 20), 10.0)
        assert line == 'run: 60 of about 3660 pairs, 4.00 pairs per second, 0:15:00 left'

    def test_before_the_first_pair(self) -> None:
        assert progress_line(Progress('run', 20, 100, 20), 0.0) == 'run: 20 of about 100 pairs'


def test_other_commands_do_not_wait_for_the_tables_of_this_one() -> None:
    code = 'import sys; from s2m2_ros.cli.main import build_parser; build_parser(["match"])'
    code += '; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=SOURCE, check=False).returncode == 0


def test_the_temporal_filter_of_a_still_camera(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for mode in ('off', 'static'):
        output = tmp_path / mode
        arguments = ['process', str(recording), '--output', str(output), *FAST]
        assert main([*arguments, '--temporal-filter', mode]) == 0
        made.append((output / 'run.mcap').read_bytes())
    assert made[0] != made[1]
    file = tmp_path / 'stereo.yaml'
    file.write_text('/**:\n  ros__parameters:\n    temporal_filter: tf\n')
    capsys.readouterr()
    for options in (['--temporal-filter', 'tf'], ['--params-file', str(file)]):
        arguments = ['process', str(recording), '--output', str(tmp_path / 'tf'), *FAST]
        assert main([*arguments, *options]) == 2
        assert 'needs the transforms of the node; set it to static' in capsys.readouterr().err
    assert not (tmp_path / 'tf').exists()
