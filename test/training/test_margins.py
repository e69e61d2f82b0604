"""Random margins right of and below the images."""

from __future__ import annotations

import torch

from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.margins import WIDEST, RandomMargins, add_margins


class Ramp:
    """Pairs whose images hold row and column numbers, disparity 2 px."""

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        """Return the same pairs for every index."""
        rows = torch.arange(height).float()[:, None].expand(height, width)
        columns = torch.arange(width).float().expand(height, width)
        image = torch.stack([rows, columns, rows * 0])[None].repeat(batch_size, 1, 1, 1)
        ones = torch.ones(batch_size, 1, height, width)
        return StereoBatch(image, image + 100, 2 * ones, ones, ones, ones)


def test_margins_repeat_the_last_row_and_column_and_are_not_scored() -> None:
    pairs = Ramp().batch(0, 2, 8, 10)
    found = add_margins(pairs, torch.tensor([3, 0]), torch.tensor([4, 0]))
    assert found.left[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert found.left[0, 1, 0].tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 5, 5]
    assert found.right[0, 1, 0].tolist() == [100, 101, 102, 103, 104, 105, 105, 105, 105, 105]
    assert found.valid[0, 0].sum() == found.labeled[0, 0].sum() == 5 * 6
    assert found.valid[0, 0, :5, :6].all()
    # Column 7 less 2 px is column 5, the last that the right view shows.
    assert found.visibility[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    for before, after in zip(vars(pairs).values(), vars(found).values(), strict=True):
        assert torch.equal(before[1], after[1])


def test_margins_depend_on_seed_and_index_and_meet_the_fraction() -> None:
    source = RandomMargins(Ramp(), fraction=0.3, seed=1)
    found = [source.batch(index, 4, 64, 64).valid.mean((1, 2, 3)) for index in range(100)]
    fractions = torch.cat(found)
    assert torch.equal(source.batch(7, 4, 64, 64).valid.mean((1, 2, 3)), found[7])
    assert 0.2 < float((fractions < 1).float().mean()) < 0.4
    assert float(fractions.min()) >= ((64 - WIDEST) / 64) ** 2
    none = RandomMargins(Ramp(), fraction=0.0, seed=1).batch(0, 4, 64, 64)
    assert none.valid.all()
