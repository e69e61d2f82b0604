"""A real Ray cluster of several node processes on this machine, one of which is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from s2m2_ros.errors import S2M2Error
from s2m2_ros.offline.distribution.options import ClusterOptions
from s2m2_ros.offline.processing import (
    MatcherOptions,
    OutputFormat,
    ProcessOptions,
    Processor,
)
from s2m2_ros.offline.processing.processor import Progress
from s2m2_ros.offline.processing.storage import local_copy
from support.folder_storage import ShelfFileSystem, offer
from support.mixed_recordings import write_mixed
from support.processes import SOURCE
from support.transcript import PATIENCE

SGBM = MatcherOptions(backend='sgbm')
COUNT = 10
OPTIONS = ProcessOptions(outputs=('depth', 'points'), segment_seconds=0.4, keep=('all',))
FILES = ProcessOptions(
    outputs=('depth',), segment_seconds=1.0, formats=(OutputFormat.PFM, OutputFormat.NPZ)
)


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 10 pairs at 5 Hz, of 5 segments, and much else."""
    return write_mixed(tmp_path_factory.mktemp('recording') / 'run.mcap', pairs=COUNT)


@pytest.fixture(scope='module')
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder behind `shelf://`, which this process and those that it starts know."""
    folder = tmp_path_factory.mktemp('shelf')
    cache = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        for name, value in offer(tmp_path_factory.mktemp('plugin'), folder).items():
            patch.setenv(name, value)
        patch.setenv('S2M2_ROS_CACHE', str(cache))
        # Ray would let its workers run behind everything else on a busy machine.
        patch.setenv('RAY_worker_niceness', '0')
        fsspec.register_implementation('shelf', ShelfFileSystem, clobber=True)
        yield folder


@pytest.fixture(scope='module')
def cluster(shelf: Path) -> Iterator[Any]:
    """Return a cluster: a head without workers, and two nodes for one worker each."""
    import ray
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={'num_cpus': 0})
    for name in ('kept', 'killed'):
        started.add_node(num_cpus=1, resources={name: 1})
    # Connected once: the engine then takes this connection.
    ray.init(address=started.address, log_to_driver=False, configure_logging=False)
    yield started
    ray.shutdown()
    started.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def expected(recording: Path, folder: Path, options: ProcessOptions) -> dict[str, bytes]:
    """Return what the recording becomes without a cluster."""
    with Processor(SGBM, options) as processor:
        processor.process(recording, folder)
    return contents(folder)


def test_with_paths_of_a_shared_disk_and_with_urls_a_cluster_gives_the_same_bytes(
    recording: Path, shelf: Path, cluster: Any, tmp_path: Path
) -> None:
    nodes: list[Any] = list(cluster.worker_nodes)
    shown: list[Progress] = []

    def show(progress: Progress) -> None:
        """Kill a node with its worker once the first segment is done."""
        if not shown:
            cluster.remove_node(nodes[-1], allow_graceful=False)
        shown.append(progress)

    where = ClusterOptions(address=cluster.address)
    alone = expected(recording, tmp_path / 'alone', OPTIONS)
    with Processor(SGBM, OPTIONS, progress=show, cluster=where) as processor:
        result = processor.process(recording, tmp_path / 'shared')
        assert (result.pairs, result.lost, result.was_done) == (COUNT, 0, False)
        assert shown[-1].done == COUNT
        assert contents(tmp_path / 'shared') == alone
        assert processor.process(recording, tmp_path / 'shared').was_done
    assert len(cluster.worker_nodes) == 1

    # The copy of a URL has no time of its own, so it is not the recording at the path.
    (shelf / 'bucket').mkdir()
    (shelf / 'bucket' / 'run.mcap').write_bytes(recording.read_bytes())
    with Processor(SGBM, FILES) as processor:
        processor.process('shelf://bucket/run.mcap', tmp_path / 'files')
    with Processor(SGBM, FILES, cluster=where) as processor:
        found = processor.process('shelf://bucket/run.mcap', 'shelf://bucket/results/')
        assert found.place == 'shelf://bucket/results/run'
        assert contents(shelf / 'bucket' / 'results') == contents(tmp_path / 'files')
        again = processor.process('shelf://bucket/run.mcap', 'shelf://bucket/results')
        assert again.was_done


def test_urls_without_a_cluster(recording: Path, shelf: Path, tmp_path: Path) -> None:
    (shelf / 'one').mkdir()
    (shelf / 'one' / 'run.mcap').write_bytes(recording.read_bytes())
    with local_copy('shelf://one/run.mcap') as first:
        with local_copy('shelf://one/run.mcap') as second:
            assert first == second
        assert second.read_bytes() == recording.read_bytes()
    assert not first.exists()
    with Processor(SGBM, OPTIONS) as processor:
        processor.process('shelf://one/run.mcap', tmp_path)
        found = processor.process('shelf://one/run.mcap', 'shelf://one/out')
    assert found.place == 'shelf://one/out/run.mcap'
    assert contents(shelf / 'one' / 'out') == contents(tmp_path)
    with Processor(SGBM, OPTIONS) as processor, pytest.raises(S2M2Error, match='shelf://one/no'):
        processor.process('shelf://one/no.mcap', tmp_path)
    (shelf / 'one' / 'taken').mkdir()
    (shelf / 'one' / 'taken' / 'run.json').write_text('{"mine": 1}')
    with Processor(SGBM, OPTIONS) as processor, pytest.raises(S2M2Error, match='another folder'):
        processor.process('shelf://one/run.mcap', 'shelf://one/taken')
    assert (shelf / 'one' / 'taken' / 'run.json').read_text() == '{"mine": 1}'


def test_the_command_with_a_cluster_of_its_own(recording: Path, tmp_path: Path) -> None:
    """Several inputs side by side, one of which is none."""
    second = tmp_path / 'second.mcap'
    second.write_bytes(recording.read_bytes())
    (tmp_path / 'text.mcap').write_text('no recording')
    done = subprocess.run(
        [
            sys.executable, '-m', 's2m2_ros.cli.main', 'process', str(recording),
            str(tmp_path / 'text.mcap'), str(second), '--output', str(tmp_path / 'out'),
            '--outputs', 'depth', '--backend', 'sgbm', '--ray', '--ray-workers', '1',
        ],
        cwd=SOURCE, capture_output=True, text=True, check=False, timeout=PATIENCE * 4,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    output = tmp_path / 'out'
    assert done.stdout == f'{output / "run.mcap"}\n{output / "second.mcap"}\n'
    assert 'text.mcap' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('address', 'said'),
    [
        ('127.0.0.1:1', "no cluster at '127.0.0.1:1'"),
        ('nowhere', 'HOST:PORT'),
        ('[::1', 'HOST:PORT'),
    ],
)
def test_an_address_without_a_cluster_is_one_message(address: str, said: str) -> None:
    with (
        pytest.raises(S2M2Error, match='cluster') as caught,
        Processor(SGBM, OPTIONS, cluster=ClusterOptions(address=address)),
    ):
        pass
    assert said in str(caught.value)
