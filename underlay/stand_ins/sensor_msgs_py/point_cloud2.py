"""
Read and create sensor_msgs/PointCloud2 with NumPy.

A cloud that does not fit the arguments raises AssertionError, as in the real package.

Width and height follow the real package in all respects, even where that surprises: for organized
clouds it puts the first axis of an array down as `width` and the second as `height`, and reads
back the same way. An (H, W) cloud of image rows therefore needs its message built elsewhere.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

DUMMY_FIELD_PREFIX = 'unnamed_field'

_DATATYPES: dict[int, np.dtype[Any]] = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}


def read_points(
    cloud: PointCloud2,
    field_names: Iterable[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> npt.NDArray[Any]:
    """
    Return the points as a structured array, one element a point.

    `field_names` selects fields; `skip_nans` drops points with NaN in a selected field; `uvs` are
    indices of points to keep, counted after that. `reshape_organized_cloud` returns the shape
    (width, height). Native byte order; a view on the message where nothing had to be copied. The
    rows are taken as packed: `row_step` is ignored.
    """
    points: npt.NDArray[Any] = np.ndarray(
        shape=(cloud.width * cloud.height,),
        dtype=dtype_from_fields(cloud.fields, cloud.point_step),
        buffer=cloud.data,
    )
    if field_names is not None:
        points = points[_known_names(points, field_names)]
    if cloud.is_bigendian != (sys.byteorder == 'big'):
        points = points.byteswap()  # a copy: the message keeps its bytes
    if skip_nans:
        names = points.dtype.names or ()
        points = points[~np.any([np.isnan(points[name]) for name in names], axis=0)]
    if uvs is not None:
        points = points[np.fromiter(uvs, dtype=int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Iterable[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> npt.NDArray[Any]:
    """
    Return the points as a plain array (N, fields); the arguments are those of `read_points`.

    All fields read must have the datatype of the cloud's first field.
    """
    names = None if field_names is None else list(field_names)
    read = [field for field in cloud.fields if names is None or field.name in names]
    _require(
        all(field.datatype == cloud.fields[0].datatype for field in read),
        'All fields need the same datatype; use read_points otherwise.',
    )
    points = read_points(cloud, names, skip_nans, uvs, reshape_organized_cloud)
    return structured_to_unstructured(points)


def create_cloud(
    header: Header,
    fields: Sequence[PointField],
    points: Iterable[Any],
    point_step: int | None = None,
) -> PointCloud2:
    """
    Return a cloud (native byte order, not dense) of the points.

    `points` is an iterable of tuples, one value a field; a structured array of exactly the dtype
    of the fields; or a plain array (N, fields) or (A, B, fields) where all fields have one
    datatype. `point_step` is the size of a point in bytes, padding included. Two axes of points
    become `width` and `height`, in this order.
    """
    dtype = dtype_from_fields(fields, point_step)
    structured = _structured(points, fields, dtype)
    _require(structured.ndim <= 2, 'Points can be organized along two axes at most.')
    width = structured.shape[0]
    return PointCloud2(
        header=header,
        height=structured.shape[1] if structured.ndim == 2 else 1,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder == 'big',
        fields=list(fields),
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * width,
        data=array.array('B', structured.tobytes()),
    )


def create_cloud_xyz32(header: Header, points: Iterable[Any]) -> PointCloud2:
    """Return a cloud with the float32 fields x, y and z; `points` as for `create_cloud`."""
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate('xyz')
    ]
    return create_cloud(header, fields, points)


def dtype_from_fields(
    fields: Iterable[PointField], point_step: int | None = None
) -> np.dtype[np.void]:
    """
    Return the structured dtype of a point, of `point_step` bytes if that is given.

    A field with a count above 1 becomes `name_0`, `name_1`, ...; one without a name
    `unnamed_field_INDEX`.
    """
    names: list[str] = []
    formats: list[np.dtype[Any]] = []
    offsets: list[int] = []
    for index, field in enumerate(fields):
        _require(field.count > 0, f'Field {field.name!r} has a count of 0.')
        name = field.name or f'{DUMMY_FIELD_PREFIX}_{index}'
        datatype = _DATATYPES[field.datatype]
        names += [name] if field.count == 1 else [f'{name}_{i}' for i in range(field.count)]
        formats += [datatype] * field.count
        offsets += [field.offset + i * datatype.itemsize for i in range(field.count)]
    _require(len(set(names)) == len(names), f'Field names are not unique: {names}.')
    layout: dict[str, Any] = {'names': names, 'formats': formats, 'offsets': offsets}
    if point_step is not None:
        layout['itemsize'] = point_step
    return np.dtype(layout)  # type: ignore[call-overload, no-any-return]


def _structured(
    points: Iterable[Any], fields: Sequence[PointField], dtype: np.dtype[np.void]
) -> npt.NDArray[Any]:
    """Return the points as a structured array of `dtype`."""
    if not isinstance(points, np.ndarray):
        return np.array([tuple(point) for point in points], dtype=dtype)
    if points.dtype.names is None:
        _require(
            len({field.datatype for field in fields}) == 1,
            'A plain array needs fields of one datatype; pass a structured array otherwise.',
        )
        return unstructured_to_structured(points, dtype=dtype)
    _require(
        points.dtype == dtype,
        f'The array has the dtype {points.dtype}, its fields describe {dtype}.',
    )
    return points


def _known_names(points: npt.NDArray[Any], field_names: Iterable[str]) -> list[str]:
    """Return the names as a list, or raise AssertionError for one the cloud lacks."""
    names = list(field_names)
    known = points.dtype.names or ()
    missing = [name for name in names if name not in known]
    _require(not missing, f'The cloud has the fields {known}, not {missing}.')
    return names


def _require(condition: bool, message: str) -> None:
    """Raise AssertionError, which `python -O` keeps, unless the condition holds."""
    if not condition:
        raise AssertionError(message)
