"""H.264 in CompressedImage, as encoders of cameras publish it, gives disparity."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from support.stereo_rig import profile, running_rig
from support.stereo_scene import FRAME, PlaneScene
from support.video_stream import encode

SCENE = PlaneScene()
EYES = ('left', 'right')


class Encoding:
    """Publishes the next packet of a stream in the stead of each image."""

    def __init__(self, publisher: Any, image: np.ndarray) -> None:
        self.publisher = publisher
        self.packets = encode('h264', [np.repeat(image[..., None], 3, axis=2)] * 10)
        self.sent = 0

    def publish(self, message: Image) -> None:
        packet = self.packets[self.sent % len(self.packets)]
        self.sent += 1
        self.publisher.publish(
            CompressedImage(header=message.header, format='h264', data=array('B', packet))
        )

    def get_subscription_count(self) -> int:
        return int(self.publisher.get_subscription_count())


def test_video_on_the_compressed_topics_gives_disparity() -> None:
    with running_rig('backend:=sgbm', 'diagnostics_period:=0.1') as rig:
        rig.open_cameras()
        for side, image in zip(EYES, SCENE.images(), strict=True):
            topic = f'{side}/image_rect'
            rig.node.destroy_publisher(rig.cameras[topic])
            publisher = rig.node.create_publisher(
                CompressedImage, f'{topic}/compressed', profile()
            )
            rig.cameras[topic] = Encoding(publisher, image)
        heard = rig.listen('disparity')
        rig.publish_until(lambda: len(heard) >= 5, 'disparity of video', start=1)
    found = heard[-1]
    assert found.header.frame_id == FRAME
    values = np.frombuffer(found.image.data, np.float32).reshape(SCENE.height, SCENE.width)
    inner = (slice(20, -20), slice(60, -20))
    difference = np.abs(values - SCENE.disparity())[inner]
    assert np.median(difference) < 0.5
