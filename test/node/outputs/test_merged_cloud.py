"""The clouds of several cameras in one: records in another layout and frame."""

from __future__ import annotations

import numpy as np

from s2m2_ros.geometry import CloudLayout, CloudOptions, RigidTransform
from s2m2_ros.node.outputs.merged_cloud import merged_records

QUARTER_TURN = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def test_records_are_transformed_and_unknown_points_left_out() -> None:
    layout = CloudLayout.of(CloudOptions(confidence=True))
    wanted = CloudLayout.of(CloudOptions(confidence=True, uncertainty=True, padded=True))
    records = np.full((2, 2, 5), np.nan, np.float32)
    records[0, 1] = [1.0, 2.0, 3.0, 0.25, 0.75]
    records[1, 0] = [4.0, 5.0, 6.0, 0.5, 1.0]
    turn = RigidTransform('base', QUARTER_TURN, (10.0, 20.0, 30.0))
    made = merged_records(records, layout, wanted, turn)
    columns = wanted.columns
    # (x, y) becomes (-y, x).
    np.testing.assert_array_equal(made[:, :3], [[8.0, 21.0, 33.0], [5.0, 24.0, 36.0]])
    np.testing.assert_array_equal(made[:, columns['rgb']], [0.25, 0.5])
    np.testing.assert_array_equal(made[:, columns['confidence']], [0.75, 1.0])
    assert np.isnan(made[:, columns['uncertainty']]).all()
    plain = merged_records(records, layout, CloudLayout.of(CloudOptions(color='none')), None)
    np.testing.assert_array_equal(plain, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
