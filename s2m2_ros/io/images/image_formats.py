"""Formats of encoded images and of what is taken for one, by how their bytes begin."""

from __future__ import annotations

import re

PNG_START = b'\x89PNG\r\n\x1a\n'
# Formats by how they begin, in order; the last ones have no size that is read here.
STARTS: tuple[tuple[str, bytes], ...] = (
    ('JPEG', rb'\xff\xd8\xff'),
    ('PNG', re.escape(PNG_START)),
    ('TIFF', rb'II[*+]\x00|MM\x00[*+]'),
    ('BMP', rb'BM(?=[\s\S]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00)'),
    ('WebP', rb'RIFF[\s\S]{4}WEBP'),
    ('JPEG 2000', rb'\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51'),
    ('AVIF', rb'[\s\S]{4}ftypavi[fs]'),
    ('PNM', rb'P[1-7][\s#]'),
    ('PFM', rb'P[fF]4?[\s#]'),
    ('NumPy array', rb'\x93NUMPY'),
    ('Radiance HDR', rb'#\?(?:RADIANCE|RGBE)'),
    ('HEIC', rb'[\s\S]{4}ftyp(?:hei[cfmsx]|hev[cx]|mif1|msf1)'),
    ('JPEG XL', rb'\xff\x0a|\x00\x00\x00\x0cJXL '),
    ('GIF', rb'GIF8[79]a'),
    ('OpenEXR', rb'\x76\x2f\x31\x01'),
    ('PSD', rb'8BPS'),
    ('PDF', rb'%PDF'),
    ('ZIP', rb'PK\x03\x04'),
    ('gzip', rb'\x1f\x8b'),
    ('video', rb'[\s\S]{4}ftyp|\x1aE\xdf\xa3|RIFF[\s\S]{4}AVI '),
    ('web page', rb'(?i)\s*(?:<!doctype html|<html)'),
    ('git-lfs pointer', rb'version https://git-lfs'),
)
_PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in STARTS)
# Packets of video begin with a unit of parameters, a delimiter or a slice.
_ANNEX_B = re.compile(rb'\x00\x00(?:\x00)?\x01([\s\S])([\s\S])')
H264_UNITS = frozenset({1, 5, 6, 7, 8, 9})
H265_UNITS = frozenset({1, 19, 20, 21, 32, 33, 34, 35, 39})


def image_format(encoded: bytes) -> str:
    """Return the name of a format by its first bytes; empty if none is recognized."""
    name = next((name for name, pattern in _PATTERNS if pattern.match(encoded)), '')
    return name or _video_packet(encoded)


def _video_packet(encoded: bytes) -> str:
    found = _ANNEX_B.match(encoded)
    if found is None:
        return ''
    first, second = found[1][0], found[2][0]
    if first & 0x80:
        return ''
    if second == 1 and first >> 1 & 63 in H265_UNITS and not first & 1:
        return 'H.265'
    return 'H.264' if first & 31 in H264_UNITS else ''
