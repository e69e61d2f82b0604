"""The picture of the disparity."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from s2m2_ros.geometry import HostOutputs, Output
from s2m2_ros.node.outputs.disparity_color import disparity_colors
from s2m2_ros.node.outputs.messages import disparity_color_message


def row(*disparities: float, width: int = 100) -> np.ndarray:
    values = np.full((2, width), -1.0, np.float32)
    values[0, : len(disparities)] = disparities
    return values


def test_colors_go_from_blue_to_red_and_unknown_is_black() -> None:
    # At 100 px of width 25 px are the last color, half of the root is 25 / 4 px.
    colors = disparity_colors(row(25.0, 99.0, 6.25, 0.25))
    assert colors.shape == (2, 100, 3)
    assert colors.dtype == np.uint8
    assert colors[0, 0].tolist() == [3, 4, 122]  # the published last color of turbo, B G R
    assert colors[0, 1].tolist() == [3, 4, 122]
    blue, green, red = colors[0, 2].astype(int)
    assert green > 240 > max(blue, red)
    blue, green, red = colors[0, 3].astype(int)  # a tenth of the root
    assert blue > 150
    assert max(green, red) < 100
    assert not colors[0, 4:].any()
    assert not colors[1].any()


def test_a_color_stands_for_one_disparity() -> None:
    """Whatever else the picture shows: nothing flickers when something comes near."""
    alone, crowded = disparity_colors(row(10.0)), disparity_colors(row(10.0, 80.0, 0.1))
    assert alone[0, 0].tolist() == crowded[0, 0].tolist()
    # At twice the width a disparity is twice as large.
    assert disparity_colors(row(20.0, width=200))[0, 0].tolist() == alone[0, 0].tolist()


def test_the_message() -> None:
    header = Header(stamp=Time(sec=12), frame_id='left_optical')
    outputs = HostOutputs(None, {Output.DISPARITY: row(25.0)}, 32.0, None, '')
    message = disparity_color_message(outputs, header)
    assert (message.encoding, message.height, message.width) == ('bgr8', 2, 100)
    assert (message.step, message.header) == (300, header)
    assert bytes(message.data[:3]) == bytes([3, 4, 122])
