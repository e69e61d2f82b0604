"""What an installation needs to run well, checked, with what to do where it falls short.

Works without ROS: that ROS is missing is one of the findings.
"""

from __future__ import annotations

import enum
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from s2m2_ros import large_messages
from s2m2_ros.errors import S2M2Error
from s2m2_ros.shared_files import shared_file
from s2m2_ros.text_safety import safe_text
from s2m2_ros.weights import (
    CHECKPOINTS,
    WeightsError,
    added_checkpoints,
    added_folder,
    cache_folder,
    checkpoint_path,
    find_checkpoint,
    is_added_intact,
    is_intact,
)

OLDEST_PYTHON = (3, 10)
# What everything imports, and what pip installs for it.
REQUIRED_PACKAGES = {
    'numpy': 'numpy',
    'cv2': 'opencv-python-headless',
    'yaml': 'pyyaml',
    'safetensors': 'safetensors',
    'tqdm': 'tqdm',
}
REQUIRED_ROS_PACKAGES = ('message_filters', 'cv_bridge', 'sensor_msgs_py', 'tf_transformations')
OPTIONAL_ROS_PACKAGES = {
    'tf2_ros': 'points_frame, registered/depth and static transforms of stereo_player',
    'launch_ros': 'the launch files',
    'point_cloud_interfaces': 'the topics points/zlib and points/zstd',
}
# Linux's ephemeral ports begin at 32768; the ports of higher domains lie among them.
HIGHEST_SAFE_DOMAIN = 101
# The ports of higher domains would be above 65535.
HIGHEST_DOMAIN = 232
DISCOVERY_VARIABLE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
DISCOVERY_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')
# Variables that can keep a node from starting.
NODE_VARIABLES = (
    'RMW_IMPLEMENTATION', 'ROS_DOMAIN_ID', 'ROS_STATIC_PEERS', 'ROS_DISCOVERY_SERVER',
    'ROS_SECURITY_ENABLE', 'ROS_SECURITY_STRATEGY', 'ROS_SECURITY_KEYSTORE', 'ROS_LOG_DIR',
    'ROS_HOME', 'CYCLONEDDS_URI', 'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTRTPS_DEFAULT_PROFILES_FILE', 'ZENOH_SESSION_CONFIG_URI', 'ZENOH_ROUTER_CONFIG_URI',
)  # fmt: skip
# The last line that it prints is the name, or the reason why there is none.
START_A_NODE = """
import sys
try:
    import rclpy
    rclpy.init()
    rclpy.create_node('s2m2_doctor').destroy_node()
except Exception as error:
    print(' '.join(str(error).split()))
    sys.exit(1)
print(rclpy.get_rmw_implementation_identifier())
"""
IMPORT_A_PACKAGE = """
import importlib, sys
try:
    importlib.import_module(sys.argv[1])
except Exception as error:
    print(' '.join(str(error).split()) or type(error).__name__)
    sys.exit(1)
"""
START_LIMIT = 60.0
# A few 1280x720 clouds of 15 MB for each process.
LEAST_SHARED_MEMORY = 256 << 20
# What the developers of Cyclone DDS and ROS advise for images.
LEAST_RECEIVE_BUFFER = 2 << 20
RECEIVE_BUFFER_SETTING = Path('/proc/sys/net/core/rmem_max')


class Health(enum.IntEnum):
    """How serious a finding is."""

    GOOD = 0
    NOTE = 1
    POOR = 2
    BROKEN = 3


@dataclass(frozen=True)
class CheckResult:
    """What was checked, its health, and what to do, if anything."""

    subject: str
    health: Health
    fact: str
    remedy: str = ''


def check_installation(environment: Mapping[str, str] = os.environ) -> Iterator[CheckResult]:
    """Yield the findings one by one; takes some seconds, for the imports."""
    yield python(sys.version_info[:2])
    lacking = list(python_packages())
    yield from lacking
    ros = importlib.util.find_spec('rclpy') is not None
    if ros:
        yield from ros_installation(environment)
        yield domain(environment)
        yield from middleware(environment)
    else:
        yield CheckResult(
            'ROS 2',
            Health.BROKEN,
            'not found: matching files works, the node does not',
            'source /opt/ros/<distro>/setup.bash, or run `make env` in the checkout',
        )
    yield shared_memory(large_messages.SHARED_MEMORY)
    # The network and the kernels import these packages.
    if not lacking:
        yield from computing()
        yield from checkpoints()


def python(version: tuple[int, int]) -> CheckResult:
    """Check the version of Python."""
    fact = f'{version[0]}.{version[1]}'
    if version < OLDEST_PYTHON:
        return CheckResult('Python', Health.BROKEN, fact, 'use Python 3.10 or newer')
    return CheckResult('Python', Health.GOOD, fact)


