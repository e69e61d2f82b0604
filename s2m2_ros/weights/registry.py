"""Which checkpoints exist and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

SHA256_DIGITS = 64
PUBLISHED_BY = 'https://huggingface.co/minimok/s2m2'
PUBLISHED_LICENCE = 'CC BY-NC 4.0'
PUBLISHED_TERMS = (
    'Not for commercial use; name the authors (https://creativecommons.org/licenses/by-nc/4.0).'
)


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        name: what users call it.
        variant: of the network, see `S2M2Config.named`.
        filename: in the cache folder, or in this package if it has no address.
        address: where it is published; None for one that comes with this package.
        licence: of the weights, which may differ from this package's.
        parameters: number of float32 values; the file holds 4 bytes for each and a little more.
        sha256_prefix: the hexadecimal digits of the file's SHA-256 as far as they are known, at
            best all 64.

    """

    name: str
    variant: str
    filename: str
    address: str | None
    licence: str
    parameters: int
    sha256_prefix: str

    @property
    def size_bytes(self) -> int:
        """Roughly the size of the file."""
        return 4 * self.parameters

    @property
    def sha256_is_whole(self) -> bool:
        """Whether the whole SHA-256 is known, so that no other file can pass for this one."""
        return len(self.sha256_prefix) == SHA256_DIGITS

    @property
    def remedy(self) -> str:
        """What to do about a damaged file."""
        if self.address is None:
            return 'reinstall s2m2_ros, which brings it'
        return f'delete it, and run `s2m2 weights download {self.name}`'

    @property
    def licence_terms(self) -> str:
        """What the license asks of whoever uses the weights, in a sentence."""
        return PUBLISHED_TERMS if self.licence == PUBLISHED_LICENCE else ''


def _published(name: str, filename: str, parameters: int, sha256_prefix: str) -> Checkpoint:
    return Checkpoint(
        name=name,
        variant=name,
        filename=filename,
        address=f'{PUBLISHED_BY}/resolve/main/{filename}',
        licence=PUBLISHED_LICENCE,
        parameters=parameters,
        sha256_prefix=sha256_prefix,
    )


CHECKPOINTS = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            'starter',
            'XS',
            'starter.safetensors',
            None,
            'Apache-2.0',
            6_929_747,
            'c38bb4f8408ef14ed0ea1d1ca69cda8a31bf516ba443102f107c3c6fb3f148b6',
        ),
        _published('S', 'CH128NTR1.pth', 26_501_043, '93f7177d8159'),
        _published('M', 'CH192NTR2.pth', 80_470_259, '6e767e0977dd'),
        _published('L', 'CH256NTR3.pth', 180_724_083, '770e82227258'),
        _published('XL', 'CH384NTR3.pth', 405_710_003, '78dee08652ac'),
    )
}
