"""`s2m2 match`: pairs, folders, calibrations, errors."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from s2m2_ros.cli.calibration_option import images_first
from s2m2_ros.cli.main import main
from s2m2_ros.inference import StereoMatcher
from s2m2_ros.io.images.image_files import read_image, write_ply
from s2m2_ros.io.sources.stereo_sources import named_pairs
from s2m2_ros.offline.image_pairs import CALIBRATED_FILES, FILES
from s2m2_ros.offline.result_record import RECORD
from s2m2_ros.viewer.cloud_viewer import CloudViewer

SHIFT = 12
# f 200 px, B 0.1 m and no difference of the principal points: 12 px are 200 * 0.1 / 12 m.
CALIBRATION = 'cam0=[200 0 80; 0 200 48; 0 0 1]\ncam1=[200 0 80; 0 200 48; 0 0 1]\nbaseline=100\n'
DEPTH = 200 * 0.1 / SHIFT


def write_pair(left: Path, right: Path, *, seed: int = 0) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (96, 160, 3), np.uint8)
    cv2.imwrite(str(left), image)
    cv2.imwrite(str(right), np.roll(image, -SHIFT, axis=1))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    left, right = tmp_path / 'left.png', tmp_path / 'right.png'
    write_pair(left, right)
    return str(left), str(right)


def test_pair_with_calibration_gives_every_file(pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    output = tmp_path / 'out'
    options = ['--backend', 'sgbm', '--output', str(output)]
    assert main(['match', *pair, '--calibration', str(tmp_path / 'calib.txt'), *options]) == 0
    assert {p.name for p in output.iterdir()} == {*FILES, *CALIBRATED_FILES}
    disparity = cv2.imread(str(output / 'disparity.pfm'), cv2.IMREAD_UNCHANGED)
    assert disparity is not None
    assert np.median(disparity[np.isfinite(disparity)]) == pytest.approx(SHIFT, abs=0.1)
    depth = cv2.imread(str(output / 'depth.png'), cv2.IMREAD_UNCHANGED)
    assert depth is not None
    assert np.median(depth[depth > 0]) == pytest.approx(1000 * DEPTH, abs=15)
    cloud: Any = trimesh.load(output / 'cloud.ply')
    assert np.median(np.asarray(cloud.vertices)[:, 2]) == pytest.approx(DEPTH, abs=0.015)


def test_a_second_size_is_an_option_and_on_the_record(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    output = tmp_path / 'out'
    options = ['--preset', 'finest', '--upsampling', '1.5', '--device', 'cpu']
    assert main(['match', *pair, *options, '--output', str(output)]) == 0
    left, right = (read_image(Path(name)) for name in pair)
    # As the command does on a processor by itself.
    opened: dict[str, Any] = {'device': 'cpu', 'sgbm_refinement': True}
    with StereoMatcher.open('starter', upsampling=1.5, **opened) as matcher:
        expected = matcher.match(left, right).disparity.numpy()
    with StereoMatcher.open('starter', **opened) as matcher:
        once = matcher.match(left, right).disparity.numpy()
    disparity = cv2.imread(str(output / 'disparity.pfm'), cv2.IMREAD_UNCHANGED)
    assert disparity is not None
    known = np.isfinite(disparity)
    assert known.mean() > 0.5
    assert np.array_equal(disparity[known], expected[known])
    assert not np.array_equal(once[known], expected[known])
    assert json.loads((output / RECORD).read_text())['recipe']['matcher']['upsampling'] == 1.5


@pytest.mark.parametrize('calibrated', [False, True])
def test_what_comes_next_is_said(
    pair: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, calibrated: bool
) -> None:
    if calibrated:
        (tmp_path / 'calib.txt').write_text(CALIBRATION)
    caplog.set_level('INFO')
    output = tmp_path / 'my out'
    assert main(['match', *pair, '--backend', 'sgbm', '--output', str(output)]) == 0
    expected = f"s2m2 view '{output}'" if calibrated else 'see --calibration'
    assert expected in caplog.messages[-1]


def test_a_calibration_beside_the_images_suffices_for_the_view(
    pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    shown: list[Path] = []
    monkeypatch.setattr('s2m2_ros.cli.match.view_cloud', shown.append)
    output = tmp_path / 'out'
    assert main(['match', *pair, '--backend', 'sgbm', '--output', str(output), '--view']) == 0
    assert shown == [output / 'cloud.ply']


def test_a_calibration_beside_the_images_is_taken_and_named(
    pair: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    output = tmp_path / 'out'
    assert main(['match', *pair, '--backend', 'sgbm', '--output', str(output)]) == 0
    assert str(tmp_path / 'calib.txt') in caplog.text
    assert set(CALIBRATED_FILES) <= {p.name for p in output.iterdir()}


def test_pair_without_calibration_gives_maps_only(pair: tuple[str, str], tmp_path: Path) -> None:
    output = tmp_path / 'out'
    assert main(['match', *pair, '--backend', 'sgbm', '--output', str(output)]) == 0
    assert {p.name for p in output.iterdir()} == set(FILES)


def test_network_matches_files(
    pair: tuple[str, str], tmp_path: Path, narrow_checkpoint: Path
) -> None:
    output = tmp_path / 'out'
    options = ['--checkpoint', str(narrow_checkpoint), '--refine-iterations', '0']
    options += ['--device', 'cpu', '--precision', 'fp32', '--allow-negative']
    assert main(['match', *pair, *options, '--output', str(output)]) == 0
    assert {p.name for p in output.iterdir()} == set(FILES)


def test_folders_are_matched_by_name_and_done_ones_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for side in ('left', 'right'):
        (tmp_path / side).mkdir()
    for index in (1, 2):
        left, right = (tmp_path / s / f'{s}_{index:03}.png' for s in ('left', 'right'))
        write_pair(left, right, seed=index)
    output = tmp_path / 'out'
    command = ['match', str(tmp_path / 'left'), str(tmp_path / 'right')]
    command += ['--backend', 'sgbm', '--output', str(output)]
    assert main(command) == 0
    assert sorted(p.name for p in output.iterdir()) == ['001', '002']
    (output / '002' / 'confidence.png').unlink()
    kept = (output / '001' / 'disparity.pfm').stat().st_mtime_ns
    with caplog.at_level('INFO'):
        assert main(command) == 0
    assert '1 of 2 are done already' in caplog.messages
    assert (output / '001' / 'disparity.pfm').stat().st_mtime_ns == kept
    assert (output / '002' / 'confidence.png').is_file()


def median_disparity(folder: Path) -> float:
    values = cv2.imread(str(folder / 'disparity.pfm'), cv2.IMREAD_UNCHANGED)
    assert values is not None
    return float(np.median(values[np.isfinite(values)]))


def test_a_single_pair_is_always_matched(pair: tuple[str, str], tmp_path: Path) -> None:
    command = ['match', *pair, '--backend', 'sgbm', '--output', str(tmp_path / 'out')]
    assert main(command) == 0
    # Another picture under the same name: shifted by 8 px.
    image = cv2.imread(pair[0])
    assert image is not None
    cv2.imwrite(pair[1], np.roll(image, -8, axis=1))
    assert main(command) == 0
    assert median_disparity(tmp_path / 'out') == pytest.approx(8, abs=0.1)


def test_nothing_of_an_earlier_pair_stays_beside_the_new_one(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'calib.txt').write_text(CALIBRATION)
    output = tmp_path / 'out'
    output.mkdir()
    # Nobody's result yet: a file of the same name stays.
    (output / 'depth.png').write_bytes(b'of another program')
    command = ['match', *pair, '--backend', 'sgbm', '--output', str(output)]
    assert main(command) == 0
    assert (output / 'depth.png').read_bytes() == b'of another program'
    (output / 'notes.txt').write_text('mine')
    assert main([*command, '--calibration', str(tmp_path / 'mine' / 'calib.txt')]) == 0
    assert {p.name for p in output.iterdir()} == {*FILES, *CALIBRATED_FILES, 'notes.txt'}
    assert main(command) == 0
    assert {p.name for p in output.iterdir()} == {*FILES, 'notes.txt'}
    # Nor is one of ours now that was written since.
    (output / 'depth.png').write_bytes(b'of another program')
    assert main(command) == 0
    assert (output / 'depth.png').read_bytes() == b'of another program'


def change_an_image(folder: Path, command: list[str]) -> None:
    write_pair(folder / 'left' / '1.png', folder / 'right' / '1.png', seed=9)


def change_the_calibration(folder: Path, command: list[str]) -> None:
    (folder / 'calib.txt').write_text(CALIBRATION.replace('baseline=100', 'baseline=200'))


def change_an_option(folder: Path, command: list[str]) -> None:
    command += ['--confidence-threshold', '0.9']


def change_the_matcher(folder: Path, command: list[str]) -> None:
    command += ['--max-width', '128']


@pytest.mark.parametrize(
    ('change', 'done'),
    [
        (change_an_image, 1),
        (change_the_calibration, 0),
        (change_an_option, 0),
        (change_the_matcher, 0),
    ],
)
def test_a_result_counts_as_done_only_for_what_it_was_made_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Any, done: int
) -> None:
    for side in ('left', 'right'):
        (tmp_path / side).mkdir()
    for name in ('1.png', '2.png'):
        write_pair(tmp_path / 'left' / name, tmp_path / 'right' / name)
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    command = ['match', str(tmp_path / 'left'), str(tmp_path / 'right'), '--backend', 'sgbm']
    command += ['--output', str(tmp_path / 'out'), '--calibration', str(tmp_path / 'calib.txt')]
    assert main(command) == 0
    record = (tmp_path / 'out' / '1' / RECORD).read_text()
    caplog.set_level('INFO')
    assert main(command) == 0
    assert '2 of 2 are done already' in caplog.messages
    caplog.clear()
    change(tmp_path, command)
    assert main(command) == 0
    assert [m for m in caplog.messages if 'done already' in m] == (
        [f'{done} of 2 are done already'] if done else []
    )
    assert (tmp_path / 'out' / '1' / RECORD).read_text() != record


def test_one_bad_pair_of_a_folder_does_not_stop_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for side in ('left', 'right'):
        (tmp_path / side).mkdir()
        (tmp_path / side / 'a.png').write_text('garbage')
    write_pair(tmp_path / 'left' / 'b.png', tmp_path / 'right' / 'b.png')
    command = ['match', str(tmp_path / 'left'), str(tmp_path / 'right')]
    assert main([*command, '--backend', 'sgbm', '--output', str(tmp_path / 'out')]) == 1
    assert any('a.png' in message for message in caplog.messages)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['b']


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    cv2.imwrite('small.png', np.zeros((40, 40, 3), np.uint8))


@pytest.mark.usefixtures('pair', 'inside')
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.png', 'right.png'], "'nowhere.png' is missing"),
        (['left.png', 'nowhere.png'], "'nowhere.png' is missing"),
        (['left.png', '.'], 'the other a folder'),
        (['empty', 'empty'], 'no images'),
        (['left.png', 'small.png'], 'a rectified pair has one size'),
        (['left.png', 'right.png', '--view'], 'needs --calibration'),
        (['left.png', 'right.png', '--calibration', 'none.txt'], 'none.txt'),
        (['left.png', 'right.png', '--backend', 'torch', '--refine-iterations', '-1'], '-1'),
        (['left.png', 'right.png', '--output', 'left.png'], 'left.png'),
    ],
)
def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(['match', '--backend', 'sgbm', *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path('s2m2_output').exists()


def test_images_without_counterpart_are_named(tmp_path: Path) -> None:
    for side, name in (('l', 'a.png'), ('r', 'a.png'), ('r', 'b.png')):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / name).write_bytes(b'')
    with pytest.raises(ValueError, match=r"counterpart.* 'b'"):
        named_pairs(tmp_path / 'l', tmp_path / 'r')


def test_a_cloud_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['view', str(tmp_path / 'result')]) == 2
    assert f"there is no '{tmp_path / 'result'}'" in capsys.readouterr().err


def test_viewer_serves_a_page_on_the_loopback_only(tmp_path: Path) -> None:
    records = np.array([[0, 0, 1, 0], [1, 0, 2, 0]], np.float32)
    write_ply(tmp_path / 'cloud.ply', records)
    with CloudViewer(tmp_path / 'cloud.ply', port=0) as viewer:
        assert viewer.address.startswith('http://127.0.0.1:')
        with urllib.request.urlopen(viewer.address, timeout=20) as page:  # noqa: S310
            assert b'<html' in page.read(2000).lower()


@pytest.mark.parametrize('order', ['{} {calib} {left} {right}', '{left} {} {calib} {right}',
                                   '{} {calib} {left} {right} --overwrite',
                                   '{} {calib} -- {left} {right}'])  # fmt: skip
def test_images_may_follow_the_calibration(
    pair: tuple[str, str], tmp_path: Path, order: str
) -> None:
    calib = tmp_path / 'calib.txt'
    calib.write_text(CALIBRATION)
    words = order.format('--calibration', calib=calib, left=pair[0], right=pair[1]).split()
    output = tmp_path / 'out'
    assert main(['match', '--output', str(output), '--backend', 'sgbm', *words]) == 0
    assert (output / 'cloud.ply').is_file()


def test_folders_may_follow_the_calibration(tmp_path: Path) -> None:
    for side in ('left', 'right'):
        (tmp_path / side).mkdir()
    write_pair(tmp_path / 'left/1.png', tmp_path / 'right/1.png')
    calib = tmp_path / 'calib.txt'
    calib.write_text(CALIBRATION)
    words = ['--calibration', str(calib), str(tmp_path / 'left'), str(tmp_path / 'right')]
    output = tmp_path / 'out'
    assert main(['match', '--output', str(output), '--backend', 'sgbm', *words]) == 0
    assert (output / '1/cloud.ply').is_file()


def test_what_a_calibration_is_stays_one(tmp_path: Path) -> None:
    np.save(tmp_path / 'P1.npy', np.eye(3, 4))
    files = ['left.yaml', 'right.yaml', str(tmp_path / 'P1.npy')]
    for values in ([str(tmp_path)], files[:2], [files[0], files[2]], ['calib.txt']):
        words = ['match', 'l.png', 'r.png', '--calibration', *values]
        assert images_first(words) == words


def test_images_that_the_calibration_took_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(['match', '--calibration', 'calib.txt', 'no_folder', 'no_folder_either'])
    assert '--calibration FILE -- LEFT RIGHT' in capsys.readouterr().err


def test_regions_and_masks_are_left_out_and_recorded(
    pair: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.full((96, 160), 255, np.uint8)
    mask[:48] = 0
    cv2.imwrite(str(tmp_path / 'robot.png'), mask)
    words = ['--roi', '40', '0', '0', '0', '--mask-file', str(tmp_path / 'robot.png')]
    words += ['--mask-polygon', '100', '0', '159', '0', '159', '95', '100', '95']
    output = tmp_path / 'out'
    command = ['match', *pair, '--backend', 'sgbm', '--output', str(output)]
    assert main([*command, *words]) == 0
    disparity = cv2.imread(str(output / 'disparity.pfm'), cv2.IMREAD_UNCHANGED)
    assert disparity is not None
    rows, columns = np.nonzero(np.isfinite(disparity))
    assert (rows.min(), columns.min(), columns.max()) == (48, 40, 99)
    options = json.loads((output / RECORD).read_text())['recipe']['options']
    assert options['roi'] == [40, 0, 0, 0]
    assert len(options['mask_polygon']) == 8
    assert len(options['mask_file_sha256']) == 64


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--points-voxel-size', '-1'], '--points-voxel-size = -1.0 is not between'),
        (['--roi', '0', '0', '161', '96'], 'roi = [0, 0, 161, 96]'),
        (['--roi', '-1', '0', '1', '1'], '--roi: x, y, width and height'),
        (['--mask-polygon', '1', '2', '3'], '--mask-polygon: 3 numbers'),
        (['--mask-file', 'nowhere.png'], "--mask-file: no image 'nowhere.png'"),
    ],
)
def test_impossible_regions_and_masks_are_named(
    pair: tuple[str, str],
    tmp_path: Path,
    words: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ['match', *pair, '--backend', 'sgbm', '--output', str(tmp_path / 'out'), *words]
    assert main(command) == 2
    assert reason in capsys.readouterr().err


def test_a_cloud_of_voxels(pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    counts = []
    for size in ('0', '0.25'):
        output = tmp_path / size
        command = ['match', *pair, '--backend', 'sgbm', '--output', str(output)]
        assert main([*command, '--points-voxel-size', size]) == 0
        cloud: Any = trimesh.load(output / 'cloud.ply')
        counts.append(len(cloud.vertices))
    # 160 px at 200 px focal length and 1.67 m: 1.3 m by 0.8 m, 6 or 7 by 4 or 5 voxels.
    assert counts[0] > 5000
    assert 20 <= counts[1] <= 100


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--confidence-threshold', '3'], '--confidence-threshold = 3.0 is not between 0 and 1'),
        (['--min-depth', '3', '--max-depth', '2'], '--max-depth = 2 m must be 0 (no limit) or'),
        (['--points-voxel-size', '-1'], '--points-voxel-size = -1.0 is not between'),
        (['--depth-scale', '0'], '--depth-scale = 0.0 is not between'),
        (['--sgbm-search-fraction', '2'], '--sgbm-search-fraction = 2.0 is not between'),
        (['--sgbm-working-width', '7'], '--sgbm-working-width = 7 must be 0 or at least 32'),
        (['--sgbm-speckle-size', '-1'], '--sgbm-speckle-size = -1 is not between'),
        (['--max-width', '20'], '--max-width = 20 must be 0 or at least 32'),
    ],
)
def test_impossible_values_are_named_by_their_options(
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    command = ['match', *pair, '--backend', 'sgbm', '--output', str(tmp_path / 'out'), *words]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('left.png', 'give the right image too, or set --input-layout to'),
        ('film.avi', 'a video needs --input-layout side_by_side or top_bottom if it holds both'),
        ('film.avi', 'else the right video as RIGHT'),
        (
            '',
            'or give the right image or folder as RIGHT; one image with both views needs --input',
        ),
        ('notes.md', 'is no image, video or recording, by its name'),
        ('run.mcap', 'is a recording, not images: stereo_player and `s2m2 process` read it'),
    ],
)
def test_a_single_input_is_explained_in_the_options_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    folder = tmp_path / 'input'
    folder.mkdir()
    if name:
        (folder / name).write_bytes(b'something')
    command = ['match', str(folder / name), '--backend', 'sgbm', '--output', str(tmp_path / 'out')]
    assert main(command) == 2
    assert said in capsys.readouterr().err
