"""A DDS domain for each run, so that parallel runs never mix."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import MutableMapping
from pathlib import Path

from s2m2_ros.errors import S2M2Error
from s2m2_ros.large_messages import profile_environment

# Linux's ephemeral ports begin at 32768: higher domains could collide with them.
DOMAINS = range(1, 101)


class NoFreeDomainError(S2M2Error):
    """Every domain is claimed by another process of this machine."""


def claim_domain() -> tuple[int, socket.socket]:
    """Return a domain id that no other process claimed this way, and the lock that keeps it.

    The lock is an abstract Unix socket: it leaves no file and ends with the process, also if
    that is killed. Keep a reference to it.
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


def confine(environment: MutableMapping[str, str], domain: int, *, profile: Path) -> None:
    """Set the variables that keep ROS 2 to a domain, this machine, and large shared memory."""
    environment['ROS_DOMAIN_ID'] = str(domain)
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    if os.environ.get('ROS_DISTRO') == 'humble':
        environment['ROS_LOCALHOST_ONLY'] = '1'  # which does not know the range yet
    # Fast DDS's default shared-memory segment of 512 KiB loses larger best-effort messages.
    environment.update(profile_environment(os.environ, profile))
