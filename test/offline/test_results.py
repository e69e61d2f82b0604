"""Results of several inputs in one folder, and results that changed on the disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest

from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.images.image_files import write_png
from s2m2_ros.offline.processing import (
    OutputFormat,
    ProcessOptions,
    Processor,
)
from s2m2_ros.offline.processing.inputs import find_inputs
from support import sgbm_processing
from support.folder_storage import ShelfFileSystem, offer
from support.processes import SOURCE
from support.recorded_pairs import write_mcap
from support.sgbm_processing import SGBM
from support.stereo_recordings import scene_pairs

processed = partial(sgbm_processing.processed, outputs=('depth',), segment_seconds=0.5)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two recordings of one name, of two pairs and of three."""
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    return (
        write_mcap(tmp_path / 'a' / 'run.mcap', scene_pairs(2)),
        write_mcap(tmp_path / 'b' / 'run.mcap', scene_pairs(3)),
    )


class TestNames:
    def test_those_that_are_alike_get_their_folder_and_then_a_number(self, tmp_path: Path) -> None:
        names = [
            'a/run.mcap', 'b/run.mcap', 'a/other.mcap', 'x/a/run.mcap', 'a/a_run_2.mcap',
            'b/run.db3',
        ]  # fmt: skip
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = find_inputs([tmp_path / name for name in names])
        assert [name for name, _ in found] == [
            'a_run', 'b_run', 'other', 'a_run_3', 'a_run_2', 'b_run_2'
        ]  # fmt: skip

    def test_one_input_that_is_named_twice_is_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / 'run.mcap').touch()
        (tmp_path / 'link.mcap').symlink_to(tmp_path / 'run.mcap')
        monkeypatch.chdir(tmp_path)
        sources = [Path('run.mcap'), tmp_path / 'run.mcap', Path('link.mcap')]
        assert [name for name, _ in find_inputs(sources)] == ['run']

    def test_a_folder_stands_for_the_recordings_at_any_depth(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ('out', '.trash', 'pictures/left', 'robot/day/a'):
            (tmp_path / 'fleet' / name).mkdir(parents=True)
        bare = write_mcap(tmp_path / 'fleet' / 'bare.mcap', scene_pairs(1))
        deep = write_mcap(tmp_path / 'fleet' / 'robot' / 'day' / 'a' / 'a_0.mcap', scene_pairs(1))
        write_mcap(tmp_path / 'fleet' / 'out' / 'done.mcap', scene_pairs(1))
        write_mcap(tmp_path / 'fleet' / '.trash' / 'old.mcap', scene_pairs(1))
        (tmp_path / 'fleet' / 'robot' / 'loop').symlink_to(tmp_path / 'fleet')
        found = find_inputs([tmp_path / 'fleet'], tmp_path / 'fleet' / 'out')
        assert found == [('fleet', bare.parent), ('a', deep.parent)]
        assert 'image files' not in caplog.text

    def test_pairs_of_images_beside_recordings_are_not_left_out_silently(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / 'runs').mkdir()
        write_mcap(tmp_path / 'runs' / 'run.mcap', scene_pairs(1))
        for side in ('left', 'right'):
            (tmp_path / side).mkdir()
            write_png(tmp_path / side / '1.png', np.zeros((4, 4), np.uint8))
        assert [name for name, _ in find_inputs([tmp_path])] == ['runs']
        assert 'the 1 pairs of image files there are not' in caplog.text

    def test_results_of_earlier_runs_are_no_inputs(self, tmp_path: Path) -> None:
        path = write_mcap(tmp_path / 'alice.mcap', scene_pairs(2))
        write_mcap(tmp_path / 'bob.mcap', scene_pairs(2))
        wanted = find_inputs([tmp_path])
        assert [name for name, _ in wanted] == ['alice', 'bob']
        processed(path, tmp_path / 'r1', keep=('all',))
        processed(path, tmp_path / 'r2', keep=('all',), formats=(OutputFormat.ROSBAG2,))
        assert find_inputs([tmp_path], tmp_path / 'r3') == wanted
        # One that is named is wanted.
        named = tmp_path / 'r1' / 'alice.mcap'
        assert find_inputs([named]) == [('alice', named)]
        folder = tmp_path / 'r2' / 'alice'
        assert find_inputs([folder]) == [('alice', folder)]

    @pytest.mark.parametrize('as_url', [False, True])
    def test_a_folder_of_nothing_but_results_is_an_error(
        self, tmp_path: Path, as_url: bool
    ) -> None:
        path = write_mcap(tmp_path / 'alice.mcap', scene_pairs(1))
        for name in ('r1', 'r2'):
            processed(path, tmp_path / name, keep=('all',), outputs=('depth',))
        processed(path, tmp_path / 'r2', keep=('all',), formats=(OutputFormat.ROSBAG2,))
        folder = tmp_path / 'r1'
        place = folder.as_uri() if as_url else folder
        with pytest.raises(S2M2Error, match=r'r1.* results of earlier runs.*name the file of one'):
            find_inputs([place])
        # Beside a recording, they are left out.
        write_mcap(folder / 'carol.mcap', scene_pairs(1))
        (name, source), *others = find_inputs([place])
        assert (name, not others) == ('carol', True)
        assert str(source).endswith('r1/carol.mcap')
        both = find_inputs([tmp_path.as_uri() if as_url else tmp_path])
        assert [name for name, _ in both] == [tmp_path.name, 'carol']

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        path = write_mcap(tmp_path / os.fsdecode(b'bad\xff.mcap'), scene_pairs(1))
        done = command(str(path), '--output', str(tmp_path / 'out'))
        assert done.returncode == 0, done.stderr
        assert 'Traceback' not in done.stderr
        names = {os.fsencode(p.name) for p in (tmp_path / 'out').iterdir()}
        assert names == {b'bad\xff.mcap', b'bad\xff.json', b'bad\xff.html'}

    def test_a_folder_at_a_url_stands_for_the_recordings_at_any_depth(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ('a.mcap', 'b.mcap', 'robot/run/run_0.mcap', 'robot/run/run_1.mcap',
                     'robot/bag/metadata.yaml', 'out/a.mcap'):  # fmt: skip
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        url = tmp_path.as_uri()
        found = find_inputs([url], f'{url}/out')
        assert [source for _, source in found] == [
            f'{url}/a.mcap', f'{url}/b.mcap', f'{url}/robot/bag', f'{url}/robot/run'
        ]  # fmt: skip

    def test_the_command_gives_each_a_result(self, two: tuple[Path, Path], tmp_path: Path) -> None:
        arguments = [str(path) for path in two]
        done = command(*arguments, '--output', str(tmp_path / 'out'))
        assert done.returncode == 0, done.stderr
        names = [Path(line).name for line in done.stdout.splitlines()]
        assert names == ['a_run.mcap', 'b_run.mcap']


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, '-m', 's2m2_ros.cli.main', 'process', *arguments, '--outputs', 'depth',
            '--backend', 'sgbm',
        ],
        cwd=SOURCE, capture_output=True, text=True, errors='surrogateescape', check=False,
    )  # fmt: skip


