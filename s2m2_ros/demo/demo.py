"""The demo: real scenes, played, matched and received by separate processes."""

from __future__ import annotations

import json
import logging
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.context import Context
from tqdm import tqdm

from s2m2_ros.atomic_files import write_atomically
from s2m2_ros.demo import processes as demo_processes
from s2m2_ros.demo.isolation import claim_domain, confine
from s2m2_ros.demo.pictures import MethodOutputs, draw_all
from s2m2_ros.demo.processes import NodeProcess
from s2m2_ros.demo.rooms import fetch_rooms
from s2m2_ros.demo.subscriber import OutputSubscriber, ReceivedPair, read_cloud
from s2m2_ros.demo.summary import agreement, node_summary
from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference.benchmark import hardware
from s2m2_ros.inference.presets import AUTO, BY_PRESET
from s2m2_ros.io.images.image_files import read_image, write_ply
from s2m2_ros.io.message_data import stamp_ns
from s2m2_ros.io.recordings.recording_writer import RecordingWriter
from s2m2_ros.player.ros_serialization import serialized
from s2m2_ros.shared_files import shared_file
from s2m2_ros.topic_viewer.topic_viewer import ViewOptions, view_topics
from s2m2_ros.weights import find_checkpoint
from s2m2_ros.weights.other_networks import is_onnx_file

_logger = logging.getLogger(__name__)

# Faster than a network on a CPU: that only the latest pair is matched keeps the latency low.
PLAYER_RATE = 3.0
# Loading torch in three processes, and the first inference, take a while on a busy machine.
START_LIMIT_S = 240.0
WAIT_S = 0.2
NETWORK, CLASSIC = 's2m2', 'sgbm'
# A pair and everything made of it take 13 MB at 640x480.
RECORDED_PAIRS = 3
NETWORK_PARAMETERS = ('checkpoint', 'device', 'backend', 'preset', 'max_width')
OWN_FILES = ('recording', 'logs')


class DemoError(S2M2Error):
    """The demo could not show what it should; says what was waited for."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demo does.

    Attributes:
        output: folder to fill; what an earlier demo left there is replaced.
        source: folder of pairs or recording; None for the scenes, which are fetched once.
        calibration: of the source, if it is a folder of pairs.
        checkpoint, device, backend, preset, max_width: parameters of the network's node.
        pairs: how many pairs to wait for from each node.
        seconds: the longest that each node may take for them once its first pair is there.

    """

    output: Path = Path('demo_output')
    source: Path | None = None
    calibration: Path | None = None
    checkpoint: str = 'starter'
    device: str = 'auto'
    backend: str = 'auto'
    preset: str = AUTO
    max_width: int = BY_PRESET
    pairs: int = 8
    seconds: float = 50.0


@dataclass(frozen=True)
class Scene:
    """What is played, and the checksum of the left image to be shown, if any is preferred."""

    source: Path
    calibration: Path | None
    shown: int | None = None


def run_demo(options: DemoOptions) -> dict[str, Any]:
    """Run the demo and return its summary, which is in ``summary.json`` too.

    Raises :class:`S2M2Error` if there is no checkpoint, the scenes cannot be fetched, or no
    outputs arrive.
    """
    if options.backend != CLASSIC:
        find_checkpoint(options.checkpoint)
    scene = _scene(options)
    logs = _prepare(options.output)
    with isolated_context() as context, _player(scene, logs) as player:
        observer = Observer(context, player, options, logs)
        network = observer.observe(NETWORK, _network(options), until=scene.shown)
        shown = _pair_of(network, scene.shown)
        classic = observer.observe(CLASSIC, {'backend': CLASSIC}, until=shown.content)
    results = {NETWORK: network, CLASSIC: classic}
    counts = _record(results, options.output / 'recording')
    return _write_results(options, results, shown, counts)


def view_live(options: DemoOptions) -> None:
    """Play and match again, and show the cloud in the browser until interrupted.

    Starts with the cloud that :func:`run_demo` left in the output folder.
    """
    logs = options.output / 'logs'
    scene = _scene(options)
    with (
        isolated_context() as context,
        _player(scene, logs),
        demo_processes.stereo_node(NETWORK, _network(options), log=logs / f'{NETWORK}.log'),
    ):
        first = options.output / f'points_{NETWORK}.ply'
        view_topics(context, ViewOptions(namespace=NETWORK, first_cloud=first))


def _network(options: DemoOptions) -> dict[str, str | int]:
    """Return the parameters of the network's node."""
    return {name: getattr(options, name) for name in NETWORK_PARAMETERS}


def _scene(options: DemoOptions) -> Scene:
    if options.source is not None:
        return Scene(options.source, options.calibration)
    rooms = fetch_rooms()
    shown = zlib.crc32(read_image(rooms.shown).tobytes())
    return Scene(rooms.folder, rooms.calibration, shown)


def _prepare(output: Path) -> Path:
    """Remove what an earlier demo recorded, and return the folder for the logs."""
    for name in OWN_FILES:
        shutil.rmtree(output / name, ignore_errors=True)
    logs = output / 'logs'
    try:
        logs.mkdir(parents=True)
    except OSError as error:
        raise DemoError(f"cannot make '{logs}': {error.strerror}") from error
    return logs


