"""What `s2m2 benchmark --report` finds out on a machine, and its table."""

from __future__ import annotations

import argparse
import importlib.util
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2m2_ros.cli.matcher_options import PRECISIONS
from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import registry

if TYPE_CHECKING:
    import torch

    from s2m2_ros.inference.report import Report, Result, Step

VARIANTS = ('S', 'M', 'L', 'XL', 'XS')
SIZES = ((480, 640), (736, 1280), (1024, 1216))
TRAINING_CROP = (224, 448, 16)
TRAINING_CROP_CPU = (64, 96, 2)
NODE_PAIRS = 30
# A backend that hangs must leave time for the others.
VERIFY_SECONDS = 100.0
VARIANT_SECONDS = 110.0
REST_SECONDS = 150.0


@dataclass(frozen=True)
class Group:
    """Steps of one process, and the most seconds that they may take."""

    steps: Sequence[Step]
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What is measured. Sizes are (height, width)."""

    device: str
    variants: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    precisions: Sequence[str]
    backends: Sequence[str]
    calls: int


def run_report(arguments: argparse.Namespace, plan: Plan) -> int:
    """Find out what is missing in the report, within the time, and print the table."""
    from s2m2_ros.inference.report import Report, run_group

    device = measured_device(plan.device)
    machine = machine_facts(device)
    path = report_path(arguments.report, machine)
    path.parent.mkdir(parents=True, exist_ok=True)
    report = Report(path, machine)
    end = time.monotonic() + arguments.minutes * 60
    print(', '.join(f'{name} {value}' for name, value in machine.items()))
    for group in groups(plan, device):
        missing = report.missing(group.steps)
        seconds = min(group.seconds, end - time.monotonic())
        for key, result in run_group(missing, seconds=seconds):
            report.add(key, result)
            write_table(report)
            print(f'{key}: {_short(result)}', flush=True)
    left = [step.key for group in groups(plan, device) for step in report.missing(group.steps)]
    print(f'\n{table(report.results)}\nwritten to {path}')
    if left:
        print(f'{len(left)} steps are missing or failed; the same command tries them again')
    return 0


def measured_device(name: str) -> torch.device:
    """Return the GPU, or the processor if it is named. Raises S2M2Error if there is no GPU."""
    from s2m2_ros.inference.hardware.devices import resolve_device

    device = resolve_device(name)
    if device.type == 'cpu' and name == 'auto':
        raise S2M2Error('no CUDA GPU here: the report measures one (--device cpu rehearses it)')
    return device


def machine_facts(device: torch.device) -> dict[str, str]:
    """Return what the figures depend on, by name."""
    import torch

    import s2m2_ros
    from s2m2_ros.inference.benchmark import hardware

    facts = hardware()
    if device.type == 'cuda':
        facts['gpu'] = torch.cuda.get_device_name(device)
    return {'device': device.type, **facts, 's2m2_ros': s2m2_ros.__version__}


def report_path(path: Path, machine: dict[str, str]) -> Path:
    """Return the file; in a folder it is named after the GPU, or after the processor."""
    if path.suffix == '.json':
        return path
    name = machine['gpu'] if machine['device'] == 'cuda' else machine['processor']
    return path / (re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_') + '.json')


def groups(plan: Plan, device: torch.device) -> list[Group]:
    """Return everything that the report holds, the most wanted first."""
    fast = [name for name in registry.AUTOMATIC_ORDER[device.type] if name != 'tensorrt']
    usual, others = fast[0], [name for name in plan.backends if name not in fast]
    precisions = [p for p in plan.precisions if device.type == 'cuda' or p != 'float16']
    # What the device is used with comes first; float32 takes longest.
    precisions.sort(key='float32'.__eq__)
    first = plan.variants[0]
    return [
        *(
            Group([_verify(name, device)], VERIFY_SECONDS)
            for name in plan.backends
            if name in fast
        ),
        Group(_outputs(device), VERIFY_SECONDS),
        *(
            Group(_matching(plan, [variant], precisions, [usual], device), VARIANT_SECONDS)
            for variant in plan.variants
        ),
        Group([_training(precision, device) for precision in precisions], VERIFY_SECONDS),
        Group(_node(plan, usual, device), VERIFY_SECONDS),
        Group(_matching(plan, [first], precisions[:1], fast[1:], device), VARIANT_SECONDS),
        *(Group([_verify(name, device)], REST_SECONDS) for name in others),
        *(
            Group(_matching(plan, [first], precisions[:1], [name], device), REST_SECONDS)
            for name in others
        ),
    ]


def _verify(backend: str, device: torch.device) -> Step:
    from s2m2_ros.inference.report import Step

    return Step(f'verify {backend}', partial(verify_backend, backend, str(device)))


def _outputs(device: torch.device) -> list[Step]:
    from s2m2_ros.inference.report import Step

    if importlib.util.find_spec('cv2') is None:
        return []
    return [Step('outputs beside the processor', partial(verify_outputs, str(device)))]


def _matching(
    plan: Plan,
    variants: Iterable[str],
    precisions: Iterable[str],
    backends: Sequence[str],
    device: torch.device,
) -> list[Step]:
    from s2m2_ros.inference.benchmark import Configuration
    from s2m2_ros.inference.report import Step

    return [
        Step(
            f'match {variant} {width}x{height} {precision} {backend}',
            partial(
                measure_matching,
                Configuration(f'random:{variant}', height, width, backend, precision, str(device)),
                plan.calls,
            ),
        )
        for variant in variants
        for precision in precisions
        for height, width in plan.sizes
        for backend in backends
    ]


def _training(precision: str, device: torch.device) -> Step:
    from s2m2_ros.inference.report import Step

    crop = TRAINING_CROP if device.type == 'cuda' else TRAINING_CROP_CPU
    return Step(f'train XS {precision}', partial(measure_steps, str(device), crop, precision))


def _node(plan: Plan, backend: str, device: torch.device) -> list[Step]:
    from s2m2_ros.inference.report import Step

    if importlib.util.find_spec('rclpy') is None:
        return []
    variant = plan.variants[0]
    return [
        Step(
            f'node {variant} {width}x{height} {backend}',
            partial(measure_node, variant, (height, width), backend, str(device)),
        )
        for height, width in plan.sizes
    ]


def verify_backend(backend: str, device: str) -> Result:
    """Compare a backend with torch in float32, in each precision."""
    from s2m2_ros.inference.benchmark import checkpoint_file
    from s2m2_ros.inference.engines.verification import verify
    from s2m2_ros.inference.export import ExportSize

    # The weights that come with the package are in a format that takes another package.
    checkpoint = 'starter' if importlib.util.find_spec('safetensors') else 'random:XS'
    with checkpoint_file(checkpoint) as file:
        found = verify(file, ExportSize(128, 192), device=device, backends=[backend])
        return {'checkpoint': checkpoint, 'verdicts': [asdict(verdict) for verdict in found]}


def verify_outputs(device: str) -> Result:
    """Compare clouds, depth and all other outputs with the processor's."""
    import torch

    from s2m2_ros.pipeline.device_check import check_outputs

    return {'outputs': [asdict(check) for check in check_outputs(torch.device(device))]}


