"""How long matching takes, and how much memory, in any configuration."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from s2m2_ros.inference.images import Image
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.network import S2M2, S2M2Config


@dataclass(frozen=True)
class Configuration:
    """What is measured.

    `checkpoint` is a name or path as for `StereoMatcher.open`, or 'random:S' for a variant with
    random weights, which is as fast as the trained one. Sizes are in pixels, of the images.
    """

    checkpoint: str
    height: int
    width: int
    backend: str
    precision: str
    device: str = 'auto'
    refine_iterations: int = 3


@dataclass(frozen=True)
class Measurement:
    """What came out for a configuration, after the first call.

    `backend`, `precision` and `device` are those in use. The spread is from the lower to the
    upper quartile. `peak_bytes` is what torch allocated on a GPU, or the whole process's resident
    memory on a CPU.
    """

    configuration: Configuration
    backend: str
    precision: str
    device: str
    open_s: float
    first_call_s: float
    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    calls: int
    peak_bytes: int

    @property
    def fps(self) -> float:
        """Pairs per second, one after the other."""
        return 1e3 / self.median_ms


def hardware() -> dict[str, str]:
    """Return what the figures depend on, by name."""
    facts = {
        'processor': _processor(),
        'cores': str(os.cpu_count()),
        'threads': str(torch.get_num_threads()),
        'torch': torch.__version__,
    }
    if torch.cuda.is_available():
        facts['gpu'] = torch.cuda.get_device_name()
        facts['cuda'] = str(torch.version.cuda)
    return facts


def measure(configuration: Configuration, *, calls: int) -> Measurement:
    """Return the figures of one configuration."""
    with Trial(configuration) as trial:
        for _ in range(calls):
            trial.call()
        return trial.measurement()


def measure_alternately(
    first: Configuration, second: Configuration, *, calls: int
) -> tuple[Measurement, Measurement]:
    """Return the figures of two configurations whose calls take turns.

    What slows the machine down for a while then slows both.
    """
    with Trial(first) as one, Trial(second) as other:
        for _ in range(calls):
            one.call()
            other.call()
        return one.measurement(), other.measurement()


def to_json(measurements: list[Measurement]) -> str:
    """Return hardware and figures as JSON."""
    rows = [{**asdict(m), 'fps': m.fps} for m in measurements]
    return json.dumps({'hardware': hardware(), 'measurements': rows}, indent=2)


class Trial:
    """One opened matcher and the durations of its calls so far."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._durations_ms: list[float] = []

    def __enter__(self) -> Trial:
        _reset_peak()
        configuration = self._configuration
        started = time.perf_counter()
        with checkpoint_file(configuration.checkpoint) as checkpoint:
            self._matcher = StereoMatcher.open(
                checkpoint,
                device=configuration.device,
                precision=configuration.precision,
                backend=configuration.backend,
                refine_iterations=configuration.refine_iterations,
            )
            self._open_s = time.perf_counter() - started
            self._pair = _textured_pair(configuration.height, configuration.width)
            # Some backends read the checkpoint once more when a size comes first.
            self._first_call_s = self._timed_call() / 1e3
        return self

    def __exit__(self, *_: object) -> None:
        self._matcher.close()

    def call(self) -> None:
        """Match once more."""
        self._durations_ms.append(self._timed_call())

    def measurement(self) -> Measurement:
        """Return the figures of the calls so far; at least two are needed."""
        lower, median, upper = statistics.quantiles(self._durations_ms, n=4, method='inclusive')
        return Measurement(
            configuration=self._configuration,
            backend=self._matcher.backend,
            precision=self._matcher.precision,
            device=str(self._matcher.device),
            open_s=self._open_s,
            first_call_s=self._first_call_s,
            median_ms=median,
            lower_quartile_ms=lower,
            upper_quartile_ms=upper,
            calls=len(self._durations_ms),
            peak_bytes=_peak_bytes(self._matcher.device),
        )

    def _timed_call(self) -> float:
        started = time.perf_counter()
        self._matcher.match(*self._pair)
        if self._matcher.device.type == 'cuda':
            torch.cuda.synchronize(self._matcher.device)
        return (time.perf_counter() - started) * 1e3


@contextmanager
def checkpoint_file(checkpoint: str) -> Iterator[str]:
    """Give a checkpoint's name or path; random weights live in a temporary file."""
    if not checkpoint.startswith('random:'):
        yield checkpoint
        return
    variant = checkpoint.removeprefix('random:')
    with TemporaryDirectory() as folder:
        path = Path(folder) / f'{variant}.pth'
        torch.manual_seed(0)
        # torch's own format: figures need no other package.
        torch.save({'state_dict': S2M2(S2M2Config.named(variant)).state_dict()}, path)
        yield str(path)


def _textured_pair(height: int, width: int) -> tuple[Image, Image]:
    """Return noise and the same shifted by 8 pixels, (H, W, 3) uint8."""
    left = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return left, np.roll(left, -8, axis=1)


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        # Linux: sets the high-water mark back to the present resident size.
        Path('/proc/self/clear_refs').write_text('5', encoding='ascii')
    except OSError:
        return


def _peak_bytes(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    except OSError:
        return 0
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM:')]
    return peaks[0] if peaks else 0
