"""What a matcher is opened with, in one piece."""

from __future__ import annotations

from dataclasses import dataclass, field

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.inference.sgbm_options import SgbmOptions


@dataclass(frozen=True)
class MatcherOptions:
    """How pairs are matched, see `StereoMatcher.open`."""

    checkpoint: str = 'starter'
    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    refine_iterations: int = 3
    allow_negative: bool = False
    max_width: int = 0
    sgbm: SgbmOptions = field(default_factory=SgbmOptions)

    def open(self) -> StereoMatcher:
        """Return a matcher; raises S2M2Error."""
        try:
            return StereoMatcher.open(
                self.checkpoint,
                device=self.device,
                precision=self.precision,
                backend=self.backend,
                refine_iterations=self.refine_iterations,
                allow_negative=self.allow_negative,
                max_width=self.max_width,
                sgbm=self.sgbm,
            )
        except ValueError as error:
            raise S2M2Error(str(error)) from error
