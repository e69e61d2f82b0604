"""A run goes on with its own options, whatever the command line leaves out."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from s2m2_ros.training.options import TrainingError, TrainOptions
from s2m2_ros.training.resumed_options import resumed_options

RUN = TrainOptions(
    learning_rate=2e-5, scenes_fraction=0.2, data_folders=('/here/pairs',), init_sha256='ab'
)
ANYTHING = TrainOptions(learning_rate=1.0, data_folders=('/there/pairs',))


def test_what_is_not_named_is_that_of_the_run() -> None:
    assert resumed_options(RUN.as_dictionary(), ANYTHING, ['resume', 'device']) == RUN


@pytest.mark.parametrize(
    ('word', 'changed', 'said'),
    [
        (
            'learning_rate',
            {'learning_rate': 1e-3},
            '--learning-rate: the run has 2e-05, not 0.001',
        ),
        ('minutes', {'minutes': 60.0}, '--minutes: the run has 25.0, not 60.0'),
        ('scenes_fraction', {'scenes_fraction': 0.0}, '--scenes-fraction: the run has 0.2'),
        ('variant', {'channels': 128}, '--variant'),
        ('init', {'init_sha256': 'cd'}, '--init: the run began with other weights'),
        ('unlabeled', {'unlabeled_folders': ('/x',)}, '--unlabeled: the run has none'),
    ],
)
def test_another_value_is_an_error_that_names_both(
    word: str, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        resumed_options(RUN.as_dictionary(), replace(RUN, **changed), [word])
    assert str(raised.value).startswith(said)
    assert resumed_options(RUN.as_dictionary(), RUN, [word]) == RUN


def test_folders_may_have_moved(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        options = resumed_options(RUN.as_dictionary(), ANYTHING, ['data'])
    assert options == replace(RUN, data_folders=('/there/pairs',))
    assert options.continues(RUN.as_dictionary())
    assert '/there/pairs' in caplog.text
    assert '/here/pairs' in caplog.text


NEWER = (
    *('scenes_fraction', 'margins', 'data_folders', 'unlabeled_folders'),
    *('photographs', 'init_sha256', 'license'),
)


def test_earlier_versions_did_not_store_folders() -> None:
    stored = {k: v for k, v in RUN.as_dictionary().items() if k not in NEWER}
    options = resumed_options(stored, RUN, ['data', 'scenes_fraction', 'init'])
    assert options == RUN
    assert options.continues(stored)


def test_pairs_without_truth_must_be_named_where_they_were_not_stored() -> None:
    stored = TrainOptions(unlabeled=True).as_dictionary()
    stored = {k: v for k, v in stored.items() if k not in NEWER}
    with pytest.raises(TrainingError, match='give --unlabeled again'):
        resumed_options(stored, TrainOptions(), [])


def test_facts_that_are_passed_on_hold_no_paths() -> None:
    facts = replace(RUN, photographs='/home/someone/photographs').as_facts()
    assert facts['data_folders'] == ['pairs']
    assert facts['photographs'] == 'photographs'
