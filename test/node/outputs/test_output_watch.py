"""Another publisher of an output is reported, but not one of a process that died."""

from __future__ import annotations

from s2m2_ros.node.inputs.endpoints import Endpoint
from s2m2_ros.node.outputs.output_watch import LINGERING, OutputWatch

OWN = Endpoint('/eyes', 'sensor_msgs/msg/Image', b'own', reliable=True, transient_local=False)
TWIN = Endpoint('/eyes', 'sensor_msgs/msg/Image', b'twin', reliable=True, transient_local=False)
DRIVER = Endpoint('/driver', 'sensor_msgs/msg/Image', b'd', reliable=True, transient_local=False)


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.watch = OutputWatch(clock=lambda: self.now)

    def explain(self, *others: Endpoint) -> str | None:
        return self.watch.explain({'/depth': (OWN, *others), '/points': (OWN,)})


def test_the_node_started_twice_is_reported_in_time() -> None:
    bench = Bench()
    assert bench.explain(TWIN) is None
    bench.now += LINGERING
    text = bench.explain(TWIN)
    assert text is not None
    assert text.startswith('/depth: 2 publishers each (/eyes, /eyes)')
    assert '/points' not in text
    assert bench.explain() is None


def test_every_time_counts_from_its_beginning() -> None:
    bench = Bench()
    bench.explain(DRIVER)
    bench.now += LINGERING - 1
    assert bench.explain(DRIVER) is None
    assert bench.explain() is None  # it is gone: a process that had died
    bench.now += LINGERING
    assert bench.explain(DRIVER) is None
    bench.now += LINGERING
    assert '/driver' in str(bench.explain(DRIVER))
