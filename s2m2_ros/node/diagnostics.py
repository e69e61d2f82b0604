"""The state of the node as diagnostic messages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from s2m2_ros.geometry.rectification_check import Examination
from s2m2_ros.node.device_memory import peak_device_memory
from s2m2_ros.node.faults import DropCause, Fault, Level, Part
from s2m2_ros.node.inputs.sync_diagnosis import InputTopic
from s2m2_ros.node.matcher_supervisor import MatcherState
from s2m2_ros.node.statistics import Session

# A fall of the mean confidence by this much can mean dirty lenses.
CONFIDENCE_FALL = 0.15
STATS_ALONE = ', and stats alone start no matching'


@dataclass(frozen=True)
class Snapshot:
    """Everything that the diagnostics report; `topics` is empty while nothing is subscribed."""

    node_name: str
    lifecycle_state: str
    faults: Mapping[Fault, tuple[Level, str]]
    matcher: MatcherState
    session: Session
    topics: Sequence[InputTopic]
    subscribed: frozenset[str]
    max_rate: float = 0.0
    stats_subscribed: bool = False


def diagnostic_array(snapshot: Snapshot, stamp: object) -> DiagnosticArray:
    """Return the four statuses: inputs, matching, outputs and calibration."""
    parts = {
        Part.INPUTS: _inputs(snapshot),
        Part.MATCHING: _matching(snapshot),
        Part.OUTPUTS: _outputs(snapshot),
        Part.CALIBRATION: _calibration(snapshot.session.examination),
    }
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [_status(snapshot, part, values) for part, values in parts.items()]
    return array


def _status(snapshot: Snapshot, part: Part, values: Mapping[str, str]) -> DiagnosticStatus:
    reported = [found for fault, found in snapshot.faults.items() if fault.part is part]
    trend = snapshot.session.confidence
    if part is Part.MATCHING and trend.change < -CONFIDENCE_FALL:
        text = f'the mean confidence fell from {trend.usual:.2f} to {trend.recent:.2f}'
        reported.append((Level.WARN, f'{text}: dirty lenses, darkness, or a moved camera?'))
    level = max((level for level, _ in reported), default=Level.OK)
    return DiagnosticStatus(
        level=bytes([level]),
        name=f'{snapshot.node_name}: {part.value}',
        message='; '.join(text for _, text in reported) or _idle_or_fine(snapshot, part),
        hardware_id=snapshot.node_name,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _idle_or_fine(snapshot: Snapshot, part: Part) -> str:
    if snapshot.lifecycle_state != 'active':
        return snapshot.lifecycle_state
    if snapshot.session.paused:
        return 'paused'
    if not snapshot.topics:
        return 'idle: no subscribers' + (STATS_ALONE if snapshot.stats_subscribed else '')
    if part is Part.OUTPUTS and snapshot.max_rate:
        return f'OK, at most {snapshot.max_rate:g} Hz by max_rate'
    return 'OK'


def _inputs(snapshot: Snapshot) -> dict[str, str]:
    counts = snapshot.session.counters.counts()
    return {
        **{f'{topic.name} [Hz]': _number(topic.rate.rate()) for topic in snapshot.topics},
        'pairs received': str(counts.received),
        'pairs matched': str(counts.matched),
    }


def _matching(snapshot: Snapshot) -> dict[str, str]:
    matcher, confidence = snapshot.matcher, snapshot.session.confidence
    return {
        'backend': matcher.backend,
        'precision': matcher.precision,
        'device': matcher.device,
        'fallback in use': str(matcher.fallen_back),
        'peak device memory [MB]': _number(peak_device_memory() / 1e6),
        'mean confidence': _number(confidence.recent),
        'mean confidence trend': _number(confidence.change),
    }


def _outputs(snapshot: Snapshot) -> dict[str, str]:
    session = snapshot.session
    counts = session.counters.counts()
    latency, stamp_latency = session.latency.spread(), session.stamp_latency.spread()
    return {
        'lifecycle state': snapshot.lifecycle_state,
        'paused': str(session.paused),
        'max_rate [Hz]': _number(snapshot.max_rate) if snapshot.max_rate else 'no limit',
        'topics with subscribers': ' '.join(sorted(snapshot.subscribed)),
        'rate [Hz]': _number(session.output_rate.rate()),
        'latency from arrival, median [ms]': _number(latency.median),
        'latency from arrival, 95 % [ms]': _number(latency.percentile_95),
        'latency from timestamp, median [ms]': _number(stamp_latency.median),
        'latency from timestamp, 95 % [ms]': _number(stamp_latency.percentile_95),
        'pairs processed': str(counts.processed),
        'pairs waiting': str(counts.waiting),
        'pairs dropped': str(counts.dropped),
        **{
            f'dropped: {cause.value}': str(counts.dropped_by_cause[cause])
            for cause in DropCause
            if cause in counts.dropped_by_cause
        },
    }


def _calibration(found: Examination | None) -> dict[str, str]:
    found = found or Examination()
    return {
        'vertical offset [px]': _number(found.vertical_offset),
        'vertical spread [px]': _number(found.vertical_spread),
        'matched features': str(found.matches),
        'swapped': str(found.swapped),
    }


def _number(value: float) -> str:
    return 'unknown' if math.isnan(value) else f'{value:.4g}'