class TestSeveralInputs:
    def test_paths_are_named_as_the_command_does(
        self, two: tuple[Path, Path], tmp_path: Path
    ) -> None:
        out = tmp_path / 'out'
        with Processor(SGBM, ProcessOptions(outputs=['depth'])) as processor:
            found = list(processor.process_all([*two], out))
            assert [outcome.source for outcome in found] == [*two]
            names = [outcome.result.output.name for outcome in found if outcome.result]
            assert names == ['a_run.mcap', 'b_run.mcap']
            # A folder stands for the recordings in it; a pair has its name with it.
            again = list(processor.process_all([('x', two[0]), two[1].parent], out))
            names = [outcome.result.output.name for outcome in again if outcome.result]
            assert names == ['x.mcap', 'b.mcap']
            with pytest.raises(S2M2Error, match=r"there is no '.*missing\.mcap'"):
                list(processor.process_all([tmp_path / 'missing.mcap'], out))


class TestOtherInputs:
    @pytest.mark.parametrize('kind', [OutputFormat.MCAP, OutputFormat.ROSBAG2, OutputFormat.PFM])
    def test_their_finished_results_are_not_replaced(
        self, two: tuple[Path, Path], tmp_path: Path, kind: OutputFormat
    ) -> None:
        output = tmp_path / 'out'
        processed(two[0], output, formats=(kind,))
        before = contents(output)
        for again in (False, True):
            with pytest.raises(S2M2Error, match=r'a/run\.mcap.*b/run\.mcap.*another folder'):
                processed(two[1], output, formats=(kind,), again=again)
        # Nor with another kind of result beside it, of which the report and record are the same.
        with pytest.raises(S2M2Error, match='another folder'):
            processed(two[1], output, formats=(OutputFormat.NPZ,))
        assert contents(output) == before
        assert processed(two[0], output, formats=(kind,)).was_done

    def test_their_unfinished_results_are_not_removed(
        self, two: tuple[Path, Path], tmp_path: Path
    ) -> None:
        def stop(_: object) -> None:
            raise KeyboardInterrupt

        options = ProcessOptions(outputs=('depth',), segment_seconds=0.2)
        with (
            pytest.raises(KeyboardInterrupt),
            Processor(SGBM, options, progress=stop) as processor,
        ):
            processor.process(two[0], tmp_path / 'out')
        before = contents(tmp_path / 'out')
        with pytest.raises(S2M2Error, match=r'unfinished.*a/run\.mcap'):
            processed(two[1], tmp_path / 'out')
        assert contents(tmp_path / 'out') == before
        assert processed(two[0], tmp_path / 'out').pairs == 2

    def test_the_command_says_so_before_anything_is_matched(
        self, two: tuple[Path, Path], tmp_path: Path
    ) -> None:
        output = ['--output', str(tmp_path / 'out')]
        assert command(str(two[0]), *output).returncode == 0
        before = contents(tmp_path / 'out')
        done = command(str(two[1]), *output)
        assert done.returncode == 2
        assert 'another folder' in done.stderr
        assert 'Traceback' not in done.stderr
        assert contents(tmp_path / 'out') == before
        # Others of the same command are processed.
        other = write_mcap(tmp_path / 'other.mcap', scene_pairs(1))
        done = command(str(two[1]), str(other), *output)
        assert done.returncode == 1
        assert done.stdout == f'{tmp_path / "out" / "other.mcap"}\n'
        assert 'another folder' in done.stderr

    def test_a_moved_input_is_the_same(self, two: tuple[Path, Path], tmp_path: Path) -> None:
        processed(two[0], tmp_path / 'out')
        (tmp_path / 'c').mkdir()
        os.rename(two[0], tmp_path / 'c' / 'run.mcap')  # noqa: PTH104 (keeps its time)
        assert processed(tmp_path / 'c' / 'run.mcap', tmp_path / 'out').was_done

    def test_a_changed_input_is_processed_again(
        self, two: tuple[Path, Path], tmp_path: Path
    ) -> None:
        processed(two[0], tmp_path / 'out')
        shutil.copyfile(two[1], two[0])
        again = processed(two[0], tmp_path / 'out')
        assert (again.was_done, again.pairs) == (False, 3)


