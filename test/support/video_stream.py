"""Real H.264 and H.265, encoded as a camera's encoder does: one packet for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

ENCODERS = {'h264': 'libx264', 'hevc': 'libx265'}


def encode(
    codec: str, images: Sequence[np.ndarray], *, gop: int = 5, b_frames: int = 0, **options: str
) -> list[bytes]:
    """Return the packets of BGR images, with a key frame every `gop` of them."""
    height, width = images[0].shape[:2]
    encoder = av.CodecContext.create(ENCODERS[codec], 'w')
    encoder.width, encoder.height, encoder.pix_fmt = width, height, 'yuv420p'
    encoder.time_base, encoder.gop_size, encoder.max_b_frames = Fraction(1, 30), gop, b_frames
    encoder.thread_count = 1  # as many slices as asked for
    quiet = {'x265-params': 'log-level=none'} if codec == 'hevc' else {}
    usual = {'preset': 'ultrafast', 'tune': 'zerolatency', 'crf': '12'}
    encoder.options = {**usual, **quiet, **options}
    packets = []
    for index, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format='bgr24')
        frame.pts = index
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]
