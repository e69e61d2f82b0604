"""What a training run does; everything that its checkpoints must remember."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from s2m2_ros.errors import S2M2Error
from s2m2_ros.network import S2M2Config


class TrainingError(S2M2Error):
    """A training run cannot start or go on."""


@dataclass(frozen=True)
class Crop:
    """Size of the pairs, in pixels, and how many make a batch, up to a point of the run."""

    until: float
    """Fraction of the run, 0..1, at which the next crop takes over."""
    height: int
    width: int
    batch: int


PAIRS = ('objects', 'texture_scale')
FOLDER_LISTS = ('data_folders', 'unlabeled_folders')
FOLDERS = (*FOLDER_LISTS, 'photographs')

GPU_CROPS = (Crop(0.6, 224, 448, 32), Crop(0.9, 288, 576, 20), Crop(1.0, 320, 736, 14))
"""For one data-center GPU; more than half of the run on small crops."""

CPU_CROPS = (Crop(0.7, 96, 192, 4), Crop(1.0, 128, 256, 3))
"""For one or two cores."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of a run. Either ``steps`` or ``minutes`` gives its length."""

    channels: int = 64
    transformers: int = 1
    seed: int = 0
    steps: int = 0
    """Optimizer steps; 0 to go by ``minutes``."""
    minutes: float = 25.0
    """Wall-clock minutes of training, validation included, over all resumed parts."""
    crops: tuple[Crop, ...] = field(default=GPU_CROPS)
    learning_rate: float = 4e-4
    warm_up: float = 0.04
    """Fraction of the run over which the learning rate rises."""
    weight_decay: float = 1e-4
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.999
    """Decay of the moving average of the weights, which is what is validated and shipped."""
    refine_iterations: int = 2
    visible_only: float = 0.3
    """Fraction of the run during which occluded pixels do not count in the disparity losses."""
    allow_negative: bool = False
    unlabeled: bool = False
    """Some batches have no truth and are learned from by comparing the views."""
    objects: tuple[int, int] = (10, 30)
    widest_range: float = 0.45
    """Largest disparity of a scene as a fraction of the width."""
    texture_scale: tuple[float, float] = (0.25, 1.6)
    """Texels per pixel: finer than in validation, as photographs are."""
    scenes_fraction: float = 0.5
    """Of the batches, from procedural scenes, where there are folders of pairs."""
    margins: float = 0.3
    """Fraction of pairs with margins."""
    data_folders: tuple[str, ...] = ()
    """Absolute paths of folders of pairs with truth."""
    unlabeled_folders: tuple[str, ...] = ()
    """Absolute paths of folders of pairs without truth."""
    photographs: str = ''
    """Absolute path of a folder of images for textures."""
    init_sha256: str = ''
    """Of the file of weights that the run began with."""
    license: str = ''
    """Of the weights, as far as those that the run began with say it; empty: unknown."""

    @property
    def config(self) -> S2M2Config:
        """Return the sizes of the network."""
        return S2M2Config(channels=self.channels, transformers=self.transformers)

    def crop_at(self, progress: float) -> Crop:
        """Return the crop at ``progress``, 0..1, through the run."""
        return next((c for c in self.crops if progress < c.until), self.crops[-1])

    def progress(self, step: int, elapsed: float) -> float:
        """Return how far the run is, 0..1, after ``step`` steps and ``elapsed`` seconds."""
        done = step / self.steps if self.steps else elapsed / (60.0 * self.minutes)
        return min(1.0, done)

    def as_dictionary(self) -> dict[str, Any]:
        """Return plain numbers, lists and dictionaries, as a checkpoint holds them."""
        return asdict(self)

    def as_facts(self) -> dict[str, Any]:
        """Return `as_dictionary` for files that are passed on: of paths, the last names."""
        facts = self.as_dictionary()
        for name in FOLDER_LISTS:
            facts[name] = [Path(folder).name for folder in facts[name]]
        return {**facts, 'photographs': Path(self.photographs).name}

    def continues(self, stored: Mapping[str, Any]) -> bool:
        """Return whether a run with the options that `as_dictionary` gave can go on with these.

        Folders may have moved, and earlier versions stored fewer options.
        """
        other = TrainOptions.from_dictionary(dict(stored))
        compared = stored.keys() - set(FOLDERS)
        return all(getattr(self, name) == getattr(other, name) for name in compared)

    @classmethod
    def from_dictionary(cls, values: dict[str, Any]) -> TrainOptions:
        """Return the options that `as_dictionary` gave.

        Raises:
            TrainingError: if a name is unknown.
        """
        try:
            crops = tuple(Crop(**crop) for crop in values['crops'])
            names = [name for name in (*PAIRS, *FOLDER_LISTS) if name in values]
            tuples = {name: tuple(values[name]) for name in names}
            return cls(**{**values, **tuples, 'crops': crops})
        except (KeyError, TypeError) as error:
            raise TrainingError(
                f'the checkpoint holds options of another version: {error}'
            ) from error


def validate(options: TrainOptions) -> None:
    """Check the options that a user can set.

    Raises:
        TrainingError: naming the option, its value and what is allowed.
    """
    for crop in options.crops:
        if crop.height % 32 or crop.width % 32 or min(crop.height, crop.width, crop.batch) < 1:
            raise TrainingError(
                f'crop {crop.height}x{crop.width}x{crop.batch}: height and width must be '
                'multiples of 32, the batch at least 1'
            )
    # Written so that NaN is refused as well.
    if options.steps < 0 or (options.steps == 0 and not 0 < options.minutes < math.inf):
        raise TrainingError('give the length of the run: --steps or --minutes above 0')
    if not 0 < options.learning_rate < math.inf:
        raise TrainingError(f'--learning-rate must be above 0, not {options.learning_rate:g}')
    if not 0 <= options.average < 1:
        raise TrainingError(f'--average must be from 0 to below 1, not {options.average:g}')
    for option in ('scenes_fraction', 'margins'):
        value = getattr(options, option)
        if not 0 <= value <= 1:
            raise TrainingError(f'--{option.replace("_", "-")} must be from 0 to 1, not {value:g}')
    if options.seed < 0:
        raise TrainingError(f'--seed must be 0 or more, not {options.seed}')
