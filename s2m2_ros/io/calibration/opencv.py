"""Matrices by name, as OpenCV's users save them: YAML, XML, JSON, gzipped or not, ``.npz``.

ORB-SLAM's settings with ``LEFT.P`` and ``RIGHT.P`` are of this kind too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from s2m2_ros.geometry.camera_model import CameraModel
from s2m2_ros.geometry.rectification import FISHEYE_COEFFICIENTS
from s2m2_ros.io.calibration.document import Document
from s2m2_ros.io.calibration.matrices import models_of_p, models_of_q
from s2m2_ros.io.calibration.names import (
    NO_SIDE,
    Names,
    flatten,
    matrices_by_kind,
    pair_of,
)
from s2m2_ros.io.calibration.numpy_files import UNNAMED
from s2m2_ros.io.calibration.reader import StereoModels
from s2m2_ros.io.calibration.values import Size, holds, numbers, whole_number

WIDTHS = ('width', 'image_width', 'imagewidth', 'img_width')
HEIGHTS = ('height', 'image_height', 'imageheight', 'img_height')
DISTORTION_MODELS = ('distortion_model', 'distortionmodel')
SIZES = ('size', 'image_size', 'imagesize', 'img_size', 'img_shape', 'resolution')


def recognizes(document: Document) -> bool:
    """Return whether P1 and P2, or Q, are there by any of the usual names."""
    found = matrices_by_kind(document.content)
    return pair_of(found, 'P') is not None or NO_SIDE in found.get('Q', {})


def read(document: Document, image_size: Size) -> StereoModels:
    """Read the matrices P1 and P2, or Q, that `cv2.stereoRectify` returned."""
    path, found = document.path, matrices_by_kind(document.content)
    size = _size(path, document.content, image_size)
    pair = pair_of(found, 'P')
    if pair is None:
        Q = numbers(path, 'Q', found['Q'][NO_SIDE], 16)
        return models_of_q(path, Q, size)
    names = ('the left projection matrix', 'the right projection matrix')
    P = [numbers(path, name, value, 12) for name, value in zip(names, pair, strict=True)]
    return _with_raw(path, models_of_p(path, P, size), found, _stated_model(document.content))


def is_beside(document: Document) -> bool:
    """Return whether there are K and D of both raw cameras, but no projections."""
    found = matrices_by_kind(document.content)
    return all(pair_of(found, kind) is not None for kind in 'KD') and not recognizes(document)


def joined(document: Document, other: Document) -> Document:
    """Return the file with the projections, and K and D of both cameras from another one.

    OpenCV's sample saves them apart. Without R1 and R2 nothing can be rectified, and K and D would
    only put the projections in doubt.
    """
    if not is_beside(other) or not recognizes(document):
        return document
    if pair_of(matrices_by_kind(document.content), 'R') is None:
        return document
    return replace(document, parts=({**other.content, **document.content},))


def recognizes_one_camera(document: Document) -> bool:
    """Return whether there is one 3x4 matrix, of one camera."""
    return _one(document) is not None


def read_one_camera(document: Document, image_size: Size) -> CameraModel:
    """Read the projection matrix of one camera."""
    size = _size(document.path, document.content, image_size)
    P = numbers(document.path, 'the projection matrix', _one(document), 12)
    return CameraModel(P, *size, source=str(document.path))


def _one(document: Document) -> Any:
    if holds(document.content.get(UNNAMED), 12):
        return document.content[UNNAMED]
    found = matrices_by_kind(document.content).get('P', {})
    return next(iter(found.values())) if len(found) == 1 else None


def _with_raw(path: Path, models: StereoModels, found: Names, name: str) -> StereoModels:
    """Add K, D and R of the raw cameras where a file holds all of them, and their model's name."""
    raw = {kind: pair_of(found, kind) for kind in 'KDR'}
    counts: Mapping[str, Sequence[int]] = {'K': (9,), 'D': range(1, 15), 'R': (9,)}
    completed = []
    for index, model in enumerate(models):
        values = {kind: pair[index] for kind, pair in raw.items() if pair}
        if all(kind in values and holds(values[kind], *counts[kind]) for kind in 'KDR'):
            K, D, R = (numbers(path, kind, values[kind]) for kind in 'KDR')
            completed.append(replace(model, K=K, D=D, R=R, distortion_model=name or _model_of(D)))
        else:
            completed.append(model)
    return completed[0], completed[1]


def _model_of(D: Sequence[float]) -> str:
    """Return the distortion model by the number of coefficients; empty for four.

    cv2.fisheye has four as well as the model of cv2.calibrateCamera.
    """
    if len(D) == FISHEYE_COEFFICIENTS:
        return ''
    return 'plumb_bob' if len(D) <= 5 else 'rational_polynomial'


def _stated_model(content: Mapping[str, Any]) -> str:
    """Return the distortion model that a file names; empty if it names none."""
    for key, value in flatten(content).items():
        if key.rpartition('.')[2].lower() in DISTORTION_MODELS and isinstance(value, str):
            return value.strip()[:80]
    return ''


def _size(path: Path, content: Mapping[str, Any], image_size: Size) -> Size:
    """Return the size that the file states, else that of the images."""
    flat = {key.rpartition('.')[2].lower(): value for key, value in flatten(content).items()}
    stated: tuple[float, ...] = ()
    if any(key in flat for key in WIDTHS) and any(key in flat for key in HEIGHTS):
        values = [next(flat[key] for key in keys if key in flat) for keys in (WIDTHS, HEIGHTS)]
        stated = tuple(
            whole_number(path, name, value)
            for name, value in zip(('the width', 'the height'), values, strict=True)
        )
    elif key := next((key for key in SIZES if holds(flat.get(key), 2)), None):
        stated = numbers(path, key, flat[key], 2)
    if len(stated) != 2 or sorted(stated) == sorted(image_size):
        # NumPy's shape has the height first; both orders are in use.
        return image_size
    return int(stated[0]), int(stated[1])
