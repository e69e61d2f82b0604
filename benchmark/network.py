"""Speed and memory of the network, measured against a plain convolution of the same process.

The yardstick is a 3×3 convolution, 128 to 128 channels, batch 2, 240×320, float32, in the better
of the two memory orders. It alternates with the network, so both see the same machine.
Efficiency is the network's work, as its authors' layers are counted, over its time, over the
yardstick's rate: work that better mathematics saves counts as done.

    python benchmark/network.py --variant S --size 640x480 --threads 2 --stages
    python benchmark/network.py --device cuda --precision float16 --compile --cuda-graph
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from s2m2_ros.network import S2M2, S2M2Config, load_network, prepare_for_inference

# GFLOP of the plain layers with three refinement steps: multiplications and additions.
PUBLISHED_GFLOP = {
    ('S', (640, 480)): 763.0,
    ('S', (1216, 1024)): 3185.0,
    ('M', (640, 480)): 1797.0,
    ('L', (640, 480)): 3439.0,
    ('XL', (640, 480)): 7522.0,
}
STAGES = (
    'cnn_backbone',
    'feat_pyramid',
    'transformer',
    'feat_fusion_layer',
    'ctx_feat',
    'disp_init',
    'global_refiner',
    'refiner',
    'upsample_mask_4x_refine',
    'upsample_mask_1x',
)
YARDSTICK_GFLOP = 2 * 2 * 240 * 320 * 128 * 128 * 9 / 1e9
PRECISIONS = {
    'float32': torch.float32,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


class Measured(NamedTuple):
    """Best time, yardstick in GFLOP/s, and the most memory of a pass.

    The memory is that of tensors on a GPU, else of the whole process.
    """

    seconds: float
    yardstick: float
    peak_bytes: int


class Stage(NamedTuple):
    """Sums over the calls of one stage in one pass."""

    seconds: float
    peak_bytes: int


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parse_arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    network = make_network(options).to(device)
    images = make_images(options, device)
    gflop, source = count_gflop(options, network.config)
    with torch.inference_mode():
        run = make_runner(network, images, options)
        measured = alternate(run, repeats=options.repeats, device=device)
        width, height = options.size
        print(f'{network.config.name} {width}x{height} {options.precision}')
        print(f'time {measured.seconds * 1e3:.1f} ms, best of {options.repeats}')
        print(f'yardstick {measured.yardstick:.1f} GFLOP/s; {gflop:.0f} GFLOP {source}')
        print(f'efficiency {gflop / measured.seconds / measured.yardstick:.3f}')
        print(f'peak memory {measured.peak_bytes / 1e9:.2f} GB')
        if options.stages:
            print_stages(network, images, device)
        if options.compare:
            print_difference(network, images)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--variant', default='S', help='XS, S, M, L or XL, with random weights')
    parser.add_argument('--checkpoint', type=Path, help='weights to load instead')
    parser.add_argument('--size', type=size, default=(640, 480), help='WIDTHxHEIGHT')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--refine-iterations', type=int, default=3)
    parser.add_argument('--precision', choices=PRECISIONS, default='float32')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help='of the processor')
    parser.add_argument('--repeats', type=int, default=4)
    parser.add_argument('--compile', action='store_true', help='with torch.compile')
    parser.add_argument('--cuda-graph', action='store_true', help='replay a CUDA graph')
    parser.add_argument('--compare', action='store_true', help='print the distance to float32')
    parser.add_argument('--stages', action='store_true', help='print a table of the stages')
    return parser.parse_args()


def size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT."""
    width, height = text.lower().split('x')
    return int(width), int(height)


def make_network(options: argparse.Namespace) -> S2M2:
    """Build or load the network, in the memory order and precision that are measured."""
    torch.manual_seed(0)
    iterations = options.refine_iterations
    if options.checkpoint:
        network = load_network(options.checkpoint, refine_iterations=iterations)
    else:
        network = S2M2(S2M2Config.named(options.variant), refine_iterations=iterations)
    network.eval().requires_grad_(False).to(PRECISIONS[options.precision])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepare_for_inference(network)
    return network


