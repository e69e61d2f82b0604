"""The report of one recording: a page to look at before its results are used.

It holds everything in one file, and the same input and options give the same bytes.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from operator import itemgetter
from typing import Any

from s2m2_ros.io.sources.stereo_frame import NANOSECONDS, seconds_text
from s2m2_ros.offline.processing.report_charts import Curve, chart
from s2m2_ros.offline.processing.segment_facts import RigFacts, recorded_apart
from s2m2_ros.offline.processing.streams import Rig, Stream
from s2m2_ros.offline.processing.summary import Summary

# A gap is a step of more than so many usual ones.
GAP_PERIODS = 1.8
GAPS_LISTED = 20
LOSSES_LISTED = 50
PICTURES = 4
# Pixels up and down that the chart of vertical offsets shows at least.
OFFSET_SHOWN = 2.0
RED, BLUE, GREEN = '#b4321f', '#1f6fb4', '#2f8a3b'
STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 900px; padding: 0 1em }
h1, h2, h3 { line-height: 1.2 } table { border-collapse: collapse }
td, th { text-align: left; padding: 2px 14px 2px 0; vertical-align: top; font-weight: normal }
th { color: #666 } svg { width: 100%; background: #fafafa } svg text { font: 12px sans-serif }
.grid { stroke: #ddd } .curve { fill: none; stroke-width: 1.3 } .good { color: #2f8a3b }
.bad { color: #b4321f } figure { display: inline-block; margin: 0 8px 8px 0 }
figure img { display: block; max-width: 270px } pre { overflow-x: auto; font-size: 12px }
"""


def report_page(name: str, stream: Stream, recipe: Mapping[str, Any], summary: Summary) -> str:
    """Return the page as HTML."""
    rigs = [
        _rig_section(rig, [facts.rigs[number] for facts in summary.facts])
        for number, rig in enumerate(stream.rigs)
    ]
    body = [
        f'<h1>{escape(name)}</h1>',
        _table(_overview(stream, recipe, summary)),
        _losses(summary.losses),
        *rigs,
        '<h2>How it was made</h2>',
        f'<pre>{escape(json.dumps(recipe, indent=2, sort_keys=True))}</pre>',
    ]
    head = f'<meta charset="utf-8"><title>{escape(name)}</title><style>{STYLE}</style>'
    content = f'<head>{head}</head>\n<body>{"".join(body)}</body>'
    return f'<!DOCTYPE html>\n<html lang="en">{content}</html>\n'


def _overview(
    stream: Stream, recipe: Mapping[str, Any], summary: Summary
) -> Iterable[tuple[str, str]]:
    matcher = recipe['matcher']
    yield 'pairs processed', str(summary.pairs)
    # Nobody can count the pairs in these.
    has_damage = bool(stream.losses) or any(facts.damage for facts in summary.facts)
    more = ', and those in what is damaged or missing' if has_damage else ''
    yield 'pairs lost', f'{summary.lost}{more}'
    if summary.incomplete:
        yield 'processed pairs that lack something', str(summary.incomplete)
    yield 'rigs', str(len(stream.rigs))
    yield 'matched by', f'{matcher["backend"]} {matcher["checkpoint"]} in {matcher["precision"]}'
    yield 'software', str(recipe['software'])
    if stream.kept:
        yield 'topics kept', ', '.join(topic.topic for topic in stream.kept)
    for remark in stream.remarks:
        yield 'worth knowing', remark


def _losses(losses: Sequence[str]) -> str:
    if not losses:
        return '<p class="good">Nothing of the input was lost.</p>'
    items = ''.join(f'<li>{escape(text)}</li>' for text in losses[:LOSSES_LISTED])
    more = len(losses) - LOSSES_LISTED
    rest = f'<li>and {more} more</li>' if more > 0 else ''
    return f'<h2 class="bad">What was lost</h2><ul>{items}{rest}</ul>'


def _rig_section(rig: Rig, segments: Sequence[RigFacts]) -> str:
    pairs = sorted((pair for facts in segments for pair in facts.pairs), key=itemgetter(0))
    title = f'<h2>{escape(rig.namespace or "/")}</h2>'
    if not pairs:
        return f'{title}<p class="bad">No pair was processed.</p>'
    start = pairs[0][0]
    parts = [
        title,
        _table([*_inputs(rig, segments), *_rates([stamp for stamp, _ in pairs])]),
        '<h3>Rate</h3>',
        _rate_chart([stamp for stamp, _ in pairs], start),
        '<h3>Calibration</h3>',
        _calibrations(segments),
        '<h3>Examination of pairs</h3>',
        _examination(segments, start),
        '<h3>Mean confidence</h3>',
        chart(
            [Curve('mean confidence', [(_seconds(s, start), c) for s, c in pairs], GREEN)],
            unit='', low=0.0, high=1.0,
        ),
        '<h3>Pictures</h3>',
        _pictures(segments),
    ]  # fmt: skip
    return ''.join(parts)


def _inputs(rig: Rig, segments: Sequence[RigFacts]) -> Iterable[tuple[str, str]]:
    left = sum(facts.left_images for facts in segments)
    right = sum(facts.right_images for facts in segments)
    pairs = sum(len(facts.pairs) + facts.failed for facts in segments)
    found_apart = recorded_apart(segments)
    apart = found_apart.count if found_apart else 0
    matched = pairs + apart
    yield 'left images', f'{rig.topics.left}: {left}, {left - matched} without a counterpart'
    yield 'right images', f'{rig.topics.right}: {right}, {right - matched} without a counterpart'
    yield 'calibrations', f'{rig.topics.left_info}, {rig.topics.right_info}'
    failed = sum(facts.failed for facts in segments) + apart
    if failed:
        yield 'pairs that could not be processed', str(failed)


