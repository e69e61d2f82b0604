"""Pairs of image files in the folders that people and data sets have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2m2_ros.errors import ImageError, S2M2Error
from s2m2_ros.io.sources.side_words import natural_key, tokens, without_sides
from s2m2_ros.io.sources.stereo_sources import ImagePair, SourceError, find_pairs, named_pairs


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder: Path) -> list[tuple[str, str]]:
    return [
        (str(pair.left.relative_to(folder)), str(pair.right.relative_to(folder)))
        for pair in find_pairs(folder)
    ]


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ('left.png', 'right.png'),
        ('desk_left.png', 'desk_right.png'),
        ('left_000.png', 'right_000.png'),
        ('000_l.png', '000_r.png'),
        ('l_000.png', 'r_000.png'),
        ('000-L.png', '000-R.png'),
        ('000L.png', '000R.png'),
        ('L000.png', 'R000.png'),
        ('imgL.png', 'imgR.png'),
        ('imgl.png', 'imgr.png'),
        ('lcam/1.png', 'rcam/1.png'),
        ('LeftImage/1.png', 'RightImage/1.png'),
        ('left01.jpg', 'right01.jpg'),
        ('aloeL.jpg', 'aloeR.jpg'),
        ('I1_000000.png', 'I2_000000.png'),
        ('leftImage01.png', 'rightImage01.png'),
        ('leftimage1.png', 'rightimage1.png'),
        ('imageleft1.png', 'imageright1.png'),
        ('LEFT_1.PNG', 'RIGHT_1.PNG'),
        ('left_1.png', 'right_1.jpg'),
        ('000_0.png', '000_1.png'),
        ('im0.png', 'im1.png'),
        ('img1.png', 'img2.png'),
        ('image_0.png', 'image_1.png'),
        ('view1.png', 'view5.png'),
        ('im2.ppm', 'im6.ppm'),
        ('front_left.png', 'front_right.png'),
        ('left/1.png', 'right/1.png'),
        ('L/1.png', 'R/1.png'),
        ('Left/1.png', 'Right/1.png'),
        ('Left/1.png', 'right/1.png'),
        ('left/left_1.png', 'right/right_1.png'),
        ('left/1_l.png', 'right/1_r.png'),
        ('left/left.png', 'right/right.png'),
        ('images/left/day1/1.png', 'images/right/day1/1.png'),
        ('left_images/1.png', 'right_images/1.png'),
        ('image_L/1.png', 'image_R/1.png'),
        ('cam0/1.png', 'cam1/1.png'),
        ('cam1/1.png', 'cam2/1.png'),
        ('camera_0/1.png', 'camera_1/1.png'),
        ('cam0/cam0_1.png', 'cam1/cam1_1.png'),
        ('infra1/1.png', 'infra2/1.png'),
        # EuRoC, KITTI raw, 2015 and 2012, Middlebury, Cityscapes, DrivingStereo, TartanAir,
        # Virtual KITTI, Scene Flow, Sintel
        ('mav0/cam0/data/1403636579763555584.png', 'mav0/cam1/data/1403636579763555584.png'),
        ('drive/image_02/data/0000000000.png', 'drive/image_03/data/0000000000.png'),
        ('drive/image_00/data/0000000000.png', 'drive/image_01/data/0000000000.png'),
        ('training/image_2/000000_10.png', 'training/image_3/000000_10.png'),
        ('colored_0/000000_10.png', 'colored_1/000000_10.png'),
        ('Adirondack-perfect/im0.png', 'Adirondack-perfect/im1.png'),
        ('leftImg8bit/a/a_1_leftImg8bit.png', 'rightImg8bit/a/a_1_rightImg8bit.png'),
        ('left-image-half-size/2018.jpg', 'right-image-half-size/2018.jpg'),
        ('P000/image_left/000000_left.png', 'P000/image_right/000000_right.png'),
        ('clone/frames/rgb/Camera_0/rgb_00000.jpg', 'clone/frames/rgb/Camera_1/rgb_00000.jpg'),
        ('frames_cleanpass/TRAIN/A/0000/left/0006.webp',
         'frames_cleanpass/TRAIN/A/0000/right/0006.webp'),
        ('clean_left/alley_1/frame_0001.png', 'clean_right/alley_1/frame_0001.png'),
    ],
)  # fmt: skip
def test_a_pair_is_found(tmp_path: Path, left: str, right: str) -> None:
    assert found(fill(tmp_path, left, right)) == [(left, right)]
    assert found(fill(tmp_path / 'below', left, right)) == [(left, right)]


@pytest.mark.parametrize(
    'names',
    [
        ('left_arm/1.png', 'right_arm/1.png'),
        ('arm_left/1.png', 'arm_right/1.png'),
        ('front_left/1.png', 'front_right/1.png'),
        ('left_hand.png', 'right_hand.png'),
        ('1_0.png', '1_1.png', '1_2.png'),
        ('im0.png', 'im1.png', 'im2.png', 'im3.png', 'im9.png'),
        ('a/000000_10.png', 'a/000000_11.png'),
        ('bright.png', 'blight.png'),
        ('cleft.png', 'cright.png'),
        ('left.png',),
        ('left.txt', 'right.txt'),
    ],
)
def test_what_is_no_pair_is_not_taken_for_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(SourceError, match='no stereo pairs'):
        find_pairs(fill(tmp_path, *names))


def test_pairs_stay_within_one_rig_and_in_natural_order(tmp_path: Path) -> None:
    rigs = ('left_arm', 'right_arm')
    names = [f'{r}/{s}/{n}.png' for r in rigs for s in ('left', 'right') for n in (10, 2, 1, 11)]
    pairs = find_pairs(fill(tmp_path, *names))
    assert [pair.name for pair in pairs] == [f'{r}/{n}' for r in rigs for n in (1, 2, 10, 11)]
    for pair in pairs:
        assert pair.left.parts[-3] == pair.right.parts[-3]
        assert pair.left.name == pair.right.name


@pytest.mark.parametrize(
    'rigs', [('left', 'right'), ('cam0', 'cam1'), ('front', 'rear'), ('L', 'R'), ('a', 'b')]
)
@pytest.mark.parametrize('sides', [('left', 'right'), ('cam0', 'cam1'), ('L', 'R')])
def test_the_innermost_folder_tells_the_side(
    tmp_path: Path, rigs: tuple[str, str], sides: tuple[str, str]
) -> None:
    fill(tmp_path, *(f'{rig}/{side}/1.png' for rig in rigs for side in sides))
    assert found(tmp_path) == [(f'{r}/{sides[0]}/1.png', f'{r}/{sides[1]}/1.png') for r in rigs]


@pytest.mark.parametrize('count', [2, 3, 12])
def test_sequences_called_im0_im1_are_no_pairs_within_left_and_right(
    tmp_path: Path, count: int
) -> None:
    fill(tmp_path, *(f'{s}/im{n}.png' for s in ('left', 'right') for n in range(count)))
    expected = [(f'left/im{n}.png', f'right/im{n}.png') for n in range(count)]
    assert found(tmp_path) == expected


def test_results_beside_the_images_are_left_out(tmp_path: Path) -> None:
    names = ['left_disp.png', 'right_disp.png', 'disp_left.png', 'disp_right.png', 'left_mask.png',
             'right_mask.png', 'depth_l.png', 'depth_r.png', 'left_depth.png', 'right_depth.png',
             'disparity.png', 'disparity_color.png', 'confidence.png', 'occlusion.png',
             'depth.png', 'disp0GT.png', 'disp1GT.png', 'mask0nocc.png', 'mask1nocc.png',
             'disp_occ_0/1.png', 'disp_occ_1/1.png', 'masks/left.png', 'masks/right.png',
             'left_thumb.png', 'right_thumb.png', 'thumbnails/left.png', 'thumbnails/right.png',
             '.hidden/left.png', '.hidden/right.png', '.left.png', '.right.png',
             '__MACOSX/left.png', '__MACOSX/right.png', '@eaDir/left.png', '@eaDir/right.png',
             'a_left_disparity_color.png', 'a_right_disparity_color.png']  # fmt: skip
    fill(tmp_path, *names, 'left.png', 'right.png')
    assert found(tmp_path) == [('left.png', 'right.png')]


def test_an_error_says_what_was_there(tmp_path: Path) -> None:
    fill(tmp_path, 'shot_1.png', 'left_disp.png', 'right_disp.png')
    with pytest.raises(SourceError, match=r"1 image\(s\), e.g. 'shot_1.png' \(and 2 ignored as"):
        find_pairs(tmp_path)


def test_middlebury_scenes_with_many_views_give_the_two_with_truth(tmp_path: Path) -> None:
    fill(tmp_path, *(f'venus/im{n}.ppm' for n in range(9)))
    fill(tmp_path, *(f'Art/view{n}.png' for n in range(7)))
    assert found(tmp_path) == [
        ('Art/view1.png', 'Art/view5.png'),
        ('venus/im2.ppm', 'venus/im6.ppm'),
    ]


def test_of_four_kitti_cameras_the_color_pair_is_taken(tmp_path: Path) -> None:
    fill(tmp_path, *(f'image_0{n}/data/{k}.png' for n in range(4) for k in (0, 1)))
    assert found(tmp_path) == [
        (f'image_02/data/{k}.png', f'image_03/data/{k}.png') for k in (0, 1)
    ]


def test_names_are_unique_and_usable_as_folders(tmp_path: Path) -> None:
    fill(tmp_path, 'left/1.png', 'right/1.png', '1_left.png', '1_right.png', 's/im0.png',
         's/im1.png')  # fmt: skip
    names = [pair.name for pair in find_pairs(tmp_path)]
    assert len(set(names)) == 3
    assert 's' in names
    assert all(name and not name.startswith('/') and '..' not in name for name in names)


def test_links_that_run_in_circles_are_followed_once(tmp_path: Path) -> None:
    fill(tmp_path, 'a/left.png', 'a/right.png')
    (tmp_path / 'a' / 'again').symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / 'dangling.png').symlink_to(tmp_path / 'nowhere.png')
    (tmp_path / 'itself.png').symlink_to(tmp_path / 'itself.png')
    assert found(tmp_path) == [('a/left.png', 'a/right.png')]


def test_linked_folders_are_searched(tmp_path: Path) -> None:
    fill(tmp_path, 'far/x/1.png', 'far/y/1.png')
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set' / 'left').symlink_to(tmp_path / 'far' / 'x')
    (tmp_path / 'set' / 'right').symlink_to(tmp_path / 'far' / 'y')
    assert found(tmp_path / 'set') == [('left/1.png', 'right/1.png')]


def test_names_of_any_bytes_are_taken(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path)
    for side in (b'left', b'right'):
        Path(os.fsdecode(base + b'/caf\xe9_' + side + b'.png')).touch()
    (pair,) = find_pairs(tmp_path)
    assert os.fsencode(pair.left.name) == b'caf\xe9_left.png'


def test_recordings_in_a_folder_are_named(tmp_path: Path) -> None:
    fill(tmp_path, 'day_1/a.mcap', 'day_2/a.mcap')
    with pytest.raises(SourceError, match=r"name one, e\.g\. 'day_1'"):
        find_pairs(tmp_path)
    with pytest.raises(SourceError, match='is a recording'):
        find_pairs(tmp_path / 'day_1')


def test_images_beside_some_metadata_are_images(tmp_path: Path) -> None:
    fill(tmp_path, 'left.png', 'right.png')
    (tmp_path / 'metadata.yaml').write_text('name: my data set\n')
    assert found(tmp_path) == [('left.png', 'right.png')]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='no folder'):
        find_pairs(tmp_path / 'none')
    path = fill(tmp_path, 'one.png') / 'one.png'
    with pytest.raises(SourceError, match='input_layout'):
        find_pairs(path)


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ('2.png', '2.png'),
        ('left_2.png', 'right_2.png'),
        ('2_L.png', '2_R.png'),
        ('data/2.png', 'data/2.png'),
        ('2.png', '2.jpg'),
        ('imgL.png', 'imgR.png'),
    ],
)
def test_two_folders_hold_the_same_names_but_for_the_side(
    tmp_path: Path, left: str, right: str
) -> None:
    fill(tmp_path / 'one', left, '10.png')
    fill(tmp_path / 'two', right, '10.png')
    pairs = find_pairs(tmp_path / 'one', tmp_path / 'two')
    expected = ImagePair(tmp_path / 'one' / left, tmp_path / 'two' / right)
    assert expected in pairs
    assert len(pairs) == 2


def test_two_folders_whose_names_do_not_fit_are_an_error_with_an_example(tmp_path: Path) -> None:
    fill(tmp_path / 'one', '100.png', '200.png')
    fill(tmp_path / 'two', '101.png', '201.png')
    with pytest.raises(ImageError, match=r"holds 2, e.g. '100.png' and .* 2, e.g. '101.png'"):
        find_pairs(tmp_path / 'one', tmp_path / 'two')


def test_images_without_counterpart_in_two_folders_are_named(tmp_path: Path) -> None:
    fill(tmp_path / 'one', '1.png', '2.png', '3.png')
    fill(tmp_path / 'two', '1.png', '2.png')
    with pytest.raises(ImageError, match=r"1 image\(s\) have no counterpart, e.g. '3'"):
        named_pairs(tmp_path / 'one', tmp_path / 'two')


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True))
def test_natural_order_is_that_of_the_numbers(numbers: list[int]) -> None:
    names = [f'shot_{number}_a' for number in numbers]
    assert sorted(names, key=natural_key) == [f'shot_{n}_a' for n in sorted(numbers)]


SAFE = st.characters(codec='utf-8', exclude_characters='/\0')


@given(st.lists(st.text(SAFE, min_size=1, max_size=12), min_size=1, max_size=4))
def test_no_name_breaks_the_search(names: list[str]) -> None:
    for name in names:
        natural_key(name)
        tokens(name)
        without_sides(name)
    from s2m2_ros.io.sources.side_words import Sides

    sides = Sides([tuple(names)], files=True)
    for _, right, shared in sides.counterparts(tuple(names)):
        assert len(right) == len(names)
        assert right != tuple(names)
        assert all(shared)


def test_errors_are_those_of_users() -> None:
    assert issubclass(SourceError, S2M2Error)


def test_names_that_are_timestamps_apart_are_explained(tmp_path: Path) -> None:
    for side, start in (('left', 1403636579763555584), ('right', 1403636579763555712)):
        (tmp_path / side).mkdir()
        for number in range(3):
            (tmp_path / side / f'{start + number * 50_000_000}.png').touch()
    for folders in ([tmp_path], [tmp_path / 'left', tmp_path / 'right']):
        with pytest.raises(S2M2Error, match='look like timestamps') as caught:
            find_pairs(*folders)
        assert '128 ns apart' in str(caught.value)


def test_other_names_are_no_timestamps(tmp_path: Path) -> None:
    for name in ('left/desk.png', 'right/room.png'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(S2M2Error, match='no image has a counterpart') as caught:
        find_pairs(tmp_path / 'left', tmp_path / 'right')
    assert 'timestamps' not in str(caught.value)
