"""Three stereo nodes in three namespaces of one domain: their answers never mix."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from support.robot import robot

DISPARITIES = (4, 8, 16)
OUTPUTS = 20


def test_three_nodes_keep_their_answers_apart() -> None:
    with ExitStack() as stack:
        # Each `robot` requires at its end that every output has a header of its own camera.
        robots = [stack.enter_context(robot(rate=10.0)) for _ in DISPARITIES]
        shown = [
            made.show(disparity=disparity, focal_length=25.0 * disparity)
            for made, disparity in zip(robots, DISPARITIES, strict=True)
        ]
        for made, frame in zip(robots, shown, strict=True):
            made.wait_count('disparity', frame, OUTPUTS)
        for made, frame, disparity in zip(robots, shown, DISPARITIES, strict=True):
            outputs = made.outputs(frame)
            assert {output['f'] for output in outputs} == {25.0 * disparity}
            medians = [output['median'] for output in outputs]
            assert medians == pytest.approx([disparity] * len(medians), abs=0.5)
            # All speak on the one topic for diagnostics, each of itself, once in a while.
            for each in robots:
                made.watcher.events.wait(diagnosed(each.name), f'diagnostics of {each.name}')


def diagnosed(node: str) -> Callable[[Any], bool]:
    return lambda event: event['topic'] == '/diagnostics' and event['node'] == node
