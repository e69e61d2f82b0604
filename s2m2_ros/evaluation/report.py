"""Scores as a table, as JSON and as pictures."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from s2m2_ros.atomic_files import FileWriteError, write_atomically
from s2m2_ros.evaluation.evaluate import MethodScores, PairReport
from s2m2_ros.evaluation.metrics import DisparityScores, mean_scores, without_nan
from s2m2_ros.evaluation.pictures import error_picture
from s2m2_ros.io.images.image_files import disparity_picture, write_png

COLUMNS = ('EPE', 'bad 0.5', 'bad 1', 'bad 2', 'bad 4', 'D1', 'density', 'bad 2 vis')
EXTRA_COLUMNS = ('AP vis', 'AP occ', 'AP conf', 'AUSE', 'seconds')


def mean_report(reports: list[PairReport]) -> dict[str, MethodScores]:
    """Return the mean of each method over the pairs, each pair weighing the same."""
    methods = list(dict.fromkeys(name for report in reports for name in report.scores))
    return {name: _mean([r.scores[name] for r in reports if name in r.scores]) for name in methods}


def table(reports: list[PairReport]) -> str:
    """Return a Markdown table of every pair and method, and of the means over several pairs.

    Fractions are in percent. Empty fields: unknown to the data set or the method.
    """
    lines = [
        '| ' + ' | '.join(('pair', 'method', *COLUMNS, *EXTRA_COLUMNS)) + ' |',
        '| --- | --- |' + ' ---: |' * (len(COLUMNS) + len(EXTRA_COLUMNS)),
    ]
    rows = [(r.pair.name, method, s) for r in reports for method, s in r.scores.items()]
    if len(reports) > 1:
        rows += [('mean', method, scores) for method, scores in mean_report(reports).items()]
    lines += [_line(name, method, scores) for name, method, scores in rows]
    return '\n'.join(lines)


def write_json(file: Path, reports: list[PairReport], about: dict[str, Any]) -> None:
    """Write all numbers; NaN becomes null. ``about`` says what was run.

    Raises FileWriteError.
    """
    content = {
        **about,
        'pairs': {r.pair.name: {m: asdict(s) for m, s in r.scores.items()} for r in reports},
        'mean': {m: asdict(s) for m, s in mean_report(reports).items()},
    }
    text = json.dumps(without_nan(content), indent=2) + '\n'
    try:
        write_atomically(file, text.encode())
    except OSError as error:
        raise FileWriteError(f"cannot write '{file}': {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Make a folder for pictures, if it is missing. Raises FileWriteError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"cannot make '{folder}': {error.strerror}") from error


def write_picture(folder: Path, report: PairReport) -> Path:
    """Write the left image and the truth above each method's disparity and error."""
    truth = report.pair.disparity
    low, high = (float(q) for q in np.nanquantile(truth, [0.01, 0.99]))
    rows = [[report.pair.left, disparity_picture(truth, low, high)]]
    rows += [
        [disparity_picture(estimate, low, high), error_picture(estimate, truth)]
        for estimate in report.estimates.values()
    ]
    file = folder / f'{report.pair.name.replace("/", "_")}.png'
    write_png(file, np.concatenate([np.concatenate(row, axis=1) for row in rows]))
    return file


def _line(name: str, method: str, scores: MethodScores) -> str:
    every = scores.every
    fractions = (every.bad_05, every.bad_1, every.bad_2, every.bad_4, every.d1, every.density)
    fields = [
        _number(every.epe),
        *(_percent(fraction) for fraction in fractions),
        _percent(scores.visible.bad_2),
        _number(scores.visibility_ap, 3),
        _number(scores.occlusion_ap, 3),
        _number(scores.confidence_ap, 3),
        _number(scores.sparsification),
        _number(scores.seconds),
    ]
    return '| ' + ' | '.join((name, method, *fields)) + ' |'


def _number(value: float, digits: int = 2) -> str:
    return f'{value:.{digits}f}' if math.isfinite(value) else ''


def _percent(value: float) -> str:
    return '' if math.isnan(value) else f'{100 * value:.1f}'


def _mean(scores: list[MethodScores]) -> MethodScores:
    every = [s.every for s in scores]
    return MethodScores(
        every=mean_scores(every),
        visible=_mean_or_nan([s.visible for s in scores]),
        seconds=_known_mean([s.seconds for s in scores]),
        visibility_ap=_known_mean([s.visibility_ap for s in scores]),
        occlusion_ap=_known_mean([s.occlusion_ap for s in scores]),
        confidence_ap=_known_mean([s.confidence_ap for s in scores]),
        sparsification=_known_mean([s.sparsification for s in scores]),
    )


def _mean_or_nan(scores: list[DisparityScores]) -> DisparityScores:
    return mean_scores([s for s in scores if s.pixels] or scores[:1])


def _known_mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float('nan')
