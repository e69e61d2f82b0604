"""Create or update ``.venv``, the environment of this checkout; called by ``make env``.

Usage: python3 environment.py [DISTRIBUTION [EXTRA]]

Where a ROS 2 installation is sourced (``$ROS_DISTRO``), the environment lies on top of it and adds
only what it lacks; its NumPy and OpenCV stay, since its compiled packages need these versions.
Elsewhere ROS 2 itself comes from wheels, with stand-ins for the pure-Python ROS packages that have
none: of Kilted, or of DISTRIBUTION, which then has a folder of its own, e.g. ``.venv-jazzy``.
EXTRA adds ``requirements-EXTRA.txt``: ``docs`` is what builds the site. Each stage is done again
only when its inputs have changed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent
# The first and the last Python for which there are wheels of each distribution and its NumPy.
WHEELS = {'kilted': ((3, 10), (3, 14)), 'jazzy': ((3, 10), (3, 12))}
DEFAULT_DISTRIBUTION = 'kilted'
CONSTRAINTS = 'constraints.txt'
# Lists that are installed only when they are asked for.
EXTRAS = ('docs',)
# What takes long enough to be asked about.
REMARKS = {
    'requirements': ': some minutes without a word, most of them download (torch is the largest)',
    'package': ': compiles messages and C++',
}
# Run with the Python of a ROS 2 installation: what it has already.
PROBE = """
import importlib.util
if importlib.util.find_spec('numpy'):
    import numpy
    print('numpy', numpy.__version__)
if importlib.util.find_spec('cv2'):
    print('cv2', 'found')
