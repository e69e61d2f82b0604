"""The figures of the demo, from messages made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Image
from stereo_msgs.msg import DisparityImage

from s2m2_ros.demo.demo import label
from s2m2_ros.demo.subscriber import ReceivedPair, disparity
from s2m2_ros.demo.summary import agreement
from s2m2_ros.io.message_data import fill

SHAPE = (10, 10)


def image(values: np.ndarray) -> Image:
    height, width = values.shape
    message = Image(height=height, width=width, step=4 * width, encoding='32FC1')
    fill(message.data, values.astype(np.float32))
    return message


def outputs(disparities: np.ndarray, confidence: np.ndarray) -> ReceivedPair:
    message = DisparityImage(image=image(disparities), min_disparity=0.0)
    return ReceivedPair({}, {'disparity': message, 'confidence': image(confidence)})


def test_agreement_counts_where_both_are_sure_and_know() -> None:
    one, other = np.full(SHAPE, 10.0), np.full(SHAPE, 10.5)
    sure_one, sure_other = np.ones(SHAPE), np.ones(SHAPE)
    sure_one[0] = 0.4  # row 0: one doubts
    sure_other[1] = 0.4  # row 1: the other doubts
    other[2] = -1  # row 2: the other does not know
    other[3, :7] = 13.0  # 7 of the 70 pixels left are 3 px apart
    assert agreement(outputs(one, sure_one), outputs(other, sure_other)) == {
        'common_share': 0.7,
        'median_difference_px': 0.5,
        'share_within_2_px': 0.9,
    }


def test_too_little_in_common_tells_nothing() -> None:
    never = outputs(np.full(SHAPE, 10.0), np.zeros(SHAPE))
    assert agreement(never, never) == {
        'common_share': 0.0,
        'median_difference_px': None,
        'share_within_2_px': None,
    }


def test_unknown_disparities_are_nan() -> None:
    values = np.array([[0.0, -1.0, 3.5]])
    message = DisparityImage(image=image(values), min_disparity=0.0)
    assert disparity(message)[0] == pytest.approx([0.0, np.nan, 3.5], nan_ok=True)


def test_a_network_of_others_is_not_called_s2m2(tmp_path: Path) -> None:
    file = tmp_path / 'blocks.onnx'
    file.touch()
    facts = {'backend': 'onnxruntime', 'precision': 'float32', 'width': 640, 'height': 480}
    assert label({**facts, 'checkpoint': str(file)}) == (
        'blocks.onnx (onnxruntime, float32, 640x480)'
    )
    assert label({**facts, 'checkpoint': 'starter'}) == (
        'S2M2 starter (onnxruntime, float32, 640x480)'
    )
    assert label({'backend': 'sgbm'}) == 'OpenCV semi-global matching (sgbm)'
