"""The options of commands that may work in a cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from s2m2_ros.cli.option_names import CLUSTER_OPTIONS
from s2m2_ros.errors import S2M2Error

if TYPE_CHECKING:
    from s2m2_ros.offline.distribution.options import ClusterOptions


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a cluster."""
    group = parser.add_argument_group('many machines (pip install "s2m2_ros[ray]")')
    group.add_argument(
        '--ray', action='store_true', help='work in a Ray cluster, by default one on this machine'
    )
    group.add_argument(
        '--ray-address',
        metavar='HOST:PORT',
        help='a running cluster, auto for the one of this machine; implies --ray',
    )
    group.add_argument(
        '--ray-workers',
        type=int,
        default=0,
        metavar='N',
        help='workers at most; 0: one for each GPU, or for so many cores',
    )
    group.add_argument(
        '--ray-cores', type=int, default=1, metavar='N', help='cores of each worker'
    )


def cluster_options(arguments: argparse.Namespace) -> ClusterOptions | None:
    """Return what is asked of a cluster; None without one. Raises S2M2Error."""
    from s2m2_ros.offline.distribution.options import ClusterOptions

    is_wanted = arguments.ray or arguments.ray_address is not None
    if not is_wanted:
        if arguments.ray_workers or arguments.ray_cores != 1:
            raise S2M2Error('--ray-workers and --ray-cores need --ray or --ray-address')
        return None
    if arguments.ray_address == '':
        raise S2M2Error('--ray-address is empty: give HOST:PORT or auto, or --ray alone')
    return ClusterOptions(
        arguments.ray_address or '',
        arguments.ray_workers,
        arguments.ray_cores,
        names=CLUSTER_OPTIONS,
    )
