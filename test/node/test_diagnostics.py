"""The state of the node becomes four statuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from s2m2_ros.geometry.rectification_check import Examination
from s2m2_ros.node.diagnostics import Snapshot, diagnostic_array
from s2m2_ros.node.faults import DropCause, Fault, Level
from s2m2_ros.node.inputs.sync_diagnosis import InputTopic
from s2m2_ros.node.matcher_supervisor import MatcherState
from s2m2_ros.node.statistics import Session


def snapshot(**changed: Any) -> Snapshot:
    usual = Snapshot(
        node_name='/rig/stereo_node',
        lifecycle_state='active',
        faults={},
        matcher=MatcherState('torch', 'float32', 'cpu'),
        session=Session(),
        topics=(InputTopic('/rig/left/image_rect'),),
        subscribed=frozenset({'points', 'depth'}),
    )
    return replace(usual, **changed)


def statuses(found: Snapshot) -> dict[str, DiagnosticStatus]:
    array = diagnostic_array(found, Time(sec=7))
    assert array.header.stamp.sec == 7
    assert all(status.hardware_id == '/rig/stereo_node' for status in array.status)
    return {status.name.removeprefix('/rig/stereo_node: '): status for status in array.status}


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_a_healthy_node_is_ok_in_all_four() -> None:
    found = statuses(snapshot())
    assert list(found) == ['inputs', 'matching', 'outputs', 'calibration']
    assert {(status.level, status.message) for status in found.values()} == {(b'\0', 'OK')}
    assert values(found['outputs'])['topics with subscribers'] == 'depth points'
    assert values(found['matching'])['backend'] == 'torch'
    assert values(found['matching'])['mean confidence'] == 'unknown'


@pytest.mark.parametrize('fault', list(Fault))
def test_every_fault_is_in_the_status_of_its_part_alone(fault: Fault) -> None:
    found = statuses(snapshot(faults={fault: (fault.level, 'something is wrong')}))
    for name, status in found.items():
        if name == fault.part.value:
            assert (status.level, status.message) == (bytes([fault.level]), 'something is wrong')
        else:
            assert status.level == b'\0'


def test_the_worst_level_counts_and_all_texts_are_there() -> None:
    faults = {Fault.RATES: (Level.WARN, 'slow'), Fault.INPUT: (Level.ERROR, 'broken')}
    status = statuses(snapshot(faults=faults))['inputs']
    assert (status.level, status.message) == (b'\2', 'slow; broken')


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'lifecycle_state': 'inactive'}, 'inactive'),
        ({'topics': ()}, 'idle: no subscribers'),
        (
            {'topics': (), 'stats_subscribed': True},
            'idle: no subscribers, and stats alone start no matching',
        ),
        ({'topics': (), 'session': Session(paused=True)}, 'paused'),
        ({'session': Session(paused=True), 'max_rate': 5.0}, 'paused'),
        ({'session': Session(paused=True), 'lifecycle_state': 'inactive'}, 'inactive'),
    ],
)
def test_an_idle_node_says_so(changed: dict[str, Any], message: str) -> None:
    assert {s.message for s in statuses(snapshot(**changed)).values()} == {message}


def test_a_limited_rate_is_named_and_no_fault() -> None:
    found = statuses(snapshot(max_rate=7.5))
    assert found['outputs'].message == 'OK, at most 7.5 Hz by max_rate'
    assert {status.level for status in found.values()} == {b'\0'}
    assert {s.message for name, s in found.items() if name != 'outputs'} == {'OK'}
    assert values(found['outputs'])['max_rate [Hz]'] == '7.5'
    assert values(statuses(snapshot())['outputs'])['max_rate [Hz]'] == 'no limit'
    slow = {Fault.OUTPUT: (Level.ERROR, 'a pair was lost')}
    assert statuses(snapshot(max_rate=7.5, faults=slow))['outputs'].message == 'a pair was lost'


def test_a_pause_is_shown_beside_faults_that_last() -> None:
    faults = {Fault.MISALIGNMENT: (Level.WARN, 'misaligned')}
    found = statuses(snapshot(session=Session(paused=True), faults=faults))
    assert values(found['outputs'])['paused'] == 'True'
    assert (found['outputs'].level, found['outputs'].message) == (b'\0', 'paused')
    assert found['calibration'].message == 'misaligned'


def test_drops_are_counted_by_cause() -> None:
    session = Session()
    for cause, count in ((DropCause.SUPERSEDED, 2), (DropCause.UNMATCHED, 3)):
        for _ in range(count):
            session.counters.receive()
        session.counters.drop(cause, count)
    session.counters.receive()
    found = values(statuses(snapshot(session=session))['outputs'])
    assert found['pairs dropped'] == '5'
    assert found['pairs waiting'] == '1'
    assert found['dropped: superseded'] == '2'
    assert found['dropped: unmatched'] == '3'
    assert 'dropped: failed' not in found


def test_a_fall_of_the_confidence_is_a_warning() -> None:
    session = Session()
    for _ in range(600):
        session.confidence.add(0.9)
    for _ in range(60):
        session.confidence.add(0.5)
    status = statuses(snapshot(session=session))['matching']
    assert status.level == b'\1'
    assert 'the mean confidence fell from 0.86 to 0.52' in status.message


def test_the_examination_is_shown() -> None:
    session = Session(examination=Examination(40, 1.25, 0.5))
    found = values(statuses(snapshot(session=session))['calibration'])
    assert found['vertical offset [px]'] == '1.25'
    assert found['vertical spread [px]'] == '0.5'
    assert found['matched features'] == '40'
