"""`s2m2 export`: the network as a file for other runtimes."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from s2m2_ros.cli.matcher_options import PRECISIONS, add_network_arguments
from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    from s2m2_ros.inference.export import ExportSize
    from s2m2_ros.network import S2M2

SUMMARY = 'write the network as ONNX, TorchScript or a TensorRT engine'

SHORT_NAMES = {'float32': 'fp32', 'float16': 'fp16'}
EXPORTED_PRECISIONS = tuple(name for name, full in PRECISIONS.items() if full in SHORT_NAMES)
SUFFIXES = {'onnx': '.onnx', 'torchscript': '.pt', 'tensorrt': '.engine'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare format, size, precision and which network."""
    parser.add_argument('--format', choices=SUFFIXES, default='onnx')
    parser.add_argument(
        '--size',
        type=parse_size,
        required=True,
        metavar='HxW',
        help='e.g. 480x640; multiples of 32',
    )
    parser.add_argument(
        '--dynamic',
        action='store_true',
        help='leave the batch size open (ONNX only; height and width are always fixed)',
    )
    parser.add_argument('--precision', choices=EXPORTED_PRECISIONS, default='fp32')
    parser.add_argument('--output', type=Path, help='default: named after its content')
    add_network_arguments(parser)


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of e.g. '480x640'."""
    match = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if match is None:
        raise argparse.ArgumentTypeError(f'{text!r} is not HEIGHTxWIDTH, e.g. 480x640')
    return int(match[1]), int(match[2])


def run(arguments: argparse.Namespace) -> int:
    """Export and write the file atomically."""
    from s2m2_ros.atomic_files import write_atomically
    from s2m2_ros.inference.export import ExportSize

    if arguments.dynamic and arguments.format != 'onnx':
        raise S2M2Error('--dynamic is for --format onnx only')
    try:
        size = ExportSize(*arguments.size)
        network = _network(arguments)
    except ValueError as error:
        raise S2M2Error(str(error)) from error
    path: Path = arguments.output or Path(
        f's2m2_{network.config.name}_{size.height}x{size.width}_{SHORT_NAMES[PRECISIONS[arguments.precision]]}'
        f'{SUFFIXES[arguments.format]}'
    )
    if not path.parent.is_dir():
        raise S2M2Error(f"no folder '{path.parent}'")
    content = _exported(arguments.format, network, size, dynamic=arguments.dynamic)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise S2M2Error(f"cannot write '{path}': {error.strerror}") from error
    print(path)
    return 0


def _network(arguments: argparse.Namespace) -> S2M2:
    from s2m2_ros.inference.backend import PRECISIONS as TYPES
    from s2m2_ros.network import load_network
    from s2m2_ros.weights import find_checkpoint

    network = load_network(
        find_checkpoint(arguments.checkpoint),
        refine_iterations=arguments.refine_iterations,
        allow_negative=arguments.allow_negative,
    )
    return network.to(TYPES[PRECISIONS[arguments.precision]]).requires_grad_(False)


def _exported(kind: str, network: S2M2, size: ExportSize, *, dynamic: bool) -> bytes:
    from s2m2_ros.inference.export import to_onnx, to_torchscript

    if kind == 'torchscript':
        return to_torchscript(network, size)
    if kind == 'onnx':
        return to_onnx(network, size, dynamic=dynamic)
    from s2m2_ros.inference.backends.tensorrt import build_engine
    from s2m2_ros.optional_packages import require_packages

    require_packages('tensorrt', 'tensorrt')
    return build_engine(to_onnx(network, size)).plan
