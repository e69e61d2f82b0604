"""Which codec a packet of video has, by what the message around it says and by its bytes."""

from __future__ import annotations

from typing import Any

from s2m2_ros.errors import ImageError
from s2m2_ros.io.images.compressed_images import VIDEO
from s2m2_ros.io.images.image_formats import image_format
from s2m2_ros.io.images.video_units import codec_named
from s2m2_ros.text_safety import safe_text

# So much of a packet shows what it is.
FIRST_BYTES = 64


def codec_in_image(message: Any) -> str | None:
    """Return the codec of video in a CompressedImage; None if it holds an image."""
    found = image_format(bytes(message.data[:FIRST_BYTES]))
    return (codec_named(message.format) or codec_named(found)) if found in VIDEO else None


def codec_of_encoding(encoding: str, remedy: str) -> str:
    """Return the codec of a packet by its encoding; ImageError, with the remedy, for others.

    The encoding of an FFMPEGPacket may go on behind a semicolon with that of the pixels.
    """
    codec = codec_named(encoding.partition(';')[0])
    if codec is None:
        raise ImageError(
            f"it is encoded as '{safe_text(encoding)}': of video only H.264 and H.265 are "
            f'decoded, so {remedy}'
        )
    return codec
