"""The training loop on a tiny network: it learns, and it goes on as if never stopped."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import s2m2_ros
from s2m2_ros.atomic_files import FileWriteError
from s2m2_ros.evaluation.metrics import disparity_scores
from s2m2_ros.evaluation.pairs import DatasetError
from s2m2_ros.network import load_network
from s2m2_ros.network.checkpoint import CheckpointError, read_metadata
from s2m2_ros.training import checkpoints
from s2m2_ros.training.batch import StereoBatch
from s2m2_ros.training.checkpoints import RunState
from s2m2_ros.training.export import export_best
from s2m2_ros.training.options import Crop, TrainingError, TrainOptions
from s2m2_ros.training.procedural.scenes import SceneGenerator, scene_options
from s2m2_ros.training.progress import Progress
from s2m2_ros.training.trainer import RunSettings, Trainer
from s2m2_ros.training.validation import SEED, ValidationScores
from s2m2_ros.weights.provenance import license_of

TINY = TrainOptions(
    channels=8, steps=6, crops=(Crop(0.5, 32, 64, 2), Crop(1.0, 64, 64, 1)), objects=(2, 3)
)


class OnePair:
    """The same batch again and again, to be learnt by heart."""

    def __init__(self, pairs: StereoBatch) -> None:
        self.pairs = pairs

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        assert self.pairs.left.shape == (batch_size, 3, height, width)
        return self.pairs


# Generators keep nothing but their textures, so all tests may share them.
SCENES = SceneGenerator(0, options=scene_options(TINY), bank_size=6)
VALIDATION = SceneGenerator(1, options=scene_options(TINY), bank_size=6)


def make_trainer(folder: Path, options: TrainOptions = TINY, **settings: Any) -> Trainer:
    chosen = RunSettings(folder=folder, device=torch.device('cpu'), **settings)
    return Trainer(options, chosen, SCENES, VALIDATION.batch(0, 1, 32, 64))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = checkpoints.load_last(folder)['network']
    return weights


def test_it_learns_a_small_fixed_set_by_heart(tmp_path: Path) -> None:
    options = replace(
        TINY, channels=16, steps=40, crops=(Crop(1.0, 32, 64, 1),), learning_rate=3e-3
    )
    trainer = make_trainer(tmp_path, options)
    trainer.source = OnePair(SCENES.batch(0, 1, 32, 64))
    losses = [float(trainer.step()['total']) for _ in range(options.steps)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_it_learns_from_a_pair_without_truth(tmp_path: Path) -> None:
    pairs = SCENES.batch(0, 1, 32, 64)
    blind = replace(pairs, valid=0 * pairs.valid, labeled=0 * pairs.labeled)
    options = replace(TINY, steps=30, learning_rate=3e-3, crops=(Crop(1.0, 32, 64, 1),))
    trainer = make_trainer(tmp_path, replace(options, unlabeled=True))
    trainer.source = OnePair(blind)
    steps = [trainer.step() for _ in range(options.steps)]
    assert set(steps[0]) == {'photometric', 'smoothness', 'total', 'gradient', 'rate'}
    totals = [float(step['total']) for step in steps]
    assert sum(totals[-5:]) < sum(totals[:5])
    untaught = make_trainer(tmp_path, options)
    untaught.source = OnePair(blind)
    assert 'photometric' not in untaught.step()


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    make_trainer(tmp_path / 'whole').run()
    make_trainer(tmp_path / 'parts', stop_after=4).run()
    resumed = make_trainer(tmp_path / 'parts')
    resumed.resume()
    assert resumed.state.step == 4
    resumed.run()
    whole, parts = weights_of(tmp_path / 'whole'), weights_of(tmp_path / 'parts')
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    content = [checkpoints.load_last(tmp_path / name) for name in ('whole', 'parts')]
    assert all(
        torch.equal(content[0]['average'][name], content[1]['average'][name]) for name in whole
    )


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_trainer
trainer = test_trainer.make_trainer(Path(sys.argv[1]), save_every=0.0)
save, count = trainer.save, [0]
def save_twice_then_die():
    count[0] += 1
    if count[0] == 3:
        write = test_trainer.checkpoints.torch.save
        def half(content, stream):
            write(content, stream)
            stream.truncate(1000)
            os.kill(os.getpid(), signal.SIGKILL)
        test_trainer.checkpoints.torch.save = half
    save()
trainer.save = save_twice_then_die
trainer.run()
"""


