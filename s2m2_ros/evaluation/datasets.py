"""Folders of real stereo pairs with ground truth, in the layouts of the public benchmarks.

| layout | left and right image | truth |
| --- | --- | --- |
| Middlebury 2014, 2021, v3; ETH3D two-view | ``SCENE/im0.png``, ``im1.png`` | ``disp0GT.pfm`` or ``disp0.pfm`` (or ``disp0GT.npy``; ``disp0GT.png``, 16 bit / 256), beside them or in a folder ``..._gt``; ``mask0nocc.png``: 255 = visible |
| Middlebury 2005, 2006 | ``SCENE/view1.png``, ``view5.png``, or below ``IllumN/ExpN/`` | ``disp1.png`` |
| Middlebury 2001, 2003 | ``SCENE/im2.ppm``, ``im6.ppm`` (map: ``im0``, ``im1``; tsukuba: ``scene1.row3.col3``, ``col4``) | ``disp2.pgm`` (``disp0``; ``truedisp.row3.col3``) |
| KITTI 2012, 2015 | ``image_2/X_10.png``, ``image_3`` (or ``colored_0``, ``image_0``) | ``disp_occ_0`` or ``disp_occ``, 16 bit / 256; visible where ``disp_noc`` has a value |
| Scene Flow | ``frames_cleanpass/.../left/X.png``, ``right``, and ``image_clean`` of its subset; PNG or WebP | ``disparity/.../left/X.pfm`` |

Images may have any format that `read_raw` reads. What the numbers of the truth mean is found by
`evaluation.truth`.
"""  # noqa: E501

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from s2m2_ros.evaluation.pairs import DatasetError, StereoFiles
from s2m2_ros.io.images.image_files import SUFFIXES

KITTI_SCALE = 256.0
# Names of the truth beside im0 and im1, and by what integers in it are divided.
TRUTH_NAMES = {
    'disp0GT.pfm': 1.0,
    'disp0.pfm': 1.0,
    'disp0GT.npy': 1.0,
    'disp0GT.png': KITTI_SCALE,
}
# How the names of files begin that may be a truth of another layout.
TRUTH_WORDS = ('disp', 'gt', 'truth', 'ground', 'depth')
# Frames of Scene Flow, and of its subset of FlyingThings3D.
SCENE_FLOW_PASSES = ('frames_cleanpass', 'frames_finalpass', 'image_clean', 'image_final')


def find_labeled_pairs(folder: Path) -> list[StereoFiles]:
    """Return all pairs below ``folder``, of whatever layout, in the order of their names.

    No two have the same name: it is what scores and pictures of a pair are filed under.

    Raises:
        DatasetError: if there is no such folder or it holds no pair with truth.
    """
    if not folder.is_dir():
        raise DatasetError(f'{folder}: no such folder')
    found = sorted(
        (pair for layout in LAYOUTS for pair in layout(folder)),
        key=lambda pair: (pair.name, pair.left),
    )
    if not found:
        raise DatasetError(
            f'{folder}: no pair with ground truth in the layout of Middlebury, ETH3D, KITTI or '
            f'Scene Flow was found below it{_unknown_truth(folder)}'
        )
    return _named_apart(found)


def _named_apart(pairs: list[StereoFiles]) -> list[StereoFiles]:
    """Return the pairs, numbered where an earlier one has the name, as a file without folders."""
    taken: set[str] = set()
    apart = []
    for pair in pairs:
        names = itertools.chain([pair.name], (f'{pair.name} ({n})' for n in itertools.count(2)))
        name = next(n for n in names if n.replace('/', '_').casefold() not in taken)
        taken.add(name.replace('/', '_').casefold())
        apart.append(replace(pair, name=name))
    return apart


def _unknown_truth(folder: Path) -> str:
    """Return the end of a sentence that names a file which looks like a truth; else empty."""
    named = (
        path
        for path in sorted(folder.rglob('*'))
        if path.stem.lower().startswith(TRUTH_WORDS) and path.is_file()
    )
    file = next(named, None)
    if file is None:
        return ''
    return (
        f"; '{file.relative_to(folder)}' is there, but in no such place: beside im0.png and "
        f'im1.png, write the disparity as {" or ".join(TRUTH_NAMES)} (PNG: 16 bits, in 1/256 '
        'pixel)'
    )


