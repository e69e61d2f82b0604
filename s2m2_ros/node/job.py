"""One pair for the worker, and what it needs of the camera that the pair came from."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from s2m2_ros.io.images.pixel_range import PixelRange
from s2m2_ros.messages.builders import CloudMemory
from s2m2_ros.messages.output_topics import MessageSource
from s2m2_ros.node.faults import FaultLog
from s2m2_ros.node.inputs.color_camera import ColorCamera
from s2m2_ros.node.inputs.synchronizer import StereoMessages
from s2m2_ros.node.outputs.transforms import TransformSource
from s2m2_ros.node.parameters import Settings
from s2m2_ros.node.statistics import Session
from s2m2_ros.pipeline import PipelineState


class CameraPort(Protocol):
    """What the processor needs of a camera; `node.camera.Camera` is one."""

    faults: FaultLog
    logger: Any
    memory: CloudMemory
    state: PipelineState
    pixel_range: PixelRange

    @property
    def settings(self) -> Settings:
        """Return the parameters of this moment."""

    @property
    def color(self) -> ColorCamera | None:
        """Return the color camera; None unless something of it is wanted."""

    @property
    def transforms(self) -> TransformSource | None:
        """Return where transforms are found; None unless they are needed."""

    def wanted(self) -> frozenset[str]:
        """Return the outputs with a subscriber."""

    def publish(self, topics: Collection[str], source: MessageSource) -> None:
        """Publish the messages of a pair, unless deactivated."""

    def send(self, topic: str, message: Any) -> None:
        """Publish one message, unless deactivated."""


@dataclass(frozen=True, eq=False)
class Job:
    """A pair, the camera it came from, and the activation it came in.

    Pairs of equal `size` may be matched at once; None: alone.
    """

    camera: CameraPort
    session: Session
    messages: StereoMessages
    size: Hashable = None
