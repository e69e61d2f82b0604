"""The node with an ONNX file of another network, over DDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from support.onnx_networks import BlockMatcher
from support.stereo_rig import running_rig
from support.stereo_scene import BASELINE, FOCAL_LENGTH, PlaneScene

ERROR = 2
SCENE = PlaneScene()


def test_depth_of_another_network_and_the_fallback_for_a_wrong_description(tmp_path: Path) -> None:
    """One process tells the whole story: a start takes seconds."""
    network = BlockMatcher(sign=-1, count=48).write(tmp_path / 'net.onnx')
    description = network.with_suffix('.yaml')
    description.write_text('disparity: {sign: negative, largest: 47}')
    arguments = (f'checkpoint:={network}', 'device:=cpu', 'diagnostics_period:=0.1')
    with running_rig(*arguments, 'fallback_backend:=sgbm') as rig:
        rig.open_cameras()
        topics = ('depth', 'occlusion_mask', 'confidence', 'points', 'stats')
        heard = {topic: rig.listen(topic) for topic in topics}
        at = rig.publish_until(lambda: all(heard.values()), 'all outputs', SCENE, start=1.0)
        stats = heard['stats'][-1]
        assert (stats.backend, stats.checkpoint) == ('onnxruntime', str(network))
        depth = heard['depth'][-1]
        values = np.frombuffer(depth.data, np.float32).reshape(depth.height, depth.width)
        # The block matcher finds whole pixels: within half a pixel of the plane's disparity.
        disparity = FOCAL_LENGTH * BASELINE / values
        inside = np.isfinite(values)
        inside[:, :60] = False
        assert inside.mean() > 0.7
        assert np.median(np.abs(disparity - SCENE.disparity())[inside]) < 0.4
        mask = np.frombuffer(heard['occlusion_mask'][-1].data, np.uint8)
        assert 0.02 < (mask == 255).mean() < 0.3

        # A description that became wrong: reported with what would fit, and the fallback works.
        description.write_text('disparity: {largest: 47}')
        for step in (
            Transition.TRANSITION_DEACTIVATE,
            Transition.TRANSITION_CLEANUP,
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_ACTIVATE,
        ):
            request = ChangeState.Request(transition=Transition(id=step))
            assert rig.call(ChangeState, 'change_state', request).success
        rig.publish_until(
            lambda: heard['stats'][-1].backend == 'sgbm', 'the fallback', SCENE, start=at + 1
        )
        status = rig.wait_for_status('matching', ERROR, 'using fallback_backend sgbm')
        assert 'disparity.sign: negative' in status.message
