"""Point clouds, compared with bytes packed by hand."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

NAN = float('nan')


def field(
    name: str, offset: int, datatype: int = PointField.FLOAT32, count: int = 1
) -> PointField:
    return PointField(name=name, offset=offset, datatype=datatype, count=count)


XYZ = [field('x', 0), field('y', 4), field('z', 8)]
XYZ_RGB = [*XYZ, field('rgb', 16, PointField.UINT32)]  # four bytes of padding before rgb


def packed(fields: list[PointField], *points: bytes, bigendian: bool = False) -> PointCloud2:
    """Return a cloud of one row of points given as bytes."""
    return PointCloud2(
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=bigendian,
        point_step=len(points[0]),
        row_step=len(points[0]) * len(points),
        data=b''.join(points),
    )


def test_dtype_keeps_offsets_and_padding() -> None:
    dtype = point_cloud2.dtype_from_fields(XYZ_RGB, point_step=32)
    assert dtype.names == ('x', 'y', 'z', 'rgb')
    assert dtype.itemsize == 32
    assert dtype.fields is not None
    assert dtype.fields['rgb'] == (np.dtype(np.uint32), 16)
    assert point_cloud2.dtype_from_fields(XYZ_RGB).itemsize == 20


@pytest.mark.parametrize(
    ('datatype', 'expected'),
    [
        (PointField.INT8, np.int8),
        (PointField.UINT8, np.uint8),
        (PointField.INT16, np.int16),
        (PointField.UINT16, np.uint16),
        (PointField.INT32, np.int32),
        (PointField.UINT32, np.uint32),
        (PointField.FLOAT32, np.float32),
        (PointField.FLOAT64, np.float64),
    ],
)
def test_dtype_of_every_datatype(datatype: int, expected: type[np.generic]) -> None:
    assert point_cloud2.dtype_from_fields([field('v', 0, datatype)])['v'] == expected


def test_dtype_spreads_counts_and_names_the_nameless() -> None:
    fields = [field('n', 0, PointField.INT16, count=3), field('', 8)]
    dtype = point_cloud2.dtype_from_fields(fields)
    assert dtype.names == ('n_0', 'n_1', 'n_2', 'unnamed_field_1')
    assert dtype.fields is not None
    assert [dtype.fields[name][1] for name in dtype.names] == [0, 2, 4, 8]


@pytest.mark.parametrize(
    'fields', [[field('x', 0), field('x', 4)], [field('x', 0, count=0)]], ids=['twice', 'count 0']
)
def test_dtype_refuses_impossible_fields(fields: list[PointField]) -> None:
    with pytest.raises(AssertionError):
        point_cloud2.dtype_from_fields(fields)


def test_create_xyz32_from_tuples_packs_as_by_hand() -> None:
    header = Header(frame_id='camera')
    cloud = point_cloud2.create_cloud_xyz32(header, [(1.0, 2.0, 3.0), (-4.0, 0.5, NAN)])
    assert bytes(cloud.data) == struct.pack('=6f', 1, 2, 3, -4, 0.5, NAN)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 12, 24)
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ('x', 0, PointField.FLOAT32, 1),
        ('y', 4, PointField.FLOAT32, 1),
        ('z', 8, PointField.FLOAT32, 1),
    ]
    assert cloud.header == header
    assert not cloud.is_dense


def test_create_converts_a_plain_array() -> None:
    points = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float64)
    cloud = point_cloud2.create_cloud_xyz32(Header(), points)
    assert bytes(cloud.data) == struct.pack('=6f', 1, 2, 3, 4, 5, 6)


def test_create_from_tuples_of_mixed_types_with_padding() -> None:
    cloud = point_cloud2.create_cloud(
        Header(), XYZ_RGB, iter([(1.0, 2.0, 3.0, 0xFF8000), (4.0, 5.0, 6.0, 7)]), point_step=32
    )
    assert (cloud.point_step, cloud.row_step, len(cloud.data)) == (32, 64, 64)
    for index, expected in enumerate([(1.0, 2.0, 3.0, 0xFF8000), (4.0, 5.0, 6.0, 7)]):
        assert struct.unpack_from('=3f4xI', bytes(cloud.data), 32 * index) == expected


def test_create_from_a_structured_array() -> None:
    points = np.zeros(2, dtype=point_cloud2.dtype_from_fields(XYZ_RGB))
    points['z'], points['rgb'] = [1.5, 2.5], [3, 4]
    cloud = point_cloud2.create_cloud(Header(), XYZ_RGB, points)
    assert struct.unpack_from('=3f4xI', bytes(cloud.data), 20) == (0, 0, 2.5, 4)


@pytest.mark.parametrize(
    ('fields', 'points'),
    [
        (XYZ_RGB, np.zeros((2, 4), dtype=np.float32)),
        (XYZ, np.zeros(2, dtype=[('x', 'f4'), ('y', 'f4'), ('w', 'f4')])),
        (XYZ, np.zeros((2, 2, 2, 3), dtype=np.float32)),
    ],
    ids=['plain array for mixed fields', 'other dtype', 'three axes'],
)
def test_create_refuses_arrays_that_do_not_fit(fields: list[PointField], points: Any) -> None:
    with pytest.raises(AssertionError):
        point_cloud2.create_cloud(Header(), fields, points)


def test_two_axes_become_width_and_height_and_come_back() -> None:
    points = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    cloud = point_cloud2.create_cloud_xyz32(Header(), points)
    assert (cloud.width, cloud.height, cloud.row_step) == (2, 3, 24)
    back = point_cloud2.read_points_numpy(cloud, reshape_organized_cloud=True)
    np.testing.assert_array_equal(back, points)
    assert point_cloud2.read_points(cloud).shape == (6,)


def test_organized_cloud_is_read_as_width_and_height() -> None:
    """Two rows of three points: the order of the points stays, the shape is (3, 2)."""
    cloud = packed(XYZ, *(struct.pack('=3f', i, 0, 0) for i in range(6)))
    cloud.height, cloud.width, cloud.row_step = 2, 3, 36
    for points in (
        point_cloud2.read_points(cloud, ['x'], reshape_organized_cloud=True)['x'],
        point_cloud2.read_points_numpy(cloud, ['x'], reshape_organized_cloud=True)[..., 0],
    ):
        assert points.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_read_points_is_a_view_of_the_fields() -> None:
    cloud = packed(XYZ_RGB, *(struct.pack('=3f4xI12x', i, i + 0.5, -i, i) for i in range(3)))
    points = point_cloud2.read_points(cloud)
    assert points.dtype.names == ('x', 'y', 'z', 'rgb')
    assert [tuple(point) for point in points] == [(0, 0.5, 0, 0), (1, 1.5, -1, 1), (2, 2.5, -2, 2)]
    assert np.shares_memory(points, np.frombuffer(cloud.data, dtype=np.uint8))


def test_read_points_takes_the_named_fields() -> None:
    cloud = packed(XYZ_RGB, struct.pack('=3f4xI', 1, 2, 3, 4))
    points = point_cloud2.read_points(cloud, field_names=('rgb', 'x'))
    assert points.dtype.names == ('rgb', 'x')
    assert tuple(points[0]) == (4, 1)
    with pytest.raises(AssertionError):
        point_cloud2.read_points(cloud, field_names=['x', 'intensity'])


def test_skip_nans_looks_at_the_selected_fields_only_and_uvs_count_after_it() -> None:
    values = [(1.0, 1.0, NAN), (NAN, 2.0, 2.0), (3.0, 3.0, 3.0), (4.0, 4.0, NAN)]
    cloud = packed(XYZ, *(struct.pack('=3f', *value) for value in values))
    assert point_cloud2.read_points(cloud, skip_nans=True)['x'].tolist() == [3.0]
    kept = point_cloud2.read_points(cloud, ['x', 'y'], skip_nans=True)
    assert kept['x'].tolist() == [1.0, 3.0, 4.0]
    assert point_cloud2.read_points(cloud, uvs=[2, 0])['y'].tolist() == [3.0, 1.0]
    picked = point_cloud2.read_points(cloud, ['x'], skip_nans=True, uvs=np.array([1]))
    assert picked['x'].tolist() == [3.0]


def test_read_points_of_a_big_endian_cloud() -> None:
    cloud = packed(XYZ_RGB, struct.pack('>3f4xI', 1, 2, 3, 0x01020304), bigendian=True)
    point = point_cloud2.read_points(cloud)[0]
    assert tuple(point) == (1, 2, 3, 0x01020304)
    selected = packed(XYZ, struct.pack('>3f', 1, 2, 3), bigendian=True)
    assert point_cloud2.read_points_numpy(selected, ['z', 'x']).tolist() == [[3, 1]]


@pytest.mark.usefixtures('stand_in_only')
def test_reading_a_big_endian_cloud_twice_gives_the_same() -> None:
    cloud = packed(XYZ, struct.pack('>3f', 1, 2, 3), bigendian=True)
    for _ in range(2):
        assert tuple(point_cloud2.read_points(cloud)[0]) == (1, 2, 3)


def test_read_points_numpy_is_a_plain_array() -> None:
    cloud = packed(XYZ, *(struct.pack('=3f', i, 2 * i, 3 * i) for i in range(3)))
    points = point_cloud2.read_points_numpy(cloud)
    assert points.dtype == np.float32
    assert points.tolist() == [[0, 0, 0], [1, 2, 3], [2, 4, 6]]


def test_read_points_numpy_refuses_mixed_datatypes_unless_left_out() -> None:
    cloud = packed(XYZ_RGB, struct.pack('=3f4xI', 1, 2, 3, 4))
    with pytest.raises(AssertionError):
        point_cloud2.read_points_numpy(cloud)
    assert point_cloud2.read_points_numpy(cloud, ['x', 'y', 'z']).tolist() == [[1, 2, 3]]


def test_too_little_data_is_an_error() -> None:
    cloud = packed(XYZ, struct.pack('=3f', 1, 2, 3))
    cloud.width = 2
    with pytest.raises(TypeError):
        point_cloud2.read_points(cloud)


def test_empty_cloud() -> None:
    cloud = point_cloud2.create_cloud_xyz32(Header(), [])
    assert (cloud.width, cloud.row_step, len(cloud.data)) == (0, 0, 0)
    assert point_cloud2.read_points_numpy(cloud).shape == (0, 3)


@given(
    points=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.just(3)),
        elements=st.floats(width=32, allow_nan=True),
    ),
    padding=st.integers(0, 9),
)
def test_whatever_is_written_is_read(points: Any, padding: int) -> None:
    cloud = point_cloud2.create_cloud(Header(), XYZ, points, point_step=12 + padding)
    assert len(cloud.data) == (12 + padding) * len(points)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), points)
    valid = points[~np.isnan(points).any(axis=1)]
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud, skip_nans=True), valid)