def _player(scene: Scene, logs: Path) -> NodeProcess:
    log = logs / 'stereo_player.log'
    return demo_processes.player(scene.source, scene.calibration, rate=PLAYER_RATE, log=log)


@contextmanager
def isolated_context() -> Iterator[Context]:
    """Yield an rclpy context in a domain of its own, in which child processes land too."""
    domain, lock = claim_domain()
    variables: dict[str, str] = {}
    confine(variables, domain, profile=shared_file('config/fastdds_large_messages.xml'))
    context = Context()
    with lock, demo_processes.environment(variables):
        context.init(domain_id=domain)
        try:
            yield context
        finally:
            context.try_shutdown()


class Observer:
    """Starts one stereo node at a time and collects what it publishes."""

    def __init__(
        self, context: Context, player: NodeProcess, options: DemoOptions, logs: Path
    ) -> None:
        """Take the running player."""
        self._context = context
        self._player = player
        self._options = options
        self._logs = logs

    def observe(
        self, name: str, parameters: Mapping[str, Any], *, until: int | None
    ) -> list[ReceivedPair]:
        """Return the complete pairs of a node, once there are enough.

        Waits also for the pair whose left image has the checksum ``until``. Raises
        :class:`DemoError` if none comes in time, and what ends the node or the player.
        """
        log = self._logs / f'{name}.log'
        with ExitStack() as stack:
            subscriber = stack.enter_context(OutputSubscriber(self._context, name))
            node = stack.enter_context(demo_processes.stereo_node(name, parameters, log=log))
            bar = stack.enter_context(tqdm(total=self._options.pairs, desc=name, unit='pair'))
            deadline = time.monotonic() + START_LIMIT_S
            pairs: list[ReceivedPair] = []
            while time.monotonic() < deadline and not self._enough(pairs, until):
                subscriber.spin(WAIT_S)
                node.check()
                self._player.check()
                if not pairs and subscriber.complete_pairs:
                    deadline = time.monotonic() + self._options.seconds
                pairs = subscriber.complete_pairs
                if len(pairs) > bar.n:
                    bar.update(min(len(pairs), self._options.pairs) - bar.n)
            if not pairs:
                raise DemoError(
                    f'no outputs of {name} within {START_LIMIT_S:g} s: {node.log_tail()}'
                )
        return pairs

    def _enough(self, pairs: Sequence[ReceivedPair], until: int | None) -> bool:
        if len(pairs) < self._options.pairs:
            return False
        return until is None or any(pair.content == until for pair in pairs)


def _pair_of(pairs: Sequence[ReceivedPair], content: int | None) -> ReceivedPair:
    """Return the newest pair with this left image, or the newest at all."""
    fitting = [pair for pair in pairs if pair.content == content]
    return (fitting or list(pairs))[-1]


def _record(results: Mapping[str, Sequence[ReceivedPair]], folder: Path) -> dict[str, int]:
    """Write the newest pairs, with their inputs and all outputs, and count them by topic."""
    with RecordingWriter(folder) as writer:
        for name, pairs in results.items():
            for pair in pairs[-RECORDED_PAIRS:]:
                played = stamp_ns(pair.left.header)
                for topic, message in pair.inputs.items():
                    writer.write(f'{demo_processes.CAMERA}/{topic}', serialized(message), played)
                for topic, message in pair.messages.items():
                    arrived = round(pair.arrived * 1e9)
                    writer.write(f'/{name}/{topic}', serialized(message), arrived)
        return dict(writer.counts)


def _write_results(
    options: DemoOptions,
    results: Mapping[str, Sequence[ReceivedPair]],
    shown: ReceivedPair,
    recorded: Mapping[str, int],
) -> dict[str, Any]:
    nodes = {name: node_summary(pairs) for name, pairs in results.items()}
    pair_of = {NETWORK: shown, CLASSIC: _pair_of(results[CLASSIC], shown.content)}
    methods = [MethodOutputs(label(nodes[name]), pair) for name, pair in pair_of.items()]
    draw_all(methods, options.output)
    for name, pair in pair_of.items():
        write_ply(options.output / f'points_{name}.ply', read_cloud(pair.messages['points']))
    same_pair = shown.content == pair_of[CLASSIC].content
    summary = {
        'hardware': hardware(),
        'nodes': nodes,
        'agreement': agreement(shown, pair_of[CLASSIC]) if same_pair else None,
        'recorded': dict(recorded),
    }
    text = json.dumps(summary, indent=2, allow_nan=False)
    write_atomically(options.output / 'summary.json', f'{text}\n'.encode())
    return summary


def label(node: Mapping[str, Any]) -> str:
    """Return what made a picture, e.g. 'S2M2 starter (torch, float32, 640x480)'."""
    if node['backend'] == CLASSIC:
        return 'OpenCV semi-global matching (sgbm)'
    details = f'{node["backend"]}, {node["precision"]}, {node["width"]}x{node["height"]}'
    checkpoint = node['checkpoint']
    family = '' if is_onnx_file(find_checkpoint(checkpoint)) else 'S2M2 '
    return f'{family}{Path(checkpoint).name} ({details})'