def make_images(options: argparse.Namespace, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return smooth random images, the right one a shifted copy of the left."""
    width, height = options.size
    coarse = torch.rand(options.batch, 3, height // 8, width // 8) * 255
    left = nn.functional.interpolate(coarse, size=(height, width), mode='bilinear')
    return left.to(device), left.roll(-16, dims=3).to(device)


def count_gflop(options: argparse.Namespace, config: S2M2Config) -> tuple[float, str]:
    """Return the work of one pass and where the figure is from."""
    published = PUBLISHED_GFLOP.get((config.name, options.size))
    if published is not None and options.refine_iterations == 3:
        return published * options.batch, '(published layers)'
    return sum(stage_gflop(config, options).values()), '(this implementation)'


def stage_gflop(config: S2M2Config, options: argparse.Namespace) -> dict[str, float]:
    """Count the work of every stage as this implementation does it."""
    width, height = options.size
    with torch.device('meta'):
        network = S2M2(config, refine_iterations=options.refine_iterations)
        image = torch.empty(options.batch, 3, height, width)
    network.eval().requires_grad_(False)
    counter = FlopCounterMode(display=False)
    # With gradients 'meta' is no device for inference, and goes the way of a processor.
    with torch.inference_mode(False), torch.enable_grad(), counter:
        network(image, image)
    counts = counter.get_flop_counts()
    result = {
        name: sum(counts[f'S2M2.{name}'].values()) / 1e9
        for name in STAGES
        if f'S2M2.{name}' in counts
    }
    result['rest'] = sum(counts['Global'].values()) / 1e9 - sum(result.values())
    return result


def make_runner(
    network: S2M2, images: tuple[Tensor, Tensor], options: argparse.Namespace
) -> Callable[[], object]:
    """Return what runs the network once, compiled and captured as asked."""
    run: Callable[..., object] = network
    if options.compile:
        run = torch.compile(network, fullgraph=True, dynamic=False)
    if not options.cuda_graph:
        return lambda: run(*images)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for _ in range(3):
            run(*images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(*images)
    return graph.replay


def print_difference(network: S2M2, images: tuple[Tensor, Tensor]) -> None:
    """Print how far the disparity is from float32; leaves the weights in that."""
    lowered = network(*images).disparity
    exact = network.float()(*images).disparity
    distance = (lowered - exact).abs().flatten()
    finite = bool(lowered.isfinite().all())
    fraction = (distance > 1.0).float().mean()
    print(
        f'finite {finite}; from float32: median {distance.median():.4f} px, '
        f'mean {distance.mean():.4f} px, {fraction:.2%} off by more than 1 px'
    )


def alternate(run: Callable[[], object], *, repeats: int, device: torch.device) -> Measured:
    """Run the network and the yardstick in turns and return the best of both."""
    best, yardstick, peak = float('inf'), float('inf'), 0
    for _ in range(repeats + 1):  # the first round warms up, and is slower
        yardstick = min(yardstick, time_yardstick(device))
        reset_peak(device)
        best = min(best, timed(run, device))
        peak = max(peak, current_peak(device))
    return Measured(best, YARDSTICK_GFLOP / yardstick, peak)


def time_yardstick(device: torch.device) -> float:
    """Return the seconds of the better memory order, best of three."""
    convolution = nn.Conv2d(128, 128, 3, padding=1).to(device)
    x = torch.randn(2, 128, 240, 320, device=device)
    orders = (x, x.to(memory_format=torch.channels_last))
    return min(timed(partial(convolution, order), device) for order in orders for _ in range(3))


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a call takes on its device."""
    if device.type == 'cuda':
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        function()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def print_stages(network: S2M2, images: tuple[Tensor, Tensor], device: torch.device) -> None:
    """Print time, work and peak memory of every stage of one pass, uncompiled."""
    options = argparse.Namespace(
        size=(images[0].shape[3], images[0].shape[2]),
        batch=images[0].shape[0],
        refine_iterations=network.refine_iterations,
    )
    work = stage_gflop(network.config, options)
    with observed(network, device) as stages:
        total = timed(lambda: network(*images), device)
    rest = total - sum(stage.seconds for stage in stages.values())
    stages['rest'] = Stage(rest, 0)
    print('\n| stage | ms | % | GFLOP | GFLOP/s | peak memory, GB |')
    print('| --- | --- | --- | --- | --- | --- |')
    for name, (seconds, peak) in stages.items():
        gflop = work.get(name, 0.0)
        print(
            f'| `{name}` | {seconds * 1e3:.1f} | {100 * seconds / total:.1f} | {gflop:.1f} '
            f'| {gflop / seconds:.0f} | {f"{peak / 1e9:.2f}" if peak else ""} |'
        )


@contextmanager
def observed(network: S2M2, device: torch.device) -> Iterator[dict[str, Stage]]:
    """Collect time and peak memory of the stages while the context lasts."""
    stages: dict[str, Stage] = defaultdict(lambda: Stage(0.0, 0))
    begun: dict[str, float] = {}

    def before(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            reset_peak(device)
            begun[name] = now(device)

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            seconds, peak = stages[name]
            spent = now(device) - begun[name]
            stages[name] = Stage(seconds + spent, max(peak, current_peak(device)))

        return hook

    handles = []
    for name in STAGES:
        module = network.get_submodule(name)
        handles += [
            module.register_forward_pre_hook(before(name)),
            module.register_forward_hook(after(name)),
        ]
    try:
        yield stages
    finally:
        for handle in handles:
            handle.remove()


def now(device: torch.device) -> float:
    """Return seconds, after the device has done what it was given."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def reset_peak(device: torch.device) -> None:
    """Forget the peak memory so far; of a process, where the system lets it (Linux)."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    elif Path('/proc/self/clear_refs').exists():
        Path('/proc/self/clear_refs').write_text('5')


def current_peak(device: torch.device) -> int:
    """Return the peak memory since ``reset_peak``."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    status = Path('/proc/self/status')
    if not status.exists():
        return 0
    lines = dict(line.split(':', 1) for line in status.read_text().splitlines() if ':' in line)
    return int(lines['VmHWM'].split()[0]) * 1024


if __name__ == '__main__':
    main()
