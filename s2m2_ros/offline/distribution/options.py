"""What is asked of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from s2m2_ros.errors import S2M2Error


@dataclass(frozen=True)
class ClusterOptions:
    """Where workers run.

    Attributes:
        address: of a Ray cluster: HOST:PORT, 'auto' for the one of this machine, or ray://HOST:PORT
            for its client server; empty: a cluster of its own on this machine.
        workers: how many there are at most; 0: as many as the cluster has room for.
        cores: of a worker without a GPU, and threads of its matcher.
        gpus: of a worker: 0 or 1; None: 1 if the cluster has any and the device is not a CPU.
        retries: how often a segment is tried again after its worker was lost.

    """

    address: str = ''
    workers: int = 0
    cores: int = 1
    gpus: int | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        if self.workers < 0 or self.cores < 1 or self.retries < 0:
            raise S2M2Error(
                f'a cluster needs 0 or more workers and retries, and 1 or more cores for each: '
                f'not {self.workers}, {self.retries} and {self.cores}'
            )
