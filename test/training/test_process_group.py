"""Several processes of one run, started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import s2m2_ros
from s2m2_ros.training import checkpoints
from s2m2_ros.training.process_group import ProcessGroup

CPU = torch.device('cpu')

MEMBER = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[2])
import test_trainer
from s2m2_ros.training.process_group import ProcessGroup
from s2m2_ros.training.trainer import RunSettings, Trainer

group = ProcessGroup.join(torch.device('cpu'))
gradients = [torch.full((2, 3), 1.0 + 2 * group.rank), torch.tensor([4.0 * group.rank])]
group.average(gradients)
seconds = group.broadcast(5.5 + group.rank, torch.device('cpu'))

asked = []
class Scenes:
    def batch(self, index, *size):
        asked.append(index)
        return test_trainer.SCENES.batch(index, *size)

folder = Path(sys.argv[1])
settings = RunSettings(folder=folder / f'run{group.rank}', device=torch.device('cpu'))
options = replace(test_trainer.TINY, steps=3)
validation = test_trainer.VALIDATION.batch(0, 1, 32, 64)
trainer = Trainer(options, settings, Scenes(), validation, group=group)
trainer.run()
torch.save(trainer.learner.network.state_dict(), folder / f'weights{group.rank}.pth')
group.leave()
(folder / f'{group.rank}.json').write_text(json.dumps({
    'averages': [gradient.unique().tolist() for gradient in gradients],
    'seconds': seconds, 'asked': asked, 'pairs': trainer.state.pairs,
}))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what two processes left behind."""
    folder = tmp_path_factory.mktemp('group')
    script = folder / 'member.py'
    script.write_text(MEMBER)
    start = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    done = subprocess.run(
        [sys.executable, *start, str(script), str(folder), str(Path(__file__).parent)],
        env={**os.environ, 'PYTHONPATH': str(Path(s2m2_ros.__file__).parents[1])},
        check=False,
        capture_output=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr.decode()
    return folder


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f'{rank}.json').read_text()) for rank in (0, 1)]


def test_gradients_are_averaged_and_clocks_agree(folder: Path) -> None:
    for facts in told(folder):
        assert facts['averages'] == [[2.0], [2.0]]  # of 1 and 3, of 0 and 4
        assert facts['seconds'] == 5.5


def test_each_draws_pairs_of_its_own_and_all_hold_the_same_weights(folder: Path) -> None:
    facts = told(folder)
    assert [f['asked'] for f in facts] == [[0, 2, 4], [1, 3, 5]]
    # Two steps of two pairs and one of one pair, in each of two processes.
    assert [f['pairs'] for f in facts] == [10, 10]
    weights = [torch.load(folder / f'weights{r}.pth', weights_only=True) for r in (0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_only_one_saves_and_reports(folder: Path) -> None:
    files = {path.name for path in (folder / 'run0').iterdir()}
    assert {checkpoints.LAST, checkpoints.BEST, 'log.jsonl'} <= files
    assert not list((folder / 'run1').iterdir())


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    group = ProcessGroup.join(CPU)
    gradient = torch.tensor([1.0, 2.0])
    group.average([gradient])
    assert gradient.tolist() == [1.0, 2.0]
    assert group.broadcast(3.0, CPU) == 3.0
    assert group.is_main
    group.leave()
