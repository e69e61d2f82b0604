"""Fixtures for the tests of the stand-ins, which also pass with the real ROS packages."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


@pytest.fixture
def stand_in_only() -> None:
    """Leave out, where a real ROS 2 is sourced, what the stand-ins do better."""
    if 'ROS_DISTRO' in os.environ:
        pytest.skip('the real ROS package is known to behave worse here')


@pytest.fixture(scope='session')
def ros_domain() -> Iterator[int]:
    """Claim a DDS domain for this process: the lock is a socket that dies with it."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock,
        pytest.MonkeyPatch.context() as patch,
    ):
        domain = next(number for number in range(1, 101) if _claims(lock, number))
        patch.setenv('ROS_DOMAIN_ID', str(domain))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        yield domain


def _claims(lock: socket.socket, domain: int) -> bool:
    try:
        lock.bind(f'\0s2m2_ros_test_domain_{domain}')
    except OSError:
        return False
    return True


@pytest.fixture
def executor(ros_domain: int) -> Iterator[SingleThreadedExecutor]:
    context = Context()
    context.init(domain_id=ros_domain)
    executor = SingleThreadedExecutor(context=context)
    yield executor
    executor.shutdown()
    context.try_shutdown()


@pytest.fixture
def node(executor: SingleThreadedExecutor) -> Iterator[Node]:
    node = Node('listener', namespace='/ns', context=executor.context)
    executor.add_node(node)
    yield node
    node.destroy_node()