def _rates(stamps: Sequence[int]) -> Iterable[tuple[str, str]]:
    yield 'first pair', f'{seconds_text(stamps[0])} s'
    yield 'last pair', f'{seconds_text(stamps[-1])} s'
    yield 'duration', f'{seconds_text(stamps[-1] - stamps[0])} s'
    repeated = len(stamps) - len(set(stamps))
    if repeated:
        yield 'repeated timestamps', f'{repeated} pairs have that of an earlier one'
    steps = _steps(stamps)
    if not steps:
        return
    period = statistics.median(steps)
    yield (
        'rate',
        f'{NANOSECONDS / period:.3f} pairs per second (median step {period / 1e6:.2f} ms)',
    )
    gaps = _gaps(stamps, period)
    lost = sum(round(step / period) - 1 for _, step in gaps)
    yield 'gaps', f'{len(gaps)}, in which about {lost} pairs are missing' if gaps else 'none'
    for stamp, step in sorted(gaps, key=lambda gap: (-gap[1], gap[0]))[:GAPS_LISTED]:
        yield '', f'{seconds_text(step)} s without a pair after {seconds_text(stamp)} s'


def _steps(stamps: Sequence[int]) -> list[int]:
    return [b - a for a, b in pairwise(stamps) if b > a]


def _gaps(stamps: Sequence[int], period: float) -> list[tuple[int, int]]:
    return [(a, b - a) for a, b in pairwise(stamps) if b - a > GAP_PERIODS * period]


def _rate_chart(stamps: Sequence[int], start: int) -> str:
    points = [(_seconds(a, start), (b - a) / 1e6) for a, b in pairwise(stamps)]
    return chart([Curve('step between pairs', points)], unit='ms', low=0.0)


def _calibrations(segments: Sequence[RigFacts]) -> str:
    """Return the calibrations, one line for each that differs from the one before."""
    found: list[dict[str, float]] = []
    for facts in segments:
        if facts.camera and (not found or found[-1] != facts.camera):
            found.append(facts.camera)
    rows = [
        (
            'calibration' if number == 0 else 'then',
            f'{c["width"]:g}x{c["height"]:g}, focal length {c["focal_length"]:.3f} px, '
            f'baseline {c["baseline"]:.5f} m',
        )
        for number, c in enumerate(found)
    ]
    notes = dict.fromkeys(note for facts in segments for note in facts.notes)
    return _table([*rows, *(('note', note) for note in notes)])


def _examination(segments: Sequence[RigFacts], start: int) -> str:
    examined = sorted((e for facts in segments for e in facts.examinations), key=itemgetter(0))
    remarks: Counter[str] = Counter()
    for facts in segments:
        remarks.update(facts.remarks)
    found = sorted(finding for facts in segments for finding in facts.findings)
    offsets = [(_seconds(e[0], start), e[1]) for e in examined]
    matches = [(_seconds(e[0], start), float(e[2])) for e in examined]
    orders = Counter(e[3] for e in examined)
    items = [f'{len(examined)} pairs were examined; order of the views: ' + ', '.join(
        f'{order} in {count}' for order, count in sorted(orders.items()))]  # fmt: skip
    items += [f'{count} pairs: {text}' for text, count in sorted(remarks.items())]
    text = ''.join(f'<li>{escape(item)}</li>' for item in items)
    kinds = dict.fromkeys(kind for _, kind in found)
    heights = {kind: float(number) for number, kind in enumerate(kinds, start=1)}
    dots = [
        Curve(f'{height:g}: {kind}', _dots(found, kind, start, height), RED, dots=True)
        for kind, height in heights.items()
    ]
    reach = max([OFFSET_SHOWN, *(abs(offset) for _, offset in offsets if offset is not None)])
    curve = Curve('vertical offset of the views', offsets, BLUE)
    drawn = chart([curve], unit='px', low=-reach, high=reach)
    drawn += chart([Curve('matching features', matches, GREEN)], unit='', low=0.0)
    if dots:
        drawn += chart(dots, unit='', low=0.0, high=len(dots) + 1.0)
    return f'<ul>{text}</ul>{drawn}'


def _dots(
    found: Sequence[tuple[int, str]], kind: str, start: int, height: float
) -> list[tuple[float, float | None]]:
    return [(_seconds(stamp, start), height) for stamp, k in found if k == kind]


def _pictures(segments: Sequence[RigFacts]) -> str:
    found = [facts.picture for facts in segments if facts.picture]
    count = min(PICTURES, len(found))
    chosen = [found[round(n * (len(found) - 1) / max(count - 1, 1))] for n in range(count)]
    return ''.join(
        f'<p>at {seconds_text(picture["stamp_ns"])} s</p>'
        + ''.join(
            f'<figure><img alt="{kind}" src="data:image/jpeg;base64,{picture[kind]}">'
            f'<figcaption>{kind}</figcaption></figure>'
            for kind in ('left', 'disparity', 'confidence')
        )
        for picture in chosen
    )


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = ''.join(f'<tr><th>{escape(name)}</th><td>{escape(v)}</td></tr>' for name, v in rows)
    return f'<table>{lines}</table>'


def _seconds(stamp_ns: int, start_ns: int) -> float:
    """Return where a time is drawn."""
    return (stamp_ns - start_ns) / NANOSECONDS
