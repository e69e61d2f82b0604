"""Segments as tasks of a Ray cluster: an embedded one, or one of many machines."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from s2m2_ros.atomic_files import FileWriteError
from s2m2_ros.inference.matcher_options import MatcherOptions
from s2m2_ros.io.sources.stereo_frame import PlaybackError
from s2m2_ros.offline.distribution.options import ClusterOptions
from s2m2_ros.offline.distribution.remote_worker import Attempt, Failed, RemoteWorker
from s2m2_ros.offline.distribution.worker_pool import LostError, Task, WorkerPool
from s2m2_ros.offline.processing.engine import EngineError, Job
from s2m2_ros.offline.processing.segment_worker import Finished
from s2m2_ros.offline.processing.storage import RemoteFolder
from s2m2_ros.offline.processing.streams import Segment, Stream
from s2m2_ros.offline.processing.work_folder import PLAN, WorkFolder
from s2m2_ros.optional_packages import require_packages
from s2m2_ros.text_safety import safe_text

_logger = logging.getLogger(__name__)

# Inputs side by side, so that workers have something to do while the last segments of one end.
INPUTS_AT_ONCE = 4
# Seconds for a connection to a cluster's address.
CONNECT_S = 10.0
# Of the embedded cluster's object store, in which no images travel.
STORE_BYTES = 100 << 20
WAIT_S = 0.5


class RayEngine:
    """Works in a Ray cluster; see `Engine`."""

    inputs_at_once = INPUTS_AT_ONCE

    def __init__(self, matching: MatcherOptions, options: ClusterOptions) -> None:
        """Connect to the cluster, or start one. Raises EngineError, MissingPackageError."""
        self._cluster = RayCluster(matching, options)
        self._pool = WorkerPool(self._cluster, most=options.workers, retries=options.retries)

    def matcher_facts(self) -> dict[str, Any]:
        """Return software, versions and matcher of the first worker that is open."""
        return dict(self._pool.facts())

    def run(
        self,
        job: Job,
        stream: Stream,
        segments: Sequence[Segment],
        work: WorkFolder,
        processed: Callable[[int], None],
    ) -> None:
        """Have the segments done in any order; the folder joins them in theirs."""
        tasks = [Task(job, segment, lambda: _attempt(job, work)) for segment in segments]
        for task in tasks:
            self._pool.submit(task)
        waiting: set[Future[Any]] = {task.future for task in tasks}
        try:
            while waiting:
                # Not without end, so that Ctrl-C gets through.
                finished, waiting = wait(waiting, WAIT_S, FIRST_COMPLETED)
                for future in finished:
                    done, attempt = future.result()
                    processed(_collected(done, attempt, work))
        finally:
            self._pool.withdraw(job)

    def close(self) -> None:
        """End the workers and, if it was started here, the cluster."""
        self._pool.close()
        self._cluster.close()


def _attempt(job: Job, work: WorkFolder) -> Attempt:
    name = uuid.uuid4().hex
    if job.storage:
        return Attempt(f'{job.storage}/{name}', is_remote=True)
    plan = work.path.resolve() / PLAN
    witness = (str(plan), plan.read_text(encoding='utf-8'))
    return Attempt(str(work.attempts.resolve() / name), is_remote=False, witness=witness)


def _collected(done: Finished | Failed, attempt: Attempt, work: WorkFolder) -> int:
    """Have the folder take a segment; return how many pairs it had."""
    if isinstance(done, Failed):
        raise FileWriteError(done.text) if done.is_write else PlaybackError(done.text)
    folder = Path(attempt.folder)
    if attempt.is_remote:
        remote = RemoteFolder(attempt.folder)
        folder = work.attempts / uuid.uuid4().hex
        folder.parent.mkdir(exist_ok=True)
        if remote.exists():
            remote.fetch(folder)
            remote.remove('')
    work.adopt(folder, done)
    return sum(len(rig.pairs) + rig.failed for rig in done.facts.rigs)


class RayCluster:
    """What `WorkerPool` needs of Ray."""

    def __init__(self, matching: MatcherOptions, options: ClusterOptions) -> None:
        """Connect to the cluster, or start one. Raises EngineError, MissingPackageError."""
        require_packages('processing in a cluster', 'ray')
        # It would report to its makers how it is used, and log into the user's terminal.
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
        os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')
        import ray

        self._ray: Any = ray
        self._options = options
        if options.address:
            _check_address(options.address)
        # A program that uses Ray itself has a connection already.
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            self._connect()
        self._gpus = self._chosen_gpus(matching)
        resources = {'num_cpus': options.cores, 'num_gpus': self._gpus}
        self._actor = ray.remote(**resources, max_restarts=0)(RemoteWorker)
        self._matching = matching
        self._jobs: list[tuple[Job, Any]] = []
        if not self.room():
            self.close()
            raise EngineError(
                f'no machine of the cluster has {options.cores} cores'
                + (' and a GPU' if self._gpus else '')
                + f': it has {self._described()}'
            )

    def room(self) -> int:
        """Return how many workers the machines have room for."""
        return sum(
            min(
                int(node['Resources'].get('CPU', 0) // self._options.cores),
                int(node['Resources'].get('GPU', 0)) if self._gpus else 2**31,
            )
            for node in self._ray.nodes()
            if node['Alive']
        )

    def start_worker(self) -> Any:
        """Return a new actor."""
        return self._actor.remote(self._matching, self._options.cores)

    def stop_worker(self, worker: Any) -> None:
        """Kill an actor, which may be dead."""
        try:
            self._ray.kill(worker, no_restart=True)
        except Exception as error:  # of a cluster that is gone
            _logger.debug('%s', error)

    def open(self, worker: Any) -> Any:
        """Return a reference to what opening an actor gives."""
        return worker.open.remote()

    def work(self, worker: Any, job: Job, segment: Segment, attempt: Attempt) -> Any:
        """Return a reference to what a segment becomes."""
        return worker.work.remote(self._shared(job), segment, attempt)

    def ready(self, references: list[Any], timeout_s: float) -> list[Any]:
        """Return the references that have a result."""
        done, _ = self._ray.wait(references, num_returns=1, timeout=timeout_s, fetch_local=False)
        return list(done)

    def result(self, reference: Any) -> Any:
        """Return a result; raises LostError or EngineError."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError,
                errors.NodeDiedError, errors.OutOfMemoryError) as error:  # fmt: skip
            raise LostError(_first_line(error)) from error
        except Exception as error:  # whatever a worker fails with, and Ray itself
            _logger.debug('in a worker:', exc_info=True)
            raise EngineError(f'a worker failed: {_last_line(error)}') from error

    def close(self) -> None:
        """End the connection, and the cluster if it was started here."""
        self._jobs.clear()
        if self._is_ours:
            self._ray.shutdown()

    def _shared(self, job: Job) -> Any:
        """Return a reference to a job, which may hold large masks."""
        for known, reference in self._jobs:
            if known is job:
                return reference
        self._jobs = [*self._jobs, (job, self._ray.put(job))][-2 * INPUTS_AT_ONCE :]
        return self._jobs[-1][1]

    def _connect(self) -> None:
        address = self._options.address
        usual = {
            'log_to_driver': False,
            'logging_level': logging.ERROR,
            'configure_logging': False,
        }
        try:
            if not address:
                # Without the word, it would join whichever cluster runs on this machine.
                self._ray.init(
                    **usual,
                    address='local',
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _temp_dir=_short_folder(),
                )
                return
            self._ray.init(**usual, address=address)
        except Exception as error:  # Ray raises many kinds
            what = f"no cluster at '{address}'" if address else 'Ray cannot start'
            raise EngineError(f'{what}: {_last_line(error)}') from error

    def _chosen_gpus(self, matching: MatcherOptions) -> int:
        if self._options.gpus is not None:
            return self._options.gpus
        uses_gpu = matching.device != 'cpu' and matching.backend != 'sgbm'
        return int(uses_gpu and self._ray.cluster_resources().get('GPU', 0) >= 1)

    def _described(self) -> str:
        nodes = [node['Resources'] for node in self._ray.nodes() if node['Alive']]
        return ', '.join(
            f'{int(n.get("CPU", 0))} cores and {int(n.get("GPU", 0))} GPUs' for n in nodes
        ) or 'none'  # fmt: skip


def _check_address(address: str) -> None:
    """Raise EngineError if no process answers at an address: Ray would try for minutes."""
    if address in ('auto', 'local'):
        return
    try:
        parts = urlsplit(address if '://' in address else f'//{address}')
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise EngineError(
            f"'{safe_text(address)}' is no address of a Ray cluster: give HOST:PORT, auto, or "
            'ray://HOST:PORT'
        )
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise EngineError(
            f"no cluster at '{address}': {reason}; start one there with `ray start --head`"
        ) from error


def _short_folder() -> str | None:
    """Return where Ray puts its sockets, whose paths must be short; None for its own choice."""
    chosen = os.environ.get('RAY_TMPDIR')
    folder = chosen or tempfile.gettempdir()
    return f'{folder}/ray' if len(folder) < 30 and not chosen else chosen


def _first_line(error: Exception) -> str:
    return safe_text(str(error).strip().partition('\n')[0] or type(error).__name__)


def _last_line(error: Exception) -> str:
    return safe_text(str(error).strip().rpartition('\n')[2] or type(error).__name__)