def python_packages() -> Iterator[CheckResult]:
    """Yield the packages of Python that cannot be imported and that everything needs."""
    for name, package in REQUIRED_PACKAGES.items():
        fault = _import_fault(name)
        if fault:
            yield CheckResult(
                f'Python package {name}', Health.BROKEN, fault, f'pip install {package}'
            )


def ros_installation(environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check ROS, our messages, and the packages that the node imports."""
    yield CheckResult('ROS 2', Health.GOOD, environment.get('ROS_DISTRO', 'from Python wheels'))
    try:
        importlib.import_module('s2m2_ros.msg')
        yield CheckResult('messages', Health.GOOD, 's2m2_ros.msg is built and found')
    except ImportError as error:
        yield CheckResult(
            'messages',
            Health.BROKEN,
            f's2m2_ros.msg: {error}',
            'build the workspace with colcon and source its setup.bash, or run `make env`',
        )
    # Without the variable, as an RMW that is not there would end each import.
    plain = {name: value for name, value in environment.items() if name != 'RMW_IMPLEMENTATION'}
    faults = {
        name: _run_python(plain, IMPORT_A_PACKAGE, name)[1] for name in REQUIRED_ROS_PACKAGES
    }
    lacking = [name for name, fault in faults.items() if fault and not _found(name)]
    if lacking:
        packages = ' '.join(f'ros-$ROS_DISTRO-{name.replace("_", "-")}' for name in lacking)
        fact = f'missing: {", ".join(lacking)}'
        yield CheckResult('ROS packages', Health.BROKEN, fact, f'sudo apt-get install {packages}')
    for name, fault in faults.items():
        if fault and name not in lacking:
            yield CheckResult(f'ROS package {name}', Health.BROKEN, fault, _import_remedy(fault))
    if not any(faults.values()):
        yield CheckResult('ROS packages', Health.GOOD, 'all that the node needs')
    for name, purpose in OPTIONAL_ROS_PACKAGES.items():
        if not _found(name):
            package = f'ros-$ROS_DISTRO-{name.replace("_", "-")}'
            yield CheckResult(
                name, Health.NOTE, f'missing: needed for {purpose}', f'apt package {package}'
            )


def domain(environment: Mapping[str, str]) -> CheckResult:
    """Check the DDS domain, and report how far it reaches."""
    text = environment.get('ROS_DOMAIN_ID') or '0'
    reach = environment.get(DISCOVERY_VARIABLE) or 'SUBNET'
    if environment.get('ROS_LOCALHOST_ONLY') == '1':
        reach = 'LOCALHOST'
    fact = f'{text}, discovery: {reach}'
    fault = _domain_fault(text)
    if fault:
        remedy = f'export ROS_DOMAIN_ID=<0 to {HIGHEST_SAFE_DOMAIN}>'
        return CheckResult('DDS domain', Health.POOR, f'{fact}: {fault}', remedy)
    if reach not in DISCOVERY_RANGES:
        remedy = f'export {DISCOVERY_VARIABLE}=<one of {", ".join(DISCOVERY_RANGES)}>'
        fact += ', which ROS takes for LOCALHOST: other machines are not found'
        return CheckResult('DDS domain', Health.POOR, fact, remedy)
    if reach == 'OFF':
        fact += ': nodes do not find one another, on this machine neither'
        return CheckResult('DDS domain', Health.POOR, fact, f'unset {DISCOVERY_VARIABLE}')
    return CheckResult('DDS domain', Health.GOOD, fact)


def _domain_fault(text: str) -> str:
    """Return what is wrong with the number of a domain; empty if nothing."""
    if not text.isdecimal():
        return 'not a number from 0 on'
    if int(text) > HIGHEST_DOMAIN:
        return f'DDS has no domains above {HIGHEST_DOMAIN}, and no node starts'
    return 'its ports may be taken' if int(text) > HIGHEST_SAFE_DOMAIN else ''


def middleware(environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check that a node starts, on which RMW, and whether large messages get through it."""
    name, fault = _run_python(environment, START_A_NODE)
    if fault:
        remedy = _node_remedy(fault, environment)
        yield CheckResult('RMW', Health.BROKEN, f'no node starts: {fault}', remedy)
        return
    yield CheckResult('RMW', Health.GOOD, name)
    if 'fastrtps' in name:
        yield fast_dds(environment)
    elif 'cyclone' in name:
        yield receive_buffer(RECEIVE_BUFFER_SETTING)


def _node_remedy(fault: str, environment: Mapping[str, str]) -> str:
    """Return what to do where no node starts: mostly, what to set otherwise."""
    if 'log directory' in fault:
        return 'export ROS_LOG_DIR=<a folder that you may write to>'
    blamed = [variable for variable in NODE_VARIABLES if environment.get(variable)]
    remedy = f'correct or unset {", ".join(blamed)}' if blamed else ''
    return f'{remedy}, or install that RMW' if 'RMW_IMPLEMENTATION' in blamed else remedy


def _run_python(environment: Mapping[str, str], *script: str) -> tuple[str, str]:
    """Return the last line that a script prints, and why it failed; empty if it did not.

    `script` is its text, and its arguments. Another process runs it: rcl ends the one that
    loads it where the chosen RMW is not there.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-c', *script],
            env=dict(environment),
            capture_output=True,
            text=True,
            errors='replace',
            timeout=START_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return '', f'it takes more than {START_LIMIT:.0f} s'
    printed = done.stdout.strip() or done.stderr.strip() or f'exit status {done.returncode}'
    line = safe_text(printed.splitlines()[-1])
    return ('', line) if done.returncode else (line, '')


def fast_dds(environment: Mapping[str, str]) -> CheckResult:
    """Check that Fast DDS has room for images: by a profile in the variable that it reads.

    Its large-data mode is no remedy: between processes of one machine it keeps the small
    shared-memory segment (measured in benchmark/README.md).
    """
    subject = 'large messages'
    read = large_messages.variables_read(environment)
    chosen = next((name for name in read if environment.get(name)), '')
    if chosen:
        fault = _profile_fault(Path(environment[chosen]))
        if not fault:
            return CheckResult(subject, Health.GOOD, f'profile {environment[chosen]}')
        fact = f'{chosen}: {fault}'
    elif environment.get(large_messages.NEW_VARIABLE):
        fact = f'this distribution ignores {large_messages.NEW_VARIABLE}'
    else:
        fact = 'Fast DDS has 512 KiB of shared memory: best-effort subscribers lose images'
        transports = environment.get(large_messages.TRANSPORTS_VARIABLE, '')
        if transports.startswith('LARGE_DATA'):
            fact += f', with {large_messages.TRANSPORTS_VARIABLE}={transports} too'
    variable = chosen or large_messages.profile_variables(environment)[0]
    remedy = f'export {variable}={_profile()} (before every node that publishes images)'
    return CheckResult(subject, Health.POOR, fact, remedy)


def _profile_fault(profile: Path) -> str:
    """Return what is wrong with a profile for large messages; empty if nothing."""
    if not profile.is_file():
        return f"there is no '{profile}'"
    try:
        size = large_messages.segment_size(profile)
    except (OSError, ValueError) as error:
        return f"'{profile}' is no profile: {error}"
    if size < large_messages.ENOUGH_SEGMENT:
        return f"'{profile}' sets a shared-memory segment of {size} bytes, too small for clouds"
    return ''


def receive_buffer(setting: Path) -> CheckResult:
    """Check the kernel's limit for the socket buffer that Cyclone DDS receives images in."""
    try:
        size = int(setting.read_text())
    except (OSError, ValueError) as error:
        return CheckResult('receive buffer', Health.NOTE, f'unknown: {error}')
    fact = f'{size} bytes'
    if size < LEAST_RECEIVE_BUFFER:
        return CheckResult(
            'receive buffer',
            Health.POOR,
            f'{fact}: images get lost',
            'sudo sysctl -w net.core.rmem_max=2147483647',
        )
    return CheckResult('receive buffer', Health.GOOD, fact)


def shared_memory(folder: Path) -> CheckResult:
    """Check the room for messages between processes of one machine."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return CheckResult('shared memory', Health.POOR, f'{folder}: {error.strerror}', 'mount it')
    fact = f'{free >> 20} MiB free in {folder}'
    if free < LEAST_SHARED_MEMORY:
        remedy = 'remove stale /dev/shm/fastrtps_* files; in a container, run it with --ipc=host'
        return CheckResult('shared memory', Health.POOR, fact, remedy)
    return CheckResult('shared memory', Health.GOOD, fact)


def computing() -> Iterator[CheckResult]:
    """Check torch, CUDA and the faster backends."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of CUDA that is not there
        yield CheckResult('torch', Health.BROKEN, str(error), 'pip install torch')
        return
    from s2m2_ros.inference.engines.versions import (
        OLDEST_TORCH,
        how_to_install,
        is_jetson,
        torch_too_old,
    )

    too_old = torch_too_old(OLDEST_TORCH, 'the network')
    if too_old:
        yield CheckResult('torch', Health.BROKEN, too_old, how_to_install('torch'))
        return
    yield CheckResult('torch', Health.GOOD, torch.__version__)
    yield pixel_kernel_built()
    yield convolutions_built()
    if not torch.cuda.is_available():
        fact = 'not available: the network runs on the CPU, slowly'
        remedy = 'with an NVIDIA GPU: install its driver, and a torch built for CUDA'
        if is_jetson():
            remedy = how_to_install('torch')
        yield CheckResult('CUDA', Health.NOTE, fact, remedy)
        return
    try:
        free, total = torch.cuda.mem_get_info()
        fact = f'{torch.version.cuda}, {torch.cuda.get_device_name()}'
    except RuntimeError as error:  # taken by another process, or too old for this torch
        remedy = 'see nvidia-smi; `s2m2 doctor --verify` runs the network on it'
        yield CheckResult('CUDA', Health.BROKEN, safe_text(str(error).split('\n')[0]), remedy)
        return
    yield CheckResult('CUDA', Health.GOOD, f'{fact}, {free >> 20} of {total >> 20} MiB free')
    if _found('tensorrt'):
        yield CheckResult('TensorRT', Health.GOOD, 'found')
    else:
        fact = 'missing: the node uses CUDA graphs instead'
        yield CheckResult('TensorRT', Health.NOTE, fact, how_to_install('tensorrt'))


BUILD_AGAIN = 'install a C++ compiler and build the package again'


def pixel_kernel_built() -> CheckResult:
    """Check that clouds and registered depth are made by compiled code on a CPU."""
    from s2m2_ros.geometry import pixel_kernel, registration_kernel

    if None in (pixel_kernel.library(), registration_kernel.library()):
        fact = 'not built: point clouds of a CPU take several times as long'
        return CheckResult('pixel kernel', Health.POOR, fact, BUILD_AGAIN)
    return CheckResult('pixel kernel', Health.GOOD, 'compiled')


def convolutions_built() -> CheckResult:
    """Check that convolutions of a CPU are made by compiled code."""
    from s2m2_ros.network import winograd

    if not winograd.is_built():
        fact = 'not built: the network takes up to 1.7 times as long on a CPU'
        return CheckResult('convolutions', Health.POOR, fact, BUILD_AGAIN)
    if winograd.library() is None:
        fact = 'those of PyTorch: the compiled ones need GCC and a processor with AVX2'
        return CheckResult('convolutions', Health.NOTE, fact)
    return CheckResult('convolutions', Health.GOOD, 'compiled')


def checkpoints() -> Iterator[CheckResult]:
    """Check the weights that are here; only the starter checkpoint must be."""
    try:
        find_checkpoint('starter')
    except WeightsError as error:
        yield CheckResult('checkpoint starter', Health.BROKEN, str(error))
    for name, checkpoint in CHECKPOINTS.items():
        path = checkpoint_path(checkpoint)
        if not path.is_file():
            continue
        if is_intact(checkpoint, path):
            yield CheckResult(f'checkpoint {name}', Health.GOOD, str(path))
        else:
            fact = f'{path} is damaged'
            yield CheckResult(f'checkpoint {name}', Health.BROKEN, fact, checkpoint.remedy)
    yield from added_files()


def added_files() -> Iterator[CheckResult]:
    """Check the files that were added to the weights folder."""
    try:
        for record in added_checkpoints(cache_folder()):
            path = added_folder(cache_folder()) / record.filename
            if is_added_intact(record, cache_folder()):
                yield CheckResult(f'checkpoint {record.name}', Health.GOOD, str(path))
            else:
                fact = f'{path} is missing or damaged'
                remedy = f'run `s2m2 weights add` again for it (it came from {record.source})'
                yield CheckResult(f'checkpoint {record.name}', Health.BROKEN, fact, remedy)
    except WeightsError as error:
        yield CheckResult('added checkpoints', Health.BROKEN, str(error))


def _import_fault(module: str) -> str:
    """Return why a module cannot be imported; empty if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # compiled ones raise more than ImportError
        return safe_text(error or type(error).__name__)
    return ''


def _import_remedy(fault: str) -> str:
    """Return what to do about a package of ROS that is there and cannot be imported."""
    if 'numpy' in fault.lower() or '_ARRAY_API' in fault:
        return 'it was compiled for another NumPy: with Humble and Jazzy, `pip install "numpy<2"`'
    python_version = '.'.join(map(str, sys.version_info[:2]))
    return f'install it again; a ROS of another Python than {python_version} cannot be used'


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _profile() -> str:
    try:
        return str(shared_file(large_messages.PROFILE))
    except S2M2Error:
        return f'<s2m2_ros>/{large_messages.PROFILE}'
