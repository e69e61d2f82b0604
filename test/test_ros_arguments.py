"""Arguments of the executables: what is no argument of ROS, unreadable, or for another node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2m2_ros.ros_arguments import unused_parameter_files
from support.processes import SOURCE

MODULES = ('node.main', 'player.stereo_player')


def start(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run('-m', f's2m2_ros.{module}', *arguments, **environment)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=SOURCE,
        env={**os.environ, **environment},
        timeout=60,
    )


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return why it did not start: one line, but for what rcl writes itself."""
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if '[rcl]' not in line]
    assert len(lines) == 1
    assert lines[0].startswith('cannot start: ')
    return lines[0]


def parameters(folder: Path, text: str) -> str:
    path = folder / 'params.yaml'
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize('module', MODULES)
@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['-p', 'rate:=1.0'], "unknown argument '-p': arguments of ROS come after --ros-args"),
        (['--ros-args', '-p', 'rate:=1.0', '--', 'more'], "unknown argument 'more'"),
        (['--ros-args', '-p', 'rate=1.0'], "'-p rate=1.0'"),
        (['--ros-args', '-r', 'left/image_rect'], "'-r left/image_rect'"),
        (['--ros-args', '--bogus'], '--bogus'),
    ],
)
def test_what_is_no_argument_ends_the_start(module: str, arguments: list[str], words: str) -> None:
    done = start(module, *arguments)
    assert words in reason(done)


@pytest.mark.parametrize('module', MODULES)
@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['-r', '__ns:=/front/'], "namespace must not end with a '/'"),
        (['-p', 'use_sim_time:=1'], "parameter 'use_sim_time' to '1' of type 'INTEGER'"),
    ],
)
def test_what_makes_no_node_ends_the_start(module: str, arguments: list[str], words: str) -> None:
    """Parsing accepts these."""
    done = start(module, '--ros-args', *arguments)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if '[FATAL]' in line)
    assert words in line
    assert ', at /' not in line
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('module', MODULES)
def test_the_name_of_the_program_may_come_first(module: str) -> None:
    """As programs hand on sys.argv: only what comes behind it cannot be used."""
    code = f'import sys; from s2m2_ros.{module} import main; sys.exit(main(sys.argv))'
    done = run('-c', code, '--ros-args', '--bogus')
    assert '--bogus' in reason(done)
    assert 'unknown argument' not in done.stderr


@pytest.mark.parametrize('module', MODULES)
@pytest.mark.parametrize(
    'text',
    [
        '/**:\n\tros__parameters:\n',
        '/**:\n  ros__parameters:\n    points_frame:\n',
        '/**:\n  ros_parameters:\n    rate: 1.0\n',
        'rate: 1.0\n',
    ],
)
def test_a_file_that_cannot_be_read_is_named(module: str, text: str, tmp_path: Path) -> None:
    path = parameters(tmp_path, text)
    done = start(module, '--ros-args', '--params-file', path)
    assert path in reason(done)


def test_an_environment_that_cannot_be_used_is_named() -> None:
    done = start('node.main', ROS_DOMAIN_ID='mine')
    assert 'ROS_DOMAIN_ID' in reason(done)


# Which sections rclpy takes for which node was tried with rclpy.
@pytest.mark.parametrize(
    ('node', 'section', 'used'),
    [
        ('/stereo_node', 'stereo_node', True),
        ('/stereo_node', '/**', True),
        ('/stereo_node', '/**/stereo_node', True),
        ('/stereo_node', '/*/stereo_node', False),
        ('/stereo_node', '/stereo_nod', False),
        ('/front/stereo_node', 'stereo_node', False),
        ('/front/stereo_node', '/stereo_node', False),
        ('/front/stereo_node', '/front/stereo_node', True),
        ('/front/stereo_node', '/*/stereo_node', True),
        ('/front/stereo_node', '/front/**', True),
        ('/robot/front/stereo_node', '/*/stereo_node', False),
        ('/robot/front/stereo_node', '/**/stereo_node', True),
        ('/robot/front/stereo_node', '/robot/*', False),
    ],
)
def test_sections_that_are_for_the_node(
    node: str, section: str, used: bool, tmp_path: Path
) -> None:
    path = parameters(tmp_path, f'"{section}":\n  ros__parameters:\n    max_depth: 3.0\n')
    reasons = unused_parameter_files(['--ros-args', '--params-file', path], node)
    if used:
        assert reasons == []
    else:
        (why,) = reasons
        assert path in why
        assert f"'{section}'" in why
        assert f"'{node}'" in why


def test_sections_in_namespaces_and_of_several_nodes(tmp_path: Path) -> None:
    path = parameters(
        tmp_path,
        'front:\n  stereo_node:\n    ros__parameters:\n      max_depth: 3.0\n'
        'other:\n  ros__parameters:\n    rate: 1.0\n',
    )
    words = ['--ros-args', '--params-file', path]
    assert unused_parameter_files(words, '/front/stereo_node') == []
    (why,) = unused_parameter_files(words, '/stereo_node')
    assert "'front/stereo_node', 'other'" in why


def test_a_file_without_sections(tmp_path: Path) -> None:
    path = parameters(tmp_path, '')
    (why,) = unused_parameter_files(['--ros-args', '--params-file', path], '/stereo_node')
    assert path in why


def test_the_node_says_which_file_it_does_not_use(tmp_path: Path) -> None:
    path = parameters(tmp_path, 'stereo_node:\n  ros__parameters:\n    backend: sgbm\n')
    command = [sys.executable, '-m', 's2m2_ros.node.main', '--ros-args', '--params-file', path]
    command += ['-r', '__ns:=/front', '-p', 'autostart:=false']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=SOURCE)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if path in line)
        assert "this is '/front/stereo_node'" in line
        assert '[WARN]' in line
    finally:
        process.kill()
        process.communicate()
