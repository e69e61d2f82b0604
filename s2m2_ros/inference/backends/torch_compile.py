"""The `compiled` backend: torch.compile, one graph per size.

What the compiler made is kept on disk per size, so the next process only loads it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.network import PaddedBackend, load_for_inference
from s2m2_ros.inference.export import ExportSize
from s2m2_ros.inference.exported_models import ExportedModels
from s2m2_ros.optional_packages import missing_packages

_logger = logging.getLogger(__name__)

# torch gives up compiling, silently, after this many sizes; its default is 8.
SIZES_COMPILED = 64


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    if options.device.type == 'cuda':
        return missing_packages('triton')
    compiler = os.environ.get('CXX', 'g++')
    if shutil.which(compiler) is None:
        return f"the C++ compiler '{compiler}' is missing (apt install g++)"
    return None


def open_backend(options: BackendOptions) -> Backend:
    """Load the network; it is compiled when a size comes first."""
    return PaddedBackend('compiled', CompiledNetwork(options), options)


class CompiledNetwork:
    """The network under torch.compile; see `padded.Network`."""

    def __init__(self, options: BackendOptions) -> None:
        self._entries = ExportedModels(options)
        self._compiled = torch.compile(load_for_inference(options), dynamic=False)
        self._sizes: set[ExportSize] = set()

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return disparity, visibility and confidence of padded images."""
        batch, _, height, width = left.shape
        size = ExportSize(height, width, batch)
        # Gradients are switched on so that the network does not unroll its loop over chunks of
        # rows; nothing requires any.
        with torch.enable_grad():
            if size in self._sizes:
                return self._run(left, right)
            return self._compile(size, left, right)

    def _run(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        with torch._dynamo.config.patch(recompile_limit=SIZES_COMPILED):
            maps: Sequence[torch.Tensor] = self._compiled(left, right)
        return maps

    def _compile(
        self, size: ExportSize, left: torch.Tensor, right: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        key = self._entries.key('compiled', size)
        kept = self._entries.cache.load(key)
        if kept is not None:
            torch.compiler.load_cache_artifacts(kept)
        else:
            _logger.info('compiling for %dx%d, which may take minutes', size.width, size.height)
        maps = self._run(left, right)
        made = torch.compiler.save_cache_artifacts()
        if kept is None and made is not None:
            self._entries.cache.store(key, made[0])
        self._sizes.add(size)
        return maps
