"""The `cudagraph` backend: one captured CUDA graph per size, replayed with one launch."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch

from s2m2_ros.inference.backend import BackendOptions, Maps
from s2m2_ros.inference.backends.network import Network, load_for_inference, match_padded
from s2m2_ros.inference.errors import ClosedError

# cuDNN and cuBLAS choose their algorithms and allocate their workspaces in the first passes;
# neither may happen while a graph is captured.
PASSES_BEFORE_CAPTURE = 3
# Each graph holds the memory of one whole pass.
GRAPHS_KEPT = 4

Key = tuple[torch.Size, torch.dtype]


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    if options.device.type != 'cuda':
        return f'it needs a CUDA device, not {options.device}'
    return None


def open_backend(options: BackendOptions) -> CudaGraphBackend:
    """Load the network; graphs are captured when their size comes first."""
    return CudaGraphBackend(load_for_inference(options), options)


@dataclass(frozen=True)
class _Captured:
    """A graph and the buffers it reads and writes."""

    graph: torch.cuda.CUDAGraph
    left: torch.Tensor
    right: torch.Tensor
    maps: Maps


class CudaGraphBackend:
    """Padding, network and cropping in one graph, with static buffers.

    In steady state a call makes one launch, two copies into the buffers, and three small
    allocations for the result, which the caching allocator serves without asking the driver.
    """

    def __init__(self, network: Network, options: BackendOptions) -> None:
        self.name = 'cudagraph'
        self.device = options.device
        self.precision = options.precision
        self._margin = options.margin
        self._network: Network | None = network
        self._graphs: OrderedDict[Key, _Captured] = OrderedDict()

    def infer(self, left: torch.Tensor, right: torch.Tensor) -> Maps:
        """Match B pairs; see `Backend.infer`. The first of a size takes several passes."""
        captured = self._captured(left, right)
        captured.left.copy_(left)
        captured.right.copy_(right)
        captured.graph.replay()
        return Maps(*(m.clone() for m in captured.maps))

    def close(self) -> None:
        """Free the graphs, their memory and the weights."""
        self._graphs.clear()
        self._network = None

    def _captured(self, left: torch.Tensor, right: torch.Tensor) -> _Captured:
        key = (left.shape, left.dtype)
        if key in self._graphs:
            self._graphs.move_to_end(key)
        else:
            while len(self._graphs) >= GRAPHS_KEPT:
                self._graphs.popitem(last=False)
            self._graphs[key] = self._capture(left, right)
        return self._graphs[key]

    def _capture(self, left: torch.Tensor, right: torch.Tensor) -> _Captured:
        if self._network is None:
            raise ClosedError
        static_left = torch.empty_like(left).copy_(left)
        static_right = torch.empty_like(right).copy_(right)
        # torch wants the passes before a capture on another stream than the default one.
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(PASSES_BEFORE_CAPTURE):
                match_padded(self._network, static_left, static_right, self._margin)
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            maps = match_padded(self._network, static_left, static_right, self._margin)
        return _Captured(graph, static_left, static_right, maps)
