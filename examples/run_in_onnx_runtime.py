"""Export the network as ONNX, and run the file in ONNX Runtime alone.

Usage: python3 run_in_onnx_runtime.py LEFT RIGHT MODEL.onnx [CHECKPOINT]

Needs `pip install s2m2_ros[onnx]`. On the robot, ONNX Runtime, NumPy and the model are enough.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.inference.export import ExportSize, to_onnx
from s2m2_ros.io.images.image_files import read_image
from s2m2_ros.network import load_network
from s2m2_ros.weights import find_checkpoint

left, right = (read_image(Path(name)) for name in sys.argv[1:3])
model = Path(sys.argv[3])
checkpoint = sys.argv[4] if len(sys.argv) > 4 else 'starter'
REFINE_ITERATIONS = 1  # 3 is more accurate, and three times as long to export


def padded(image: np.ndarray) -> np.ndarray:
    """Return (1, 3, H, W) float32, both sides multiples of 32; edges are repeated below, right."""
    rgb = np.broadcast_to(image[..., None], (*image.shape, 3)) if image.ndim == 2 else image
    below, beside = (-side % 32 for side in rgb.shape[:2])
    rgb = np.pad(rgb, ((0, below), (0, beside), (0, 0)), mode='edge')
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)


# Once, where PyTorch is installed; it takes a minute. A model is for one size of images.
inputs = {'left': padded(left), 'right': padded(right)}
size = ExportSize(*inputs['left'].shape[2:])
network = load_network(find_checkpoint(checkpoint), refine_iterations=REFINE_ITERATIONS)
model.write_bytes(to_onnx(network.requires_grad_(False), size))

# Everywhere.
session = onnxruntime.InferenceSession(str(model), providers=['CPUExecutionProvider'])
disparity, visibility, confidence = session.run(None, inputs)
height, width = left.shape[:2]
found = disparity[0, 0, :height, :width]
print(f'median disparity {np.median(found):.2f} pixels, from {model.name}')

# The matcher pads as this example does for `starter`; for the published checkpoints it pads as
# their demos do: see `s2m2_ros.inference.padding`.
options = {'precision': 'float32', 'device': 'cpu', 'refine_iterations': REFINE_ITERATIONS}
with StereoMatcher.open(checkpoint, **options) as matcher:
    expected = matcher.match(left, right).disparity.numpy()
print(f'differs from PyTorch by {np.median(np.abs(found - expected)):.5f} pixels (median)')
