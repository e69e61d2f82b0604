"""How semi-global matching is run: what it searches, at which size, and what it removes."""

from __future__ import annotations

from dataclasses import dataclass

# OpenCV wants multiples of it.
DISPARITY_STEP = 16
# Whether semi-global matching refines what a network found (`sgbm_refinement.py`).
REFINE_AUTO = 'auto'
REFINE_ALWAYS = 'always'
REFINE_NEVER = 'never'
REFINE_CHOICES = (REFINE_AUTO, REFINE_ALWAYS, REFINE_NEVER)


@dataclass(frozen=True)
class SgbmOptions:
    """Options of the `sgbm` backend.

    The defaults are those of the node. `SgbmOptions.plain()` is OpenCV's matcher as most people
    run it.

    Attributes:
        search_fraction: largest disparity that is searched, as a fraction of the image's width,
            in (0, 1]. Nearer surfaces cannot be found, and come out as unknown.
        working_width: wider images are matched at this width, in pixels, and the disparity is
            scaled back; 0 for no limit. Time grows with the cube of the width.
        speckle_size: connected regions of at most so many pixels of the working size are
            removed; 0 to keep all.
        left_right_check: match both views, and keep a pixel only if both estimates agree.
        min_support: fraction of the pixels around a pixel, in [0, 1), whose estimates must agree
            between the views for it to be kept; 0 to keep all. Needs the left-right check.
        margin: extend the images, so that the columns left of the search range get an estimate.
        uniqueness_ratio: by how many percent the best cost must beat the others.
        max_left_right_difference: OpenCV's own check in pixels; negative: none.
        penalty_factor: multiplies both smoothness penalties; OpenCV's examples take 3, the number
            of color channels, for gray images too.
        refine_subpixel: fit the fraction of a pixel to the images' gradients, since SGBM prefers
            whole pixels.

    Raises ValueError if a value is out of range.

    """

    search_fraction: float = 0.25
    working_width: int = 800
    speckle_size: int = 200
    left_right_check: bool = True
    min_support: float = 0.4
    margin: bool = True
    uniqueness_ratio: int = 5
    max_left_right_difference: int = -1
    penalty_factor: int = 1
    refine_subpixel: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.search_fraction <= 1:
            raise ValueError(
                f'search_fraction must be above 0 and at most 1, not {self.search_fraction:g}'
            )
        if self.working_width and self.working_width < 32:
            raise ValueError(
                'working_width must be 0 (no limit) or at least 32 pixels, not '
                f'{self.working_width}'
            )
        if self.speckle_size < 0:
            raise ValueError(f'speckle_size must be 0 or more pixels, not {self.speckle_size}')
        if not 0 <= self.min_support < 1:
            raise ValueError(
                f'min_support must be at least 0 and below 1, not {self.min_support:g}'
            )
        if not 0 <= self.uniqueness_ratio < 100:
            raise ValueError(
                f'uniqueness_ratio must be from 0 to 99 percent, not {self.uniqueness_ratio}'
            )

    @classmethod
    def plain(cls, *, search_fraction: float = 0.5, margin: bool = False) -> SgbmOptions:
        """Return OpenCV's matcher as most people run it: one pass, at full size."""
        return cls(
            search_fraction=search_fraction,
            working_width=0,
            speckle_size=100,
            left_right_check=False,
            margin=margin,
            uniqueness_ratio=10,
            max_left_right_difference=1,
            penalty_factor=3,
            refine_subpixel=False,
        )

    def max_disparity(self, width: int) -> float:
        """Return the largest disparity that is searched, in pixels of images of this width."""
        working = self.effective_width(width)
        return search_range(working, self.search_fraction)[1] * width / working

    def effective_width(self, width: int) -> int:
        """Return the width at which images of this width are matched."""
        return min(width, self.working_width or width)


def search_range(
    width: int, fraction: float = 0.25, *, allow_negative: bool = False
) -> tuple[int, int]:
    """Return the smallest disparity and the number of disparities, in pixels, multiples of 16.

    With `allow_negative` a quarter of the number is added below 0.
    """
    steps = max(1, -(-round(width * fraction) // DISPARITY_STEP))
    below = max(1, steps // 4) if allow_negative else 0
    return -below * DISPARITY_STEP, (steps + below) * DISPARITY_STEP


def nearest_depth(focal_length: float, baseline: float, max_disparity: float) -> float:
    """Return the smallest depth in meters that a search up to `max_disparity` pixels finds.

    `focal_length` in pixels of the same images, `baseline` in meters; for principal points that
    differ, subtract cx_left - cx_right from `max_disparity` first.
    """
    return focal_length * baseline / max_disparity
