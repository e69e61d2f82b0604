"""``ost.txt``: the INI-like text that ROS's camera_calibration prints and saves."""

from __future__ import annotations

import re
from collections.abc import Mapping

from s2m2_ros.geometry.camera_model import CameraModel
from s2m2_ros.io.calibration import camera_info
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size

SECTION = re.compile(r'\[([^\[\]]{1,200})\]')
NUMBERS = re.compile(r'[-+.\deE][-+.\deE \t]*')
# What the text calls the entries of a camera_info.
NAMES = {
    'camera matrix': 'camera_matrix',
    'distortion': 'distortion_coefficients',
    'rectification': 'rectification_matrix',
    'projection': 'projection_matrix',
}
MOST_SECTIONS = 20

Sections = dict[str, dict[str, list[str]]]


def recognizes(document: Document) -> bool:
    """Return whether there are the sections of two cameras."""
    return len(_cameras(document)) > 1


def read(document: Document, image_size: Size) -> StereoModels:
    """Read both cameras: by the side in the sections' names, else in their order."""
    cameras = _cameras(document)
    by_side = [
        next((camera for name, camera in cameras.items() if side in name.lower()), None)
        for side in ('left', 'right')
    ]
    chosen = by_side if all(by_side) else list(cameras.values())[:2]
    left, right = (
        camera_info.model(document.path, camera, image_size) for camera in chosen if camera
    )
    return left, right


def recognizes_one_camera(document: Document) -> bool:
    """Return whether there is the section of one camera."""
    return len(_cameras(document)) == 1


def read_one_camera(document: Document, image_size: Size) -> CameraModel:
    """Read the one camera."""
    (camera,) = _cameras(document).values()
    return camera_info.model(document.path, camera, image_size)


def _cameras(document: Document) -> dict[str, Mapping[str, object]]:
    """Return the entries of a camera_info by section, for those that hold a projection."""
    sections = _sections(document.text)
    image = sections.get('image', {})
    size = {
        f'image_{key}': image[key][0]
        for key in ('width', 'height')
        if len(image.get(key, ())) == 1
    }
    return {
        name: {**size, **{NAMES[key]: ' '.join(found[key]) for key in NAMES if key in found}}
        for name, found in sections.items()
        if 'projection' in found
    }


def _sections(text: str) -> Sections:
    """Return the lines of numbers by section and the title above them."""
    sections: Sections = {}
    lines: list[str] = []
    section: dict[str, list[str]] = {}
    for line in (line.strip() for line in text.split('\n')):
        header = SECTION.fullmatch(line)
        if header and len(sections) < MOST_SECTIONS:
            section = sections.setdefault(header[1], {})
        elif line and NUMBERS.fullmatch(line):
            lines.append(line)
        elif line and not line.startswith('#'):
            lines = section.setdefault(line, [])
    return sections
