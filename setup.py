"""Installation with pip; in a ROS 2 workspace colcon uses CMakeLists.txt instead.

Everything declarative is in setup.cfg. Here is what that cannot say: the messages, generated and
compiled where ROS 2 wheels are installed, and the files by which ROS finds the package.
"""

import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.install_data import install_data

HERE = Path(__file__).resolve().parent
PACKAGE = 's2m2_ros'


def ros_wheels_are_installed() -> bool:
    """Tell whether the environment installed into (not pip's isolated one) can make messages."""
    probe = 'import rosidl_generator_py, rosidl_typesupport_fastrtps_c'
    return (
        subprocess.run(
            [sys.executable, '-I', '-c', probe], check=False, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


HAVE_ROS = ros_wheels_are_installed()


class InstallData(install_data):  # type: ignore[misc]
    """Also build the messages, straight into the library folder of the wheel."""

    def run(self) -> None:
        super().run()
        if not HAVE_ROS:
            self.announce('no ROS 2 wheels here: installing without messages and node', level=3)
            return
        library = Path(self.get_finalized_command('install').install_lib).resolve()
        builder = HERE / 'underlay' / 'message_package.py'
        # -I: pip hides the environment's packages from a build; the generators are among them.
        subprocess.run([sys.executable, '-I', str(builder), str(library)], check=True)


class MessageDistribution(Distribution):
    """A wheel with compiled messages fits one platform and one Python only."""

    def has_ext_modules(self) -> bool:
        return HAVE_ROS or super().has_ext_modules()


def shared_files() -> list[tuple[str, list[str]]]:
    """List what ROS looks for under ``share``: the index entry, manifest, launch files, messages."""
    share = f'share/{PACKAGE}'
    files = [
        ('share/ament_index/resource_index/packages', ['underlay/resource/s2m2_ros']),
        (share, ['package.xml']),
    ]
    for folder in ('launch', 'config', 'msg'):
        names = sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob('*.*'))
        files.append((f'{share}/{folder}', names))
    return files


setup(
    cmdclass={'install_data': InstallData},
    distclass=MessageDistribution,
    data_files=shared_files(),
)
