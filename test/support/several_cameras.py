"""A stereo node with several cameras, and a matcher that tells what it works on and may wait."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context

from support.processes import hear, say
from support.stereo_rig import COMMAND, Rig, end, unique_namespace
from support.stereo_scene import CX_LEFT, CX_RIGHT, PlaneScene, image_message, stamp

# Stands for a network: the disparity is the code in the first pixel of each left image. It prints
# the codes of each batch; if one is at least GATED it waits for a line: go, or an error to raise.
# Above the gray of a warm-up.
GATED = 150
GATED_DEVICE = f"""
import sys, types
import torch
from s2m2_ros.inference import Maps, registry

class Device:
    name, precision, device = 'device', 'float32', torch.device('cpu')
    def infer(self, left, right):
        codes = [int(one[0, 0, 0]) for one in left]
        if max(codes) >= {GATED}:
            print(*codes, flush=True)
            answer = sys.stdin.readline().strip()
            if answer != 'go':
                raise RuntimeError(answer)
        flat = torch.tensor(codes).float()[:, None, None].repeat(1, *left.shape[2:])
        return Maps(flat, torch.ones_like(flat), torch.ones_like(flat))
    def close(self):
        pass

module = types.ModuleType('device_backend')
module.unavailable = lambda options: None
module.open_backend = lambda options: Device()
sys.modules['device_backend'] = module
registry.BACKENDS['device'] = registry.BackendEntry(
    'device_backend', 'test', needs_checkpoint=False, prepares_sizes=False
)
{COMMAND}
"""


class CameraRig(Rig):
    """The world around one camera of a node: its namespace lies below the node's."""

    def __init__(self, context: Context, above: str, name: str, executor: Any) -> None:
        self.status_prefix = f'{above}/stereo_node/{name}: '
        super().__init__(context, f'{above}/{name}')
        self.name = name
        self.executor.remove_node(self.node)
        self.executor = executor
        executor.add_node(self.node)
        self.disparities: list[Any] = []

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self.status_prefix):
                self.statuses[status.name.removeprefix(self.status_prefix)] = status

    def count(self, key: str) -> int:
        """Return a number that the diagnostics show."""
        return int(self.values('outputs').get(key, self.values('inputs').get(key, '0')))

    def send_code(
        self, code: int, at: float, scene: PlaneScene | None = None, *, encoding: str = 'mono8'
    ) -> None:
        """Publish a pair of noise whose first left pixel is the code."""
        scene = scene or PlaneScene()
        left, right = (image.copy() for image in scene.images())
        left[0, 0] = code
        made = {}
        for side, gray in (('left', left), ('right', right)):
            pixels = gray if encoding == 'mono8' else np.repeat(gray[..., None], 3, axis=2)
            made[f'{side}_image_rect'] = image_message(pixels, stamp(at), encoding)
        self.publish(scene, at, **made)

    def codes(self) -> list[int]:
        """Return the codes of the answers so far, in order."""
        return [code_of(message) for message in self.disparities]

    def listen_disparity(self) -> None:
        """Subscribe, so that `codes` grows."""
        self.disparities = self.listen('disparity')


def code_of(message: Any) -> int:
    """Return the code of a DisparityImage, whose disparity is adjusted by the principal points."""
    values = np.frombuffer(message.image.data, np.float32)
    return round(float(np.median(values)) + CX_LEFT - CX_RIGHT)


class Fleet:
    """The node, and a rig for each of its cameras."""

    def __init__(
        self, process: subprocess.Popen[str], rigs: Mapping[str, CameraRig], node: Rig
    ) -> None:
        self.process = process
        self.rigs = rigs
        self.node = node

    def __getitem__(self, name: str) -> CameraRig:
        return self.rigs[name]

    def connect(self, start: float = 1.0, **scenes: PlaneScene) -> float:
        """Publish small codes until every camera answers, and nothing waits; return the time."""
        at = start
        for rig in self.rigs.values():
            if not rig.cameras:
                rig.open_cameras()
                rig.listen_disparity()
        for number, (name, rig) in enumerate(self.rigs.items()):
            scene = scenes.get(name, PlaneScene())
            rig.disparities.clear()
            while not rig.disparities:
                at = round(at + 0.1, 3)
                rig.send_code(10 + number, at, scene)
                self.spin(0.1)
        self.settle()
        for rig in self.rigs.values():
            rig.disparities.clear()
        return at

    def spin(self, seconds: float) -> None:
        """Spin for so long."""
        end_at = time.monotonic() + seconds
        while (left := end_at - time.monotonic()) > 0:
            self.node.executor.spin_once(timeout_sec=left)

    def settle(self) -> None:
        """Wait until the diagnostics of all cameras say that nothing waits."""
        for rig in self.rigs.values():
            rig.statuses.clear()
        for rig in self.rigs.values():
            rig.until(
                lambda rig=rig: rig.values('outputs').get('pairs waiting') == '0',  # type: ignore[misc]
                f'{rig.name} without a pair that waits',
            )

    def wait_matched(self, **counts: int) -> None:
        """Wait until the pairs of these cameras that came together are so many."""
        for name, count in counts.items():
            rig = self.rigs[name]
            rig.until(lambda r=rig, c=count: r.count('pairs matched') == c, f'{name}: {count}')  # type: ignore[misc]

    def matched(self, name: str) -> int:
        """Return how many pairs of a camera came together so far."""
        return self.rigs[name].count('pairs matched')

    def begun(self) -> list[int]:
        """Return the codes of the batch that the matcher waits in."""
        return [int(word) for word in hear(self.process).split()]

    def answer(self, line: str = 'go') -> None:
        """Let the matcher go on, or fail with this text."""
        say(self.process, line)


@contextmanager
def running_fleet(
    *names: str, parameters: tuple[str, ...] = (), command: str = GATED_DEVICE
) -> Iterator[Fleet]:
    """Run a node with these cameras and `name:=value` parameters; it must end cleanly."""
    above = unique_namespace()
    given = (f'cameras:=[{", ".join(names)}]', 'diagnostics_period:=0.1', *parameters)
    flags = [part for one in given for part in ('-p', one)]
    process = subprocess.Popen(
        [sys.executable, '-c', command, '--ros-args', '-r', f'__ns:={above}', *flags],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    context = Context()
    rclpy.init(context=context)
    node = Rig(context, above)
    node.process = process
    rigs = {name: CameraRig(context, above, name, node.executor) for name in names}
    for rig in rigs.values():
        rig.process = process
    try:
        yield Fleet(process, rigs, node)
        if process.poll() is None:
            assert end(process) == 0
    finally:
        process.kill()
        process.communicate()
        for one in (node, *rigs.values()):
            one.node.destroy_node()
        context.shutdown()
