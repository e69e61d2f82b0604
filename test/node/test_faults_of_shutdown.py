"""What fails only because the node is being shut down is not told as a fault."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from s2m2_ros.node.faults import Fault, FaultLog, log_to


def test_nothing_is_logged_once_the_context_is_shut_down(
    capfd: pytest.CaptureFixture[str],
) -> None:
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node('faulty', context=context, enable_rosout=False, start_parameter_services=False)
    faults = FaultLog(log_to(node.get_logger(), context))
    faults.report(Fault.DISPATCH, 'while it works')
    context.shutdown()
    faults.report(Fault.INTERNAL, 'RCLError: context is invalid')
    node.destroy_node()
    logged = capfd.readouterr().err
    assert 'while it works' in logged
    assert 'invalid' not in logged
