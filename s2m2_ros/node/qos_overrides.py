"""The parameters `qos_overrides.TOPIC.USE.POLICY`: which are read, given, or wrong."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.qos import QoSPolicyKind

from s2m2_ros.text_safety import safe_text

PREFIX = 'qos_overrides.'
# Those that rclpy lets a publisher declare by default, as the outputs do.
_OF_OUTPUTS = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY)
OVERRIDABLE = (*_OF_OUTPUTS, QoSPolicyKind.DURABILITY)
"""Those of a subscription."""
_POLICIES = {
    use: tuple(kind.name.lower() for kind in kinds)
    for use, kinds in (('publisher', _OF_OUTPUTS), ('subscription', OVERRIDABLE))
}


def why_no_override(name: str) -> str:
    """Say why nothing reads this name below qos_overrides; empty if something may."""
    # Names of topics have no dots.
    parts = name.removeprefix(PREFIX).split('.')
    if len(parts) != 3 or not parts[0].startswith('/'):
        return (
            'below qos_overrides come the full name of a topic, publisher or subscription, and a '
            'policy'
        )
    _, entity, policy = parts
    # rclpy lets an identifier follow.
    policies = _POLICIES.get(entity.partition('_')[0])
    if policies is None:
        return f"'{safe_text(entity)}' must be one of {', '.join(_POLICIES)}"
    if policy not in policies:
        return f"'{safe_text(policy)}' must be one of {', '.join(policies)}"
    return ''


def unusable_overrides(topic: str, use: str, error: Exception) -> str:
    """Return why a publisher or subscription of this full name, the `use`, cannot be made."""
    return (
        f'qos_overrides of {topic}: {use}: {safe_text(error)}; allowed are reliability (reliable, '
        'best_effort), durability (volatile, transient_local), history (keep_last, keep_all) and '
        'depth (an integer above 0); correct it and start the node again'
    )


def overridden_policies(node: Any, topic: str) -> frozenset[QoSPolicyKind]:
    """Return the policies that parameters `qos_overrides.TOPIC.subscription.*` set."""
    return frozenset(policy for policy in OVERRIDABLE if _is_set(node, topic, policy))


def _is_set(node: Any, topic: str, policy: QoSPolicyKind) -> bool:
    name = f'{PREFIX}{topic}.subscription.{policy.name.lower()}'
    if node.has_parameter(name):
        return True
    # Without a default the parameter has a value only if the user gave one.
    node.declare_parameter(name, None, ParameterDescriptor(dynamic_typing=True))
    found = node.get_parameter(name).value is not None
    node.undeclare_parameter(name)
    return found
