"""The options of a run that goes on: its own, and nothing else that the command line says."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from s2m2_ros.training.options import FOLDERS, TrainingError, TrainOptions

_logger = logging.getLogger(__name__)

# Words of the command line that are the names of fields.
SAME_NAMES = (
    'steps', 'minutes', 'seed', 'learning_rate', 'average', 'crops', 'allow_negative',
    'scenes_fraction', 'margins', 'photographs',
)  # fmt: skip
# The fields that each word sets.
FIELDS = {
    **{name: (name,) for name in SAME_NAMES},
    'variant': ('channels', 'transformers'),
    'init': ('init_sha256',),
    'data': ('data_folders',),
    'unlabeled': ('unlabeled_folders',),
}


def resumed_options(
    stored: Mapping[str, Any], given: TrainOptions, words: Collection[str]
) -> TrainOptions:
    """Return the options that a run goes on with: those of its checkpoint.

    Args:
        stored: the options of the checkpoint, as it holds them.
        given: what the command line says.
        words: the options that it really names, e.g. `learning_rate`.

    Folders that it names replace the run's, since they may have moved; a warning says so.
    Checkpoints of earlier versions do not hold all options: those are taken from it.

    Raises:
        TrainingError: if another option differs from the run's, or an earlier version left out
            which folders of pairs without truth it has.
    """
    options = TrainOptions.from_dictionary(dict(stored))
    named = [(word, name) for word, names in FIELDS.items() if word in words for name in names]
    for word, name in named:
        before, now = getattr(options, name), getattr(given, name)
        if name not in stored:
            options = replace(options, **{name: now})
        elif before != now and before and name in FOLDERS:
            _logger.warning('--%s: the run goes on with %s instead of %s', word, now, before)
            options = replace(options, **{name: now})
        elif before != now:
            raise TrainingError(_differs(word, before, now))
    if options.unlabeled and not options.unlabeled_folders:
        raise TrainingError('the run learns from pairs without truth: give --unlabeled again')
    return options


def _differs(word: str, before: object, now: object) -> str:
    option = f'--{word.replace("_", "-")}'
    if word == 'init':
        return f'{option}: the run began with other weights: give those, or leave it out'
    return (
        f'{option}: the run has {before or "none"}, not {now}: leave it out to go on with '
        'the run, or start another one from its weights: --init FOLDER/best.pth'
    )
