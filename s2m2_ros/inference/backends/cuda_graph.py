"""The `cudagraph` backend: one captured CUDA graph per size, replayed with one launch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from s2m2_ros.inference.backend import Backend, BackendOptions
from s2m2_ros.inference.backends.engines import Engines
from s2m2_ros.inference.backends.network import Network, PaddedBackend, load_for_inference
from s2m2_ros.inference.export import ImageSize
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory
from s2m2_ros.network import tables

_logger = logging.getLogger(__name__)

# cuDNN and cuBLAS choose their algorithms and allocate their workspaces in the first passes;
# neither may happen while a graph is captured. cuDNN goes by its heuristics: timing its algorithms
# made no pass faster on an H200, and tries some that take tens of gigabytes in float32.
PASSES_BEFORE_CAPTURE = 3


def unavailable(options: BackendOptions) -> str | None:
    """Return why this backend cannot be opened, or None."""
    if options.device.type != 'cuda':
        return f'it needs a CUDA device, not {options.device}'
    return None


def open_backend(options: BackendOptions) -> Backend:
    """Load the network; graphs are captured when their size is used first."""
    graphs = GraphedNetwork(load_for_inference(options), options.device)
    return PaddedBackend('cudagraph', Engines('cudagraph', options, graphs.capture), options)


@dataclass(frozen=True)
class CapturedGraph:
    """A graph and the memory that it reads and writes; see `network.Network`."""

    graph: torch.cuda.CUDAGraph
    left: torch.Tensor
    right: torch.Tensor
    maps: Sequence[torch.Tensor]
    # Read by the graph; the only references once the network's cache of them is full.
    read: Sequence[object]

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return disparity, visibility and confidence of padded images."""
        self.left.copy_(left)
        self.right.copy_(right)
        self.graph.replay()
        return [m.clone() for m in self.maps]


class GraphedNetwork:
    """Captures the network as one CUDA graph per size, with static buffers.

    The images arrive padded, as float32 with three channels, so that gray and color, bytes and
    floats of a size share one graph. All graphs share one pool of memory: their replays take
    turns, and what they leave there is copied at once.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._pool: Any = None

    def capture(self, size: ImageSize) -> CapturedGraph:
        """Return the graph of a size; takes several passes."""
        shape = (size.batch, 3, size.height, size.width)
        left, right = (torch.zeros(shape, device=self._device) for _ in range(2))
        # torch wants the passes before a capture on another stream than the default one. The
        # capture is on the same: torch's own stream for captures is that of the first device.
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(PASSES_BEFORE_CAPTURE):
                self._network(left, right)
        torch.cuda.current_stream(self._device).wait_stream(side)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Other threads, of other matchers, may allocate memory meanwhile.
        with (
            tables.recorded() as read,
            torch.cuda.graph(
                graph, pool=self._pool, stream=side, capture_error_mode='thread_local'
            ),
        ):
            maps = self._network(left, right)
        return CapturedGraph(graph, left, right, maps, tuple(read))


def captured_or_not(
    capture: Callable[[], Network], network: Callable[[], Network], name: str
) -> Network:
    """Return what is captured as a graph, or the network as it is where that fails.

    A lack of memory passes through.
    """
    try:
        return capture()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        _logger.warning('%s runs without a CUDA graph: capturing failed: %s', name, error)
    return network()
