"""Loading the network the way every backend that runs or exports it wants it."""

from __future__ import annotations

from s2m2_ros.inference.backend import PRECISIONS, BackendOptions
from s2m2_ros.inference.errors import InferenceError
from s2m2_ros.network import S2M2, load_network


def load_for_inference(options: BackendOptions) -> S2M2:
    """Return the network on the device, in the precision asked for, without gradients.

    Raises CheckpointError if the file is not a checkpoint.
    """
    if options.checkpoint is None:
        raise InferenceError('this backend needs a checkpoint')
    network = load_network(
        options.checkpoint,
        refine_iterations=options.refine_iterations,
        allow_negative=options.allow_negative,
        device=options.device,
    )
    # Coordinates, matching and disparity stay float32 inside whatever the parameters' type is.
    return network.to(PRECISIONS[options.precision]).requires_grad_(False)
