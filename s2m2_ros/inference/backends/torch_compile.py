"""The `compiled` backend: torch.compile, one graph per size; on CUDA replayed as a CUDA graph.

What the compiler made is kept on disk per size, so the next process only loads it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.cuda_graph import GraphedNetwork, captured_or_not
from s2m2_ros.inference.backends.engines import Engines
from s2m2_ros.inference.backends.network import Network, PaddedBackend, load_for_inference
from s2m2_ros.inference.engines.exported_models import ExportedModels
from s2m2_ros.inference.engines.made_pairs import made_pair
from s2m2_ros.inference.engines.versions import OLDEST_TORCH_FOR_COMPILING, torch_too_old
from s2m2_ros.inference.export import ImageSize
from s2m2_ros.optional_packages import missing_packages

_logger = logging.getLogger(__name__)

# torch gives up compiling, silently, after this many sizes; its default is 8.
SIZES_COMPILED = 64


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    reason = torch_too_old(OLDEST_TORCH_FOR_COMPILING, 'this backend')
    if reason is not None:
        return reason
    if options.device.type == 'cuda':
        return missing_packages('triton')
    compiler = os.environ.get('CXX', 'g++')
    if shutil.which(compiler) is None:
        return f"the C++ compiler '{compiler}' is missing (apt install g++)"
    return None


def open_backend(options: BackendOptions) -> Backend:
    """Load the network; it is compiled when a size is used first."""
    engines = Engines('compiled', options, CompiledNetwork(options).compile)
    return PaddedBackend('compiled', engines, options)


def captures(device: torch.device) -> bool:
    """Return whether compiled code is replayed as a graph there."""
    return device.type == 'cuda'


class CompiledNetwork:
    """The network under torch.compile."""

    def __init__(self, options: BackendOptions) -> None:
        self._device = options.device
        self._entries = ExportedModels(options)
        self._compiled = torch.compile(load_for_inference(options), dynamic=False)
        self._sizes: set[ImageSize] = set()
        self._graphs = GraphedNetwork(self._run, options.device)

    def compile(self, size: ImageSize) -> Network:
        """Return the network of padded images of a size."""
        if size not in self._sizes and len(self._sizes) >= SIZES_COMPILED:
            _logger.info('compiled for %d sizes: forgetting them', len(self._sizes))
            torch.compiler.reset()
            self._sizes.clear()
        key = self._entries.key('compiled', size)
        kept = self._entries.cache.load(key)
        if kept is not None:
            torch.compiler.load_cache_artifacts(kept)
        left, right = made_pair(size)
        self._run(left.to(self._device), right.to(self._device))
        made = torch.compiler.save_cache_artifacts()
        if kept is None and made is not None:
            self._entries.cache.store(key, made[0])
        self._sizes.add(size)
        if not captures(self._device):
            return self._run
        return captured_or_not(lambda: self._graphs.capture(size), lambda: self._run, 'compiled')

    def _run(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        # Gradients are switched on so that the network does not unroll its loop over chunks of
        # rows; nothing requires any.
        with torch.enable_grad(), torch._dynamo.config.patch(recompile_limit=SIZES_COMPILED):
            maps: Sequence[torch.Tensor] = self._compiled(left, right)
        return maps
