"""What happens to the node itself and its computer: kills, clocks, lost files, full disks."""

from __future__ import annotations

import math
import resource
import shutil
from pathlib import Path
from typing import Any

from support.robot import robot

INFOS = ['left/camera_info', 'right/camera_info']


def test_node_is_killed_and_restarted_and_calibration_comes_late() -> None:
    with robot() as made:
        made.wait_output('disparity', made.show())
        made.node.process.kill()
        made.node.process.wait()
        made.show(silent=INFOS)
        since = made.mark()
        made.start_node()
        for topic in INFOS:
            made.wait_told(topic, 'no messages received', since=since)
        made.wait_output('disparity', made.show())
        made.wait_untold('no messages received')


def test_simulated_time_stands_still_and_jumps_back() -> None:
    with robot(topics=('disparity', 'stats'), use_sim_time=True) as made:
        # A clock that has not begun says 0: no latency can be told, the rest works.
        early = made.wait_output('stats', made.show())
        assert math.isnan(early['latency_ms'])
        for now in (1000.0, 1000.5, 400.0, 1001.0):
            made.camera.call('tick', seconds=now)
            # With equal stamps and clock, the latency is how far one runs ahead of the other.
            made.wait_output('disparity', made.show())
            # The clock stands still meanwhile, and watching goes on.
            made.wait_diagnostics(lambda _: True, 'diagnostics', since=made.mark())
        assert made.set_parameter('use_sim_time', False) == ''
        late = made.wait_output('stats', made.show())
        assert 0 < late['latency_ms'] < 60_000
        since = made.mark()
        made.show(silent=['right/image_rect'])
        made.wait_told('right/image_rect', 'no messages received', since=since)
        assert made.set_parameter('use_sim_time', True) == ''
        made.wait_output('disparity', made.show())


def test_checkpoint_is_deleted_while_running(checkpoint: Path, tmp_path: Path) -> None:
    weights = tmp_path / 'weights.safetensors'
    shutil.copy(checkpoint, weights)
    options: dict[str, Any] = {
        'backend': 'torch',
        'device': 'cpu',
        'checkpoint': weights,
        'max_width': 64,
    }
    with robot(rate=5, **options) as made:
        made.wait_output('disparity', made.show())
        weights.unlink()
        made.wait_output('disparity', made.show())
        assert made.change_state('deactivate')
        assert made.change_state('cleanup')
        since = made.mark()
        assert not made.change_state('configure')
        made.wait_told('cannot configure', str(weights), since=since)
        made.node.log.wait(lambda line: str(weights) in line, 'the path in the log')
        weights.write_bytes(b'half a file')
        since = made.mark()
        assert not made.change_state('configure')
        made.wait_told('expected a .pth or .safetensors file', since=since)
        shutil.copy(checkpoint, weights)
        assert made.change_state('configure')
        assert made.change_state('activate')
        made.wait_output('disparity', made.show())
        made.wait_untold('configure')


def test_disk_is_full_for_caches(checkpoint: Path, tmp_path: Path) -> None:
    # The limit of a file's size stands in for a full disk: either way a write ends in OSError.
    options: dict[str, Any] = {
        'backend': 'onnxruntime',
        'device': 'cpu',
        'checkpoint': checkpoint,
        'refine_iterations': 0,
        # Configuring builds the model of this size, the camera's.
        'warm_up_width': 160,
        'warm_up_height': 120,
    }
    cache = {'S2M2_ROS_CACHE': str(tmp_path / 'cache')}
    with robot(autostart=False, rate=5, env=cache, max_width=64, **options) as made:
        made.wait_diagnostics(lambda _: True, 'diagnostics', since=0)
        limit = 64 * 1024
        assert limit < checkpoint.stat().st_size
        resource.prlimit(made.node.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        assert made.change_state('configure')
        made.node.log.wait(lambda line: 'cannot keep' in line, 'a warning about the cache')
        assert made.change_state('activate')
        made.wait_output('disparity', made.show())
        # What was compared is a line of text, which has room.
        kept = [path.name for path in (tmp_path / 'cache').rglob('*') if path.is_file()]
        assert not [name for name in kept if not name.startswith('proof-')]
