"""ONNX files of other networks under ONNX Runtime: the `onnxruntime` backend for them.

On the processor it is the reference itself; on a CUDA device each size is compared with that
before it is used. Either way a planted pair shows at the opening whether the description is right.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.engines import Engines
from s2m2_ros.inference.backends.foreign import (
    REFERENCE,
    ForeignBackend,
    ForeignModels,
    HostReference,
    load,
)
from s2m2_ros.inference.backends.onnx_runtime import unavailable_on
from s2m2_ros.inference.other_networks.foreign_network import ForeignNetwork
from s2m2_ros.inference.other_networks.planted_check import check_description
from s2m2_ros.inference.other_networks.recognition import Recognized
from s2m2_ros.inference.other_networks.sessions import CudaSession, HostSession, runner_for
from s2m2_ros.optional_packages import missing_packages

NAME = 'onnxruntime'


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    reason = missing_packages('onnxruntime', 'onnx')
    if reason is None and (unfit := unavailable_on(options.device)):
        reason = f'{unfit}; or set device to cpu, or backend to tensorrt'
    return reason


def open_backend(options: BackendOptions) -> Backend:
    """Return the backend. Raises OnnxFileError, DescriptionError or DescriptionMismatchError."""
    found = load(options)
    options = replace(options, precision='float16' if found.has_half else 'float32')
    if options.device.type == 'cpu':
        network = ForeignNetwork(found, runner_for(found, HostSession))
        check_description(network, options.device)
        return ForeignBackend(NAME, found, network, options)
    return open_on_device(found, options)


def open_on_device(found: Recognized, options: BackendOptions) -> Backend:
    """Return the backend on a CUDA device; sizes are compared when they are used first."""
    import onnxruntime

    on_device = partial(CudaSession, device=options.device)
    network = ForeignNetwork(found, runner_for(found, on_device))
    check_description(network, options.device)
    engines = Engines(
        NAME,
        options,
        lambda size: network,
        models=ForeignModels(found, options),
        prover=HostReference(found, options.device).prove,
        reference=REFERENCE,
        onnxruntime=onnxruntime.__version__,
    )
    return ForeignBackend(NAME, found, engines, options)