class TestChangedResults:
    @pytest.mark.parametrize(
        ('kind', 'change'),
        [
            (kind, change)
            for kind in (OutputFormat.MCAP, OutputFormat.ROSBAG2, OutputFormat.PFM)
            for change in ('cut', 'other end', 'report', 'removed', 'more')
            # A file holds no others.
            if (kind, change) != (OutputFormat.MCAP, 'more')
        ],
    )
    def test_they_are_made_again(
        self, two: tuple[Path, Path], tmp_path: Path, kind: OutputFormat, change: str
    ) -> None:
        output = tmp_path / 'out'
        found = processed(two[0], output, formats=(kind,))
        before = contents(output)
        file = found.output
        if file.is_dir():
            file = sorted(path for path in file.rglob('*.*') if path.suffix != '.yaml')[0]
        if change == 'cut':
            file.write_bytes(file.read_bytes()[:-1000])
        elif change == 'other end':
            file.write_bytes(file.read_bytes()[:-20] + b'x' * 20)
        elif change == 'report':
            found.report.write_bytes(found.report.read_bytes()[:-1])
        elif change == 'removed':
            file.unlink()
        else:
            (found.output / 'more').touch()
        again = processed(two[0], output, formats=(kind,))
        assert not again.was_done
        assert contents(output) == before
        assert processed(two[0], output, formats=(kind,)).was_done

    def test_also_at_a_url(
        self, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shelf = tmp_path / 'shelf'
        shelf.mkdir()
        for name, value in offer(tmp_path / 'plugin', shelf).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv('S2M2_ROS_CACHE', str(tmp_path / 'cache'))
        fsspec.register_implementation('shelf', ShelfFileSystem, clobber=True)
        processed(two[0], 'shelf://out')
        before = contents(shelf)
        assert processed(two[0], 'shelf://out').was_done
        with pytest.raises(S2M2Error, match='another folder'):
            processed(two[1], 'shelf://out')
        result = shelf / 'out' / 'run.mcap'
        result.write_bytes(result.read_bytes()[:-1])
        assert not processed(two[0], 'shelf://out').was_done
        assert contents(shelf) == before

    def test_a_record_of_an_earlier_version_does_not_count(
        self, two: tuple[Path, Path], tmp_path: Path
    ) -> None:
        processed(two[0], tmp_path / 'out')
        record = tmp_path / 'out' / 'run.json'
        content = json.loads(record.read_text())
        del content['files'], content['source']
        record.write_text(json.dumps(content))
        assert not processed(two[0], tmp_path / 'out').was_done
