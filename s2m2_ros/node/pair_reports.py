"""What a pair shows of its camera: findings, notes, and the examination of the rig."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from s2m2_ros.geometry.pair_findings import Finding, FindingKind
from s2m2_ros.node.faults import Fault
from s2m2_ros.node.job import CameraPort, Job
from s2m2_ros.node.statistics import Session
from s2m2_ros.pipeline import PairOutputs, examine_outputs
from s2m2_ros.text_safety import safe_text

CONTENT_FAULTS: Mapping[FindingKind, Fault] = {
    FindingKind.BLANK: Fault.BLANK,
    FindingKind.IDENTICAL: Fault.IDENTICAL,
}
RIG_FAULTS: Mapping[FindingKind, Fault] = {
    FindingKind.SWAPPED: Fault.SWAPPED,
    FindingKind.MISALIGNED: Fault.MISALIGNMENT,
    FindingKind.ROTATED: Fault.ROTATED,
    FindingKind.UNRELATED: Fault.UNRELATED,
}


def report_findings(camera: CameraPort, outputs: PairOutputs) -> None:
    """Report findings on the content, and warnings on images or calibration."""
    _report(camera, outputs.findings, CONTENT_FAULTS)
    if outputs.warnings:
        camera.faults.report(Fault.CALIBRATION, '; '.join(outputs.warnings))
    else:
        camera.faults.clear(Fault.CALIBRATION)


def log_notes(job: Job, outputs: PairOutputs) -> None:
    """Log what is worth knowing of a pair, once in a session."""
    for note in outputs.notes:
        if note not in job.session.noted:
            job.session.noted.add(note)
            job.camera.logger.info(note)


def examine(camera: CameraPort, session: Session, outputs: PairOutputs) -> None:
    """Check the rig by the features of a pair, seldom, after it was published."""
    period, now = camera.settings.calibration_check_period, time.monotonic()
    if not period or now < session.examined_at + period:
        return
    session.examined_at = now
    try:
        examination, found = examine_outputs(outputs, camera.settings.pipeline_options())
    except Exception as error:  # a failed check must not drop the pair
        camera.faults.report(Fault.EXAMINATION, f'no calibration check: {safe_text(repr(error))}')
        return
    session.examination = examination
    # Too few features say nothing, neither that something is wrong nor that it is not.
    if examination.matches or found:
        _report(camera, found, RIG_FAULTS)


def _report(
    camera: CameraPort, found: Sequence[Finding], faults: Mapping[FindingKind, Fault]
) -> None:
    """Report the findings of these kinds, and clear the faults of the others."""
    texts = {faults[finding.kind]: finding.text for finding in found if finding.kind in faults}
    for fault, text in texts.items():
        camera.faults.report(fault, text)
    camera.faults.clear(*(set(faults.values()) - set(texts)))
