"""`s2m2 process` as people call it: options, exit status, what it prints."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

from s2m2_ros.cli.main import main
from s2m2_ros.cli.node_parameters import DEFAULTS, PAIR_PARAMETERS
from s2m2_ros.cli.process_progress import progress_line
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.messages.output_topics import RECTIFIED_IMAGE
from s2m2_ros.node.parameters import Settings
from s2m2_ros.offline.output_formats import FILE_ARRAYS, FORMAT_OUTPUTS, OutputFormat
from s2m2_ros.offline.processing import MatcherOptions, ProcessOptions, Processor
from s2m2_ros.offline.processing.options import as_json
from s2m2_ros.offline.processing.processor import Progress
from s2m2_ros.player.player_parameters import PlayerOptions
from support.processes import SOURCE
from support.recorded_pairs import write_mcap
from support.stereo_recordings import SCENE, in_order, scene_pairs, texts

# Parameters of nodes and fields of the library, which options are called otherwise.
PARAMETER = re.compile(
    r"(?<![/\w'-])("
    + '|'.join(
        field.name
        for kind in (Settings, PlayerOptions, ProcessOptions, MatcherOptions)
        for field in fields(kind)
        if '_' in field.name
    )
    + r')\b'
)
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
    for name in (
        'checkpoint',
        'backend',
        'device',
        'precision',
        'refine_iterations',
        'max_width',
        'upsampling',
    ):
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
        (['--outputs', 'depht'], "--outputs: no output 'depht'"),
        (['--keep', '/nothing'], "--keep: no topic '/nothing': recorded are /log, /stereo/left"),
        (['--pair', '/a', '/b'], "--pair LEFT RIGHT: no images on '/a': recorded are /"),
        (['--format', 'mcap', 'png'], '--format: mcap and rosbag2 are written alone'),
        (['--format', 'png', '--keep', 'all'], 'recording only'),
        (['--max-depth', '1', '--min-depth', '2'], '--max-depth = 1 m must be 0 (no limit) or'),
        (['--max-depth', '-1'], '--max-depth = -1.0 is not between 0 and'),
        (['--points-voxel-size', '1e-9'], '--points-voxel-size = 1e-09 m'),
        (['--sgbm-working-width', '3'], '--sgbm-working-width = 3'),
        (['--roi', '-1', '0', '9', '9'], '--roi'),
        (['--mask-polygon', '1', '2', '3'], '--mask-polygon'),
        (['--mask-file', 'missing.png'], '--mask-file'),
        (['--rate', '0'], '--rate = 0'),
        (['--batch', '-1'], '--batch = -1'),
        (['--pair', '/stereo/left/image_rect', ''], '--pair LEFT RIGHT: name both'),
        (['--pair', '/a', '/a'], "--input-layout is two_topics, but --pair LEFT RIGHT names '/a'"),
        (['--pair', '/a', '/b', '--input-layout', 'side_by_side'], 'one topic twice'),
        (['--input-layout', 'top_bottom'], 'name it by --pair TOPIC TOPIC'),
        (['--namespace', 'bad name!'], "--namespace = 'bad name!' is not the name of a namespace"),
        (['--namespace', '/1st'], '--namespace'),
        (['--namespace', 'a//b'], 'two slashes'),
        (['--frame-id', '/map'], "--frame-id = '/map' is not the name of a frame"),
        (['--frame-id', ''], '--frame-id'),
        (['--points-frame', '/map'], "--points-frame = '/map' is not the name of a frame"),
        (['--points-frame', 'map'], 'nothing is recorded on /tf or /tf_static'),
        (['--color-info', '/no'], "--color-info: no camera_info on '/no'; recorded are /"),
        (['--outputs', 'registered/depth'], "'registered/depth' needs --color-info"),
        (['--ray-workers', '2'], '--ray'),
        (['--ray-address', ''], 'HOST:PORT'),
        (['--ray-address', '127.0.0.1:1'], 'no cluster'),
        (['--ray', '--ray-cores', '0'], '--ray-cores = 0 must be 1 or more'),
        (['--ray', '--ray-workers', '-1'], '--ray-workers = -1 must be 0 or more'),
        (['--points-frame', 'nowhere', '--color-info', '/no'], "'/no'"),
        (['--points-color-source', 'color'], '--points-color-source = color needs --color-info'),
        (['--color-slop', '0'], '--color-slop'),
        (['--params-file', 'missing.yaml'], 'missing.yaml'),
        (['--calibration', 'missing.yaml'], "--calibration: there is no 'missing.yaml'"),
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
    assert not PARAMETER.search(message), message
    assert not list(tmp_path.iterdir())


def test_what_a_parameter_file_sets_keeps_its_name(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'stereo.yaml'
    file.write_text('/**:\n  ros__parameters:\n    min_depth: 2.0\n')
    arguments = ['process', str(recording), '--output', str(tmp_path / 'out'), *FAST]
    assert main([*arguments, '--params-file', str(file), '--max-depth', '1']) == 2
    wanted = f"--max-depth = 1 m must be 0 (no limit) or more than '{file}': min_depth = 2 m"
    assert wanted in capsys.readouterr().err


class TestFormats:
    @pytest.mark.parametrize(
        ('chosen', 'said'),
        [
            (
                'ply --outputs depth',
                'the format ply takes none of the chosen outputs (depth); it takes points',
            ),
            ('pfm --outputs points', 'it takes disparity, depth, depth/uncertainty, confidence'),
            ('pfm --outputs occlusion_mask', 'it takes disparity'),
            ('png --outputs depth/compressedDepth', '(depth/compressedDepth)'),
            ('png --outputs depth/camera_info points', '(depth/camera_info, points)'),
            ('npz --outputs disparity/color', 'it takes disparity'),
            ('png ply --outputs depth', 'the format ply'),
        ],
    )
    def test_one_that_takes_none_of_the_outputs_is_an_error(
        self,
        recording: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        chosen: str,
        said: str,
    ) -> None:
        arguments = ['process', str(recording), '--output', str(tmp_path / 'out')]
        assert main([*arguments, '--backend', 'sgbm', '--format', *chosen.split()]) == 2
        assert said in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_an_output_that_none_of_them_takes_is_reported(
        self, recording: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        arguments = ['process', str(recording), '--output', str(tmp_path), '--backend', 'sgbm']
        chosen = ['--format', 'png', 'pfm', '--outputs', 'depth', 'points', 'depth/camera_info']
        assert main([*arguments, *chosen]) == 0
        warned = [r.getMessage() for r in caplog.records if 'is not written' in r.getMessage()]
        assert warned == [
            "the output 'points' is not written: png and pfm cannot hold it",
            "the output 'depth/camera_info' is not written: png and pfm cannot hold it",
        ]
        assert {path.name for path in (tmp_path / 'run' / 'stereo').iterdir()} == {'depth'}

    @pytest.mark.parametrize('chosen', [[], ['--outputs', 'all']])
    def test_what_was_not_named_is_left_out_silently(
        self,
        recording: Path,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        chosen: list[str],
    ) -> None:
        arguments = ['process', str(recording), '--output', str(tmp_path), '--backend', 'sgbm']
        assert main([*arguments, '--format', 'pfm', *chosen]) == 0
        assert 'is not written' not in caplog.text
        found = {path.name for path in (tmp_path / 'run' / 'stereo').iterdir()}
        more = {'depth_uncertainty'} if chosen else set()
        assert found == {'disparity', 'depth', 'confidence'} | more

    @pytest.mark.parametrize('kind', [kind for kind in OutputFormat if not kind.is_recording])
    def test_the_files_are_those_of_the_table(
        self, recording: Path, tmp_path: Path, kind: OutputFormat
    ) -> None:
        outputs = [name for name in FORMAT_OUTPUTS[kind] if not name.startswith('registered/')]
        assert set(FORMAT_OUTPUTS[kind]) <= FILE_ARRAYS.keys() | {RECTIFIED_IMAGE}
        arguments = ['process', str(recording), '--output', str(tmp_path), '--backend', 'sgbm']
        assert main([*arguments, '--format', kind.value, '--outputs', *outputs]) == 0
        found = sorted((tmp_path / 'run' / 'stereo').rglob('*.*'))
        assert {path.suffix for path in found} == {f'.{kind.value}'}
        if kind is OutputFormat.NPZ:
            assert len(found) == 3
            return
        names = [name.replace('/', '_') for name in outputs]
        assert sorted(path.parent.name for path in found) == sorted(3 * names)


def images_of(folder: Path, count: int) -> Path:
    """Write pairs of images without a calibration."""
    for side, name in enumerate(('left', 'right')):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / name / f'{number:03d}.png'), SCENE.images(seed=number)[side])
    return folder


def video_of(path: Path, count: int) -> Path:
    """Write a video of both views side by side."""
    path.parent.mkdir(parents=True)
    size = (2 * SCENE.width, SCENE.height)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 20.0, size)
    for number in range(count):
        both = np.hstack(SCENE.images(seed=number))
        video.write(cv2.cvtColor(both, cv2.COLOR_GRAY2BGR))
    video.release()
    return path


class TestImagesAndVideos:
    """What they lack is known before the first pair."""

    @pytest.mark.parametrize('kind', ['folder', 'video'])
    @pytest.mark.parametrize('calibration', ['none', 'of another size', 'text', 'given'])
    def test_without_a_calibration_that_fits_nothing_is_matched(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
        calibration: str,
    ) -> None:
        monkeypatch.setattr(StereoMatcher, 'match', not_called)
        # Five folders deep, so that none is found above.
        deep = tmp_path / 'a' / 'b' / 'c' / 'd' / 'e'
        source = images_of(deep, 2) if kind == 'folder' else video_of(deep / 'film.avi', 2)
        options = [] if kind == 'folder' else ['--input-layout', 'side_by_side']
        said = 'set --calibration; no file like calib.txt'
        if calibration != 'none':
            (deep / 'calib.txt').write_text('nothing' if calibration == 'text' else SMALL)
            said = 'calib.txt' if calibration == 'text' else 'images of 64x48'
        if calibration == 'given':
            options += ['--calibration', str(deep / 'calib.txt')]
        output = tmp_path / 'out'
        assert main(['process', str(source), '--output', str(output), *FAST, *options]) == 2
        message = capsys.readouterr().err
        assert said in message
        assert not PARAMETER.search(message)
        assert not output.exists()

    @pytest.mark.parametrize(
        ('options', 'said'),
        [
            (['--keep', 'all'], '--keep is for recordings'),
            (['--pair', '/a', '/b'], '--pair LEFT RIGHT is for recordings'),
            (['--color-info', '/a'], '--color-info is for recordings'),
            (['--points-frame', 'map'], '--points-frame is for recordings'),
        ],
    )
    def test_options_of_recordings_are_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
    ) -> None:
        source = images_of(tmp_path / 'pairs', 1)
        output = tmp_path / 'out'
        assert main(['process', str(source), '--output', str(output), *FAST, *options]) == 2
        assert said in capsys.readouterr().err
        assert not output.exists()

    def test_what_can_be_done_is_said_in_the_options_of_the_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        image = images_of(tmp_path / 'pairs', 1) / 'left' / '000.png'
        film = video_of(tmp_path / 'films' / 'film.avi', 1)
        (tmp_path / 'empty').mkdir()
        for source, said in (
            (image, 'give a folder of pairs, or set --input-layout to'),
            (
                film,
                'a video needs --input-layout side_by_side or top_bottom if it holds both views',
            ),
            (tmp_path / 'empty', 'one image with both views needs --input-layout'),
        ):
            arguments = ['process', str(source), '--output', str(tmp_path / 'out'), *FAST]
            assert main(arguments) == 2
            message = capsys.readouterr().err
            assert said in message
            assert not PARAMETER.search(message)


def not_called(*_: object) -> None:
    pytest.fail('a pair was matched')


def test_a_recording_without_a_pair_that_can_be_used_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StereoMatcher, 'match', not_called)
    undecodable, uncalibrated = (list(scene_pairs(2)) for _ in range(2))
    for item in undecodable:
        if 'left/image' in item.topic:
            item.message.encoding = 'strange'
    for item in uncalibrated:
        if item.topic.endswith('camera_info'):
            item.message.p = np.zeros(12)
    output = tmp_path / 'out'
    for name, written, said in (
        ('a.mcap', undecodable, "'strange'"),
        ('b.mcap', uncalibrated, 'P is empty'),
    ):
        path = write_mcap(tmp_path / name, written)
        assert main(['process', str(path), '--output', str(output), *FAST]) == 2
        assert said in capsys.readouterr().err
        assert not output.exists()


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'run.mcap', scene_pairs(12))
    command = [
        *(sys.executable, '-c', INTERRUPTED, 'process', str(path)),
        *('--output', str(tmp_path / 'out'), *FAST),
    ]
    process = subprocess.run(
        command, cwd=SOURCE, capture_output=True, text=True, check=False, timeout=120
    )
    assert process.returncode == 130, process.stderr
    assert 'interrupted; what is finished is kept, and the same command goes on' in process.stderr
    assert 'Traceback' not in process.stderr
    assert (tmp_path / 'out' / '.run.s2m2').is_dir()
    assert main(command[3:]) == 0
    assert {p.name for p in (tmp_path / 'out').iterdir()} == {'run.mcap', 'run.html', 'run.json'}


# The signal comes after the third pair.
INTERRUPTED = f"""
import os, sys
from s2m2_ros.cli.main import main
from s2m2_ros.cli.process_progress import ProgressDisplay