def middlebury_and_eth3d(folder: Path) -> Iterator[StereoFiles]:
    """Yield scenes of ``im0``, ``im1`` with their truth: Middlebury 2014, 2021, v3 and ETH3D."""
    for left in _images(folder, 'im0'):
        scene = left.parent
        apart = scene.parent.with_name(f'{scene.parent.name}_gt') / scene.name
        truth = _first(*(place / name for place in (scene, apart) for name in TRUTH_NAMES))
        right = _image(scene, 'im1')
        if truth and right:
            mask = _first(truth.with_name('mask0nocc.png'))
            counts = TRUTH_NAMES[truth.name]
            yield StereoFiles(_name(scene, folder), left, right, truth, mask, counts)


def old_middlebury(folder: Path) -> Iterator[StereoFiles]:
    """Yield scenes of Middlebury 2001 to 2006, whose truth is an image of scaled integers."""
    for left_name, right_name, truth_name, usual_scale in (
        ('view1', 'view5', 'disp1', 1.0),
        ('im2', 'im6', 'disp2', 4.0),
        ('im0', 'im1', 'disp0', 8.0),
        ('scene1.row3.col3', 'scene1.row3.col4', 'truedisp.row3.col3', 16.0),
    ):
        for left in _images(folder, left_name):
            right = _image(left.parent, right_name)
            # Scenes under several lights and exposures share one truth, some folders above.
            places = [p for p in left.parents[:3] if p == folder or folder in p.parents]
            truth = next(filter(None, (_image(place, truth_name) for place in places)), None)
            if right and truth:
                name = _name(left.parent, folder)
                yield StereoFiles(name, left, right, truth, usual_scale=usual_scale)


def kitti(folder: Path) -> Iterator[StereoFiles]:
    """Yield the frames ``*_10`` of KITTI 2012 and 2015 that have truth."""
    for left_name, right_name, all_name, seen_name in (
        ('image_2', 'image_3', 'disp_occ_0', 'disp_noc_0'),
        ('colored_0', 'colored_1', 'disp_occ', 'disp_noc'),
        ('image_0', 'image_1', 'disp_occ', 'disp_noc'),
    ):
        for left in filter(_is_image, folder.rglob(f'{left_name}/*_10.*')):
            root, truth_name = left.parents[1], f'{left.stem}.png'
            seen = _first(root / seen_name / truth_name)
            truth = _first(root / all_name / truth_name) or seen
            right = root / right_name / left.name
            if truth and right.is_file():
                name = str(left.relative_to(folder).with_suffix(''))
                yield StereoFiles(name, left, right, truth, seen, KITTI_SCALE)


def scene_flow(folder: Path) -> Iterator[StereoFiles]:
    """Yield the frames of Scene Flow, and of its subset, that have truth."""
    for left in folder.rglob('left/*'):
        root = _scene_flow_root(left, folder)
        if root is None or left.suffix.lower() not in SUFFIXES:
            continue
        truth = (root.parent / 'disparity' / left.relative_to(root)).with_suffix('.pfm')
        right = left.parents[1] / 'right' / left.name
        if truth.is_file() and right.is_file():
            name = str(left.relative_to(folder).with_suffix(''))
            yield StereoFiles(name, left, right, truth)


def _scene_flow_root(left: Path, folder: Path) -> Path | None:
    """Return the folder of the rendering pass that an image belongs to."""
    for parent in left.parents:
        # The archive of WebP frames appends its format to the name.
        if parent.name.removesuffix('_webp') in SCENE_FLOW_PASSES:
            return parent
        if parent == folder:
            break
    return None


LAYOUTS: tuple[Callable[[Path], Iterator[StereoFiles]], ...] = (
    middlebury_and_eth3d,
    old_middlebury,
    kitti,
    scene_flow,
)


def _images(folder: Path, stem: str) -> Iterator[Path]:
    """Yield the images of a name, with any ending, below a folder."""
    return (p for p in folder.rglob(f'{stem}.*') if p.stem == stem and _is_image(p))


def _image(folder: Path, stem: str) -> Path | None:
    """Return the image of a name directly in a folder, with any ending."""
    return _first(*(folder / f'{stem}{suffix}' for suffix in SUFFIXES))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _first(*files: Path) -> Path | None:
    return next((file for file in files if file.is_file()), None)


def _name(scene: Path, folder: Path) -> str:
    """Return the name of a scene: its folder's path, or its name if it is the whole data set."""
    return str(scene.relative_to(folder)) if scene != folder else folder.resolve().name
