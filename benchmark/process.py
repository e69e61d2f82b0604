"""Time `s2m2 process` of a recording made here: without a cluster, and with workers of one.

python -m benchmark.process
python -m benchmark.process --backend torch --pairs 40 --workers 1 2 4
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from s2m2_ros.geometry import CameraModel
from s2m2_ros.io.message_data import fill_image
from s2m2_ros.io.recordings.recording_writer import RecordingWriter, SerializedMessage
from s2m2_ros.messages.camera_info import camera_info_message
from s2m2_ros.messages.plain_messages import PlainMessage, definition, plain_header, serialized
from s2m2_ros.offline.distribution.options import ClusterOptions
from s2m2_ros.offline.processing import MatcherOptions, ProcessOptions, Processor
from s2m2_ros.offline.processing.processor import Progress

PERIOD_NS = 100_000_000
START_NS = 100 * 10**9


def write_recording(folder: Path, pairs: int, width: int, height: int) -> None:
    """Write textured pairs whose disparity is 16 px everywhere, at 10 Hz."""
    rng = np.random.default_rng(1)
    focal, shift = 0.8 * width, -0.8 * width * 0.1
    projection = (focal, 0, width / 2, 0, 0, focal, height / 2, 0, 0, 0, 1, 0)
    with RecordingWriter(folder) as writer:
        for number in range(pairs):
            stamp = START_NS + number * PERIOD_NS
            noise = rng.integers(0, 256, (height // 2, width // 2 + 8), dtype=np.uint8)
            both = cv2.resize(noise, (width + 16, height), interpolation=cv2.INTER_CUBIC)
            for side, pixels in (('left', both[:, :width]), ('right', both[:, 16:])):
                header = plain_header(stamp, 'left_camera_optical_frame')
                image = PlainMessage('sensor_msgs/msg/Image')
                image.header = header
                fill_image(image, np.ascontiguousarray(pixels), 'mono8')
                P = (*projection[:3], shift if side == 'right' else 0.0, *projection[4:])
                model = CameraModel(width=width, height=height, P=P)
                info = camera_info_message(model, header, raw=False)
                for name, message, kind in (
                    ('camera_info', info, 'sensor_msgs/msg/CameraInfo'),
                    ('image_rect', image, 'sensor_msgs/msg/Image'),
                ):
                    data = serialized(message, kind)
                    stored = SerializedMessage(kind, definition(kind), data)
                    writer.write(f'/{side}/{name}', stored, stamp)


def timed(
    recording: Path, output: Path, matching: MatcherOptions, cluster: ClusterOptions | None
) -> tuple[float, str]:
    """Return pairs per second of the second half, and the result's SHA-256.

    In the first half workers start and open their matchers, one after the other.
    """
    shown: list[tuple[float, int]] = []

    def show(progress: Progress) -> None:
        shown.append((time.monotonic(), progress.done))

    options = ProcessOptions(outputs=('depth', 'points'), segment_seconds=0.5)
    with Processor(matching, options, progress=show, cluster=cluster) as processor:
        result = processor.process(recording, output)
    (begin, before), (end, after) = shown[len(shown) // 2], shown[-1]
    return (after - before) / (end - begin), hashlib.sha256(result.output.read_bytes()).hexdigest()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pairs', type=int, default=240)
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--backend', default='sgbm')
    parser.add_argument('--workers', type=int, nargs='*', default=[1, 2])
    arguments = parser.parse_args()
    # Workers as important as the process that is compared with them.
    os.environ.setdefault('RAY_worker_niceness', '0')
    cv2.setNumThreads(1)
    matching = MatcherOptions(backend=arguments.backend)
    clusters = [None, *(ClusterOptions(workers=count) for count in arguments.workers)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_recording(folder / 'run', arguments.pairs, arguments.width, arguments.height)
        for number, cluster in enumerate(clusters):
            rate, digest = timed(folder / 'run', folder / str(number), matching, cluster)
            title = f'Ray, {cluster.workers} workers of 1 core' if cluster else 'one process'
            print(f'{title}: {rate:.2f} pairs per second, sha256 {digest[:12]}', flush=True)


if __name__ == '__main__':
    main()
