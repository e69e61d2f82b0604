"""Imitate a machine on which ROS 2 Jazzy is installed, for tests: `underlay/system_ros.py FOLDER`.

The distribution's part is `FOLDER/usr`, a Python of its own with the NumPy, OpenCV and pytest of
Ubuntu 24.04, OpenCV without pip's metadata as there. ROS's part is `FOLDER/opt`, filled from
wheels, with the stand-ins for packages that have none. `FOLDER/setup.bash` makes both visible in
the ways of the real one: PATH, PYTHONPATH, LD_LIBRARY_PATH, AMENT_PREFIX_PATH and ROS_DISTRO.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = f'python{sys.version_info.major}.{sys.version_info.minor}'
PINS = HERE / 'requirements-jazzy.txt'
# What apt brings with ROS 2 and with the packages that package.xml names, but for torch.
SYSTEM = ('PyYAML', 'transforms3d', 'setuptools==79.0.1', 'wheel', 'tqdm', 'matplotlib')
SETUP = """# Made by underlay/system_ros.py.
export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
export AMENT_PREFIX_PATH={ros} CMAKE_PREFIX_PATH={ros}
export PYTHONPATH={packages} LD_LIBRARY_PATH={libraries}
export PATH={usr}/bin:$PATH
# ROS 2 from wheels needs two repairs in CMake, see wheels.cmake.
export S2M2_ROS_FROM_WHEELS=1
"""


def make_python(usr: Path) -> Path:
    """Make a Python whose standard library is this one's but whose packages are its own."""
    base = Path(sys.base_prefix)
    library = usr / 'lib' / VERSION
    (library / 'site-packages').mkdir(parents=True)
    (usr / 'bin').mkdir()
    for entry in (base / 'lib' / VERSION).iterdir():
        if entry.name not in {'site-packages', 'dist-packages', '__pycache__'}:
            (library / entry.name).symlink_to(entry)
    (usr / 'include').symlink_to(base / 'include')
    python = usr / 'bin' / VERSION
    shutil.copy2(Path(sys.base_prefix, 'bin', VERSION).resolve(), python)
    for name in ('python3', 'python'):
        (usr / 'bin' / name).symlink_to(VERSION)
    subprocess.run([python, '-m', 'ensurepip'], check=True, stdout=subprocess.DEVNULL)
    return python


def pip_install(python: Path, *arguments: str, ros: Path | None = None) -> None:
    """Install into the Python, or into the prefix of ROS."""
    environment = {**os.environ, **({'ROS_PREFIX': str(ros)} if ros else {})}
    prefix = ['--prefix', str(ros), '--no-deps'] if ros else []
    command = [str(python), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    subprocess.run([*command, *prefix, *arguments], check=True, env=environment)


def imitate(folder: Path) -> None:
    """Make everything in `folder`, which must not exist."""
    folder.mkdir(parents=True)
    usr, ros = folder / 'usr', folder / 'opt' / 'ros' / 'jazzy'
    python = make_python(usr)
    pins = PINS.read_text().splitlines()
    wheels = [line for line in pins if line.startswith('ros-')]
    others = [line for line in pins if '==' in line and line not in wheels]
    build = f'--requirement={HERE / "requirements-build.txt"}'
    pip_install(python, *others, *SYSTEM, build)
    packages = usr / 'lib' / VERSION / 'site-packages'
    for metadata in packages.glob('opencv_python*.dist-info'):
        shutil.rmtree(metadata)
    pip_install(python, *wheels, ros=ros)
    pip_install(python, '--no-build-isolation', str(HERE / 'stand_ins'), ros=ros)
    packages = ros / 'lib' / VERSION / 'site-packages'
    libraries = [ros / 'lib', *sorted(packages.glob('ros_*.libs'))]
    text = SETUP.format(
        ros=ros, packages=packages, usr=usr, libraries=os.pathsep.join(map(str, libraries))
    )
    (folder / 'setup.bash').write_text(text)


if __name__ == '__main__':
    imitate(Path(sys.argv[1]).resolve())
