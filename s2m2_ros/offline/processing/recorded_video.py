"""Recorded topics of H.264 or H.265 video: packets become images, from a key frame on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.video_codecs import codec_in_image, codec_of_encoding
from s2m2_ros.io.images.video_packets import VideoDecoder
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


class VideoTopics:
    """Decodes the packets of each topic in their order; images pass as they are."""

    def __init__(self, note_damage: Callable[[str], None]) -> None:
        """Take what is called for packets that give no picture."""
        self._note_damage = note_damage
        self._decoders: dict[str, VideoDecoder] = {}

    def images(self, topic: str, content: Any) -> Iterator[Any]:
        """Yield the image of a message, nothing for a packet without one.

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
        try:
            picture = decoder.decode(bytes(content.data))
        except ImageError as error:
            self._note_damage(f'{topic}: {error}')
            return
        if picture is not None:
            image = PlainMessage('sensor_msgs/msg/Image')
            image.header = content.header
            fill_image(image, picture, 'bgr8')
            yield image
