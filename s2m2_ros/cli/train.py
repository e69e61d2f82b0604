"""`s2m2 train`: train on procedural scenes, or fine-tune on real pairs with ground truth."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from s2m2_ros.cli.sizes import three_numbers

if TYPE_CHECKING:
    import torch

    from s2m2_ros.training.batch import BatchSource
    from s2m2_ros.training.options import Crop, TrainOptions

LICENSE = 'Apache-2.0'
"""Of weights that this package's own scenes made from nothing."""
SUMMARY = 'train or fine-tune a network, on procedural scenes or on real pairs'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument('folder', type=Path, help='folder for checkpoints and logs')
    parser.add_argument('--preset', choices=('auto', 'gpu', 'cpu'), default='auto', help='sizes')
    parser.add_argument('--variant', default='XS', help='XS, S, M, L or XL')
    parser.add_argument('--minutes', type=float, default=25.0, help='length of the run')
    parser.add_argument('--steps', type=int, default=0, help='length in steps, instead of minutes')
    parser.add_argument('--seed', type=int, default=0, help='of scenes and initial weights')
    parser.add_argument('--learning-rate', type=float, default=4e-4, help='peak of the schedule')
    parser.add_argument('--average', type=float, default=0.999, help='decay of averaged weights')
    parser.add_argument(
        '--crops', default='', help='until:HxWxBATCH,... instead of those of the preset'
    )
    parser.add_argument('--allow-negative', action='store_true', help='allow negative disparities')
    parser.add_argument('--init', type=Path, help='start from these weights (.pth, .safetensors)')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='continue the run in FOLDER exactly: with its own options and folders of pairs',
    )
    parser.add_argument('--data', type=Path, nargs='+', default=[], help='folders of real pairs')
    parser.add_argument(
        '--unlabeled',
        type=Path,
        nargs='+',
        default=[],
        help='folders of rectified pairs without truth, learned from by comparing the views',
    )
    parser.add_argument(
        '--photographs', type=Path, help='folder of images to take textures of scenes from'
    )
    parser.add_argument(
        *('--scenes-fraction', '--scenes-share'),
        type=float,
        default=0.5,
        help='with --data or --unlabeled: fraction of batches from procedural scenes',
    )
    parser.add_argument(
        '--margins',
        type=float,
        default=0.3,
        help='fraction of pairs with margins, as the matcher pads images to multiples of 32',
    )
    parser.add_argument('--device', default='auto', help='cpu, cuda, cuda:1, ...')
    parser.add_argument(
        '--precision', default='auto', choices=('auto', 'float32', 'bfloat16', 'float16')
    )
    parser.add_argument('--compile', action='store_true', help='compile the network first')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads; 0: all')
    parser.add_argument('--validation', default='', help='fixed pairs: COUNTxHEIGHTxWIDTH')
    parser.add_argument('--validate-every', type=float, default=120.0, help='seconds')
    parser.add_argument('--save-every', type=float, default=60.0, help='seconds')
    parser.add_argument('--preview', type=Path, help='write a sheet of pairs (PNG) and stop')
    parser.add_argument('--export', type=Path, help='write the best weights (.safetensors), stop')
    parser.add_argument(
        *('--baseline', '--stop-gap'),
        action='store_true',
        help='with --export: mark the file as baseline weights, which log a warning when loaded',
    )
    parser.add_argument(
        '--license',
        default='',
        help='with --export: of the weights; empty: of those that the run began with',
    )


