"""Packets of H.264 or H.265 video as pictures, one for each packet, through PyAV."""

from __future__ import annotations

from typing import Any

import numpy as np

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.compressed_images import MAX_PIXELS
from s2m2_ros.io.images.video_units import (
    H264,
    MOST_UNITS,
    START,
    FrameNumbers,
    contents,
)
from s2m2_ros.optional_packages import require_packages

NAMES = {'h264': 'H.264', 'hevc': 'H.265'}
# Two fields may make up one picture. Many tiny pictures in a packet would take hours.
MOST_PICTURES = 2
# Slices in parallel; more would take the cores from the matching.
THREADS = 2


class VideoDecoder:
    """Decodes the packets of one stream, which must come in order and all of them.

    The stream may be joined anywhere: pictures come from the next key frame on. So it is after a
    damaged or lost packet, as each picture is a change of those before it.
    """

    def __init__(self, codec: str, *, max_pixels: int = MAX_PIXELS) -> None:
        """Decode 'h264' or 'hevc'. Raises MissingPackageError without PyAV."""
        require_packages(f'decoding {NAMES[codec]} video', 'av')
        import av

        self.codec = codec
        self._av: Any = av
        self._context = av.CodecContext.create(codec, 'r')
        # Threads that decode pictures side by side would hold some of them back.
        self._context.thread_type = 'SLICE'
        self._context.thread_count = THREADS
        self._context.options = {
            'flags': '+low_delay',
            'err_detect': 'explode',
            'max_pixels': str(max_pixels),
        }
        self._numbers = FrameNumbers()
        self._waiting = True
        # Why there is no picture until the next key frame; empty once there was one.
        self.waits_for = 'no key frame came before it'
        self._count = 0

    def decode(self, packet: bytes) -> np.ndarray | None:
        """Return the picture of a packet, (H, W, 3) uint8 in the order B, G, R.

        None until the first key frame, and for a packet that holds parameters only. Raises
        ImageError for one that is damaged, or that follows a lost one; then waits for a key frame.
        """
        try:
            return self._decode(packet)
        except ImageError as error:
            self._restart()
            self.waits_for = str(error)
            raise ImageError(
                f'packet of {NAMES[self.codec]}, {len(packet)} bytes: {error}; waiting for the '
                'next key frame'
            ) from error

    def _decode(self, packet: bytes) -> np.ndarray | None:
        if packet.count(START) > MOST_UNITS:
            raise ImageError(f'it holds more than {MOST_UNITS} units')
        found = contents(packet, self.codec)
        if self._waiting and not found.key:
            return None
        self._waiting, self.waits_for = False, ''
        if found.pictures > MOST_PICTURES:
            raise ImageError(f'it holds {found.pictures} pictures: one a packet is accepted')
        if self.codec == H264 and self._numbers.lost(packet):
            raise ImageError('a packet before it was lost')
        return self._picture(packet)

    def _picture(self, packet: bytes) -> np.ndarray | None:
        encoded = self._av.Packet(packet)
        self._count += 1
        encoded.pts = self._count
        try:
            frames = self._context.decode(encoded)
        except (self._av.error.FFmpegError, ValueError, MemoryError) as error:
            raise ImageError(
                'it is damaged, depends on missing packets or is too large'
            ) from error
        if not frames:
            return None
        frame = frames[-1]
        if frame.pts != self._count:
            raise ImageError(
                'its picture comes out later than the packet: encode without B-frames '
                '(max_b_frames 0, tune zerolatency)'
            )
        if frame.is_corrupt:
            raise ImageError('it is damaged, or depends on missing packets')
        return np.asarray(frame.to_ndarray(format='bgr24'))

    def _restart(self) -> None:
        # Keeps the parameters, which some encoders send only once.
        self._context.flush_buffers()
        self._numbers.restart()
        self._waiting = True
