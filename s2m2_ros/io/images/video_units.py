"""The units of a packet of H.264 or H.265 video: whether a picture can begin, or one is missing.

libavcodec conceals a lost packet of H.264 with what it has, without an error: a wrong picture,
hence a wrong depth, until the next key frame. The number in each picture shows the loss.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

H264, HEVC = 'h264', 'hevc'
# Units from which decoding may begin: a sequence parameter set or a picture that needs no other.
H264_SLICES, H264_KEYS, H264_SPS, H264_IDR = {1, 5}, {5, 7}, 7, 5
HEVC_SLICES, HEVC_KEYS = {*range(32)}, {*range(16, 22), 32, 33}
# Profiles whose parameters say more of colors, clause 7.3.2.1.1 of H.264.
HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
# More bytes than the parameters, and the begin of a slice, that are read here.
HEADER_BYTES, SLICE_BYTES = 512, 32
# Encoders cut a picture into as many slices as there are rows of blocks, at most.
MOST_UNITS = 1024
START = b'\x00\x00\x01'
_START = re.compile(re.escape(START))


def codec_named(text: str) -> str | None:
    """Return the codec of a name such as 'h264_nvenc', 'libx265;bgr8' or 'hevc'; else None."""
    name = text.lower()
    if 'hevc' in name or '265' in name:
        return HEVC
    return H264 if '264' in name else None


def units(packet: bytes) -> Iterator[bytes]:
    """Yield the begin of each unit of a packet, from its header on."""
    for found in _START.finditer(packet):
        unit = packet[found.end() : found.end() + HEADER_BYTES]
        if len(unit) > 2:
            yield unit


@dataclass(frozen=True)
class Contents:
    """What a packet holds: how many pictures begin, and whether decoding may begin with it."""

    pictures: int
    key: bool


def contents(packet: bytes, codec: str) -> Contents:
    """Return what a packet holds."""
    pictures, key = 0, False
    for unit in units(packet):
        if codec == H264:
            kind, slices, keys, payload = unit[0] & 31, H264_SLICES, H264_KEYS, unit[1]
        else:
            kind, slices, keys, payload = unit[0] >> 1 & 63, HEVC_SLICES, HEVC_KEYS, unit[2]
        key |= kind in keys
        # The first bit after the header is set in the first slice of a picture, in both.
        pictures += kind in slices and payload >= 0x80
    return Contents(pictures, key)


class FrameNumbers:
    """Follows the frame numbers of H.264, which count the pictures that others depend on."""

    def __init__(self) -> None:
        self._parameters: _Sequence | None = None
        self._last: int | None = None

    def restart(self) -> None:
        """Expect any number next."""
        self._last = None

    def lost(self, packet: bytes) -> bool:
        """Take the next packet; return whether one before it is missing."""
        gaps = [self._follow(unit) for unit in units(packet)]  # of all: each changes the state
        return any(gaps)

    def _follow(self, unit: bytes) -> bool:
        kind = unit[0] & 31
        try:
            if kind == H264_SPS:
                self._parameters = _sequence(_Bits(unit[1:]))
            if kind not in H264_SLICES or self._parameters is None:
                return False
            number = self._parameters.frame_number(_Bits(unit[1:SLICE_BYTES]))
        except ValueError:  # the decoder will say what is wrong
            return False
        before, is_reference = self._last, bool(unit[0] & 0x60)
        if is_reference or before is None:
            self._last = number
        if kind == H264_IDR or before is None or self._parameters.gaps_allowed:
            return False
        return number not in (before, (before + 1) % (1 << self._parameters.number_bits))


@dataclass(frozen=True)
class _Sequence:
    """What is needed of a sequence parameter set."""

    number_bits: int
    separate_planes: bool
    gaps_allowed: bool

    def frame_number(self, bits: _Bits) -> int:
        for _ in range(3):  # first macroblock, type of slice, picture parameter set
            bits.unsigned()
        if self.separate_planes:
            bits.take(2)
        return bits.take(self.number_bits)


class _Bits:
    """Reads the fields of a unit. Raises ValueError at its end."""

    def __init__(self, unit: bytes) -> None:
        # A 3 after two zeros only keeps them from looking like a start.
        payload = unit.replace(b'\x00\x00\x03', b'\x00\x00')
        self._bits = ''.join(f'{byte:08b}' for byte in payload)
        self._at = 0

    def take(self, count: int) -> int:
        end = self._at + count
        if end > len(self._bits):
            raise ValueError('the unit is cut short')
        value = int(self._bits[self._at : end] or '0', 2)
        self._at = end
        return value

    def unsigned(self) -> int:
        """Return an Exp-Golomb number: as many zeros as bits follow the one."""
        one = self._bits.find('1', self._at)
        zeros = one - self._at
        if one < 0 or zeros > 32:
            raise ValueError('no number')
        self._at = one
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        number = self.unsigned()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def _sequence(bits: _Bits) -> _Sequence:
    profile, _, _ = bits.take(8), bits.take(16), bits.unsigned()
    separate_planes = _skip_colors(bits) if profile in HIGH_PROFILES else False
    number_bits = bits.unsigned() + 4
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1), bits.signed(), bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()
    return _Sequence(number_bits, separate_planes, bool(bits.take(1)))


def _skip_colors(bits: _Bits) -> bool:
    """Skip the fields of colors; return whether the planes are coded separately."""
    chroma = bits.unsigned()
    separate = chroma == 3 and bool(bits.take(1))
    bits.unsigned(), bits.unsigned(), bits.take(1)
    if bits.take(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling(bits, 16 if index < 6 else 64)
    return separate


def _skip_scaling(bits: _Bits, count: int) -> None:
    last = 8
    for _ in range(count):
        following = (last + bits.signed()) % 256
        if following == 0:
            return
        last = following
