"""Configure Fast DDS for images and clouds, which its default settings lose.

The profile makes the shared-memory segment of a publisher larger. Which variable names its file
depends on the ROS 2 distribution.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from xml.etree import ElementTree

from s2m2_ros.errors import S2M2Error
from s2m2_ros.shared_files import shared_file

PROFILE = 'config/fastdds_large_messages.xml'
NEW_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
OLD_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
TRANSPORTS_VARIABLE = 'FASTDDS_BUILTIN_TRANSPORTS'
EASY_MODE_VARIABLE = 'ROS2_EASY_MODE'  # of Kilted on: chooses transports too
# A cloud of 1280x720 points has 15 MB.
ENOUGH_SEGMENT = 16 << 20
SHARED_MEMORY = Path('/dev/shm')  # noqa: S108  where Fast DDS has its segments
# The segment of the profile, and what Fast DDS keeps beside it.
SEGMENT_ROOM = 72 << 20
# Files in the working directory that Fast DDS reads by default.
LOCAL_PROFILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')
# Distributions before Kilted ignore the new name; Kilted warns about the old one.
READING_OLD_NAME_ONLY = frozenset({'humble', 'iron', 'jazzy'})
FIRST_RCLPY_WITH_NEW_NAME = 8


def reads_new_name(environment: Mapping[str, str]) -> bool | None:
    """Return whether this distribution's Fast DDS reads the new variable; None if unknown.

    Goes by `ROS_DISTRO`, or by the version of rclpy where that is not set (ROS 2 from wheels).
    """
    distribution = environment.get('ROS_DISTRO')
    if distribution:
        return distribution not in READING_OLD_NAME_ONLY
    try:
        return int(version('rclpy').split('.')[0]) >= FIRST_RCLPY_WITH_NEW_NAME
    except (PackageNotFoundError, ValueError):
        return None


def profile_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables to set, both if the distribution is unknown."""
    new = reads_new_name(environment)
    if new is None:
        return NEW_VARIABLE, OLD_VARIABLE
    return (NEW_VARIABLE,) if new else (OLD_VARIABLE,)


def variables_read(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that have an effect here, the one that overrides the other first."""
    if reads_new_name(environment) is False:
        return (OLD_VARIABLE,)
    return NEW_VARIABLE, OLD_VARIABLE


def segment_size(profile: Path) -> int:
    """Return the bytes of the largest shared-memory segment in a profile; 0 if none is set.

    Raises OSError or ValueError for a file that is no profile.
    """
    try:
        root = ElementTree.fromstring(profile.read_bytes())  # noqa: S314  no foreign file
    except ElementTree.ParseError as error:
        raise ValueError(f'not XML: {error}') from error
    sizes = [e.text or '' for e in root.iter() if e.tag.rsplit('}', 1)[-1] == 'segment_size']
    return max((int(size) for size in sizes), default=0)


def profile_environment(environment: Mapping[str, str], profile: Path | str) -> dict[str, str]:
    """Return the variables that make this profile effective."""
    return dict.fromkeys(profile_variables(environment), str(profile))


def default_environment(environment: Mapping[str, str], profile: Path) -> dict[str, str]:
    """Return the variables to add for a publisher of large messages.

    None if the user configured Fast DDS, in variables or the working directory, uses another
    RMW implementation, or if there is no room for the segment: Fast DDS would do without shared
    memory. A profile of the user in a variable that this distribution ignores is named in the one
    that it reads.
    """
    if not _has_room() or not _is_default(environment):
        return {}
    return profile_environment(environment, environment.get(NEW_VARIABLE) or profile)


def provide_profile() -> list[str]:
    """Let this process publish large messages, as the launch files do.

    Before rclpy is initialized. Returns what to warn of, for the log.
    """
    if not _is_default(os.environ):
        return []
    if not _has_room():
        return [
            f"less than {SEGMENT_ROOM >> 20} MiB are free in '{SHARED_MEMORY}': Fast DDS keeps "
            'its segment of 512 KiB, and subscribers lose images and clouds. In a container give '
            '--ipc=host or --shm-size=1g'
        ]
    try:
        os.environ.update(default_environment(os.environ, shared_file(PROFILE)))
    except S2M2Error as error:
        return [f'Fast DDS keeps its segment of 512 KiB: {error}']
    return []


def _has_room() -> bool:
    try:
        return shutil.disk_usage(SHARED_MEMORY).free >= SEGMENT_ROOM
    except OSError:
        return True  # elsewhere, or not to be known


def _is_default(environment: Mapping[str, str]) -> bool:
    """Return whether Fast DDS is used, and nothing of the user's configures it."""
    middleware = environment.get('RMW_IMPLEMENTATION', '')
    if middleware and 'fastrtps' not in middleware:
        return False
    effective = (*variables_read(environment), TRANSPORTS_VARIABLE, EASY_MODE_VARIABLE)
    if any(environment.get(name) for name in effective):
        return False
    return not any(Path(name).is_file() for name in LOCAL_PROFILES)
