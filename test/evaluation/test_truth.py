"""What the numbers of ground truth mean, by the conventions of the data sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from s2m2_ros.cli.main import main
from s2m2_ros.evaluation.datasets import find_labeled_pairs
from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.evaluation.truth import load_pair
from s2m2_ros.io.images.image_files import write_pfm
from s2m2_ros.training.folders import crop

HEIGHT, WIDTH, SHIFT = 60, 160, 12


def views(shift: int = SHIFT, height: int = HEIGHT, width: int = WIDTH) -> list[npt.NDArray[Any]]:
    """Return left and right (H, W, 3) BGR of a smooth plane at a disparity of `shift` pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width + abs(shift), 3))
    smooth = cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 1.3)
    smooth = cv2.normalize(smooth, smooth, 0, 255, cv2.NORM_MINMAX)
    starts = (0, shift) if shift >= 0 else (-shift, 0)
    return [np.ascontiguousarray(smooth[:, start : start + width]) for start in starts]


def write(left: Path, right: Path, shift: int = SHIFT, **size: int) -> None:
    for path, image in zip((left, right), views(shift, **size), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = image[..., 0] if path.suffix == '.pgm' else image
        lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if path.suffix == '.webp' else []
        assert cv2.imwrite(str(path), stored, lossless)


def write_truth(path: Path, values: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.pfm':
        write_pfm(path, values.astype(np.float32))
    else:
        assert cv2.imwrite(str(path), values)


def only_pair(folder: Path) -> npt.NDArray[np.float32]:
    (files,) = find_labeled_pairs(folder)
    return load_pair(files).disparity


# Names of the left image, the right image and the truth in each year's archives.
YEARS = {
    '2001': ('venus/im2.ppm', 'venus/im6.ppm', 'venus/disp2.pgm'),
    '2001 as PNG': ('venus/im2.png', 'venus/im6.png', 'venus/disp2.png'),
    '2001 map': ('map/im0.pgm', 'map/im1.pgm', 'map/disp0.pgm'),
    '2001 tsukuba': (
        'tsukuba/scene1.row3.col3.ppm',
        'tsukuba/scene1.row3.col4.ppm',
        'tsukuba/truedisp.row3.col3.pgm',
    ),
    '2003': ('cones/im2.png', 'cones/im6.png', 'cones/disp2.png'),
    '2003 full': ('conesF/im2.ppm', 'conesF/im6.ppm', 'conesF/disp2.pgm'),
    '2005': ('Art/view1.png', 'Art/view5.png', 'Art/disp1.png'),
    '2006 with exposures': (
        'Art/Illum2/Exp1/view1.png',
        'Art/Illum2/Exp1/view5.png',
        'Art/disp1.png',
    ),
}


class TestScales:
    @pytest.mark.parametrize('scale', [1, 2, 3, 4, 8, 16])
    @pytest.mark.parametrize('names', YEARS.values(), ids=YEARS)
    def test_the_images_decide(
        self, tmp_path: Path, names: tuple[str, str, str], scale: int
    ) -> None:
        write(tmp_path / names[0], tmp_path / names[1])
        values = np.full((HEIGHT, WIDTH), SHIFT * scale, np.uint8)
        values[:, :30] = 0
        write_truth(tmp_path / names[2], values)
        found = only_pair(tmp_path)
        assert np.isnan(found[:, :30]).all()
        assert (found[:, 30:] == SHIFT).all()

    @pytest.mark.parametrize(
        ('names', 'height', 'scale'),
        [
            ('2003', 375, 4), ('2003 full', 1500, 1), ('2003', 750, 2), ('2005', 1110, 1),
            ('2005', 555, 2), ('2006 with exposures', 370, 3), ('2001', 383, 8),
            ('2001 map', 216, 8), ('2001 tsukuba', 288, 16),
            ('2003', 77, 4), ('2005', 77, 1),
        ],
    )  # fmt: skip
    def test_without_texture_the_height_decides(
        self, tmp_path: Path, names: str, height: int, scale: int
    ) -> None:
        left, right, truth = (tmp_path / name for name in YEARS[names])
        for path in (left, right):
            channels = () if path.suffix == '.pgm' else (3,)
            write_truth(path, np.full((height, 64, *channels), 90, np.uint8))
        write_truth(truth, np.full((height, 64), 48, np.uint8))
        np.testing.assert_allclose(only_pair(tmp_path), 48 / scale)

    def test_images_override_a_height_that_fits_by_chance(self, tmp_path: Path) -> None:
        left, right, truth = (tmp_path / name for name in YEARS['2003'])
        write(left, right, height=375)
        write_truth(truth, np.full((375, WIDTH), SHIFT * 2, np.uint8))
        assert (only_pair(tmp_path) == SHIFT).all()


FLOW = ('TRAIN/A/0000/left/0006', 'TRAIN/A/0000/right/0006')


class TestFloats:
    @pytest.fixture(params=['frames_cleanpass', 'frames_finalpass', 'frames_cleanpass_webp'])
    def scene_flow(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
        suffix = '.webp' if 'webp' in request.param else '.png'
        left, right = (tmp_path / request.param / f'{part}{suffix}' for part in FLOW)
        write(left, right)
        yield tmp_path

    @pytest.mark.parametrize('sign', [1, -1])
    def test_either_sign_of_scene_flow(self, scene_flow: Path, sign: int) -> None:
        truth = np.full((HEIGHT, WIDTH), float(sign * SHIFT))
        write_truth(scene_flow / 'disparity' / f'{FLOW[0]}.pfm', truth)
        assert (only_pair(scene_flow) == SHIFT).all()

    def test_the_subset_of_flying_things(self, tmp_path: Path) -> None:
        clean = tmp_path / 'FlyingThings3D_subset/train/image_clean'
        write(clean / 'left/0000000.png', clean / 'right/0000000.png')
        truth = clean.parent / 'disparity/left/0000000.pfm'
        write_truth(truth, np.full((HEIGHT, WIDTH), -float(SHIFT)))
        assert (only_pair(tmp_path) == SHIFT).all()

    def write_scene(self, folder: Path, truth: npt.NDArray[Any], shift: int = SHIFT) -> None:
        write(folder / 'S/im0.png', folder / 'S/im1.png', shift)
        write_truth(folder / 'S/disp0GT.pfm', truth)

    def test_negative_truth_of_a_pair_that_has_negative_disparities(self, tmp_path: Path) -> None:
        self.write_scene(tmp_path, np.full((HEIGHT, WIDTH), -float(SHIFT)), shift=-SHIFT)
        assert (only_pair(tmp_path) == -SHIFT).all()

    @pytest.mark.parametrize('marker', [0.0, np.inf, -np.inf, np.nan, -1.0, -999.0, 1e10, 3e38])
    def test_marks_of_unknown_pixels(self, tmp_path: Path, marker: float) -> None:
        truth = np.full((HEIGHT, WIDTH), float(SHIFT))
        truth[:, :50] = marker
        self.write_scene(tmp_path, truth)
        # The writer turns what is not finite into +inf.
        found = only_pair(tmp_path)
        assert np.isnan(found[:, :50]).all()
        assert (found[:, 50:] == SHIFT).all()

    @pytest.mark.parametrize('marker', [0.0, 1.0, 50.0, 999.0, -1e10])
    def test_marks_of_unknown_pixels_in_negative_maps(self, tmp_path: Path, marker: float) -> None:
        truth = np.full((HEIGHT, WIDTH), -float(SHIFT))
        truth[:, :50] = marker
        truth[:3, 50:] = -np.linspace(1, 3, WIDTH - 50)
        self.write_scene(tmp_path, truth)
        found = only_pair(tmp_path)
        assert np.isnan(found[:, :50]).all()
        np.testing.assert_allclose(found[:, 50:], -truth[:, 50:], rtol=1e-6)

    @pytest.mark.parametrize('sign', [1, -1])
    def test_both_signs_are_left_to_the_images(self, tmp_path: Path, sign: int) -> None:
        truth = np.full((HEIGHT, WIDTH), float(SHIFT))
        truth[:5] = -np.linspace(1, 3, WIDTH)
        self.write_scene(tmp_path, sign * truth)
        found = only_pair(tmp_path)
        assert (found[5:] == SHIFT).all()
        np.testing.assert_allclose(found[:5], truth[:5], rtol=1e-6)


class TestPlaces:
    def test_eth3d_with_its_truth_in_an_archive_of_its_own(self, tmp_path: Path) -> None:
        scene = tmp_path / 'two_view_training/delivery_area_1l'
        write(scene / 'im0.png', scene / 'im1.png')
        truth = tmp_path / 'two_view_training_gt/delivery_area_1l/disp0GT.pfm'
        write_truth(truth, np.full((HEIGHT, WIDTH), float(SHIFT)))
        mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
        mask[3, 4] = 128
        write_truth(truth.with_name('mask0nocc.png'), mask)
        (files,) = find_labeled_pairs(tmp_path)
        visible = load_pair(files).visible
        assert visible is not None
        assert np.argwhere(~visible).tolist() == [[3, 4]]

    @pytest.mark.parametrize('left', ['image_2', 'colored_0', 'image_0'])
    @pytest.mark.parametrize('missing', ['noc', 'occ', ''])
    def test_kitti_of_both_years(self, tmp_path: Path, left: str, missing: str) -> None:
        right = f'{left[:-1]}{int(left[-1]) + 1}'
        write(tmp_path / left / '000000_10.png', tmp_path / right / '000000_10.png')
        for kind in {'noc', 'occ'} - {missing}:
            folder = f'disp_{kind}_0' if left == 'image_2' else f'disp_{kind}'
            values = np.full((HEIGHT, WIDTH), SHIFT * 256 + 128, np.uint16)
            write_truth(tmp_path / folder / '000000_10.png', values)
        assert (only_pair(tmp_path) == SHIFT + 0.5).all()

    def test_a_data_set_that_is_one_scene_has_its_folder_s_name(self, tmp_path: Path) -> None:
        scene = tmp_path / 'Piano'
        write(scene / 'im0.png', scene / 'im1.png')
        write_truth(scene / 'disp0.pfm', np.full((HEIGHT, WIDTH), float(SHIFT)))
        assert [files.name for files in find_labeled_pairs(scene)] == ['Piano']


def test_deep_and_gray_images_become_8_bit_rgb(tmp_path: Path) -> None:
    left, right = (view[..., 0].astype(np.uint16) * 4 for view in views())
    write_truth(tmp_path / 'S/im0.png', left)
    write_truth(tmp_path / 'S/im1.png', right)
    write_truth(tmp_path / 'S/disp0.pfm', np.full((HEIGHT, WIDTH), float(SHIFT)))
    (files,) = find_labeled_pairs(tmp_path)
    pair = load_pair(files)
    assert pair.left.dtype == np.uint8
    assert pair.left.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(pair.left[..., 1], left / 1023 * 255, atol=0.51)


def test_half_a_jpeg_and_half_a_map_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / 'S/im0.jpg', tmp_path / 'S/im1.jpg')
    write_truth(tmp_path / 'S/disp0.pfm', np.full((HEIGHT, WIDTH), float(SHIFT)))
    (files,) = find_labeled_pairs(tmp_path)
    for path in (files.truth, files.right):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(DatasetError, match=rf'{path.name}.*cut short'):
            load_pair(files)


def test_training_reads_the_same_truth(tmp_path: Path) -> None:
    left, right, truth = (tmp_path / name for name in YEARS['2005'])
    write(left, right)
    write_truth(truth, np.full((HEIGHT, WIDTH), SHIFT * 3, np.uint8))
    (files,) = find_labeled_pairs(tmp_path)
    batch = crop(files, np.random.default_rng(0), HEIGHT, WIDTH)
    # The crop is enlarged, and its disparity with it.
    ratio = batch.disparity / SHIFT
    assert float(ratio.min()) >= 1
    assert float(ratio.max()) <= 1.41
    assert torch.unique(batch.disparity).numel() == 1


def test_evaluate_gives_no_error_on_truth_that_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (names, scale) in enumerate((('2003', 4), ('2005', 2), ('2001', 8))):
        left, right, truth = (tmp_path / str(number) / name for name in YEARS[names])
        write(left, right, height=120, width=240)
        write_truth(truth, np.full((120, 240), SHIFT * scale, np.uint8))
    assert main(['evaluate', str(tmp_path), '--backend', 'sgbm']) == 0
    rows = [line.split('|') for line in capsys.readouterr().out.splitlines()]
    errors = {row[1].strip(): float(row[3]) for row in rows if row[2].strip() == 'SGBM'}
    assert set(errors) == {'0/cones', '1/Art', '2/venus', 'mean'}
    assert max(errors.values()) <= 0.02


def test_a_pair_that_cannot_be_scored_takes_none_of_the_scores_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, seen in (('0', SHIFT), ('1', 0), ('2', SHIFT)):
        left, right, truth = (tmp_path / 'set' / number / name for name in YEARS['2001'])
        write(left, right, height=120, width=240)
        write_truth(truth, np.full((120, 240), seen * 8, np.uint8))
    file = tmp_path / 'scores.json'
    command = ['evaluate', str(tmp_path / 'set'), '--backend', 'sgbm', '--json', str(file)]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert '| 0/' in printed.out
    assert 'not one pixel of the truth is known' in printed.err
    content = json.loads(file.read_text())
    assert len(content['pairs']) == 1
    assert 'not one pixel of the truth is known' in content['ended_by']
