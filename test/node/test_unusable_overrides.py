"""qos_overrides of which rclpy makes nothing, on real nodes: named, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.lifecycle import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from s2m2_ros.node.inputs.endpoints import Topic
from s2m2_ros.node.inputs.input_qos import InputSubscription
from s2m2_ros.node.outputs.publishers import Publishers
from s2m2_ros.node.parameter_values import ParameterError
from s2m2_ros.node.stereo_node import StereoNode


@contextmanager
def running(parameters: Mapping[str, Any], kind: type[Any] = Node) -> Iterator[Any]:
    """Run a node with these parameters."""
    context = Context()
    context.init()
    values = [Parameter(name, value=value) for name, value in parameters.items()]
    name = () if kind is StereoNode else ('overridden',)
    node = kind(*name, context=context, parameter_overrides=values)
    try:
        yield node
    finally:
        node.close() if kind is StereoNode else node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize(('policy', 'value'), [('reliability', 'bad'), ('depth', 'ten')])
def test_of_an_output(policy: str, value: Any) -> None:
    override = {f'qos_overrides./second.publisher.{policy}': value}
    with running(override) as node:
        before = len(list(node.publishers))
        with pytest.raises(ParameterError, match=rf'qos_overrides of /second: .*{value}'):
            Publishers(node, lambda: None, {'first': String, 'second': String})
        assert len(list(node.publishers)) == before


def test_of_an_input() -> None:
    override = {'qos_overrides./left.subscription.reliability': 'bad'}
    with running(override) as node:
        made = InputSubscription(node, lambda *_: None, lambda: None, latched=False)
        with pytest.raises(ParameterError, match=r'qos_overrides of /left: subscription: .*bad'):
            made.follow(Image, Topic('left', '/left'), [])


STEREO: Mapping[str, Any] = {'backend': 'sgbm', 'autostart': False}


def test_configuring_fails_with_the_reason() -> None:
    override = {'qos_overrides./points.publisher.reliability': 'bad'}
    with running({**STEREO, **override}, StereoNode) as node:
        before = len(list(node.publishers))
        node.trigger_configure()
        assert faults(node) == ['cannot configure: ' + REASON]
        assert node._label() == 'unconfigured'
        assert len(list(node.publishers)) == before


REASON = (
    'qos_overrides of /points: publisher: Unexpected QoS override for policy `reliability`: '
    '`bad`; allowed are reliability (reliable, best_effort), durability (volatile, '
    'transient_local), history (keep_last, keep_all) and depth (an integer above 0); correct it '
    'and start the node again'
)


def test_what_a_transition_raises_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    with running(STEREO, StereoNode) as node:
        node.trigger_configure()
        monkeypatch.setattr(node, 'report', reported.append)
        monkeypatch.setattr(node._group, 'activate', lambda: 1 // 0)
        node.trigger_activate()
        assert len(reported) == 1
        assert reported[0].startswith('on_activate: ZeroDivisionError')
        assert node._label() == 'unconfigured'


def faults(node: StereoNode) -> list[str]:
    """Return the texts of the faults that last."""
    return [text for _, text in node._faults.current().values()]
