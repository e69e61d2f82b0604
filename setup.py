"""Installation with pip; in a ROS 2 workspace colcon uses CMakeLists.txt instead.

Everything declarative is in setup.cfg. Here is what that cannot say: the loops in C++, the
messages, generated and compiled where ROS 2 wheels are installed, and the files by which ROS
finds the package.
"""

import subprocess
import sys
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build import build

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


class BuildMessages(Command):  # type: ignore[misc]
    """Generate and compile the messages; a part of every build, editable ones too."""

    user_options: list[tuple[str, str, str]] = []  # noqa: RUF012  setuptools asks for a list
    editable_mode = False
    build_lib: str | None = None

    def initialize_options(self) -> None:
        """Set no options: there are none."""

    def finalize_options(self) -> None:
        """Take the folder for libraries from the build command."""
        self.set_undefined_options('build', ('build_lib', 'build_lib'))

    def run(self) -> None:
        """Put the messages where the wheel collects libraries."""
        folder = self.build_lib
        if self.editable_mode:
            # Not beside the sources: there they would hide those of a colcon workspace.
            folder = self.get_finalized_command('install').install_lib
            self.run_command('install_data')  # which editable installations leave out
        if not HAVE_ROS:
            self.announce('no ROS 2 wheels here: installing without messages and node', level=3)
            return
        builder = HERE / 'underlay' / 'message_package.py'
        # -I: pip hides the environment's packages from a build; the generators are among them.
        command = [sys.executable, '-I', str(builder), PACKAGE, str(Path(str(folder)).resolve())]
        subprocess.run(command, check=True)


class Build(build):  # type: ignore[misc]
    """The usual build, and the messages."""

    sub_commands = [*build.sub_commands, ('build_messages', None)]  # noqa: RUF012


def compiled(name: str, *options: str) -> Extension:
    """Return a library that ctypes loads: in a folder that is no package, as it is no module.

    Optional: without a compiler torch does the work. The options are those of CMakeLists.txt.
    """
    folder = f'{PACKAGE}/compiled'
    return Extension(
        f'{PACKAGE}.compiled._{name}',
        sources=[f'{folder}/{name}.cpp'],
        depends=sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob('*.h')),
        language='c++',
        extra_compile_args=[
            '-std=c++17',
            '-O3',
            '-fno-trapping-math',
            '-fno-math-errno',
            '-pthread',
            *options,
        ],
        extra_link_args=['-pthread', '-ldl'],
        optional=True,
    )


def compiled_libraries() -> list[Extension]:
    """List the loops over pixels, and the convolutions."""
    # Vectors, but the arithmetic of torch to the last bit.
    pixels = [compiled(n, '-ffp-contract=off') for n in ('pixel_kernel', 'registration_kernel')]
    return [*pixels, compiled('winograd', '-ffp-contract=fast')]


def shared_files() -> list[tuple[str, list[str]]]:
    """List what ROS looks for under ``share``."""
    share = f'share/{PACKAGE}'
    files = [
        ('share/ament_index/resource_index/packages', ['underlay/resource/s2m2_ros']),
        (share, ['package.xml']),
    ]
    for folder in ('launch', 'config', 'examples', 'msg'):
        names = sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob('*.*'))
        files.append((f'{share}/{folder}', names))
    return files


setup(
    cmdclass={'build': Build, 'build_messages': BuildMessages},
    ext_modules=compiled_libraries(),
    data_files=shared_files(),
)
