"""The encodings of image messages: ONE table of names, and other names for the same.

Names are compared without regard to case, blanks, hyphens and underscores. Beyond those of ROS
(`sensor_msgs/image_encodings.hpp`) there are the names of the GenICam Pixel Format Naming
Convention (Mono12p, BayerRG8), of V4L2 (GREY, Y16, YU12) and of libcamera (SRGGB10).
"""

from __future__ import annotations

import cv2

from s2m2_ros.io.images.pixel_layouts import (
    Interleaved,
    Layout,
    Packed422,
    PackedBits,
    Planes420,
    Planes422,
    Planes444,
    gige_10,
    gige_12,
    lsb_10,
    lsb_12,
    mipi_10,
    mipi_12,
)

# ROS names a mosaic after its first row and column, OpenCV after its second.
MOSAICS = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
}
# GenICam shortens the names of mosaics.
SHORT_MOSAICS = {'rggb': 'rg', 'grbg': 'gr', 'gbrg': 'gb', 'bggr': 'bg'}
# OpenCV's own order of unnamed channels is B, G, R, A.
UNNAMED = {1: None, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
COLORS: dict[str, tuple[int, int | None]] = {
    'mono': (1, None),
    'rgb': (3, None),
    'bgr': (3, cv2.COLOR_BGR2RGB),
    'rgba': (4, None),
    'bgra': (4, cv2.COLOR_BGRA2RGB),
    **{f'bayer_{name}': (1, code) for name, code in MOSAICS.items()},
}
UYVY = Packed422(cv2.COLOR_YUV2RGB_UYVY)
YUYV = Packed422(cv2.COLOR_YUV2RGB_YUY2)
PACKED = {
    '10p': (10, 5, 4, lsb_10),
    '12p': (12, 3, 2, lsb_12),
    '10packed': (10, 3, 2, gige_10),
    '12packed': (12, 3, 2, gige_12),
    '10_mipi': (10, 5, 4, mipi_10),
    '12_mipi': (12, 3, 2, mipi_12),
}


def _opencv_types() -> dict[str, Layout]:
    """Return 8UC1 to 64FC4, all that cameras can mean by 1, 3 and 4 channels."""
    kinds = {'8U': 'u1', '8S': 'i1', '16U': 'u2', '16S': 'i2', '32S': 'i4', '32F': 'f4'}
    kinds['64F'] = 'f8'
    return {
        f'{name}C{channels}': Interleaved(dtype, channels, code)
        for name, dtype in kinds.items()
        for channels, code in UNNAMED.items()
    }


def _deep(name: str, code: int | None) -> dict[str, Layout]:
    """Return what has 10 to 14 bits, in two bytes each or packed."""
    found: dict[str, Layout] = {
        f'{name}{bits}': Interleaved('u2', 1, code, bits) for bits in (10, 12, 14)
    }
    return found | {f'{name}{end}': PackedBits(*how, code) for end, how in PACKED.items()}


ENCODINGS: dict[str, Layout] = {
    **{f'{name}8': Interleaved('u1', *how) for name, how in COLORS.items()},
    **{f'{name}16': Interleaved('u2', *how) for name, how in COLORS.items()},
    **_opencv_types(),
    'yuv422': UYVY,
    'uyvy': UYVY,
    'yuv422_yuy2': YUYV,
    'yuyv': YUYV,
    'yvyu': Packed422(cv2.COLOR_YUV2RGB_YVYU),
    'vyuy': Packed422(cv2.COLOR_YUV2RGB_UYVY, order=(2, 1, 0, 3)),
    'nv12': Planes420(cv2.COLOR_YUV2RGB_NV12, pairs=True),
    'nv21': Planes420(cv2.COLOR_YUV2RGB_NV21, pairs=True),
    'i420': Planes420(cv2.COLOR_YUV2RGB_I420, pairs=False),
    'yv12': Planes420(cv2.COLOR_YUV2RGB_YV12, pairs=False),
    'nv16': Planes422(swapped=False),
    'nv61': Planes422(swapped=True),
    'nv24': Planes444(swapped=False),
    'nv42': Planes444(swapped=True),
    **_deep('mono', None),
    **{
        name: how
        for mosaic, code in MOSAICS.items()
        for name, how in _deep(f'bayer_{mosaic}', code).items()
    },
}


def _plain(name: str) -> str:
    return ''.join(letter for letter in name.lower() if letter not in ' _-')


def _mosaic_names() -> dict[str, str]:
    """Return the names of GenICam (BayerRG12p), libcamera (SRGGB10, SRGGB10P) and short ones."""
    names: dict[str, str] = {}
    for mosaic, short in SHORT_MOSAICS.items():
        for end in ('8', '10', '12', '14', '16', *PACKED):
            names[f'bayer{short}{end}'] = f'bayer_{mosaic}{end}'
        for end in ('8', '10', '12', '14', '16'):
            names[f's{mosaic}{end}'] = f'bayer_{mosaic}{end}'
            names[f'{mosaic}{end}'] = f'bayer_{mosaic}{end}'
        for bits in (10, 12):
            names[f's{mosaic}{bits}p'] = f'bayer_{mosaic}{bits}_mipi'
            names[f's{mosaic}{bits}csi2p'] = f'bayer_{mosaic}{bits}_mipi'
        names[f'bayer{mosaic}'] = names[mosaic] = f'bayer_{mosaic}8'
    return names


OTHER_NAMES: dict[str, tuple[str, ...]] = {
    'mono8': ('mono', 'gray', 'grey', 'y', 'y800', 'l', 'luminance'),
    'mono16': ('gray16le', 'grey16le', 'mono16le', 'i;16'),
    'mono10_mipi': ('y10p', 'r10csi2p', 'mono10csi2p'),
    'mono12_mipi': ('y12p', 'r12csi2p', 'mono12csi2p'),
    'rgb8': ('rgb', 'rgb24', 'rgb3', 'rgb8packed'),
    'bgr8': ('bgr', 'bgr24', 'bgr3', 'bgr8packed'),
    'rgba8': ('rgba', 'rgba32', 'ab24', 'rgba8packed', 'rgbx', 'rgbx8'),
    'bgra8': ('bgra', 'bgra32', 'ar24', 'bgra8packed', 'bgrx', 'bgrx8'),
    'bayer_bggr8': ('ba81',),
    'uyvy': ('uyvy422', 'uynv', 'y422', 'yuv422_uyvy', 'yuv422_8_uyvy', 'yuv422packed',
             'ycbcr422_8_cbycry'),
    'yuyv': ('yuy2', 'yuyv422', 'yunv', 'yuv422_yuyv', 'yuv422_8', 'ycbcr422_8'),
    'i420': ('yuv420', 'yuv420p', 'yu12', 'iyuv'),
    'yv12': ('yvu420',),
    **{f'mono{bits}': tuple(f'{grey}{bits}' for grey in ('y', 'gray', 'grey', 'l', 'r'))
       for bits in (10, 12, 14)},
}  # fmt: skip
ALIASES: dict[str, str] = {
    **{f'{grey}{bits}': f'mono{bits}' for grey in ('y', 'gray', 'grey', 'l', 'r')
       for bits in (8, 16)},
    **{name[:-2]: name for name in _opencv_types() if name.endswith('C1')},
    **_mosaic_names(),
    **{name: target for target, names in OTHER_NAMES.items() for name in names},
}  # fmt: skip

_BY_PLAIN_NAME = {
    **{_plain(name): ENCODINGS[target] for name, target in ALIASES.items()},
    **{_plain(name): layout for name, layout in ENCODINGS.items()},
}


def find_layout(name: str) -> Layout | None:
    """Return the layout of an encoding, None where there is no such encoding."""
    return _BY_PLAIN_NAME.get(_plain(name))
