"""Match two rectified images, and write disparity and confidence.

Usage: python3 match_images.py LEFT RIGHT [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.image_files import disparity_picture, read_image, write_png

left, right = (read_image(Path(name)) for name in sys.argv[1:3])
folder = Path(sys.argv[3] if len(sys.argv) > 3 else 'match_images_output')
folder.mkdir(parents=True, exist_ok=True)

with StereoMatcher.open('starter') as matcher:  # backend='sgbm' needs neither network nor GPU
    result = matcher.match(left, right).cpu()  # uint8 or float, (H, W) or (H, W, 3) RGB

disparity = result.disparity.numpy()  # x_left - x_right in pixels, float32 (H, W)
confidence = result.confidence.numpy()  # probability that it is wrong by less than 4 pixels
np.savez(folder / 'maps.npz', disparity=disparity, confidence=confidence)
write_png(folder / 'disparity.png', disparity_picture(disparity))
print(f'median disparity {np.median(disparity):.2f} pixels')
print(f'{(confidence > 0.9).mean():.0%} of the pixels with a confidence above 0.9')
