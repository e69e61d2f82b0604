"""The stereo node, with a matcher that takes SLOW_MATCH seconds however fast the computer is.

Usage: SLOW_MATCH=1.0 python -m support.slow_node --ros-args -p backend:=sgbm ...
"""

from __future__ import annotations

import os
import sys
import time

import torch

from s2m2_ros.inference.backend import Maps
from s2m2_ros.inference.backends.sgbm import SemiGlobalBackend
from s2m2_ros.node.main import main

SECONDS = float(os.environ['SLOW_MATCH'])
DISPARITY = 8.0


def infer(self: SemiGlobalBackend, left: torch.Tensor, right: torch.Tensor) -> Maps:
    """Match nothing; leave the interpreter to others meanwhile, as OpenCV does."""
    time.sleep(SECONDS)
    shape = (left.shape[0], *left.shape[-2:])
    return Maps(torch.full(shape, DISPARITY), torch.ones(shape), torch.ones(shape))


if __name__ == '__main__':
    SemiGlobalBackend.infer = infer  # type: ignore[method-assign]
    sys.exit(main())
