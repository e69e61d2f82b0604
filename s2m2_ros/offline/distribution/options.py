"""What is asked of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from s2m2_ros.errors import S2M2Error
from s2m2_ros.setting_names import SettingNames


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
        names: what all of these are called in messages.

    """

    address: str = ''
    workers: int = 0
    cores: int = 1
    gpus: int | None = None
    retries: int = 3
    names: SettingNames = field(default=SettingNames(), compare=False)

    def __post_init__(self) -> None:
        for name, least in (('workers', 0), ('cores', 1), ('retries', 0)):
            value = getattr(self, name)
            if value < least:
                raise S2M2Error(f'{self.names(name)} = {value} must be {least} or more')
