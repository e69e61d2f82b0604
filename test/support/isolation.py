"""A DDS domain for each test process, so that suites side by side never meet."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from s2m2_ros.demo.isolation import claim_domain, confine

LARGE_MESSAGES = Path(__file__).parents[2] / 'config' / 'fastdds_large_messages.xml'


def isolate() -> socket.socket:
    """Confine this process and its children to a claimed domain on this machine.

    The commands of this environment (colcon, s2m2) come first on their path, sourced or not.
    """
    os.environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    domain, lock = claim_domain()
    confine(os.environ, domain, profile=LARGE_MESSAGES)
    return lock
