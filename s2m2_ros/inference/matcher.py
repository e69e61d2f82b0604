"""`StereoMatcher`: any two rectified images in; disparity, visibility and confidence out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import torch

from s2m2_ros.confidence_tables import ConfidenceMeaning, meaning_of
from s2m2_ros.inference import selection
from s2m2_ros.inference.backend import Backend, Maps
from s2m2_ros.inference.backends.devices import on_device
from s2m2_ros.inference.counted_confidence import counted_meaning
from s2m2_ros.inference.errors import ClosedError, DeviceMemoryError, OptionError, ProcessError
from s2m2_ros.inference.hardware.device_memory import is_out_of_memory, release, width_that_fits
from s2m2_ros.inference.hardware.timing import StageTimings, mark
from s2m2_ros.inference.images import Image, Uploader, common_format
from s2m2_ros.inference.own_process import OPEN_ANOTHER, OwnProcess
from s2m2_ros.inference.presets import MOST_UPSAMPLING
from s2m2_ros.inference.result import MatchResult
from s2m2_ros.inference.scaling import (
    finer_size,
    finer_where_trusted,
    resize_images,
    to_size,
    working_size,
)
from s2m2_ros.inference.sgbm_options import SgbmOptions
from s2m2_ros.inference.sgbm_refinement import SgbmRefinement

_logger = logging.getLogger(__name__)


class StereoMatcher:
    """Matches rectified stereo pairs with one backend on one device.

    Attributes:
        backend: name of the backend in use, e.g. 'torch' or 'sgbm'; with 'auto' it changes where
            the engine of a new image size cannot be built or is wrong.
        precision: 'float32', 'float16' or 'bfloat16': that of convolutions and attention.
        device: where the results are.
        checkpoint: the name or path it was opened with; empty if the backend needs none.
        max_width: images are shrunk to at most this width for the network; 0 for no limit.
        upsampling: above 1, images are matched a second time at so many times their size, as far
            as `max_width` allows, and each pixel is taken from the finer result unless the other
            one is much more trusted.
        refinement: what refines the disparity by semi-global matching; None: nothing does.
        confidence_meaning: what the confidence of the results means, for
            `geometry.uncertainty`.

    Calls from several threads are run one after the other; each process opens its own. Closing
    (also by `with`) frees the device memory.

    """

    def __init__(
        self,
        backend: Backend,
        *,
        checkpoint: str = '',
        max_width: int = 0,
        upsampling: float = 1.0,
        refinement: SgbmRefinement | None = None,
        confidence_meaning: ConfidenceMeaning | None = None,
    ) -> None:
        """Wrap an opened backend; use `open` unless you wrote the backend yourself."""
        if max_width < 0:
            raise OptionError(f'max_width must be 0 (no limit) or a width, not {max_width}')
        if not 1.0 <= upsampling <= MOST_UPSAMPLING:
            raise OptionError(f'upsampling must be 1 to {MOST_UPSAMPLING:g}, not {upsampling:g}')
        self.backend = backend.name
        self.precision = backend.precision
        self.device = backend.device
        self.checkpoint = checkpoint
        self.max_width = max_width
        self.upsampling = upsampling
        self.refinement = refinement
        self._backend: Backend | None = backend
        self.confidence_meaning = confidence_meaning or meaning_of(self.confidence_table)
        self._uploader = Uploader(backend.device)
        self._lock = threading.Lock()
        self._process = OwnProcess()

    @classmethod
    def open(
        cls,
        checkpoint: str | Path = 'starter',
        *,
        device: str | torch.device = 'auto',
        precision: str = 'auto',
        backend: str = 'auto',
        refine_iterations: int = 3,
        allow_negative: bool = False,
        max_width: int | None = None,
        upsampling: float = 1.0,
        sgbm_refinement: bool = False,
        cache_folder: Path | None = None,
        sgbm: SgbmOptions | None = None,
        counted_confidence: bool = True,
    ) -> StereoMatcher:
        """Load a checkpoint and return a matcher.

        Args:
            checkpoint: name in the registry ('starter', 'S', 'M', 'L', 'XL') or of an added
                file, or path of a `.pth` or `.safetensors` file, or of the `.onnx` file of
                another network; ignored by the `sgbm` backend.
            device: 'auto' (a CUDA device if there is one), 'cpu', 'cuda', 'cuda:1', ...; ignored
                by the `sgbm` backend.
            precision: 'auto', 'float32', 'float16' or 'bfloat16'. 'auto' is float16 on a CUDA
                device; on a processor, bfloat16 where there are instructions for it and the
                network agrees with float32 to 0.1 px, else float32. Disparity and coordinates are
                float32 always, and so is everything if float16 is asked of a processor.
            backend: 'auto' or one of `registry.BACKENDS`.
            refine_iterations: local refinement steps; 3 as published, fewer is faster.
            allow_negative: allow negative disparities (verged cameras).
            max_width: work at this width at most; the disparity is scaled back. None or 0: no
                limit.
            upsampling: match a second time at so many times the size, 1 (not) to 4, for finer
                depth of what has texture; its square in time and memory. `max_width` limits it.
            sgbm_refinement: take the last pixels of the disparity from semi-global matching where
                it agrees with the network or that doubts itself (`sgbm_refinement.py`): finer
                with weights that were trained briefly, worse with others. Runs on the processor;
                the `sgbm` backend is not refined by itself.
            cache_folder: where engines are kept between runs; default: the user's cache folder.
            sgbm: how the `sgbm` backend and the refinement match; default: `SgbmOptions()`.
            counted_confidence: take what the confidence means from the table beside the
                checkpoint (`s2m2 weights fit-confidence`), where there is one.

        Raises:
            WeightsError: the checkpoint is not known or does not exist.
            CheckpointError: the file is not a checkpoint of this network.
            InferenceError, DescriptionError: an ONNX file cannot be used, or its description is
                wrong.
            ConfidenceTableError: the table of confidence beside the checkpoint is damaged, or was
                counted for other weights.
            BackendUnavailableError: backend or device cannot be used here; says what is missing.
            OptionError: an option is out of range; also a ValueError.

        """
        if not isinstance(sgbm_refinement, bool):
            raise OptionError(f'sgbm_refinement must be True or False, not {sgbm_refinement!r}')
        opened = selection.open_backend(
            checkpoint,
            device=device,
            precision=precision,
            backend=backend,
            refine_iterations=refine_iterations,
            allow_negative=allow_negative,
            cache_folder=cache_folder,
            sgbm=sgbm,
        )
        is_network = opened.name != 'sgbm'
        return cls(
            opened,
            checkpoint=str(checkpoint) if is_network else '',
            max_width=max_width or 0,
            upsampling=upsampling,
            refinement=SgbmRefinement(sgbm, allow_negative=allow_negative)
            if sgbm_refinement and is_network
            else None,
            confidence_meaning=counted_meaning(checkpoint, opened)
            if is_network and counted_confidence
            else None,
        )

    def match(self, left: Image, right: Image, *, timed: bool = False) -> MatchResult:
        """Match one rectified pair.

        Args:
            left: (H, W) or (H, W, 3) RGB array or tensor, H and W >= 32; uint8, uint16 (full
                range) or float in 0..255.
            right: the same shape and type.
            timed: fill `MatchResult.timings`; costs two event records.

        Returns:
            Maps of the images' size on `device`. On a CUDA device the work may still be under
            way on the current stream, as with any operation of torch.

        Raises:
            ImageError: the images are not alike, too small, of a wrong type or hold NaN.
            DeviceMemoryError: the device's memory does not suffice; says what would fit.
            BackendUnavailableError: the backend cannot prepare this size, or its results differ
                from those of torch by more than `proof.MEDIAN_LIMIT_PX`.
            ProcessError: the matcher was opened before this process was forked.

        """
        return self.match_batch([left], [right], timed=timed)[0]

    def match_batch(
        self, lefts: Sequence[Image], rights: Sequence[Image], *, timed: bool = False
    ) -> list[MatchResult]:
        """Match several pairs, all images of one size and type, in one pass; see `match`.

        With `timed` every result carries the timings of the whole batch.
        """
        self._process.check(self.device, self.backend)
        with self._lock, torch.inference_mode(), on_device(self.device):
            if self._backend is None:
                raise ClosedError
            layout = common_format(lefts, rights)
            size = self.working_size(layout.height, layout.width)
            try:
                return self._match(self._backend, lefts, rights, size, timed=timed)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            finally:
                self.backend, self.precision = self._backend.name, self._backend.precision
            # Outside the handler: the traceback held the tensors of the failed pass.
            release(self.device)
            height, width = finer_size(*size, self.max_width, self.upsampling)
            raise DeviceMemoryError(
                height=height,
                width=width,
                max_width=width_that_fits(height, width, len(lefts), self.device),
                device=str(self.device),
            )

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width the backend works at for images of this size."""
        return working_size(height, width, self.max_width)

    def matched_width(self, height: int, width: int) -> int:
        """Return the width at which images of this size are really matched.

        Backends may scale what they get once more: `sgbm` by options of its own, networks of
        others to the size that they were exported for.
        """
        size = self.working_size(height, width)
        find = getattr(self._backend, 'matched_width', None)
        return int(find(*size)) if find else size[1]

    def refined_width(self, height: int, width: int) -> int:
        """Return the width at which semi-global matching refines images of this size."""
        return self.refinement.matched_width(height, width) if self.refinement else width

    def remarks(self, height: int, width: int) -> tuple[str, ...]:
        """Return what is worth knowing of matching images of this size, in sentences."""
        find = getattr(self._backend, 'remarks', None)
        return tuple(find(*self.working_size(height, width))) if find else ()

    @property
    def confidence_table(self) -> str:
        """The name under which `confidence_tables` knows where the confidence comes from."""
        own = getattr(self._backend, 'confidence_table', '')
        return str(own) or self.checkpoint or self.backend

    @property
    def network_description(self) -> Mapping[str, Any]:
        """The conventions of a network of others and the SHA-256 of all its files, as JSON values.

        Empty for S2M2 and sgbm.
        """
        return dict(getattr(self._backend, 'description', {}))

    def warm_up(self, height: int, width: int, *, channels: int = 3, batch: int = 1) -> None:
        """Match gray images of this size once, so that the first real pair is not slower.

        Compiles, captures or builds whatever the backend keeps per size, and waits for it.
        """
        gray = torch.full((height, width, channels), 128, dtype=torch.uint8, device='cpu')
        self.match_batch([gray] * batch, [gray] * batch)[0].cpu()

    def close(self) -> None:
        """Free the backend's memory; later calls raise ClosedError. May be called twice."""
        with self._lock:
            if self._backend is None:
                return
            self._backend.close()
            self._backend = None
            self._uploader.close()
            release(self.device)

    def __reduce__(self) -> NoReturn:
        raise ProcessError(f'a matcher cannot be copied, pickled or sent: {OPEN_ANOTHER}')

    def __enter__(self) -> StereoMatcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _match(
        self,
        backend: Backend,
        lefts: Sequence[Image],
        rights: Sequence[Image],
        size: tuple[int, int],
        *,
        timed: bool,
    ) -> list[MatchResult]:
        started = mark(self.device) if timed else None
        left, right = self._uploader.upload(lefts, rights)
        uploaded = mark(self.device) if timed else None
        maps = _at_size(backend, left, right, size)
        finer = finer_size(left.shape[-2], left.shape[-1], self.max_width, self.upsampling)
        matched_width = size[1]
        if finer[1] > left.shape[-1]:
            matched_width = finer[1]
            maps = finer_where_trusted(maps, _at_size(backend, left, right, finer))
        agreements: Sequence[torch.Tensor | None] = [None] * len(lefts)
        if self.refinement is not None:
            maps, agreement = self.refinement.refine(
                maps, left, right, matched_width=matched_width
            )
            agreements = list(agreement)
        timings = None
        if started is not None and uploaded is not None:
            timings = StageTimings(started, uploaded, mark(self.device))
        images: Sequence[torch.Tensor | None] = [None] * len(lefts)
        if self.device.type == 'cuda':
            images = list(left.permute(0, 2, 3, 1))
        return [
            MatchResult(*one, timings, image, agreement)
            for one, image, agreement in zip(
                zip(*maps, strict=True), images, agreements, strict=True
            )
        ]


def _at_size(
    backend: Backend, left: torch.Tensor, right: torch.Tensor, size: tuple[int, int]
) -> Maps:
    """Return the maps of images (B, C, H, W), matched at a height and width, in their size."""
    full_size = (left.shape[-2], left.shape[-1])
    if size == full_size:
        return backend.infer(left, right)
    resized = [resize_images(images, size) for images in (left, right)]
    return to_size(backend.infer(*resized), full_size)