"""
MARKER = 'made-by-make-env'
PREFIX_HOOK = 'ros_prefix.pth'
# ROS finds packages, and CMake finds ROS, through these variables; a .pth needs no sourcing.
PREFIX_HOOK_TEXT = (
    'import os, sys; [os.environ.__setitem__(n, os.pathsep.join('
    'dict.fromkeys([*filter(None, os.environ.get(n, "").split(os.pathsep)), sys.prefix]))) '
    'for n in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH")]; '
    'os.environ["S2M2_ROS_FROM_WHEELS"] = "1"\n'
)


class SetupError(Exception):
    """One line that says what is missing and what to do."""


@dataclass(frozen=True)
class Stage:
    """One step of the installation: what it depends on and what it runs with pip."""

    name: str
    inputs: tuple[Path, ...]
    pip_arguments: tuple[str, ...]


def has_ros(environment: Mapping[str, str]) -> bool:
    """Return whether a ROS 2 installation is sourced."""
    return bool(environment.get('ROS_DISTRO'))


def check_distribution(name: str, environment: Mapping[str, str]) -> None:
    """Raise SetupError if there are no wheels of it, or another one is sourced."""
    if has_ros(environment) and name not in {DEFAULT_DISTRIBUTION, environment['ROS_DISTRO']}:
        raise SetupError(
            f'ROS 2 {environment["ROS_DISTRO"]} is sourced: DISTRO={name} needs a shell without it'
        )
    if not has_ros(environment) and name not in WHEELS:
        raise SetupError(f'DISTRO={name}: there are wheels of {" and ".join(WHEELS)} only')


def check_python(
    version: tuple[int, int],
    machine: str,
    *,
    ros: bool,
    distribution: str = DEFAULT_DISTRIBUTION,
) -> None:
    """Raise SetupError if no wheels exist for this Python or processor."""
    oldest, newest = WHEELS[DEFAULT_DISTRIBUTION if ros else distribution]
    if not oldest <= version <= newest:
        raise SetupError(
            f'Python {version[0]}.{version[1]} is not supported (3.{oldest[1]} to 3.{newest[1]} '
            'are): name another, e.g. `make env PYTHON=python3.11`'
        )
    if not ros and machine != 'x86_64':
        raise SetupError(
            f'ROS 2 wheels exist for x86_64 only, not for {machine}: install ROS 2, source its '
            'setup.bash, and run `make env` again'
        )


def check_tools(find: Callable[[str], str | None], include: Path) -> None:
    """Raise SetupError if the messages could not be compiled here."""
    if not (find('cc') and find('c++')):
        raise SetupError('no C++ compiler: run `sudo apt-get install build-essential cmake`')
    if not find('cmake'):
        raise SetupError('no CMake: run `sudo apt-get install cmake`')
    if not (include / 'Python.h').is_file():
        raise SetupError(
            'no Python headers: run `sudo apt-get install python3-dev`, or name a Python that '
            'has them, e.g. `make env PYTHON=python3.11`'
        )


def check_folder(folder: Path) -> None:
    """Raise SetupError if `folder` is there but is not an environment of ours that works."""
    if not folder.exists():
        return
    if not (folder / MARKER).is_file():
        raise SetupError(
            f'{folder} was not made by `make env`, or only half: remove it, `rm -rf {folder}`, '
            'and run `make env` again'
        )
    made_for = (folder / MARKER).read_text()
    if made_for != description(os.environ):
        raise SetupError(
            f'{folder} was made for {made_for!r}, this is {description(os.environ)!r}: '
            f'remove it, `rm -rf {folder}`, and run `make env` again'
        )
    python = folder / 'bin' / 'python'
    if subprocess.run(
        [python, '-I', '-c', 'import pip'],
        check=False,
        capture_output=True,
        env=clean_environment(),
    ).returncode:
        raise SetupError(f'{folder} is damaged: run `rm -rf {folder}` and `make env` again')


def description(environment: Mapping[str, str]) -> str:
    """Name what an environment is made for; a change of it means starting over."""
    ros = environment['ROS_DISTRO'] if has_ros(environment) else 'wheels'
    return f'Python {platform.python_version()}, ROS 2 {ros}, {SOURCE}'


def clean_environment() -> dict[str, str]:
    """Return the variables without those by which ROS wheels of another environment leak in."""
    dropped = {'_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'PYTHONHOME'}
    if not has_ros(os.environ):
        dropped |= {'LD_LIBRARY_PATH', 'PYTHONPATH'}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def stages_of_wheels(distribution: str) -> list[Stage]:
    """List the stages in order, for a machine without a ROS 2 installation."""
    names = ('', f'-{distribution}', '-build', '-dev')
    lists = tuple(HERE / f'requirements{name}.txt' for name in names)
    stand_ins = HERE / 'stand_ins'
    return [
        Stage('requirements', lists, tuple(f'--requirement={path}' for path in lists)),
        Stage(
            'stand-ins',
            (stand_ins, HERE / 'message_package.py'),
            ('--no-deps', '--no-build-isolation', '--force-reinstall', str(stand_ins)),
        ),
        Stage(
            'package',
            (
                SOURCE / 'pyproject.toml',
                SOURCE / 'setup.py',
                SOURCE / 'setup.cfg',
                SOURCE / 'package.xml',
                SOURCE / 'msg',
                SOURCE / 'launch',
                SOURCE / 'config',
                SOURCE / 'examples',
                *sorted((SOURCE / 's2m2_ros' / 'compiled').glob('*.[ch]*')),
                HERE / 'message_package.py',
            ),
            ('--no-deps', '--no-build-isolation', '--editable', str(SOURCE)),
        ),
    ]


def stages_on_ros(folder: Path, installed: Mapping[str, str]) -> list[Stage]:
    """List the stages on top of a ROS 2 installation, which keeps what is `installed`.

    Writes the versions that must stay into a file of `folder`. OpenCV is added only where there
    is none: a second one beside Debian's would hide it from cv_bridge.
    """
    constraints = folder / CONSTRAINTS
    numpy = installed.get('numpy')
    constraints.write_text(f'numpy=={numpy}\n' if numpy else '')
    lacking = HERE / 'requirements-on-ros.txt'
    added = () if 'cv2' in installed else ('opencv-python-headless',)
    arguments = ('--requirement', str(lacking), '--constraint', str(constraints), *added)
    return [Stage('requirements', (lacking, constraints), arguments)]


def stage_of_extra(folder: Path, name: str) -> Stage:
    """Return the stage that adds ``requirements-NAME.txt``; NumPy stays as it is.

    Raises SetupError if there is no such list.
    """
    listed = HERE / f'requirements-{name}.txt'
    if name not in EXTRAS:
        raise SetupError(f'there is no extra {name!r}: must be one of {", ".join(EXTRAS)}')
    constraints = folder / CONSTRAINTS
    kept = ('--constraint', str(constraints)) if constraints.is_file() else ()
    return Stage(name, (listed,), ('--requirement', str(listed), *kept))


def probe(python: str) -> dict[str, str]:
    """Return the packages of the ROS 2 installation's Python that must stay, and versions."""
    found = subprocess.run(
        [python, '-c', PROBE], check=False, capture_output=True, text=True, env=clean_environment()
    )
    if found.returncode:
        raise SetupError(
            f'NumPy or OpenCV of {python} is damaged: {found.stderr.strip().splitlines()[-1]}'
        )
    return dict(line.split() for line in found.stdout.splitlines())


