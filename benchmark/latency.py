"""Draw where each millisecond goes between the timestamp of a pair and its cloud.

For each matcher and size, a node in a process of its own gets pairs one after the other, with only
`points` subscribed, as fast as it answers. The stages are those of `stats`; what comes before and
after them is taken from the timestamps. Medians of all pairs.

    make latency
    python -m benchmark.latency --matchers sgbm starter --sizes 640x480 1280x720 --output FOLDER

Writes `latency.svg` and `latency.json` into the folder and prints the table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.freed_memory import keep_freed_memory
from s2m2_ros.inference.benchmark import hardware
from s2m2_ros.large_messages import PROFILE, default_environment
from s2m2_ros.shared_files import shared_file

ROOT = Path(__file__).resolve().parents[1]
OF_STATS = ('decode', 'upload', 'inference', 'geometry', 'download', 'publish')
# In the order of time, with what each is, for the legend.
STAGES: Mapping[str, str] = {
    'arrival': 'transport to the node, waiting for all four messages',
    'decode': 'messages to arrays',
    'upload': 'arrays to tensors of the device',
    'inference': 'matching',
    'geometry': 'cloud from disparity',
    'download': 'device to host',
    'publish': 'filling and publishing the message',
    'delivery': 'transport to the subscriber',
}
COLORS = (
    *('#7f8fa6', '#e1b12c', '#c7b198', '#3b78b5', '#44927a', '#b7d3c6', '#c2643c', '#a9b4c2'),
)
WARM_UP_PAIRS = 3
START_LIMIT_S = 240.0
# A pair that was lost while the processes found each other is sent again.
PAIR_LIMIT_S = 10.0


class LatencyError(S2M2Error):
    """A case could not be measured; says why."""


def split(total_ms: float, until_published_ms: float, stages: Mapping[str, float]) -> list[float]:
    """Return the milliseconds of each of `STAGES` for one pair, which add up to the total.

    Args:
        total_ms: from the timestamp to the arrival of the cloud.
        until_published_ms: from the timestamp until the node had published, by its clock.
        stages: those of `OF_STATS`; NaN where one did not run.

    """
    known = {name: 0.0 if math.isnan(value) else value for name, value in stages.items()}
    # A subscriber may have the cloud before the node notes the time.
    delivery = max(0.0, total_ms - until_published_ms)
    arrival = max(0.0, total_ms - delivery - sum(known.values()))
    return [{'arrival': arrival, 'delivery': delivery, **known}[name] for name in STAGES]


def measure(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the medians of one case, in this process, which is camera and subscriber."""
    import rclpy

    from benchmark.node import Bench

    # Fetching the memory of each cloud anew is work of the subscriber, not of the node.
    keep_freed_memory()
    namespace = f'/latency_{uuid.uuid4().hex[:8]}'
    flags = [part for value in case['parameters'] for part in ('-p', value)]
    command = [sys.executable, '-m', 's2m2_ros.node.main', '--ros-args', '-r']
    process = subprocess.Popen([*command, f'__ns:={namespace}', *flags], cwd=ROOT)
    rclpy.init()
    try:
        bench = Bench(namespace, case['width'], case['height'])
        bench.subscribe(['points'])
        if not bench.wait_for_subscribers(START_LIMIT_S):
            raise LatencyError('the node did not subscribe to the images')
        limit = time.monotonic() + START_LIMIT_S
        rows: list[list[float]] = []
        while len(rows) < case['pairs'] + WARM_UP_PAIRS:
            if process.poll() is not None:
                raise LatencyError(f'the node ended with status {process.returncode}')
            total, stats = bench.send(['points'], PAIR_LIMIT_S), bench.stats
            if total is not None and stats is not None:
                stages = {name: getattr(stats, f'{name}_ms') for name in OF_STATS}
                rows.append(split(total * 1e3, stats.latency_ms, stages))
            elif time.monotonic() > limit:
                raise LatencyError('no point cloud came from the node')
    finally:
        process.terminate()
        process.wait(20)
        rclpy.try_shutdown()
    columns = zip(*rows[WARM_UP_PAIRS:], strict=True)
    medians = dict(zip(STAGES, map(statistics.median, columns), strict=True))
    total_ms = statistics.median(sum(row) for row in rows[WARM_UP_PAIRS:])
    assert stats is not None  # noqa: S101  # of the last row
    matched = f'{stats.backend}, {stats.precision}' if stats.checkpoint else ''
    return {'stages': medians, 'total': total_ms, 'matched': matched}


