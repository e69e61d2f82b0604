"""Recorded topics of H.264 or H.265 video: packets become images, from a key frame on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.video_codecs import codec_in_image, codec_of_encoding
from s2m2_ros.io.images.video_packets import NAMES, VideoDecoder
from s2m2_ros.io.images.video_units import contents
from s2m2_ros.io.message_data import fill_image
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.messages.plain_messages import PlainMessage, plain_header


def with_header(content: Any) -> Any:
    """Return a message, with the header that Foxglove's messages have in fields of their own."""
    if hasattr(content, 'header') or not hasattr(content, 'timestamp'):
        return content
    header = plain_header(0, str(content.frame_id))
    header.stamp.sec, header.stamp.nanosec = content.timestamp.sec, content.timestamp.nanosec
    return SimpleNamespace(header=header, data=content.data, format=content.format, is_video=True)


def packet_codec(content: Any) -> str | None:
    """Return the codec of a packet of video, None for an image; raises ImageError for others."""
    if hasattr(content, 'pts') or hasattr(content, 'is_video'):
        name = content.encoding.partition(';')[0] if hasattr(content, 'pts') else content.format
        return codec_of_encoding(name, 'set the encoder to one of them, or record images')
    return codec_in_image(content) if hasattr(content, 'format') else None


def is_packet(content: Any) -> bool:
    """Return whether a message is a packet of video, which may be of an unknown codec."""
    try:
        return packet_codec(content) is not None
    except ImageError:
        return True


def is_key(content: Any) -> bool:
    """Return whether decoding may begin with a packet; images need no other."""
    try:
        codec = packet_codec(content)
    except ImageError:
        return False
    return codec is None or contents(bytes(content.data), codec).key


@dataclass(frozen=True)
class LostPicture:
    """A packet that gives no picture, in place of that; so its pair is known, and counted as lost.

    Asking for its pixels, which begins with their encoding, raises ImageError.
    """

    header: Any
    reason: str
    data: bytes = b''

    @property
    def encoding(self) -> str:
        """Raise ImageError, which says why there is no picture."""
        raise ImageError(self.reason)


class VideoTopics:
    """Decodes the packets of each topic in their order; images pass as they are."""

    def __init__(self) -> None:
        self._decoders: dict[str, VideoDecoder] = {}

    def images(self, topic: str, content: Any) -> Iterator[Any]:
        """Yield the image of a message, or a `LostPicture`; nothing if no picture is in it.

        Raises PlaybackError if nothing here decodes it.
        """
        try:
            codec = packet_codec(content)
        except ImageError as error:
            raise PlaybackError(f'{topic}: {error}') from error
        if codec is None:
            yield content
            return
        decoder = self._decoders.get(topic)
        if decoder is None or decoder.codec != codec:
            decoder = self._decoders[topic] = VideoDecoder(codec)
        packet = bytes(content.data)
        try:
            picture = decoder.decode(packet)
        except ImageError:
            picture = None
        if picture is not None:
            image = PlainMessage('sensor_msgs/msg/Image')
            image.header = content.header
            fill_image(image, picture, 'bgr8')
            yield image
        elif decoder.waits_for or contents(packet, codec).pictures:
            reason = decoder.waits_for or 'the decoder gave no picture of it'
            # Alike for all pictures that one damage costs.
            yield LostPicture(
                content.header,
                f'no image from its {NAMES[codec]} packet ({reason}), nor from those after it up '
                'to the next key frame',
            )
