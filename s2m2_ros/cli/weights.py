"""`s2m2 weights`: list, download, locate and verify checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path

from s2m2_ros.weights import (
    CHECKPOINTS,
    Checkpoint,
    WeightsError,
    checkpoint_path,
    download,
    file_sha256,
    find_checkpoint,
    is_intact,
    is_present,
)

SUMMARY = 'list, download, locate and verify the checkpoints of the network'


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
    locating = actions.add_parser('path', help='print the path of a checkpoint')
    locating.add_argument('name')
    verifying = actions.add_parser('verify', help='verify the checksums of downloaded files')
    for action in (listing, fetching, locating, verifying):
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
            state = f'DAMAGED: delete {path} and download it again'
            damaged += 1
        print(f'{checkpoint.name:8} {state}')
    return 1 if damaged else 0
