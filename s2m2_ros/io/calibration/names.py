"""The names that people give to the matrices of a stereo calibration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

MOST_NESTING = 6
MOST_VALUES = 2000

# Without case, underscores, dots and the side; the side may stand before or after.
WORDS = {
    'P': 'p proj projmat projmats projmatrix projection projectionmat projectionmatrix '
    'projectionmatrices prect rectp prectified rectifiedp pmat pmatrix projrect rectproj '
    'newprojection newprojectionmatrix',
    'K': 'k m mtx a kmat kmatrix cameramatrix cameramat cammat cammats cammatrix cammtx intrinsic '
    'intrinsics intrinsicmatrix',
    'D': 'd dist distcoeffs distcoeff distcoefs distcoef distortion distortioncoefficients '
    'distortioncoeffs distortioncoefs distvec distvector',
    'R': 'r rect rectr rrect rectification rectificationmatrix rectificationtransform rectmat '
    'recttrans rectrot rectrotation rectmatrix',
    'Q': 'q qmat qmatrix disptodepth disptodepthmat disptodepthmatrix disp2depth '
    'disparitytodepth disparitytodepthmatrix disparitytodepthmappingmatrix reprojection '
    'reprojectionmatrix',
    'T': 't trans transvec translation translationvector tvec',
}
SIDES = {
    'left': 'left l leftcamera leftcam cameraleft camleft',
    'right': 'right r rightcamera rightcam cameraright camright',
    '0': '0 cam0 camera0',
    '1': '1 cam1 camera1',
    '2': '2 cam2 camera2',
}
# Which sides make a pair, the left one first.
PAIRS = (('left', 'right'), ('1', '2'), ('0', '1'))
NO_SIDE = ''

Names = dict[str, dict[str, Any]]


def matrices_by_kind(content: Mapping[str, Any]) -> Names:
    """Return ``found[kind][side]``: kinds are those of `WORDS`, the side may be `NO_SIDE`."""
    found: Names = {}
    for name, value in flatten(content).items():
        kind, side = _meanings().get(_plain(name), (None, NO_SIDE))
        if kind:
            found.setdefault(kind, {}).setdefault(side, value)
    return found


def pair_of(found: Names, kind: str) -> tuple[Any, Any] | None:
    """Return the left and the right matrix of a kind, None if either is missing."""
    by_side = found.get(kind, {})
    for left, right in PAIRS:
        if left in by_side and right in by_side:
            return by_side[left], by_side[right]
    return None


def flatten(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings as one, keys joined with dots; matrices of OpenCV stay whole."""
    flat: dict[str, Any] = {}
    _flatten(content, '', MOST_NESTING, flat)
    return flat


def _flatten(content: Mapping[str, Any], prefix: str, nesting: int, flat: dict[str, Any]) -> None:
    for key, value in content.items():
        if len(flat) >= MOST_VALUES:
            return
        name = f'{prefix}{str(key)[:80]}'
        if isinstance(value, Mapping) and 'data' not in value:
            if nesting:
                _flatten(value, f'{name}.', nesting - 1, flat)
        else:
            flat[name] = value


def _plain(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())


@cache
def _meanings() -> Mapping[str, tuple[str, str]]:
    """Return kind and side by every plain name that is understood."""
    meanings: dict[str, tuple[str, str]] = {}
    for (kind, words), (side, marks) in product(WORDS.items(), SIDES.items()):
        for word, mark in product(words.split(), marks.split()):
            # The side stands last where both readings are possible: "rl" is R of the left.
            meanings[word + mark] = kind, side
            meanings.setdefault(mark + word, (kind, side))
    for kind, words in WORDS.items():
        for word in words.split():
            meanings.setdefault(word, (kind, NO_SIDE))
    return meanings