def run(arguments: argparse.Namespace) -> int:
    """Preview, export, or train."""
    import torch

    _check(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.export:
        return _export(arguments)
    device = _device(arguments.device)
    options = _options(arguments, device)
    if arguments.preview:
        return _preview(arguments, options, device)
    return _train(arguments, options, device)


def _check(arguments: argparse.Namespace) -> None:
    """Check the numbers that are no part of `TrainOptions`. Raises TrainingError."""
    from s2m2_ros.training.options import TrainingError

    if arguments.threads < 0:
        raise TrainingError(f'--threads must be 0 or more, not {arguments.threads}')


def _train(arguments: argparse.Namespace, options: TrainOptions, device: torch.device) -> int:
    from s2m2_ros.training.margins import RandomMargins
    from s2m2_ros.training.process_group import ProcessGroup
    from s2m2_ros.training.trainer import RunSettings, Trainer
    from s2m2_ros.training.validation import validation_pairs

    settings = RunSettings(
        folder=arguments.folder,
        device=device,
        precision=_precision(arguments.precision, device),
        compile=arguments.compile,
        validate_every=arguments.validate_every,
        save_every=arguments.save_every,
    )
    source = RandomMargins(
        _source(options, device, check=True), fraction=options.margins, seed=options.seed
    )
    default = '24x256x512' if device.type == 'cuda' else '16x192x384'
    pairs = validation_pairs(*three_numbers(arguments.validation or default))
    group = ProcessGroup.join(device)
    try:
        # A run that goes on has its weights in its own checkpoint.
        init = None if arguments.resume else arguments.init
        trainer = Trainer(options, settings, source, pairs, init=init, group=group)
        if arguments.resume:
            trainer.resume()
        trainer.run()
    finally:
        group.leave()
    return 0


def _options(arguments: argparse.Namespace, device: torch.device) -> TrainOptions:
    from s2m2_ros.training.checkpoints import load_last
    from s2m2_ros.training.resumed_options import resumed_options

    if not arguments.resume:
        return _given_options(arguments, device)
    stored = load_last(arguments.folder)['options']
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = [name for name, value in vars(arguments).items() if value != parser.get_default(name)]
    return resumed_options(stored, _given_options(arguments, device), words)


def _given_options(arguments: argparse.Namespace, device: torch.device) -> TrainOptions:
    from s2m2_ros.network import S2M2Config
    from s2m2_ros.training.options import (
        CPU_CROPS,
        GPU_CROPS,
        TrainingError,
        TrainOptions,
        validate,
    )

    try:
        config = S2M2Config.named(arguments.variant)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    init_sha256, license = _origin(arguments)
    small = arguments.preset == 'cpu' or (arguments.preset == 'auto' and device.type == 'cpu')
    options = TrainOptions(
        channels=config.channels,
        transformers=config.transformers,
        seed=arguments.seed,
        steps=arguments.steps,
        minutes=arguments.minutes,
        crops=CPU_CROPS if small else GPU_CROPS,
        learning_rate=arguments.learning_rate,
        average=arguments.average,
        allow_negative=arguments.allow_negative,
        unlabeled=bool(arguments.unlabeled),
        objects=(6, 20) if small else (10, 30),
        # Weights that match already need not be kept from occluded pixels for long.
        visible_only=0.1 if arguments.init else 0.3,
        scenes_fraction=arguments.scenes_fraction,
        margins=arguments.margins,
        data_folders=tuple(map(_absolute, arguments.data)),
        unlabeled_folders=tuple(map(_absolute, arguments.unlabeled)),
        photographs=_absolute(arguments.photographs) if arguments.photographs else '',
        init_sha256=init_sha256,
        license=license,
    )
    if arguments.crops:
        options = replace(options, crops=tuple(_crop(c) for c in arguments.crops.split(',')))
    validate(options)  # before textures are drawn, which takes seconds
    return options


def _absolute(folder: Path) -> str:
    # Links are kept: what they lead to may move.
    return str(folder.expanduser().absolute())


def _origin(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the SHA-256 and the license of the weights that a run begins with."""
    from s2m2_ros.weights import file_sha256
    from s2m2_ros.weights.provenance import license_of

    if arguments.init and arguments.init.is_file():
        return file_sha256(arguments.init), license_of(arguments.init)
    from_pairs = arguments.data or arguments.unlabeled or arguments.photographs
    return '', '' if arguments.init or from_pairs else LICENSE


def _crop(text: str) -> Crop:
    from s2m2_ros.training.options import Crop, TrainingError

    until, _, size = text.partition(':')
    try:
        return Crop(float(until), *three_numbers(size))
    except ValueError as error:
        raise TrainingError(f'crop {text!r}: write until:HEIGHTxWIDTHxBATCH') from error


def _device(name: str) -> torch.device:
    import torch

    from s2m2_ros.training.options import TrainingError

    if name == 'auto':
        # torchrun numbers the processes of a computer; each takes the GPU of its number.
        own = f'cuda:{os.environ.get("LOCAL_RANK", "0")}'
        name = own if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f'device {name!r}: write cpu, cuda or cuda:NUMBER') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise TrainingError(f'device {name!r}: torch finds no CUDA device here')
    return device


def _precision(name: str, device: torch.device) -> str:
    if name != 'auto':
        return name
    return 'bfloat16' if device.type == 'cuda' else 'float32'


def _source(options: TrainOptions, device: torch.device, *, check: bool = False) -> BatchSource:
    """Return where pairs come from; with ``check``, folders are read before the first step."""
    from s2m2_ros.training.procedural.scenes import SceneGenerator, scene_options

    folders: list[BatchSource] = []
    if options.data_folders or options.unlabeled_folders:
        from s2m2_ros.training.folders import (  # which need OpenCV
            FolderSource,
            Mixture,
            UnlabeledSource,
        )

        # First, since drawing the textures of scenes takes seconds.
        sources: list[FolderSource | UnlabeledSource] = []
        if options.data_folders:
            data = [Path(folder) for folder in options.data_folders]
            sources.append(FolderSource(data, seed=options.seed, device=device))
        if options.unlabeled_folders:
            unlabeled = [Path(folder) for folder in options.unlabeled_folders]
            sources.append(UnlabeledSource(unlabeled, seed=options.seed))
        for source in sources if check else []:
            source.check()
        folders.extend(sources)
    photographs: Sequence[torch.Tensor] = ()
    if options.photographs:
        from s2m2_ros.training.procedural.photographs import read_photographs  # which needs OpenCV

        photographs = read_photographs(Path(options.photographs))
    bank = 384 if device.type == 'cuda' else 48
    scenes = SceneGenerator(
        options.seed,
        options=scene_options(options),
        device=device,
        bank_size=bank,
        photographs=photographs,
    )
    if not folders:
        return scenes
    return Mixture(folders, scenes, scenes_fraction=options.scenes_fraction, seed=options.seed)


def _preview(arguments: argparse.Namespace, options: TrainOptions, device: torch.device) -> int:
    from s2m2_ros.training.preview import write_sheet

    crop = options.crops[0]
    source = _source(options, device)
    write_sheet(arguments.preview, source.batch(0, 8, crop.height, crop.width).to('cpu'))
    print(f'wrote {arguments.preview}')
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from s2m2_ros.training.export import export_best

    facts = export_best(
        arguments.folder, arguments.export, baseline=arguments.baseline, license=arguments.license
    )
    print(f'wrote {arguments.export}: {facts}')
    return 0
