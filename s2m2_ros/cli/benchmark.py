"""`s2m2 benchmark`: time and memory of many configurations, or of two in alternation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2m2_ros.cli.export import parse_size
from s2m2_ros.cli.matcher_options import BACKENDS, PRECISIONS
from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    from s2m2_ros.inference.benchmark import Configuration, Measurement

SUMMARY = 'measure time and memory of matching'

# What --against may change, and how its text becomes a value.
CHANGEABLE: dict[str, Callable[[str], Any]] = {
    'checkpoint': str,
    'backend': str,
    'precision': lambda text: PRECISIONS.get(text, text),
    'device': str,
    'refine_iterations': int,
}

DEFAULTS = argparse.Namespace(
    checkpoints=['starter'], sizes=[(480, 640)], backends=['auto'], precisions=['auto']
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the lists that are combined, and the rest."""
    parser.add_argument(
        '--checkpoints',
        nargs='+',
        default=DEFAULTS.checkpoints,
        help='names or paths; random:XS ... random:XL need no weights and are as fast',
    )
    parser.add_argument(
        '--sizes', nargs='+', type=parse_size, default=DEFAULTS.sizes, metavar='HxW'
    )
    parser.add_argument('--backends', nargs='+', choices=BACKENDS, default=DEFAULTS.backends)
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS, default=DEFAULTS.precisions)
    parser.add_argument('--refine-iterations', type=int, default=3)
    parser.add_argument('--device', default='auto')
    parser.add_argument('--calls', type=int, default=5, help='per configuration, at least 2')
    parser.add_argument(
        '--against',
        nargs='+',
        metavar='KEY=VALUE',
        help='compare with the same configuration changed so, e.g. backend=onnxruntime; keys: '
        + ', '.join(CHANGEABLE),
    )
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='also write the figures to this file'
    )
    parser.add_argument(
        '--report',
        type=Path,
        metavar='FILE',
        help='instead, prove and measure everything that this GPU can run, with random weights, '
        'and write FILE.json (in a folder: named after the GPU) after each step; continues it',
    )
    parser.add_argument(
        '--minutes', type=float, default=9.5, help='for --report: begin nothing after so long'
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    from s2m2_ros.atomic_files import write_atomically
    from s2m2_ros.inference.benchmark import hardware, to_json

    if arguments.calls < 2:
        raise S2M2Error('--calls must be at least 2')
    if arguments.report:
        from s2m2_ros.cli.benchmark_report import plan_of, run_report

        return run_report(arguments, plan_of(arguments, DEFAULTS))
    print(', '.join(f'{name} {value}' for name, value in hardware().items()))
    print(
        f'{"checkpoint":12} {"size":>10} {"backend":12} {"precision":9} {"median":>10} '
        f'{"quartiles":>19} {"fps":>7} {"peak":>9} {"open":>7} {"first call":>10}'
    )
    measurements: list[Measurement] = []
    try:
        for configuration in _configurations(arguments):
            measurements += _measure(configuration, arguments)
    except ValueError as error:
        raise S2M2Error(str(error)) from error
    if arguments.json:
        write_atomically(arguments.json, to_json(measurements).encode())
    return 0


def _configurations(arguments: argparse.Namespace) -> list[Configuration]:
    from s2m2_ros.inference.benchmark import Configuration

    lists = arguments.checkpoints, arguments.sizes, arguments.backends, arguments.precisions
    return [
        Configuration(
            checkpoint,
            height,
            width,
            backend,
            PRECISIONS[precision],
            arguments.device,
            arguments.refine_iterations,
        )
        for checkpoint, (height, width), backend, precision in product(*lists)
    ]


def _measure(configuration: Configuration, arguments: argparse.Namespace) -> list[Measurement]:
    from s2m2_ros.inference.benchmark import measure, measure_alternately

    if not arguments.against:
        measurements = [measure(configuration, calls=arguments.calls)]
    else:
        other = changed(configuration, arguments.against)
        measurements = [*measure_alternately(configuration, other, calls=arguments.calls)]
    for measurement in measurements:
        print(_row(measurement))
    if arguments.against:
        first, second = measurements
        print(f'the second takes {second.median_ms / first.median_ms:.3f} of the first')
    return measurements


def changed(configuration: Configuration, changes: list[str]) -> Configuration:
    """Return the configuration with changes like 'backend=onnxruntime'."""
    for change in changes:
        key, equals, text = change.partition('=')
        if key not in CHANGEABLE or not equals:
            raise S2M2Error(f"--against '{change}' is not KEY=VALUE with {', '.join(CHANGEABLE)}")
        configuration = replace(configuration, **{key: CHANGEABLE[key](text)})
    return configuration


def _row(measurement: Measurement) -> str:
    configuration = measurement.configuration
    quartiles = f'{measurement.lower_quartile_ms:.1f}..{measurement.upper_quartile_ms:.1f}'
    return (
        f'{Path(configuration.checkpoint).name:12} '
        f'{configuration.width:>5}x{configuration.height:<4} {measurement.backend:12} '
        f'{measurement.precision:9} {measurement.median_ms:7.1f} ms {quartiles:>16} ms '
        f'{measurement.fps:7.2f} {measurement.peak_bytes / 2**20:5.0f} MiB '
        f'{measurement.open_s:5.1f} s {measurement.first_call_s:8.1f} s'
    )
