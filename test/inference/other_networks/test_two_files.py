"""Networks in two files with a cost volume between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from s2m2_ros.cli.main import main
from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import (
    BackendOptions,
    BackendUnavailableError,
    InferenceError,
    StereoMatcher,
)
from s2m2_ros.inference.backends import foreign_tensorrt
from s2m2_ros.inference.other_networks.onnx_model import read_onnx
from s2m2_ros.inference.other_networks.recognition import recognize
from s2m2_ros.inference.other_networks.two_files import cost_volume
from s2m2_ros.weights.other_networks import NetworkDescription
from support.onnx_networks import write_two_files
from support.shifted_pairs import SHIFT, matched, median, shifted_pair


def description(**given: object) -> NetworkDescription:
    values = {
        'second_file': 'post.onnx',
        'second_volume': 'v',
        'second_left': 'l',
        'second_right': 'r',
        **given,
    }
    return NetworkDescription(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize('half', [False, True])
def test_the_planted_disparity_comes_out(tmp_path: Path, half: bool) -> None:
    found = matched(write_two_files(tmp_path, half=half), shifted_pair())
    assert median(found.disparity) == SHIFT
    assert float(found.visibility[4:-4, SHIFT + 8 : -8].mean()) > 0.98


def test_another_second_file_is_another_network(tmp_path: Path) -> None:
    path = write_two_files(tmp_path)
    digests = []
    for count in (40, 48):
        # The first file is the same.
        content = path.read_bytes()
        write_two_files(tmp_path, count=count)
        assert path.read_bytes() == content
        with StereoMatcher.open(path, device='cpu') as matcher:
            digests.append(matcher.network_description['sha256'])
    assert digests[0] != digests[1]


def test_what_is_assumed_of_the_volume(tmp_path: Path) -> None:
    path = write_two_files(tmp_path)
    # `normalize: yes` is stated there, kind and groups are not.
    expected = 'cost volume group_correlation, groups 1'
    assert recognize(read_onnx(path)).assumed[-1] == expected
    text = path.with_suffix('.yaml').read_text()
    path.with_suffix('.yaml').write_text(text.replace('normalize: yes', 'groups: 1'))
    expected = 'cost volume group_correlation, features not normalized'
    assert recognize(read_onnx(path)).assumed[-1] == expected


def test_a_correlation_by_hand() -> None:
    # Four channels of one row of three columns, in two groups.
    left = torch.tensor([[1.0, 2, 3], [1, 1, 1], [2, 0, 1], [0, 1, 0]])[None, :, None]
    right = torch.tensor([[4.0, 5, 6], [1, 2, 3], [1, 1, 1], [2, 2, 2]])[None, :, None]
    volume = cost_volume(left, right, description(second_groups=2, second_count=2))
    assert volume.shape == (1, 2, 2, 1, 3)
    # Disparity 0: (1*4 + 1*1)/2, (2*5 + 1*2)/2, (3*6 + 1*3)/2; 1: 0, (2*4 + 1*1)/2, (3*5 + 1*2)/2.
    assert volume[0, 0, :, 0].tolist() == [[2.5, 6, 10.5], [0, 4.5, 8.5]]
    # Disparity 0: (2*1 + 0*2)/2, (0 + 1*2)/2, (1*1 + 0)/2; 1: 0, (0*1 + 1*2)/2, (1*1 + 0*2)/2.
    assert volume[0, 1, :, 0].tolist() == [[1, 1, 0.5], [0, 1, 0.5]]


def test_normalized_features_correlate_with_themselves_at_one() -> None:
    features = torch.randn(1, 8, 4, 6)
    given = description(second_count=3, second_normalize=True)
    volume = cost_volume(features, 7 * features, given)
    # The mean of 8 products, which add up to 1.
    assert torch.allclose(volume[0, 0, 0], torch.tensor(1 / 8))
    assert volume[0, 0, 1:].max() <= 1 / 8 + 1e-6


def test_a_concatenation_by_hand() -> None:
    left, right = torch.tensor([[[[1.0, 2, 3]]]]), torch.tensor([[[[4.0, 5, 6]]]])
    given = description(second_count=2, second_kind='concatenation')
    volume = cost_volume(left, right, given)
    assert volume[0, :, :, 0].tolist() == [[[1, 2, 3], [0, 2, 3]], [[4, 5, 6], [0, 4, 5]]]


def test_more_disparities_than_columns_stay_empty() -> None:
    volume = cost_volume(
        torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4), description(second_count=9)
    )
    assert volume.shape == (1, 1, 9, 3, 4)
    assert (volume[:, :, 4:] == 0).all()


@pytest.mark.parametrize(
    ('shapes', 'reason'),
    [
        (((1, 6, 4, 4), (1, 6, 4, 5)), 'second.left and second.right are features of shapes'),
        (((6, 4, 4), (6, 4, 4)), 'they must be'),
        (((1, 5, 4, 4), (1, 5, 4, 4)), 'second.groups is 2, which does not divide the 5 channels'),
    ],
)
def test_features_that_do_not_fit(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], reason: str
) -> None:
    left, right = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(InferenceError, match=reason):
        cost_volume(left, right, description(second_groups=2, second_count=2))


@pytest.mark.parametrize(
    ('old', 'new', 'reason'),
    [
        ('post.onnx', 'missing.onnx', r'net\.yaml: second\.file: .*missing\.onnx: cannot be read'),
        ('post.onnx', 'net.onnx', r'net\.yaml: second\.file is net\.onnx, the first file itself'),
        (
            'count: 40',
            'count: 40, groups: 7',
            r'net\.yaml: second\.groups is 7, .* the 9 channels',
        ),
        ('post.onnx', '../post.onnx', 'a file in the same folder'),
        ('volume: volume', 'volume: gwc', r"net\.yaml: second\.volume is 'gwc', but post"),
        ('left: features_left', 'left: f', r"net\.yaml: second\.left is 'f', but net\.onnx has"),
        ('volume: volume, ', '', 'a second file needs second.volume'),
        ('file: post.onnx, ', '', 'second.file is missing'),
        ('count: 40', 'count: 4000', 'must be 1 to 1024'),
        ('count: 40', 'count: 39', r'run it on 1x1x39x\d+x\d+, .* the keys of second'),
        ('normalize: yes', 'normalize: maybe', 'must be yes or no'),
        ('normalize: yes', 'kind: difference', 'group_correlation, concatenation'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = write_two_files(tmp_path)
    text = path.with_suffix('.yaml').read_text()
    assert old in text
    path.with_suffix('.yaml').write_text(text.replace(old, new))
    with pytest.raises(S2M2Error, match=reason) as caught:
        StereoMatcher.open(path, device='cpu')
    assert '\n' not in str(caught.value)
    # Inputs and outputs of one file are listed, once.
    assert str(caught.value).count('inputs: ') <= 1


def test_the_first_file_alone_says_what_it_lacks(tmp_path: Path) -> None:
    path = write_two_files(tmp_path)
    path.with_suffix('.yaml').unlink()
    with pytest.raises(S2M2Error, match='2 of its outputs can be maps'):
        StereoMatcher.open(path, device='cpu')


def test_tensorrt_does_not_run_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    monkeypatch.setitem(sys.modules, 'tensorrt', SimpleNamespace(__version__='10.13.3'))
    options = BackendOptions(
        write_two_files(tmp_path), torch.device('cpu'), 'float32', 3, False, tmp_path
    )
    with pytest.raises(BackendUnavailableError, match='set backend to onnxruntime'):
        foreign_tensorrt.open_backend(options)


def test_both_files_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path / 'cache'))
    (tmp_path / 'files').mkdir()
    path = write_two_files(tmp_path / 'files')
    assert main(['weights', 'add', str(path), '--name', 'two']) == 0
    for file in (tmp_path / 'files').iterdir():
        file.unlink()
    found = matched(Path('two'), shifted_pair())
    assert median(found.disparity) == SHIFT
    assert main(['weights', 'verify']) == 0
    added = tmp_path / 'cache' / 'weights' / 'added'
    assert sorted(p.name for p in added.iterdir()) == [
        'two.json', 'two.onnx', 'two.second.onnx', 'two.yaml',
    ]  # fmt: skip
    (added / 'two.second.onnx').write_bytes(b'damaged')
    assert main(['weights', 'verify']) == 1
    assert 'two      DAMAGED' in capsys.readouterr().out
