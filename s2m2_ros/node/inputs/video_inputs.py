"""Topics of video become topics of images: each packet is decoded as it arrives, paired or not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.images.video_codecs import codec_in_image, codec_of_encoding
from s2m2_ros.io.images.video_packets import VideoDecoder
from s2m2_ros.io.message_data import fill_image
from s2m2_ros.node.faults import Fault, FaultLog

# A problem that is older, in seconds, is not why there are no pictures now: nothing comes at all.
RECENT = 2.0
NO_KEY_FRAME = (
    'waiting for a key frame: let the encoder send one every second ("gop_size", "g"), or start '
    'it after this node'
)


@dataclass
class _Stream:
    """The packets of one publisher of one topic."""

    topic: str
    gid: bytes | None
    codec: str
    decoder: VideoDecoder


class VideoInputs:
    """Decodes the images that are packets of video, each topic in a decoder of its own."""

    def __init__(self, faults: FaultLog) -> None:
        self._faults = faults
        self._streams: dict[int, _Stream] = {}
        self._problems: dict[int, tuple[str, float]] = {}

    @property
    def problem(self) -> str:
        """Why packets give no pictures; empty if they do, or if none come."""
        since = time.monotonic() - RECENT
        return '; '.join(text for _, (text, at) in sorted(self._problems.items()) if at > since)

    def decode(self, index: int, topic: str, message: Any, gid: bytes | None) -> Any | None:
        """Return the message, or the Image that its packet holds; None if it gives none."""
        try:
            codec = codec_of(message)
            if codec is None:
                self._streams.pop(index, None)
            image = message if codec is None else self._decode(index, topic, message, gid, codec)
        except S2M2Error as error:
            self._note(index, f'{topic}: {error}')
            self._faults.report(Fault.VIDEO, self.problem)
            return None
        if image is None:
            known = self._problems.get(index)
            self._note(index, known[0] if known else f'{topic}: {NO_KEY_FRAME}')
        elif self._problems.pop(index, None) and not self._problems:
            self._faults.clear(Fault.VIDEO)
        return image

    def is_video(self, index: int) -> bool:
        """Return whether the messages of this input are packets of video."""
        return index in self._streams

    def _decode(
        self, index: int, topic: str, message: Any, gid: bytes | None, codec: str
    ) -> Image | None:
        stream = self._streams.get(index)
        if stream is None or (stream.topic, stream.gid, stream.codec) != (topic, gid, codec):
            stream = _Stream(topic, gid, codec, VideoDecoder(codec))
            self._streams[index] = stream
        picture = stream.decoder.decode(bytes(message.data))
        return None if picture is None else image_of(picture, message.header)

    def _note(self, index: int, problem: str) -> None:
        self._problems[index] = (problem, time.monotonic())


def codec_of(message: Any) -> str | None:
    """Return the codec of a packet; None for an image. Raises ImageError for an unknown codec."""
    if isinstance(message, Image):
        return None
    if isinstance(message, CompressedImage):
        return codec_in_image(message)
    return codec_of_encoding(message.encoding, 'set the encoder to one of them')


def image_of(picture: np.ndarray, header: Any) -> Image:
    """Return a picture, (H, W, 3) in the order B, G, R, as a message."""
    image = Image(header=header)
    fill_image(image, picture, 'bgr8')
    return image
