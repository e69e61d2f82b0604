"""Full float32 precision: without TF32, which keeps 10 of its 23 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """Turn TF32 off in matrix products and convolutions of torch while it lasts.

    PyTorch allows it in convolutions by default. The setting belongs to the process; it is put
    back afterwards.
    """
    with ExitStack() as stack:
        stack.callback(_exact_products())
        stack.callback(_exact_convolutions())
        yield


# PyTorch 2.9 brought new names for both settings, and fails to read the old ones once the new
# ones were used in a process. The old ones must stay readable for code that uses only these.


def _exact_products() -> Callable[[], None]:
    """Turn TF32 off in matrix products; return what restores the setting."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        products = torch.backends.cuda.matmul
        restore = partial(setattr, products, 'fp32_precision', products.fp32_precision)
        products.fp32_precision = 'ieee'
        return restore
    torch.set_float32_matmul_precision('highest')
    return partial(torch.set_float32_matmul_precision, before)


def _exact_convolutions() -> Callable[[], None]:
    """Turn TF32 off in convolutions; return what restores the setting."""
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:
        restore = partial(setattr, cudnn.conv, 'fp32_precision', cudnn.conv.fp32_precision)
        cudnn.conv.fp32_precision = 'ieee'
        return restore
    cudnn.allow_tf32 = False
    return partial(setattr, cudnn, 'allow_tf32', before)
