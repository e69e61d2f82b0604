"""How long a network takes on this processor, from its cores and instructions alone.

Nothing is measured, so that the answer is the same at every start, whatever else runs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from s2m2_ros.inference.hardware.cpu_bfloat16 import (
    PROCESSOR_FILE,
    has_instructions,
    processor_facts,
)
from s2m2_ros.network import S2M2Config

# GFLOP of a pass of 640x480 without refinement, and of each refinement step; see
# `benchmark/network.py`.
WORK: Mapping[str, tuple[float, float]] = {
    'XS': (162.0, 28.4),
    'S': (456.0, 99.3),
    'M': (1124.0, 216.0),
    'L': (2252.0, 380.0),
    'XL': (4877.0, 845.0),
}
COUNTED_PIXELS = 640 * 480
SIZE_MULTIPLE = 32
# GFLOP per second of one core: what XS reached on Zen 4 and, in bfloat16, on other current server
# processors; with AVX-512 as much more as there by the compiled convolutions; and a cautious
# fraction of what others could do. Zen 4 has the instructions of AVX-512 and takes twice as long
# for each.
RATES: Mapping[str, float] = {
    'bfloat16': 260.0,
    'bfloat16 on Zen 4': 140.0,
    'AVX512': 180.0,
    'AVX512 on Zen 4': 95.0,
    'AVX2': 65.0,
    'other': 12.0,
}
# Shrinking the images and enlarging the maps.
RESIZING_S = 0.02
# Semi-global matching of 640x480 and what follows, which runs on all cores in part: what two took.
REFINING_S = 0.12
CPU_FOLDER = Path('/sys/devices/system/cpu')
# Of /proc/cpuinfo; Zen 3 has the same family, without AVX-512.
ZEN_4 = {'vendor_id': 'AuthenticAMD', 'cpu family': '25'}


@dataclass(frozen=True)
class Processor:
    """Cores that this process may use, and their fastest instructions, a key of `RATES`."""

    cores: int
    instructions: str

    def seconds(self, config: S2M2Config, size: tuple[int, int], refine_iterations: int) -> float:
        """Return the estimated seconds for a pair of images of this height and width."""
        base, step = _work(config)
        pixels = math.prod(SIZE_MULTIPLE * math.ceil(side / SIZE_MULTIPLE) for side in size)
        work = (base + step * refine_iterations) * pixels / COUNTED_PIXELS
        return work / (self.cores * RATES[self.instructions])

    def __str__(self) -> str:
        """Return it for people."""
        known = '' if self.instructions == 'other' else f' with {self.instructions}'
        return f'{self.cores} core{"s" if self.cores > 1 else ""}{known}'


def this_processor(*, bfloat16: bool) -> Processor:
    """Return the processor of this machine; `bfloat16` says whether that precision is allowed."""
    capability = torch.backends.cpu.get_cpu_capability()
    instructions = next((name for name in ('AVX512', 'AVX2') if name in capability), 'other')
    if bfloat16 and has_instructions():
        instructions = 'bfloat16'
    if instructions in ('bfloat16', 'AVX512') and is_zen_4():
        instructions = f'{instructions} on Zen 4'
    return Processor(usable_cores(), instructions)


def is_zen_4(processor_file: Path = PROCESSOR_FILE) -> bool:
    """Return whether this is AMD's Zen 4, if it is known to have AVX-512."""
    facts = processor_facts(processor_file)
    return all(facts.get(name) == value for name, value in ZEN_4.items())


def usable_cores(folder: Path = CPU_FOLDER) -> int:
    """Return how many cores this process may use; threads of one core count once."""
    usable = (
        os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else range(os.cpu_count() or 1)
    )
    return len(set(_cores(usable, folder)))


def _cores(processors: Iterable[int], folder: Path) -> Iterable[str]:
    for number in processors:
        siblings = folder / f'cpu{number}' / 'topology' / 'thread_siblings_list'
        try:
            yield siblings.read_text(encoding='ascii').strip()
        except (OSError, ValueError):
            yield str(number)


def _work(config: S2M2Config) -> tuple[float, float]:
    """Return the work of a network; of one without a name, from that of the nearest width."""
    if config.name in WORK:
        return WORK[config.name]
    name = min(WORK, key=lambda known: abs(S2M2Config.named(known).channels - config.channels))
    ratio = (config.channels / S2M2Config.named(name).channels) ** 2
    base, step = WORK[name]
    return base * ratio, step * ratio
