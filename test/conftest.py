"""Set-up of the whole suite."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from support.isolation import isolate

DOMAIN_LOCK = pytest.StashKey[object]()

# A busy machine is no error. The same examples each time: whoever changes something else must not
# be the one to find them. `--hypothesis-profile=search` draws others.
hypothesis.settings.register_profile('s2m2_ros', deadline=None, derandomize=True)
hypothesis.settings.register_profile('search', deadline=None, max_examples=1000)


def pytest_configure(config: pytest.Config) -> None:
    """Give this test process (each worker is one) a DDS domain and log folder of its own."""
    config.stash[DOMAIN_LOCK] = isolate()
    # A shell lets commands in the background ignore it, and so their children would.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption('--hypothesis-profile'):
        hypothesis.settings.load_profile('s2m2_ros')


@pytest.fixture(scope='session', autouse=True)
def ros_log_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the log files of nodes out of the user's home."""
    os.environ['ROS_LOG_DIR'] = str(tmp_path_factory.mktemp('ros_log'))


@pytest.fixture(autouse=True)
def plain_loggers() -> Iterator[None]:
    """Undo what importing launch does: loggers made later would not propagate to pytest's."""
    yield
    logging.setLoggerClass(logging.Logger)