def test_killed_while_it_writes_a_checkpoint(tmp_path: Path) -> None:
    make_trainer(tmp_path / 'whole').run()
    root = str(Path(s2m2_ros.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, '-c', KILLED, str(tmp_path / 'killed'), str(Path(__file__).parent)],
        env={**os.environ, 'PYTHONPATH': root},
        check=False,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    resumed = make_trainer(tmp_path / 'killed')
    resumed.resume()
    assert resumed.state.step == 2
    resumed.run()
    whole, killed = weights_of(tmp_path / 'whole'), weights_of(tmp_path / 'killed')
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_resuming_with_other_options_is_refused(tmp_path: Path) -> None:
    make_trainer(tmp_path, stop_after=1).run()
    other = make_trainer(tmp_path, replace(TINY, learning_rate=1e-5))
    with pytest.raises(TrainingError, match='other options'):
        other.resume()


def test_resuming_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r'last\.ckpt: no such checkpoint'):
        make_trainer(tmp_path).resume()


@pytest.mark.parametrize('kept', [checkpoints.LAST, checkpoints.BEST])
def test_a_new_run_overwrites_no_other_one(tmp_path: Path, kept: str) -> None:
    (tmp_path / kept).write_bytes(b'hours of work')
    with pytest.raises(TrainingError, match=rf'holds a run already \({kept}\).*--resume'):
        make_trainer(tmp_path).run()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(kept, b'hours of work')]


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / checkpoints.LAST).write_bytes(b'PK\x03\x04 half of it')
    with pytest.raises(TrainingError, match='not a whole training checkpoint'):
        make_trainer(tmp_path).resume()


