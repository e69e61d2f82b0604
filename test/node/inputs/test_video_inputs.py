"""Messages of video become images as they arrive; what hinders that is reported."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from s2m2_ros.io.images.ros_images import decode_raw
from s2m2_ros.node.faults import Fault, FaultLog, Level
from s2m2_ros.node.inputs.video_inputs import VideoInputs
from support.stereo_scene import PlaneScene
from support.video_stream import encode

LEFT, RIGHT = 0, 1
GRAY = PlaneScene().images()[0]
IMAGE = np.repeat(GRAY[..., None], 3, axis=2)
PACKETS = encode('h264', [IMAGE] * 7, gop=4)


class Watched:
    """Video inputs, and what they report."""

    def __init__(self) -> None:
        self.logged: list[tuple[Level, str]] = []
        self.faults = FaultLog(lambda level, text: self.logged.append((level, text)))
        self.video = VideoInputs(self.faults)

    def take(
        self, packet: bytes, *, index: int = LEFT, gid: bytes | None = b'1', kind: str = 'h264'
    ) -> Any:
        """Let a packet arrive in a CompressedImage."""
        message = CompressedImage(format=kind, data=array('B', packet))
        return self.video.decode(index, f'/cam/{index}', message, gid)


def packet_message(packet: bytes, encoding: str) -> Any:
    """Return a stand-in of an FFMPEGPacket, whose package is not on this machine."""
    height, width = GRAY.shape
    return SimpleNamespace(
        header=Header(frame_id='eye'), width=width, height=height, encoding=encoding,
        pts=0, flags=0, is_bigendian=False, data=array('B', packet),
    )  # fmt: skip


def shows(message: Any) -> bool:
    """Tell whether a message shows the image."""
    return isinstance(message, Image) and cv2.PSNR(decode_raw(message).pixels, IMAGE) > 30


def test_a_packet_becomes_an_image_with_its_header() -> None:
    message = CompressedImage(format='h264', data=array('B', PACKETS[0]))
    message.header.frame_id = 'eye'
    message.header.stamp.nanosec = 5
    image: Any = Watched().video.decode(LEFT, '/cam', message, None)
    assert image.header == message.header
    assert (image.width, image.height, image.encoding) == (320, 240, 'bgr8')
    assert shows(image)


@pytest.mark.parametrize('kind', ['h264', '', 'jpeg'])
def test_the_bytes_tell_video_whatever_the_format_says(kind: str) -> None:
    assert shows(Watched().take(PACKETS[0], kind=kind))


def test_images_pass_as_they_are() -> None:
    watched = Watched()
    jpeg = CompressedImage(format='h264', data=array('B', cv2.imencode('.jpg', GRAY)[1].tobytes()))
    for message in (Image(), CompressedImage(), jpeg):
        assert watched.video.decode(LEFT, '/cam', message, None) is message
    assert not watched.video.is_video(LEFT)
    assert not watched.logged


@pytest.mark.parametrize('encoding', ['h264', 'libx264', 'h264_nvenc', 'h264;yuv420p;bgr8;bgr8'])
def test_packets_of_ffmpeg_image_transport(encoding: str) -> None:
    watched = Watched()
    image: Any = watched.video.decode(LEFT, '/cam', packet_message(PACKETS[0], encoding), b'1')
    assert shows(image)
    assert image.header.frame_id == 'eye'
    assert watched.video.is_video(LEFT)


def test_another_codec_is_named() -> None:
    watched = Watched()
    assert watched.video.decode(LEFT, '/cam', packet_message(b'', 'libsvtav1'), b'1') is None
    assert "/cam: it is encoded as 'libsvtav1': of video only H.264" in watched.video.problem
    assert watched.faults.current()[Fault.VIDEO] == (Level.ERROR, watched.video.problem)


def test_each_topic_and_publisher_has_a_decoder_of_its_own() -> None:
    watched = Watched()
    for packet in PACKETS[:3]:
        assert shows(watched.take(packet))
    assert watched.take(PACKETS[1], index=RIGHT) is None  # nothing of the left stream helps it
    assert '/cam/1: waiting for a key frame' in watched.video.problem
    assert watched.take(PACKETS[3], gid=b'2') is None  # nor another publisher
    assert shows(watched.take(PACKETS[4], gid=b'2'))
    assert not watched.logged  # an ordinary start, unless there are no pairs for long


def test_a_loss_is_reported_until_the_next_key_frame() -> None:
    watched = Watched()
    assert shows(watched.take(PACKETS[0]))
    assert watched.take(PACKETS[2]) is None
    assert watched.take(PACKETS[3]) is None
    assert '/cam/0: packet of H.264, ' in watched.video.problem
    assert 'a packet before it was lost' in watched.video.problem
    assert [level for level, _ in watched.logged] == [Level.ERROR]
    assert shows(watched.take(PACKETS[4]))
    assert watched.video.problem == ''
    assert watched.logged[1:] == [(Level.OK, 'video: recovered')]


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    watched = Watched()
    for packet in PACKETS:
        assert watched.take(packet) is None
    assert watched.logged == [
        (Level.ERROR, '/cam/0: decoding H.264 video: av not installed (pip install av)')
    ]