def measured(matcher: str, size: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` finds in a process that is set up for large messages.

    Raises LatencyError.
    """
    width, height = (int(side) for side in size.split('x'))
    chosen = 'backend:=sgbm' if matcher == 'sgbm' else f'checkpoint:={matcher}'
    case = {
        'width': width,
        'height': height,
        'pairs': options.pairs,
        'parameters': [chosen, *options.parameter],
    }
    added = default_environment(os.environ, shared_file(PROFILE)) or {}
    done = subprocess.run(
        [sys.executable, '-m', 'benchmark.latency', '--case', json.dumps(case)],
        env={**os.environ, **added, 'OMP_WAIT_POLICY': 'passive'},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LatencyError((done.stderr.strip().splitlines() or ['the process failed'])[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {'name': f'{matcher}, {size}', **found}


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the milliseconds of all cases as a table in Markdown."""
    names = [f'{result["name"]}' for result in results]
    lines = [f'| stage | {" | ".join(names)} |', '| --- |' + ' ---: |' * len(names)]
    for stage, what in STAGES.items():
        values = ' | '.join(f'{result["stages"][stage]:.1f}' for result in results)
        lines.append(f'| `{stage}`: {what} | {values} |')
    totals = ' | '.join(f'{result["total"]:.1f}' for result in results)
    lines.append(f'| timestamp to cloud, ms | {totals} |')
    return '\n'.join(lines)


def draw(results: Sequence[Mapping[str, Any]], machine: str, path: Path) -> None:
    """Draw two bars for each case: the whole, and what is left without matching."""
    import matplotlib as mpl

    mpl.use('agg')
    mpl.rcParams.update({'svg.hashsalt': 's2m2_ros', 'font.size': 8, 'svg.fonttype': 'none'})
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(
        len(results),
        2,
        figsize=(9, 0.75 * len(results) + 1.5),
        layout='constrained',
        squeeze=False,
    )
    for (whole, rest), result in zip(grid, results, strict=True):
        matched = f' ({result["matched"]})' if result['matched'] else ''
        _draw_bar(whole, result['stages'], f'{result["name"]}{matched}')
        others = {n: 0.0 if n == 'inference' else v for n, v in result['stages'].items()}
        _draw_bar(rest, others, 'all but matching')
    figure.suptitle(
        f'Milliseconds from the timestamp of a pair to the arrival of its cloud; {machine}',
        fontsize='medium',
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=2, frameon=False)
    figure.savefig(path, metadata={'Date': None})
    plt.close(figure)


def _draw_bar(axes: Any, stages: Mapping[str, float], title: str) -> None:
    start = 0.0
    for color, (stage, milliseconds) in zip(COLORS, stages.items(), strict=True):
        axes.barh(0, milliseconds, left=start, color=color, label=STAGES[stage])
        start += milliseconds
    axes.set_title(f'{title}: {start:.1f} ms', loc='left')
    axes.set(yticks=[], xlim=(0, start or 1.0))
    axes.spines[['top', 'right', 'left']].set_visible(False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases, draw and print; or measure the one that another process asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--matchers', nargs='+', default=['sgbm', 'starter'], help='or any name')
    parser.add_argument('--sizes', nargs='+', default=['640x480', '1280x720'])
    parser.add_argument('--pairs', type=int, default=15)
    parser.add_argument('--parameter', action='append', default=[], metavar='NAME:=VALUE')
    parser.add_argument('--output', type=Path, default=Path('latency_output'))
    parser.add_argument('--case', type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.case:
        print(json.dumps(measure(options.case)))
        return 0
    results = [measured(m, size, options) for m in options.matchers for size in options.sizes]
    options.output.mkdir(parents=True, exist_ok=True)
    found = hardware()
    machine = found.get('gpu') or f'{os.cpu_count()} processors, {found["processor"]}'
    draw(results, machine, options.output / 'latency.svg')
    text = json.dumps({'hardware': found, 'cases': results}, indent=2)
    (options.output / 'latency.json').write_text(f'{text}\n', encoding='utf-8')
    print(table(results))
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except S2M2Error as error:
        sys.exit(str(error))