asked = []
def show(self, progress):
    # Several pairs may be done since the last time.
    if progress.done >= 3 and not asked:
        asked.append(progress.done)
        os.kill(os.getpid(), {signal.SIGINT.value})

ProgressDisplay.show = show
sys.exit(main())
"""
SMALL = """
cam0=[50 0 32; 0 50 24; 0 0 1]
cam1=[50 0 32; 0 50 24; 0 0 1]
baseline=100
width=64
height=48
"""


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    written = list(scene_pairs(2))
    written[2].message.encoding = 'strange'
    path = write_mcap(tmp_path / 'run.mcap', written)
    arguments = ['process', str(path), '--output', str(tmp_path / 'out'), *FAST]
    assert main(arguments) == 1
    said = capsys.readouterr().err + caplog.text
    assert '1 pairs processed, 1 lost (its report lists what and when)' in said
    assert said.count('1 pair, at 100.000000000 s, lost: ') == 1
    assert said.count("'strange'") == 1
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


def test_a_temporal_filter_by_transforms_that_are_not_there_says_so(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'stereo.yaml'
    file.write_text('/**:\n  ros__parameters:\n    temporal_filter: tf\n')
    # test/ros/test_process_temporal_equals_node.py has a recording with transforms.
    for options in (['--temporal-filter', 'tf'], ['--params-file', str(file)]):
        arguments = ['process', str(recording), '--output', str(tmp_path / 'tf'), *FAST]
        assert main([*arguments, *options, '--overwrite']) == 2
        found = capsys.readouterr().err
        assert "--temporal-fixed-frame = 'odom': nothing is recorded on /tf or /tf_static" in found
        assert 'so the temporal filter cannot follow the left camera: left_optical' in found
        assert not list((tmp_path / 'tf').glob('*'))
    arguments = ['process', str(recording), '--output', str(tmp_path / 'none'), *FAST]
    options = ['--temporal-filter', 'tf', '--temporal-fixed-frame', '']
    assert main([*arguments, *options]) == 2
    assert 'needs --temporal-fixed-frame' in capsys.readouterr().err
    assert not (tmp_path / 'none').exists()


def test_image_files_have_no_transforms_for_the_temporal_filter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ('left', 'right'):
        (tmp_path / 'in' / side).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / 'in' / side / '1.png'), np.zeros((64, 96), np.uint8))
    arguments = ['process', str(tmp_path / 'in'), '--output', str(tmp_path / 'out'), *FAST]
    assert main([*arguments, '--temporal-filter', 'tf']) == 2
    assert 'is no recording, so no transforms say where' in capsys.readouterr().err
