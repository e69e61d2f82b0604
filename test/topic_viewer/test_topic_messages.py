"""Messages of a node as what the page shows: clouds, pictures, tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from s2m2_ros.io.message_data import fill, fill_image
from s2m2_ros.topic_viewer.cloud_messages import (
    ConfidenceJoin,
    ReceivedCloud,
    confidence_map,
    received_cloud,
)
from s2m2_ros.topic_viewer.node_report import MOST_STATUSES, Diagnostics
from s2m2_ros.topic_viewer.pictures import WIDEST, picture_of

NAN = float('nan')


def cloud(rows: Any, *, height: int = 1, seconds: int = 1, last: str = 'rgb') -> PointCloud2:
    """Return x, y, z and one more field, from rows of four numbers."""
    values = np.asarray(rows, np.float32)
    message = PointCloud2(header=Header(), height=height, width=len(values) // height)
    message.header.stamp.sec = seconds
    message.point_step, message.row_step = 16, 16 * message.width
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(('x', 'y', 'z', last))
    ]
    fill(message.data, values)
    return message


def image(values: np.ndarray, encoding: str = '32FC1', seconds: int = 1) -> Image:
    message = Image()
    message.header.stamp.sec = seconds
    fill_image(message, values, encoding)
    return message


def received(message: PointCloud2) -> ReceivedCloud:
    found = received_cloud(message)
    assert found is not None
    return found


def test_unknown_points_are_left_out_and_colors_unpacked() -> None:
    color = float(np.array([3, 2, 1, 0], np.uint8).view(np.float32)[0])  # blue, green, red
    found = received(cloud([[1, 2, 3, color], [NAN, NAN, NAN, 0]])).cloud
    assert found.points.tolist() == [[1, 2, 3]]
    assert found.colors is not None
    assert found.colors.tolist() == [[1, 2, 3]]
    assert found.confidence is None
    assert received_cloud(cloud([[NAN, NAN, NAN, 0]])) is None


def test_a_field_of_confidence_or_intensity_is_taken() -> None:
    sure = received(cloud([[1, 2, 3, 0.75]], last='confidence')).cloud
    assert sure.confidence is not None
    assert sure.confidence.tolist() == [0.75]
    gray = received(cloud([[1, 2, 3, 200.0]], last='intensity')).cloud
    assert gray.colors is not None
    assert gray.colors.tolist() == [[200, 200, 200]]


GRID = [[1, 0, 1, 0], [NAN, NAN, NAN, 0], [3, 0, 1, 0], [4, 0, 1, 0]]


def test_confidence_comes_from_the_image_of_the_same_time_in_any_order() -> None:
    confidence = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    for cloud_first in (True, False):
        join = ConfidenceJoin()
        found, values = received(cloud(GRID, height=2)), confidence_map(image(confidence))
        if cloud_first:
            assert join.add_cloud(found) is None
            joined = join.add_confidence(*values)
        else:
            assert join.add_confidence(*values) is None
            joined = join.add_cloud(found)
        assert joined is not None
        assert joined.confidence == pytest.approx([0.1, 0.3, 0.4])


def test_a_cloud_without_its_confidence_is_shown_when_the_next_comes() -> None:
    join = ConfidenceJoin()
    assert join.add_cloud(received(cloud(GRID, height=2, seconds=1))) is None
    assert join.add_confidence(2, np.ones((2, 2), np.float32)) is None
    shown = join.add_cloud(received(cloud(GRID, height=2, seconds=3)))
    assert shown is not None
    assert shown.confidence is None


@pytest.mark.parametrize(
    ('shape', 'joined'), [((2, 2), True), ((4, 4), True), ((3, 3), True), ((2, 3), False)]
)
def test_a_decimated_cloud_has_every_nth_pixel(shape: tuple[int, int], joined: bool) -> None:
    # Every second of 3 or 4 rows and columns are 2.
    confidence = (np.arange(shape[0] * shape[1]) / 100).astype(np.float32).reshape(shape)
    found = received(cloud(GRID, height=2)).with_confidence(confidence)
    assert (found.confidence is not None) is joined
    if found.confidence is not None:
        step = -(-shape[0] // 2)
        assert found.confidence[-1] == pytest.approx(confidence[step, step] if step > 1 else 0.03)


def test_an_unorganized_cloud_is_shown_at_once() -> None:
    assert ConfidenceJoin().add_cloud(received(cloud(GRID))) is not None


def test_measured_values_become_colors_and_unknown_ones_black() -> None:
    depth = np.full((4, 2 * WIDEST), 2.0, np.float32)
    depth[:, :WIDEST] = 1.0
    depth[0] = np.nan
    picture = picture_of(image(depth))
    assert picture.shape == (2, WIDEST, 3)
    assert (picture[0] == 0).all()
    near, far = picture[1, 1].tolist(), picture[1, -2].tolist()
    assert near != far
    gray = picture_of(image(np.full((2, 3), 77, np.uint8), 'mono8'))
    assert gray.tolist() == np.full((2, 3, 3), 77).tolist()


def test_the_node_and_whatever_else_is_not_ok_is_reported() -> None:
    diagnostics = Diagnostics('/stereo/stereo_node')
    statuses = [
        ('/stereo/stereo_node: inputs', b'\x00', 'OK'),
        ('lidar', b'\x00', 'fine'),
        ('motor', b'\x02', 'hot'),
    ]
    message = DiagnosticArray(
        status=[DiagnosticStatus(name=n, level=lv, message=t) for n, lv, t in statuses]
    )
    diagnostics.update(message)
    rows = [tuple(row.cells) for row in diagnostics.rows()]
    assert rows == [('OK', 'inputs', 'OK'), ('ERROR', 'motor', 'hot')]
    message.status[2].level = b'\x00'
    diagnostics.update(message)
    assert len(diagnostics.rows()) == 1


def test_many_statuses_do_not_fill_the_memory() -> None:
    diagnostics = Diagnostics('/node')
    for number in range(100):
        status = DiagnosticStatus(name=f'{number}' * 1000, level=b'\x01', message='x' * 10_000)
        diagnostics.update(DiagnosticArray(status=[status]))
    rows = diagnostics.rows()
    assert len(rows) == MOST_STATUSES
    assert max(len(cell) for row in rows for cell in row.cells) <= 200
