"""The SROS2 policy allows the topics and services of a running node, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rclpy
from rclpy.context import Context
from sensor_msgs.msg import PointCloud2

from s2m2_ros.node.outputs.topic_types import TYPES
from support.processes import SOURCE
from support.robot import robot
from support.several_cameras import running_fleet
from support.stereo_rig import COMMAND

POLICY = SOURCE / 'doc' / 'sros2_policy.xml'
POLICY_OF_CAMERAS = SOURCE / 'doc' / 'sros2_policy_cameras.xml'
NODE = 'stereo_node'
PATIENCE = 180.0
# Humble's rclpy has no such service.
SINCE_JAZZY = 'get_type_description'
# Without their optional packages they are not published.
CAMERAS = ('front', 'rear')
OPTIONAL = {'points/zlib', 'points/zstd'} - set(TYPES)


def allowed(kind: str, access: str, namespace: str, policy: Path = POLICY) -> set[str]:
    """Return the full names that the policy allows, with the node in this namespace."""
    (profile,) = ElementTree.parse(policy).getroot().iter('profile')  # noqa: S314 (our own file)
    assert (profile.get('ns'), profile.get('node')) == ('/', NODE)
    names = [
        str(entry.text)
        for group in profile.findall(kind)
        if group.get(access) == 'ALLOW'
        for entry in group
    ]
    assert len(set(names)) == len(names)
    full = (name.replace('~', f'{namespace}/{NODE}') for name in names)
    return {name if name.startswith('/') else f'{namespace}/{name}' for name in full}


@contextmanager
def observer() -> Iterator[Any]:
    context = Context()
    context.init()
    node = rclpy.create_node('observer', context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        context.shutdown()


def wait_for(look: Callable[[], set[str]], wanted: set[str]) -> None:
    """Wait until exactly these are there; the graph is found piece by piece."""
    deadline = time.monotonic() + PATIENCE
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, (
            f'{found - wanted} not allowed, {wanted - found} unused'
        )
        time.sleep(0.05)


def test_the_policy_allows_what_the_node_needs_and_no_more() -> None:
    options: dict[str, Any] = {
        'points_frame': 'map',
        'points_color_source': 'color',
        'use_sim_time': True,
    }
    with robot(topics=('points',), image_transport='raw', **options) as made, observer() as node:
        made.wait_diagnostics(lambda _: True, 'diagnostics', since=0)
        graph = Graph(node, made.namespace)
        missing = {f'{made.namespace}/{topic}' for topic in OPTIONAL}
        wait_for(graph.published, allowed('topics', 'publish', made.namespace) - missing)
        services = allowed('services', 'reply', made.namespace)
        if not any(name.endswith(SINCE_JAZZY) for name in graph.services()):
            services = {name for name in services if not name.endswith(SINCE_JAZZY)}
        wait_for(graph.services, services)
        subscribed = allowed('topics', 'subscribe', made.namespace)
        compressed = {name for name in subscribed if name.endswith('/compressed')}
        assert len(compressed) == 3
        wait_for(graph.subscribed, subscribed - compressed)
        assert made.set_parameter('image_transport', 'compressed') == ''
        raw = {name.removesuffix('/compressed') for name in compressed}
        wait_for(graph.subscribed, subscribed - raw)


def test_the_policy_of_several_cameras_allows_what_the_node_needs_and_no_more() -> None:
    parameters = (
        'backend:=sgbm', 'merged_points:=base', 'points_color_source:=color',
        'image_transport:=raw', 'use_sim_time:=true',
    )  # fmt: skip
    with running_fleet(*CAMERAS, parameters=parameters, command=COMMAND) as fleet:
        namespace = fleet.node.node.get_namespace()
        graph = Graph(fleet.node.node, namespace)

        def policy(kind: str, access: str) -> set[str]:
            return allowed(kind, access, namespace, POLICY_OF_CAMERAS)

        def look(find: Callable[[], set[str]]) -> Callable[[], set[str]]:
            def spin_and_find() -> set[str]:
                fleet.spin(0.05)
                return find()

            return spin_and_find

        missing = {f'{namespace}/{name}/{topic}' for name in CAMERAS for topic in OPTIONAL}
        wait_for(look(graph.published), policy('topics', 'publish') - missing)
        services = policy('services', 'reply')
        if not any(name.endswith(SINCE_JAZZY) for name in graph.services()):
            services = {name for name in services if not name.endswith(SINCE_JAZZY)}
        wait_for(look(graph.services), services)
        # One cloud for all cameras: each is subscribed to, and so is tf.
        fleet.node.node.create_subscription(PointCloud2, 'merged_points', lambda _: None, 1)
        subscribed = policy('topics', 'subscribe')
        compressed = {name for name in subscribed if name.endswith('/compressed')}
        assert len(compressed) == 3 * len(CAMERAS)
        wait_for(look(graph.subscribed), subscribed - compressed)
        assert fleet.node.set_parameters(image_transport='compressed') == [(True, '')]
        raw = {name.removesuffix('/compressed') for name in compressed}
        wait_for(look(graph.subscribed), subscribed - raw)


class Graph:
    """What the node has, as another node sees it."""

    def __init__(self, node: Any, namespace: str) -> None:
        self._node = node
        self._arguments = (NODE, namespace)

    def published(self) -> set[str]:
        return self._names('publisher')

    def subscribed(self) -> set[str]:
        return self._names('subscriber')

    def services(self) -> set[str]:
        return self._names('service')

    def _names(self, kind: str) -> set[str]:
        if self._arguments not in self._node.get_node_names_and_namespaces():
            return set()
        look = getattr(self._node, f'get_{kind}_names_and_types_by_node')
        return {name for name, _ in look(*self._arguments)}
