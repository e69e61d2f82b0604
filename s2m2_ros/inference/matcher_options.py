"""What a matcher is opened with, in one piece."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from s2m2_ros.errors import S2M2Error
from s2m2_ros.inference import sgbm_refinement
from s2m2_ros.inference.hardware.devices import resolve_device
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.inference.preset_choice import Choice, automatic_preset
from s2m2_ros.inference.presets import AUTO, AUTOMATIC, BY_PRESET, CHOICES, PRESETS
from s2m2_ros.inference.registry import AUTOMATIC_ORDER, BACKENDS
from s2m2_ros.inference.sgbm_options import (
    REFINE_ALWAYS,
    REFINE_AUTO,
    REFINE_CHOICES,
    REFINE_NEVER,
    SgbmOptions,
)
from s2m2_ros.network import S2M2Config, read_config
from s2m2_ros.weights import find_checkpoint
from s2m2_ros.weights.other_networks import is_onnx_file
from s2m2_ros.weights.provenance import has_baseline_weights

_logger = logging.getLogger(__name__)
_ALL_THAT_AUTO_CHOOSES = {'max_width', 'refine_iterations'}
REFINED = (
    'sgbm_refinement: the last pixels of the disparity are taken from semi-global matching, which '
    'is finer than {}; never turns this off'
)
_PRESET_FIELDS = ('max_width', 'refine_iterations', 'upsampling')


@dataclass(frozen=True)
class MatcherOptions:
    """How pairs are matched, see `StereoMatcher.open`.

    `preset` is a key of `PRESETS` or 'auto' and stands for `max_width`, `refine_iterations` and
    `upsampling`, unless these are given: `BY_PRESET` means that they are not. `sgbm_refinement`
    is one of `REFINE_CHOICES`; 'auto' is 'always' for baseline weights on a processor.
    """

    checkpoint: str = 'starter'
    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    preset: str = AUTO
    refine_iterations: int = BY_PRESET
    allow_negative: bool = False
    max_width: int = BY_PRESET
    upsampling: float = BY_PRESET
    sgbm_refinement: str = REFINE_AUTO
    sgbm: SgbmOptions = field(default_factory=SgbmOptions)

    def resolved(self) -> MatcherOptions:
        """Return the options with the preset's values filled in, and log which they are.

        What is returned has every value given, and resolves to itself.

        Raises S2M2Error if there is no such preset, device or checkpoint.
        """
        if self.preset not in CHOICES:
            raise S2M2Error(f"preset must be one of {', '.join(CHOICES)}, not '{self.preset}'")
        options = replace(self, sgbm_refinement=self._chosen_refinement())
        return options._with_preset()

    def _with_preset(self) -> MatcherOptions:
        given = {n: getattr(self, n) for n in _PRESET_FIELDS if getattr(self, n) != BY_PRESET}
        if self.preset == AUTO and given.keys() >= _ALL_THAT_AUTO_CHOOSES:
            return replace(self, upsampling=given.get('upsampling', 1.0))
        if len(given) == len(_PRESET_FIELDS):
            _logger.info('preset %s has no effect: %s', self.preset, _overriding(given))
            return replace(self, preset=AUTO)
        config = self._config()
        choice = self._choice(config)
        filled = {n: getattr(choice.preset, n) for n in _PRESET_FIELDS if n not in given}
        if config is not None:
            _logger.info('%s', _sentence(choice, filled, given))
        elif self.preset not in (AUTO, choice.name):
            _logger.info('preset %s is ignored: it is for S2M2 networks', self.preset)
        return replace(self, preset=AUTO, **filled)

    def open(self, *, counted_confidence: bool = True) -> StereoMatcher:
        """Return a matcher; see `StereoMatcher.open`. Raises S2M2Error."""
        options = self.resolved()
        try:
            return StereoMatcher.open(
                options.checkpoint,
                device=options.device,
                precision=options.precision,
                backend=options.backend,
                refine_iterations=options.refine_iterations,
                allow_negative=options.allow_negative,
                max_width=options.max_width,
                upsampling=options.upsampling,
                sgbm_refinement=options.sgbm_refinement == REFINE_ALWAYS,
                sgbm=options.sgbm,
                counted_confidence=counted_confidence,
            )
        except ValueError as error:
            raise S2M2Error(str(error)) from error

    def _file(self) -> Path | None:
        """Return the file of the network; None if the backend needs none."""
        entry = BACKENDS.get(self.backend)
        if entry is not None and not entry.needs_checkpoint:
            return None
        return find_checkpoint(self.checkpoint)

    def _config(self) -> S2M2Config | None:
        """Return the sizes of the network; None if it is not one of ours."""
        file = self._file()
        return None if file is None or is_onnx_file(file) else read_config(file)

    def _chosen_refinement(self) -> str:
        """Return 'always' or 'never', and log what 'auto' is; raises S2M2Error."""
        if self.sgbm_refinement not in REFINE_CHOICES:
            allowed, given = ', '.join(REFINE_CHOICES), self.sgbm_refinement
            raise S2M2Error(f"sgbm_refinement must be one of {allowed}, not '{given}'")
        if self.sgbm_refinement != REFINE_AUTO:
            return self.sgbm_refinement
        file = self._file()
        serves = (
            file is not None
            and resolve_device(self.device).type == 'cpu'
            and has_baseline_weights(file)
            and sgbm_refinement.is_available()
        )
        if not serves:
            return REFINE_NEVER
        _logger.info('%s', REFINED.format(self.checkpoint))
        return REFINE_ALWAYS

    def _choice(self, config: S2M2Config | None) -> Choice:
        if config is None:
            accurate = next(iter(AUTOMATIC))
            return Choice(accurate, PRESETS[accurate], '')
        if self.preset != AUTO:
            return Choice(self.preset, PRESETS[self.preset], f'preset {self.preset}')
        device = resolve_device(self.device)
        backend = AUTOMATIC_ORDER[device.type][0] if self.backend == 'auto' else self.backend
        able = backend in BACKENDS and BACKENDS[backend].bfloat16_on_cpu
        return automatic_preset(
            config,
            device,
            bfloat16=able and self.precision in ('auto', 'bfloat16'),
            refined=self.sgbm_refinement == REFINE_ALWAYS,
        )


def _sentence(choice: Choice, filled: dict[str, float], given: dict[str, float]) -> str:
    """Return what the log says of a preset: why, which values it sets, and which override it."""
    shown = {name: value for name, value in filled.items() if (name, value) != ('upsampling', 1.0)}
    parts = [choice.reason, ', '.join(f'{name} {value:g}' for name, value in shown.items())]
    text = ': '.join(part for part in parts if part)
    return f'{text}; {_overriding(given)}' if given else text


def _overriding(given: dict[str, float]) -> str:
    *others, last = (f'{name} {value:g}' for name, value in given.items())
    values = f'{", ".join(others)} and {last}' if others else last
    return f'{values} given, which override{"s" if len(given) == 1 else ""} it'
