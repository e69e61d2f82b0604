"""Where the time of one match on a GPU goes: milliseconds and launches by kind of kernel.

    PYTHONPATH=. python benchmark/device_kernels.py --checkpoint random:S --size 640x480
    PYTHONPATH=. python benchmark/device_kernels.py --backend compiled --precision float16 --top 30

Kernels of a replayed CUDA graph count as any other. On a processor (`--device cpu`, a rehearsal)
PyTorch's operators take the place of kernels, and most are 'other'.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from benchmark.network import size
from s2m2_ros.inference.benchmark import Configuration, Trial

# By what names of kernels hold, the first that fits: cuDNN's, cuBLAS's, PyTorch's, Triton's.
KINDS: Mapping[str, str] = {
    'attention': 'sdpa|flash_fwd|fmha|attention',
    'convolution': 'fprop|implicit_conv|convertTensor|conv2d|cudnn.*winograd',
    'matrix product': 'nvjet|gemm|gemv|cublas|splitK|addmm|bmm',
    'normalization': 'layer_norm|group_norm|batch_norm|Welford',
    'softmax': '[sS]oft[mM]ax',
    'interpolation, pooling': 'upsample|pool2d|grid_sampl',
    'concatenation, copy': 'CatArray|copy|Memcpy|Memset|gather|index',
    'triton': '^triton_',
    'pointwise, reduction': 'elementwise|reduce_kernel',
}
OTHER = 'other'
WARM_UP_CALLS = 3


class Kernel(NamedTuple):
    """All launches of one kernel during one match."""

    name: str
    milliseconds: float
    launches: int


def kind_of(name: str) -> str:
    """Return the kind of a kernel: one of `KINDS`, or 'other'."""
    return next((kind for kind, words in KINDS.items() if re.search(words, name)), OTHER)


def kernels_of(configuration: Configuration) -> list[Kernel]:
    """Return the kernels of one match, the longest first, once everything is prepared."""
    on_gpu = torch.device(configuration.device).type == 'cuda'
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with Trial(configuration) as trial:
        for _ in range(WARM_UP_CALLS):
            trial.call()
        with profile(activities=[activity]) as recorded:
            trial.call()
    time = 'self_device_time_total' if on_gpu else 'self_cpu_time_total'
    found = (
        Kernel(event.key, getattr(event, time) / 1e3, event.count)
        for event in recorded.key_averages()
    )
    return sorted((k for k in found if k.milliseconds > 0), key=lambda k: -k.milliseconds)


def table(kernels: Iterable[Kernel]) -> str:
    """Return milliseconds and launches by kind as a table of Markdown, the longest first."""
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for kernel in kernels:
        for kind in (kind_of(kernel.name), 'all'):
            totals[kind][0] += kernel.milliseconds
            totals[kind][1] += kernel.launches
    longest_first = sorted(totals.items(), key=lambda item: -item[1][0])
    rows = [f'| {kind} | {ms:.2f} | {launches:.0f} |' for kind, (ms, launches) in longest_first]
    return '\n'.join(['| kernels | ms | launches |', '| --- | ---: | ---: |', *rows])


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, then the longest kernels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--checkpoint', default='random:S', help='as for `s2m2 benchmark`')
    parser.add_argument('--size', type=size, default=(640, 480), help='WIDTHxHEIGHT')
    parser.add_argument('--backend', default='cudagraph')
    parser.add_argument('--precision', default='float16')
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--top', type=int, default=15, help='kernels to list')
    arguments = parser.parse_args(words)
    width, height = arguments.size
    configuration = Configuration(
        arguments.checkpoint,
        height,
        width,
        arguments.backend,
        arguments.precision,
        arguments.device,
    )
    kernels = kernels_of(configuration)
    print(table(kernels))
    for kernel in kernels[: arguments.top]:
        print(f'{kernel.milliseconds:8.3f} ms {kernel.launches:5d}  {kernel.name[:120]}')


if __name__ == '__main__':
    main()