class Malicious:
    """Runs a command when it is unpickled freely."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ('touch pickled',))


def test_a_checkpoint_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({'format': 1, 'evil': Malicious()}, tmp_path / checkpoints.LAST)
    with pytest.raises(TrainingError):
        checkpoints.load_last(tmp_path)
    assert not (tmp_path / 'pickled').exists()


def test_starting_from_weights_alone_warms_up_afresh(tmp_path: Path) -> None:
    make_trainer(tmp_path / 'first').run()
    best = tmp_path / 'first' / checkpoints.BEST
    settings = RunSettings(folder=tmp_path / 'second', device=torch.device('cpu'))
    trainer = Trainer(TINY, settings, SCENES, VALIDATION.batch(0, 1, 32, 64), init=best)
    average = checkpoints.load_last(tmp_path / 'first')['average']
    start = trainer.learner.network.state_dict()
    assert all(torch.equal(start[name], average[name].half().float()) for name in average)
    assert trainer.state.step == 0
    assert float(trainer.step()['rate']) < 0.1 * TINY.learning_rate


def test_starting_from_weights_of_another_variant_is_refused(tmp_path: Path) -> None:
    make_trainer(tmp_path).run()
    with pytest.raises(TrainingError, match='holds the variant C8T1'):
        Trainer(
            replace(TINY, channels=16),
            RunSettings(folder=tmp_path, device=torch.device('cpu')),
            SCENES,
            VALIDATION.batch(0, 1, 32, 64),
            init=tmp_path / checkpoints.BEST,
        )


def test_a_gradient_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.step()
    pairs = trainer.source.batch(0, 2, 32, 64)
    trainer.source = OnePair(replace(pairs, left=pairs.left * torch.nan))
    trainer.step()
    assert all(bool(p.isfinite().all()) for p in trainer.learner.network.parameters())


NOT_A_NUMBER = replace(TINY, steps=40, crops=(Crop(1.0, 32, 64, 2),))


def nan_trainer(folder: Path) -> Trainer:
    """Return a run that has saved a good step, and whose pairs are NaN from then on."""
    trainer = make_trainer(folder, NOT_A_NUMBER)
    folder.mkdir(exist_ok=True)
    trainer.step()
    trainer.save()
    pairs = trainer.source.batch(0, 2, 32, 64)
    trainer.source = OnePair(replace(pairs, left=pairs.left * torch.nan))
    return trainer


def test_a_run_without_finite_gradients_ends_and_keeps_what_was_saved(tmp_path: Path) -> None:
    trainer = nan_trainer(tmp_path)
    for _ in range(20):
        trainer.step()
    words = r'failed at step 21: the gradients of the last 20 steps.*--learning-rate below 0\.0004'
    with pytest.raises(TrainingError, match=rf'{words}.*last\.ckpt.*is of step 1'):
        trainer.save()
    assert checkpoints.load_last(tmp_path)['state']['step'] == 1


def test_steps_that_were_left_out_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = nan_trainer(tmp_path)
    trainer.step()
    trainer.source = SCENES
    trainer.step()
    with caplog.at_level(logging.WARNING):
        trainer.save()
    assert '1 of the last 2 steps were left out' in caplog.text
    caplog.clear()
    trainer.save()
    assert not caplog.text
    assert checkpoints.load_last(tmp_path)['state']['step'] == 3


def test_weights_that_match_nothing_are_not_saved(tmp_path: Path) -> None:
    make_trainer(tmp_path, stop_after=1).run()
    trainer = make_trainer(tmp_path, stop_after=0)
    trainer.resume()
    next(iter(trainer.learner.average.weights.values())).fill_(torch.nan)
    before = (tmp_path / checkpoints.LAST).read_bytes()
    with pytest.raises(TrainingError, match='disparities of the network are no finite numbers'):
        trainer.run()
    assert (tmp_path / checkpoints.LAST).read_bytes() == before


class Unreadable:
    """Scenes whose third batch cannot be read."""

    def batch(self, index: int, batch_size: int, height: int, width: int) -> StereoBatch:
        if index == 2:
            raise DatasetError('pairs/7: cannot be read')
        return SCENES.batch(index, batch_size, height, width)


def test_the_steps_before_an_unreadable_pair_are_saved(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, save_every=float('inf'))
    trainer.source = Unreadable()
    with pytest.raises(DatasetError, match='pairs/7'):
        trainer.run()
    resumed = make_trainer(tmp_path)
    resumed.resume()
    assert resumed.state.step == 2


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    progress = Progress(tmp_path, TINY)
    with pytest.raises(TrainingError, match='another process trains in'):
        make_trainer(tmp_path).run()
    progress.close()
    make_trainer(tmp_path, stop_after=1).run()


def test_a_full_disk_is_said_with_the_name_of_the_log(tmp_path: Path) -> None:
    (tmp_path / 'log.jsonl').symlink_to('/dev/full')
    with pytest.raises(FileWriteError, match=r'log\.jsonl.*No space left'):
        make_trainer(tmp_path).run()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / 'run').touch()
    with pytest.raises(FileWriteError, match=r"cannot write '.*run'"):
        make_trainer(tmp_path / 'run').run()


def test_the_log_is_json_also_where_a_loss_is_not_finite(tmp_path: Path) -> None:
    progress = Progress(tmp_path, TINY)
    progress.step(RunState(), 0.5, {'total': torch.tensor(torch.nan)})
    progress.close()
    line = (tmp_path / 'log.jsonl').read_text().splitlines()[-1]
    assert '"total": null' in line


def test_the_end_names_the_weights_and_their_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        make_trainer(tmp_path, replace(TINY, data_folders=('/pairs',))).run()
    said = caplog.records[-1].getMessage()
    assert f'{tmp_path / checkpoints.BEST}: the averaged weights of step 6' in said
    assert 'scores there say nothing of your pairs' in said


@pytest.mark.parametrize(
    ('recorded', 'given', 'expected'),
    [
        ('Apache-2.0', '', 'Apache-2.0'),
        ('CC BY-NC 4.0', '', 'CC BY-NC 4.0'),
        ('', '', 'unknown'),
        ('', 'Company', 'Company'),
    ],
)
def test_exported_weights_have_the_license_of_their_beginning(
    recorded: str, given: str, expected: str, tmp_path: Path
) -> None:
    make_trainer(tmp_path, replace(TINY, license=recorded), stop_after=0).run()
    file = tmp_path / 'x.safetensors'
    export_best(tmp_path, file, license=given)
    assert read_metadata(file)['licence'] == expected
    assert license_of(file) == expected


def test_export_names_a_wrong_suffix_and_a_damaged_file(tmp_path: Path) -> None:
    make_trainer(tmp_path, stop_after=0).run()
    with pytest.raises(TrainingError, match=r"as \.safetensors, not 'x\.pth'"):
        export_best(tmp_path, tmp_path / 'x.pth')
    best = tmp_path / checkpoints.BEST
    best.write_bytes(best.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r'best\.pth'):
        export_best(tmp_path, tmp_path / 'x.safetensors')


def test_the_seed_of_the_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='seed'):
        make_trainer(tmp_path, replace(TINY, seed=SEED))


@pytest.mark.parametrize('crop', [Crop(1.0, 33, 64, 1), Crop(1.0, 32, 64, 0)])
def test_impossible_crops_are_refused(tmp_path: Path, crop: Crop) -> None:
    with pytest.raises(TrainingError, match='crop'):
        make_trainer(tmp_path, replace(TINY, crops=(crop,)))


def test_log_and_export_hold_the_facts(tmp_path: Path) -> None:
    make_trainer(tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    kinds = [line['kind'] for line in lines]
    assert kinds[:2] == ['options', 'sgbm']
    assert 'train' in kinds
    assert kinds[-1] == 'validation'
    assert 0 <= lines[-1]['bad_2'] <= 1
    file = tmp_path / 'starter.safetensors'
    facts = export_best(tmp_path, file, baseline=True)
    assert facts['steps'] == 6
    assert facts['pairs'] == 3 * 2 + 3 * 1
    assert facts['baseline_weights'] is True
    network = load_network(file)
    average = torch.load(tmp_path / checkpoints.BEST, weights_only=True)['state_dict']
    assert {value.dtype for value in average.values()} == {torch.float16}
    for name, value in network.state_dict().items():
        assert torch.equal(value, average[name].float())


def test_wild_estimates_do_not_rank_well() -> None:
    calm = disparity_scores(torch.full((100,), 3.0), torch.zeros(100), torch.ones(100) > 0)
    estimate = torch.zeros(100)
    estimate[0] = 1e6
    wild = disparity_scores(estimate, torch.zeros(100), torch.ones(100) > 0)
    ranks = [ValidationScores(s, s, 1.0, 1.0, 1.0, 0.0).ranking for s in (calm, wild)]
    # All of the first are bad by 3 px, one in a hundred of the second by a million.
    assert ranks == pytest.approx([1.0 + 0.03, 0.01 + 100.0])


def test_exporting_before_any_validation_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='not validated yet'):
        export_best(tmp_path, tmp_path / 'x.safetensors')


def test_bfloat16_keeps_the_weights_in_float32(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, precision='bfloat16')
    parts = trainer.step()
    assert bool(parts['total'].isfinite())
    assert {p.dtype for p in trainer.learner.network.parameters()} == {torch.float32}


def test_options_survive_a_checkpoint() -> None:
    values = json.loads(json.dumps(TINY.as_dictionary()))
    assert TrainOptions.from_dictionary(values) == TINY
    with pytest.raises(TrainingError, match='another version'):
        TrainOptions.from_dictionary({**values, 'unknown': 1})
