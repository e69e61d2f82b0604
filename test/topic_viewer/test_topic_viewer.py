"""The loop of the topic viewer: what ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from s2m2_ros.topic_viewer import topic_viewer
from s2m2_ros.topic_viewer.topic_viewer import TopicViewer, ViewOptions, joined_graph, view_topics


class Destroyed:
    """Its destructor is where the signal arrives: an exception of it would be lost there."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As the commands set them, which turn both signals into KeyboardInterrupt."""
    former = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_destructor_ends_the_view(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def update(viewer: TopicViewer) -> None:
        assert not asked, 'the signal was lost'
        asked.append(number)
        Destroyed(number)

    monkeypatch.setattr(topic_viewer.TopicViewer, '_update', update)
    with joined_graph() as context:
        view_topics(context, ViewOptions(port=0))
    assert asked == [number]
    assert signal.getsignal(number) is signal.default_int_handler