def measure_matching(configuration: object, calls: int) -> Result:
    """Measure one configuration of the matcher."""
    from s2m2_ros.inference.benchmark import Configuration, measure

    assert isinstance(configuration, Configuration)  # noqa: S101
    measurement = measure(configuration, calls=calls)
    return {**asdict(measurement), 'fps': measurement.fps}


def measure_steps(device: str, crop: tuple[int, int, int], precision: str) -> Result:
    """Measure training."""
    import torch

    from s2m2_ros.training.options import Crop
    from s2m2_ros.training.throughput import measure_training

    throughput = measure_training(torch.device(device), Crop(1.0, *crop), precision=precision)
    return {'crop': crop, **asdict(throughput)}


def measure_node(variant: str, size: tuple[int, int], backend: str, device: str) -> Result:
    """Measure the time from a timestamp to the cloud."""
    from s2m2_ros.inference.benchmark import checkpoint_file
    from s2m2_ros.node.latency import LatencyTrial, measure_in_new_process

    height, width = size
    with checkpoint_file(f'random:{variant}') as file:
        parameters = {'checkpoint': file, 'backend': backend, 'device': device}
        trial = LatencyTrial(width, height, NODE_PAIRS, parameters)
        return dict(measure_in_new_process(trial))


def write_table(report: Report) -> None:
    """Write the table beside the report."""
    from s2m2_ros.atomic_files import write_atomically

    lines = [f'{name}: {value}  ' for name, value in report.machine.items()]
    text = '\n'.join([*lines, '', table(report.results)])
    write_atomically(report.path.with_suffix('.md'), text.encode())


def table(results: dict[str, Result]) -> str:
    """Return the results as a table of Markdown."""
    lines = ['| what | result |', '| --- | --- |']
    return '\n'.join([*lines, *(f'| {key} | {_short(r)} |' for key, r in results.items())]) + '\n'


def _short(result: Result) -> str:
    """Return a result in a few words."""
    if 'error' in result:
        return f'failed: {result["error"]}'
    if 'verdicts' in result:
        return ', '.join(_verdict(verdict) for verdict in result['verdicts'])
    if 'outputs' in result:
        return _compared(result['outputs'])
    if 'crops_per_s' in result:
        return f'{result["crops_per_s"]:.2f} crops/s, steps {result["steps_crops_per_s"]:.2f}/s'
    if 'fps' in result:
        return (
            f'{result["median_ms"]:.1f} ms, {result["fps"]:.1f} pairs/s, '
            f'{result["peak_bytes"] / 2**20:.0f} MiB'
        )
    return f'{result["median_ms"]:.1f} ms to the cloud (95 %: {result["p95_ms"]:.1f})'


def _compared(checks: Sequence[Result]) -> str:
    wrong = [f'{c["case"]}: {c["output"]}' for c in checks if not c['agrees']]
    return f'{len(checks) - len(wrong)} of {len(checks)} agree' + ''.join(
        f'; wrong: {name}' for name in wrong
    )


def _verdict(verdict: Result) -> str:
    if verdict['proof'] is None:
        return f'{verdict["precision"]} unavailable: {verdict["problem"]}'
    state = 'wrong' if verdict['problem'] else 'ok'
    return f'{verdict["precision"]} {state} (median {verdict["proof"]["median_px"]:.2g} px)'


def plan_of(arguments: argparse.Namespace, defaults: argparse.Namespace) -> Plan:
    """Return the plan of a command line; lists that were not given are the report's own."""

    def chosen(name: str, own: Sequence[Any]) -> Sequence[Any]:
        given: Sequence[Any] = getattr(arguments, name)
        return own if given is getattr(defaults, name) else given

    networks = [n for n, entry in registry.BACKENDS.items() if entry.needs_checkpoint]
    names = chosen('checkpoints', [f'random:{variant}' for variant in VARIANTS])
    if not all(name.startswith('random:') for name in names):
        raise S2M2Error('--report takes random weights: --checkpoints random:S random:XS ...')
    return Plan(
        arguments.device,
        [name.removeprefix('random:') for name in names],
        chosen('sizes', SIZES),
        [PRECISIONS[name] for name in chosen('precisions', registry.PRECISIONS)],
        chosen('backends', networks),
        arguments.calls,
    )
