"""A process that calls the services of a node again and again, and never waits for an answer.

Usage: python -m support.vanishing_clients NODE SECONDS
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import rclpy
from lifecycle_msgs.srv import GetAvailableStates, GetAvailableTransitions, GetState
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from std_srvs.srv import SetBool

SERVICES = {
    'get_parameters': GetParameters,
    'list_parameters': ListParameters,
    'set_parameters': SetParameters,
    'describe_parameters': DescribeParameters,
    'get_parameter_types': GetParameterTypes,
    'set_parameters_atomically': SetParametersAtomically,
    'get_state': GetState,
    'get_available_states': GetAvailableStates,
    'get_available_transitions': GetAvailableTransitions,
    'get_transition_graph': GetAvailableTransitions,
    'enable': SetBool,
}
# Those of the others are empty.
REQUESTS = {'enable': SetBool.Request(data=True)}
CALLS_EACH = 20


def main(name: str, seconds: float) -> None:
    """Call, vanish, and come back as somebody else, for this long."""
    rclpy.init()
    node: Any = rclpy.create_node('vanishing_clients')
    deadline = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < deadline:
        clients = {s: node.create_client(kind, f'{name}/{s}') for s, kind in SERVICES.items()}
        for service, client in clients.items():
            client.wait_for_service(timeout_sec=1.0)
            for _ in range(CALLS_EACH):
                client.call_async(REQUESTS.get(service, client.srv_type.Request()))
                sent += 1
        for client in clients.values():
            node.destroy_client(client)
    sys.stdout.write(f'{sent}\n')
    sys.stdout.flush()
    os._exit(0)  # as a process does that is killed


if __name__ == '__main__':
    main(sys.argv[1], float(sys.argv[2]))
