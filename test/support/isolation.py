"""A DDS domain for each test process, so that suites side by side never meet."""

from __future__ import annotations

import os
import random
import socket
import sys
from pathlib import Path

# Linux's ephemeral ports begin at 32768: higher domains could collide with them.
DOMAINS = range(1, 101)

LARGE_MESSAGES = Path(__file__).parents[2] / 'config' / 'fastdds_large_messages.xml'


class NoFreeDomainError(RuntimeError):
    """Every domain is claimed by another process."""


def claim_domain() -> tuple[int, socket.socket]:
    """Return a domain id that no other test process has, and the lock that keeps it.

    The lock is an abstract Unix socket: it leaves no file and ends with the process, however that
    dies. Keep a reference to it.
    """
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f'\0s2m2_ros_test_domain_{domain}')
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise NoFreeDomainError(f'all {len(DOMAINS)} DDS domains are claimed')


def isolate() -> socket.socket:
    """Confine this process and its children to a claimed domain on this machine.

    The commands of this environment (colcon, s2m2) come first on their path, sourced or not.
    """
    os.environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    domain, lock = claim_domain()
    os.environ['ROS_DOMAIN_ID'] = str(domain)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    if os.environ.get('ROS_DISTRO') == 'humble':  # which does not know the range yet
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    # Fast DDS's default shared-memory segment of 512 KiB loses larger best-effort messages.
    for variable in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        os.environ[variable] = str(LARGE_MESSAGES)
    return lock
