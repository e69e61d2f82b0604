"""The sizes of the S2M2 variants."""

from __future__ import annotations

from dataclasses import dataclass

_HEADS = 8


@dataclass(frozen=True)
class S2M2Config:
    """Width and depth of one network.

    Attributes:
        channels: width C at 1/4 of the input resolution; a positive multiple of 8.
        transformers: number T of stacked multi-resolution transformers; the feature pyramid has
            2T encoder and 2T decoder blocks at 1/32.

    Raises:
        ValueError: if a size is not one that the layers can be built with.
    """

    channels: int
    transformers: int

    def __post_init__(self) -> None:
        if self.channels < _HEADS or self.channels % _HEADS:
            raise ValueError(
                f'channels must be a positive multiple of {_HEADS}, not {self.channels}'
            )
        if self.transformers < 1:
            raise ValueError(f'transformers must be at least 1, not {self.transformers}')

    @classmethod
    def named(cls, name: str) -> S2M2Config:
        """Return the configuration called 'XS', 'S', 'M', 'L' or 'XL'.

        Raises:
            ValueError: if there is no variant of this name.
        """
        try:
            return VARIANTS[name]
        except KeyError:
            known = ', '.join(VARIANTS)
            raise ValueError(f'no S2M2 variant is called {name!r}; there are {known}') from None

    @property
    def name(self) -> str:
        """The variant's name, or for example 'C96T2' for sizes without one."""
        for name, config in VARIANTS.items():
            if config == self:
                return name
        return f'C{self.channels}T{self.transformers}'


VARIANTS = {
    'XS': S2M2Config(channels=64, transformers=1),
    'S': S2M2Config(channels=128, transformers=1),
    'M': S2M2Config(channels=192, transformers=2),
    'L': S2M2Config(channels=256, transformers=3),
    'XL': S2M2Config(channels=384, transformers=3),
}