def digest(paths: Iterable[Path]) -> str:
    """Return a digest of the contents of files and of folders' files."""
    result = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob('*')) if path.is_dir() else [path]:
            name = file.relative_to(SOURCE)
            if file.is_file() and not any(is_generated(part) for part in name.parts):
                result.update(f'{name}\0'.encode() + file.read_bytes())
    return result.hexdigest()


def is_generated(part: str) -> bool:
    """Return whether a part of a path is what Python or pip leave behind."""
    return part in {'__pycache__', 'build'} or part.endswith('.egg-info')


def create(folder: Path, *, ros: bool) -> None:
    """Create the empty environment; an interruption leaves a folder without the marker."""
    print(f'creating {folder}', flush=True)
    options = ['--system-site-packages'] if ros else []
    command = [sys.executable, '-m', 'venv', *options, str(folder)]
    if subprocess.run(command, check=False, env=clean_environment()).returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupError('could not create it: run `sudo apt-get install python3-venv`')
    if not ros:
        site_packages = next((folder / 'lib').glob('python*/site-packages'))
        (site_packages / PREFIX_HOOK).write_text(PREFIX_HOOK_TEXT)
    (folder / MARKER).write_text(description(os.environ))


def install(folder: Path, stage: Stage) -> bool:
    """Run one stage unless it is up to date; return whether it ran."""
    stamp = folder / f'stage-{stage.name}'
    wanted = digest(stage.inputs)
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    stamp.unlink(missing_ok=True)
    print(f'installing {stage.name}{REMARKS.get(stage.name, "")} …', flush=True)
    command = [
        str(folder / 'bin' / 'python'),
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        # Newer versions of pip do so anyway; older ones would warn of sources without a wheel.
        '--use-pep517',
        *stage.pip_arguments,
    ]
    if subprocess.run(command, check=False, env=clean_environment()).returncode:
        raise SetupError(
            f'pip could not install the {stage.name} (its message stands above): fix that and '
            'run `make env` again, which goes on from here'
        )
    stamp.write_text(wanted)
    return True


def folder_of(distribution: str) -> Path:
    """Return the folder of an environment; underlay/run knows the same rule."""
    if has_ros(os.environ) or distribution == DEFAULT_DISTRIBUTION:
        return SOURCE / '.venv'
    return SOURCE / f'.venv-{distribution}'


def make_environment(distribution: str, extras: Sequence[str] = ()) -> None:
    """Create or update the environment for a distribution, with some of EXTRAS."""
    ros = has_ros(os.environ)
    check_distribution(distribution, os.environ)
    folder = folder_of(distribution)
    check_python(sys.version_info[:2], platform.machine(), ros=ros, distribution=distribution)
    check_tools(shutil.which, Path(sysconfig.get_path('include')))
    check_folder(folder)
    if not folder.exists():
        create(folder, ros=ros)
    if ros:
        stages = stages_on_ros(folder, probe(sys.executable))
    else:
        stages = stages_of_wheels(distribution)
    stages += [stage_of_extra(folder, name) for name in extras]
    ran = [stage.name for stage in stages if install(folder, stage)]
    print(f'{folder} is up to date' if not ran else f'{folder} is ready', flush=True)


def main() -> int:
    """Run from the command line; return the exit status."""
    distribution, *extras = sys.argv[1:] or [DEFAULT_DISTRIBUTION]
    try:
        make_environment(distribution, extras)
    except SetupError as error:
        print(f'make env: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
