# %% [markdown]
# # Depth of one frame
# From two images and their calibration to depth in meters, its uncertainty and a cloud, without
# ROS. Here the scene is a generated one, whose true depth is known; name your own files in its
# place: `read_image` reads images, `read_calibration` Middlebury's `calib.txt`, KITTI, OpenCV,
# `camera_info` YAML and more.

# %%
import matplotlib.pyplot as plt
import numpy as np

from s2m2_ros.geometry import CameraModel, Output
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.pipeline import (
    PairInput,
    PipelineOptions,
    PipelineState,
    StereoPipeline,
    output_options,
)

# %% [markdown]
# ## Two images
# A box 1.5 m away before a wall at 3 m, both with texture. A point at depth `z` is seen
# `focal length * baseline / z` pixels further left by the right camera: 40 pixels on the box, 20
# on the wall.

# %%
WIDTH, HEIGHT, FOCAL_LENGTH, BASELINE = 320, 224, 300.0, 0.2
random = np.random.default_rng(1)


def texture(height: int, width: int) -> np.ndarray:
    """Return smooth noise, uint8, as matte surfaces look."""
    coarse = random.uniform(0, 255, (height // 4 + 1, width // 4 + 1))
    return np.kron(coarse, np.ones((4, 4)))[:height, :width].astype(np.uint8)


wall, box = texture(HEIGHT, WIDTH + 20), texture(100, 120)
left, right = wall[:, :WIDTH].copy(), wall[:, 20:].copy()
left[60:160, 120:240] = box
right[60:160, 80:200] = box
true_depth = np.full((HEIGHT, WIDTH), 3.0)
true_depth[60:160, 120:240] = 1.5

# %% [markdown]
# ## The calibration
# A pair of projection matrices, as in `camera_info`: the right one holds `-f * baseline`.

# %%


def camera(x_offset: float) -> CameraModel:
    """Return a camera without distortion."""
    f, cx, cy = FOCAL_LENGTH, WIDTH / 2, HEIGHT / 2
    return CameraModel((f, 0, cx, x_offset, 0, f, cy, 0, 0, 0, 1, 0), WIDTH, HEIGHT)


calibration = camera(0.0), camera(-FOCAL_LENGTH * BASELINE)

# %% [markdown]
# ## From pair to outputs
# The pipeline is the one of the ROS node: the same checks, filters and numbers.

# %%
wanted = {Output.DEPTH, Output.CONFIDENCE, Output.UNCERTAINTY, Output.POINTS}
options = PipelineOptions(output_options(points_organized=False))
with StereoMatcher.open('starter') as matcher:
    pipeline = StereoPipeline(matcher)
    outputs = pipeline.process(
        PairInput(left, right, calibration), wanted, options, PipelineState()
    )
depth, confidence, uncertainty, points = (
    outputs.host.arrays[name].copy()
    for name in (Output.DEPTH, Output.CONFIDENCE, Output.UNCERTAINTY, Output.POINTS)
)

# %% [markdown]
# ## Pictures

# %%
figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout='constrained')
for axis, (title, values, colors) in zip(
    axes.flat,
    [
        ('left image', left, 'gray'),
        ('depth in m', depth, 'turbo'),
        ('confidence', confidence, 'viridis'),
        ('standard deviation of the depth in m', uncertainty, 'magma'),
    ],
    strict=True,
):
    drawn = axis.imshow(values, cmap=colors)
    axis.set_title(title)
    axis.axis('off')
    figure.colorbar(drawn, ax=axis)
figure.savefig('depth_of_one_frame.png')

# %% [markdown]
# ## How wrong is it?

# %%
known = np.isfinite(depth)
error = np.abs(depth[known] - true_depth[known])
print(f'{known.mean():.0%} of the pixels have a depth, {len(points)} are in the cloud')
print(f'median error {100 * np.median(error):.1f} cm')
