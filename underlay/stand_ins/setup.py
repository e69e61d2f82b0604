"""The packages of messages, generated and compiled; all else is in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.build import build

BUILDER = Path(__file__).resolve().parent.parent / 'message_package.py'
PACKAGES = ('tf2_msgs', 'point_cloud_interfaces')


class BuildMessages(Command):  # type: ignore[misc]
    """Put the messages where the wheel is collected."""

    user_options: list[tuple[str, str, str]] = []  # noqa: RUF012  setuptools asks for a list
    build_lib: str | None = None

    def initialize_options(self) -> None:
        """Set no options: there are none."""

    def finalize_options(self) -> None:
        """Take the folder for libraries from the build command."""
        self.set_undefined_options('build', ('build_lib', 'build_lib'))

    def run(self) -> None:
        """Run the builder in this environment, which pip hides from builds."""
        folder = str(Path(str(self.build_lib)).resolve())
        for name in PACKAGES:
            subprocess.run([sys.executable, '-I', str(BUILDER), name, folder], check=True)


class Build(build):  # type: ignore[misc]
    """The usual build, and the messages."""

    sub_commands = [*build.sub_commands, ('build_messages', None)]  # noqa: RUF012


class Binary(Distribution):  # type: ignore[misc]
    """Compiled messages fit one platform only."""

    def has_ext_modules(self) -> bool:
        """Return True: there are some."""
        return True


setup(cmdclass={'build': Build, 'build_messages': BuildMessages}, distclass=Binary)
