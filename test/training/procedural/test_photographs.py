"""Photographs as textures of procedural scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from s2m2_ros.cli.main import main
from s2m2_ros.inference import ImageError
from s2m2_ros.training.options import TrainingError
from s2m2_ros.training.procedural.photographs import read_photographs
from s2m2_ros.training.procedural.scenes import SceneGenerator
from s2m2_ros.training.procedural.seeded_random import SeededRandom
from s2m2_ros.training.procedural.textures import photograph_patches

COLOR = torch.tensor([0.2, 0.4, 0.6])
PLAIN = COLOR[:, None, None].expand(3, 40, 90).contiguous()


def test_files_are_read_in_order_as_colors_from_0_to_1(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'b.png'), np.full((4, 6), 51, np.uint8))
    blue_green_red = np.full((5, 7, 3), [0, 13107, 65535], np.uint16)
    cv2.imwrite(str(tmp_path / 'a.PNG'), blue_green_red)
    (tmp_path / 'notes.txt').write_text('no image')
    first, second = read_photographs(tmp_path)
    assert first.shape == (3, 5, 7)
    assert first[:, 0, 0].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert second.shape == (3, 4, 6)
    assert torch.unique(second).tolist() == pytest.approx([0.2])


def test_a_folder_without_images_and_a_damaged_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='holds no images'):
        read_photographs(tmp_path)
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    with pytest.raises(ImageError, match=r'broken\.jpg'):
        read_photographs(tmp_path)


def test_patches_keep_the_colors_in_some_order() -> None:
    patches = photograph_patches(SeededRandom(0), [PLAIN], count=40, size=16)
    assert patches.shape == (40, 16, 16, 3)
    levels = patches.flatten(1, 2)
    assert torch.allclose(levels, levels[:, :1], atol=1e-6)
    assert torch.allclose(levels[:, 0].sort(-1).values, COLOR.expand(40, 3))
    # Half of them have their channels exchanged: 20 expected, with a deviation of 3.2.
    exchanged = (levels[:, 0] - COLOR).abs().amax(-1) > 0.1
    assert 8 <= int(exchanged.sum()) <= 32


def test_patches_show_a_square_of_the_photograph_at_every_scale() -> None:
    ramp = (torch.arange(100.0) / 100).expand(3, 60, 100).contiguous()
    patches = photograph_patches(SeededRandom(1), [ramp], count=60, size=20)[..., 0]
    across = (patches[:, :, -1] - patches[:, :, 0]).abs().mean(1) * 100 / 19
    # Texels span 1 to 3 pixels of the photograph, whose brightness rises by 1/100 a pixel.
    assert float(across.min()) > 0.9
    assert float(across.max()) < 3.1
    assert float(across.max() - across.min()) > 1
    assert float((patches[:, 0] - patches[:, -1]).abs().max()) < 1e-3


def test_photographs_are_a_part_of_the_textures() -> None:
    scenes = SceneGenerator(0, bank_size=10, photographs=[PLAIN])
    scenes.batch(0, 1, 32, 64)
    bank = scenes._bank
    assert bank is not None
    assert bank.shape[0] == 10
    plain = (bank.amax((1, 2)) - bank.amin((1, 2))).amax(-1) < 1e-5
    assert plain.tolist() == [False] * 6 + [True] * 4


def test_the_same_seed_gives_the_same_patches() -> None:
    noise = torch.rand(3, 50, 50, generator=torch.Generator().manual_seed(0))
    first, again, other = (
        photograph_patches(SeededRandom(seed), [noise, PLAIN], count=4, size=16)
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_command_takes_a_folder(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((50, 50), 90, np.uint8))
    file = tmp_path / 'sheet.png'
    options = ['--crops', '1:32x64x1', '--device', 'cpu', '--photographs', str(tmp_path)]
    assert main(['train', str(tmp_path), '--preview', str(file), *options]) == 0
    assert file.is_file()
