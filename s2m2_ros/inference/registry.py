"""The backends and precisions by name, and what each can do; imports no torch.

The command line, the node's parameters and `selection` read this one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PRECISIONS = ('float32', 'float16', 'bfloat16')


@dataclass(frozen=True)
class BackendEntry:
    """One way to compute a disparity.

    Attributes:
        module: where `unavailable(options)` and `open_backend(options)` are; imported on demand,
            since it may need a heavy or missing package.
        summary: what it is, in a few words, for tables and help texts.
        needs_checkpoint: whether it runs a network.
        prepares_sizes: whether it compiles, captures or builds something for every image size.
        uses_device: whether the device matters; without, it runs on the processor.
        bfloat16_on_cpu: whether it runs in bfloat16 on a processor.
        foreign_module: as `module`, for ONNX files of other networks; empty if it runs none.

    """

    module: str
    summary: str
    needs_checkpoint: bool = True
    prepares_sizes: bool = True
    uses_device: bool = True
    bfloat16_on_cpu: bool = False
    foreign_module: str = ''


BACKENDS: dict[str, BackendEntry] = {
    'torch': BackendEntry(
        's2m2_ros.inference.backends.torch_eager',
        'PyTorch, operation by operation',
        prepares_sizes=False,
        bfloat16_on_cpu=True,
    ),
    'compiled': BackendEntry(
        's2m2_ros.inference.backends.torch_compile', 'torch.compile', bfloat16_on_cpu=True
    ),
    'cudagraph': BackendEntry(
        's2m2_ros.inference.backends.cuda_graph', 'PyTorch, captured as a CUDA graph'
    ),
    'onnxruntime': BackendEntry(
        's2m2_ros.inference.backends.onnx_runtime',
        'ONNX Runtime; also for ONNX files of other networks',
        foreign_module='s2m2_ros.inference.backends.foreign_onnx',
    ),
    'tensorrt': BackendEntry(
        's2m2_ros.inference.backends.tensorrt',
        'TensorRT engines; also for ONNX files of other networks',
        foreign_module='s2m2_ros.inference.backends.foreign_tensorrt',
    ),
    'sgbm': BackendEntry(
        's2m2_ros.inference.backends.sgbm',
        "OpenCV's semi-global matching; needs neither checkpoint nor GPU",
        needs_checkpoint=False,
        prepares_sizes=False,
        uses_device=False,
    ),
}
# What 'auto' tries, best first.
AUTOMATIC_ORDER: Mapping[str, tuple[str, ...]] = {
    'cuda': ('tensorrt', 'cudagraph', 'torch'),
    'cpu': ('torch',),
}
# What runs ONNX files of other networks; 'auto' takes the first.
FOREIGN_BACKENDS = tuple(name for name, entry in BACKENDS.items() if entry.foreign_module)
