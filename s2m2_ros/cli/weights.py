"""`s2m2 weights`: list, download, add, locate and verify checkpoints, count their confidence."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

from s2m2_ros.cli import fit_confidence
from s2m2_ros.weights import (
    CHECKPOINTS,
    Checkpoint,
    WeightsError,
    add_file,
    added_checkpoints,
    added_folder,
    cache_folder,
    checkpoint_path,
    download,
    file_sha256,
    find_checkpoint,
    is_added_intact,
    is_intact,
    is_present,
)
from s2m2_ros.weights.other_networks import READY_MADE, is_onnx_file

SUMMARY = 'list, download, add, locate and verify checkpoints, count their confidence'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    parser.set_defaults(cache_folder=None)
    actions = parser.add_subparsers(dest='action', metavar='ACTION', help='default: list')
    listing = actions.add_parser(
        'list', help='show the known checkpoints and which are downloaded'
    )
    fetching = actions.add_parser('download', help='fetch a published checkpoint')
    fetching.add_argument('name', choices=sorted(CHECKPOINTS))
    fetching.add_argument(
        '--accept-license', action='store_true', help='agree to the license of the weights'
    )
    adding = actions.add_parser(
        'add', help='copy a checkpoint, or the ONNX file of another network, into the folder'
    )
    adding.add_argument(
        'file', type=Path, help='an ONNX file with an optional YAML beside it, or a checkpoint'
    )
    adding.add_argument('--name', help='what to call it; default: the name of the file')
    adding.add_argument('--replace', action='store_true', help='replace another file of that name')
    locating = actions.add_parser('path', help='print the path of a checkpoint')
    locating.add_argument('name')
    verifying = actions.add_parser('verify', help='verify the checksums of downloaded files')
    fitting = actions.add_parser(
        'fit-confidence',
        help=fit_confidence.SUMMARY,
        description=f'{fit_confidence.SUMMARY}, and write the table beside it',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    fit_confidence.add_arguments(fitting)
    for action in (listing, fetching, adding, locating, verifying):
        action.add_argument(
            '--cache-folder', type=Path, help='instead of $S2M2_ROS_CACHE or ~/.cache/s2m2_ros'
        )


def run(arguments: argparse.Namespace) -> int:
    """Do the chosen action."""
    folder: Path | None = arguments.cache_folder
    if arguments.action in (None, 'list'):
        return _list(folder)
    if arguments.action == 'download':
        return _download(CHECKPOINTS[arguments.name], folder, agreed=arguments.accept_license)
    if arguments.action == 'add':
        return _add(arguments.file, arguments.name, folder, replace=arguments.replace)
    if arguments.action == 'fit-confidence':
        return fit_confidence.run(arguments)
    if arguments.action == 'path':
        print(find_checkpoint(arguments.name, folder=folder))
        return 0
    return _verify(folder)


def _list(folder: Path | None) -> int:
    print(f'{"name":8} {"variant":8} {"size":>9}  {"license":13} where')
    for checkpoint in CHECKPOINTS.values():
        path = checkpoint_path(checkpoint, folder=folder)
        size = path.stat().st_size if is_present(path) else checkpoint.size_bytes
        missing = f'not downloaded; {checkpoint.address or "reinstall"}'
        where = path if is_present(path) else missing
        print(
            f'{checkpoint.name:8} {checkpoint.variant:8} {size / 1e6:6.0f} MB  '
            f'{checkpoint.licence:13} {where}'
        )
    added = list(added_checkpoints(folder or cache_folder()))
    _list_other_networks({record.name for record in added})
    if added:
        print('\nadded files')
    for record in added:
        path = added_folder(folder or cache_folder()) / record.filename
        where = path if is_present(path) else f'MISSING: {path}'
        license = record.license or 'unknown'
        print(f'{record.name:17} {record.size_bytes / 1e6:6.0f} MB  {license:13} {where}')
    return 0


def _list_other_networks(added: Collection[str]) -> None:
    """List the networks known by name that are not here yet."""
    missing = {name: network for name, network in READY_MADE.items() if name not in added}
    if missing:
        print('\nother networks that need no description: ONNX files with these names')
    for name, network in missing.items():
        description = network.description
        print(
            f'{name:8} {description.name:20} {description.license:13} {network.how}, then '
            '`s2m2 weights add FILE`'
        )


def _add(file: Path, name: str | None, folder: Path | None, *, replace: bool) -> int:
    file = file.expanduser()
    chosen, root = name or file.stem, folder or cache_folder()
    if is_onnx_file(file):
        from s2m2_ros.inference.other_networks.adding import add_network

        record, how = add_network(file, chosen, root, replace=replace)
        print(how)
    else:
        from s2m2_ros.network import load_network
        from s2m2_ros.weights.provenance import license_of

        load_network(file)  # says what is wrong with it
        record = add_file(file, chosen, root, license=license_of(file), replace=replace)
    print(f'license: {record.license or "unknown"}; SHA-256: {record.sha256}')
    print(f'{added_folder(root) / record.filename}: use it as checkpoint {record.name}')
    return 0


def _download(checkpoint: Checkpoint, folder: Path | None, *, agreed: bool) -> int:
    from tqdm import tqdm

    print(f'{checkpoint.name}: {checkpoint.address}')
    print(f'License of these weights: {checkpoint.licence}. {checkpoint.licence_terms}')
    if not agreed:
        raise WeightsError('if you agree to the license, run this again with --accept-license')
    with tqdm(unit='B', unit_scale=True, desc=checkpoint.filename) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        path = download(checkpoint, folder=folder, progress=show)
    print(path)
    if not checkpoint.sha256_is_whole:
        print(f'intact{_how_far_known(checkpoint)}; its whole SHA-256 is {file_sha256(path)}')
    return 0


def _how_far_known(checkpoint: Checkpoint) -> str:
    """Return what to add to "intact" where other files could have the same first digits."""
    if checkpoint.sha256_is_whole:
        return ''
    known = len(checkpoint.sha256_prefix)
    return f' as far as known: the first {known} of 64 digits of its SHA-256 are right'


def _verify(folder: Path | None) -> int:
    damaged = 0
    for checkpoint in CHECKPOINTS.values():
        path = checkpoint_path(checkpoint, folder=folder)
        if not is_present(path):
            state = 'not downloaded'
        elif not checkpoint.sha256_prefix:
            state = 'present; its checksum is unknown'
        elif is_intact(checkpoint, path):
            state = 'intact' + _how_far_known(checkpoint)
        else:
            state = f'DAMAGED: {path}: {checkpoint.remedy}'
            damaged += 1
        print(f'{checkpoint.name:8} {state}')
    root = folder or cache_folder()
    for record in added_checkpoints(root):
        path = added_folder(root) / record.filename
        intact = is_added_intact(record, root)
        state = 'intact' if intact else f'DAMAGED: delete {path} and add it again'
        damaged += not intact
        print(f'{record.name:8} {state}')
    return 1 if damaged else 0
