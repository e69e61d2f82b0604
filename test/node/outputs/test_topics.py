"""The table of output topics."""

from __future__ import annotations

import pytest

from s2m2_ros.geometry import Output
from s2m2_ros.node.outputs.topics import OUTPUT_TOPICS, STATS, TYPES, needed_outputs


def test_only_what_is_subscribed_is_computed() -> None:
    assert needed_outputs(()) == set()
    assert needed_outputs({'depth/camera_info', 'registered/camera_info'}) == set()
    assert needed_outputs({'registered/depth'}) == {Output.REGISTERED_DEPTH}
    assert needed_outputs({'depth', 'points'}) == {Output.DEPTH, Output.POINTS}
    estimate = {Output.DISPARITY, Output.CONFIDENCE, Output.VISIBILITY}
    assert needed_outputs({'estimate', 'disparity'}) == estimate


def test_stats_are_no_reason_to_match() -> None:
    assert STATS in TYPES
    assert STATS not in OUTPUT_TOPICS


@pytest.mark.parametrize('name', list(OUTPUT_TOPICS))
def test_every_topic_is_described(name: str) -> None:
    assert OUTPUT_TOPICS[name].description
