"""`result.json` beside each result: from which inputs, and how, it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import s2m2_ros
from s2m2_ros.atomic_files import FileWriteError, write_atomically
from s2m2_ros.inference.matcher import StereoMatcher
from s2m2_ros.weights import file_sha256, find_checkpoint

RECORD = 'result.json'


@dataclass(frozen=True)
class Recipe:
    """Everything that a result depends on; two results of one recipe are equal.

    Attributes:
        software: version of this package.
        matcher: checkpoint with its SHA-256, backend, precision, device and their options.
        options: what was asked of the pipeline, by name.
        inputs: SHA-256 of each input's content, by role ('left', 'right', 'calibration').

    """

    software: str
    matcher: Mapping[str, Any]
    options: Mapping[str, Any]
    inputs: Mapping[str, Sequence[str]]

    @classmethod
    def of_matcher(
        cls, matcher: StereoMatcher, options: Mapping[str, Any], **matcher_options: Any
    ) -> Recipe:
        """Return the recipe of an opened matcher, without inputs yet.

        `options` and `matcher_options` hold JSON values.
        """
        facts = {
            'checkpoint': matcher.checkpoint,
            'checkpoint_sha256': (
                file_sha256(find_checkpoint(matcher.checkpoint)) if matcher.checkpoint else ''
            ),
            'backend': matcher.backend,
            'precision': matcher.precision,
            'device': str(matcher.device),
            'network': dict(matcher.network_description),
            **matcher_options,
        }
        if matcher.confidence_meaning.sha256:
            facts['confidence_table_sha256'] = matcher.confidence_meaning.sha256
        return cls(s2m2_ros.__version__, facts, dict(options), {})

    def with_inputs(self, digests: Mapping[str, Sequence[str]]) -> Recipe:
        """Return the recipe of these inputs."""
        return replace(self, inputs=dict(digests))

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return {
            'software': f's2m2_ros {self.software}',
            'matcher': dict(self.matcher),
            'options': dict(self.options),
            'inputs': {role: list(digests) for role, digests in self.inputs.items()},
        }


def is_recorded(folder: Path, recipe: Recipe) -> bool:
    """Return whether the folder's record says that its results were made by this recipe."""
    return bool(_recorded(folder) == recipe.to_json())


def is_of_calibration(folder: Path) -> bool:
    """Return whether the folder's record says that a calibration was among the inputs."""
    recipe = _recorded(folder)
    inputs = recipe.get('inputs') if isinstance(recipe, dict) else None
    return isinstance(inputs, dict) and bool(inputs.get('calibration'))


def _recorded(folder: Path) -> Any:
    """Return the recipe of the folder's record, None if there is none."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None
    return content.get('recipe') if isinstance(content, dict) else None


def write_record(folder: Path, recipe: Recipe, **facts: Any) -> None:
    """Write the record; `facts` are what else is worth knowing. Raises FileWriteError."""
    text = json.dumps({'recipe': recipe.to_json(), **facts}, indent=2, sort_keys=True)
    try:
        write_atomically(folder / RECORD, text.encode() + b'\n')
    except OSError as error:
        raise FileWriteError(f"cannot write '{folder / RECORD}': {error.strerror}") from error
