"""What the inputs are called, and who publishes them."""

from __future__ import annotations

from s2m2_ros.messages.pair_decoder import StereoTopics
from s2m2_ros.node.inputs.synchronizer import explain_remapping


def test_inputs_that_are_one_topic_are_explained() -> None:
    assert explain_remapping(StereoTopics('/l', '/r', '/li', '/ri')) is None
    text = explain_remapping(StereoTopics('/l', '/r', '/camera_info', '/camera_info'))
    assert text is not None
    assert 'left/camera_info and right/camera_info are both /camera_info' in text
    assert 'P[3] = -fx * baseline' in text
    text = explain_remapping(StereoTopics('/image', '/image', '/li', '/ri'))
    assert text is not None
    assert 'left/image_rect and right/image_rect are both /image' in text
