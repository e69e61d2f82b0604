"""A matcher works in the process that opened it: in a forked one it would wait for ever."""

from __future__ import annotations

import os

import torch

from s2m2_ros.inference.errors import ProcessError

OPEN_ANOTHER = "open one in each process (started by 'spawn', where that is a choice)"


class OwnProcess:
    """The process in which this was made."""

    def __init__(self) -> None:
        self._number = os.getpid()

    def check(self, device: torch.device, backend: str) -> None:
        """Raise ProcessError in a process forked from it, unless what is to run works there.

        The threads that torch computes with, and CUDA, stay in the first process.
        """
        if os.getpid() == self._number or backend == 'sgbm':
            return
        if device.type != 'cpu' or torch.get_num_threads() > 1:
            raise ProcessError(
                'this matcher was opened before the process was forked, and its threads stayed '
                f'behind: {OPEN_ANOTHER}, or, on a processor, call torch.set_num_threads(1) first'
            )
