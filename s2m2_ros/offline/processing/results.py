"""The files that an input becomes, and whether they are there already."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2m2_ros.atomic_files import write_atomically, write_errors
from s2m2_ros.errors import S2M2Error
from s2m2_ros.io.recordings.storage.stored_messages import StoredMetadata, StoredRecord
from s2m2_ros.offline.output_formats import OutputFormat
from s2m2_ros.offline.processing.mcap_extras import carried_records
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.report import report_page
from s2m2_ros.offline.processing.result_channels import recorded_channels
from s2m2_ros.offline.processing.result_files import is_unchanged, local_facts, remote_facts
from s2m2_ros.offline.processing.rosbag2_metadata import METADATA, metadata_text
from s2m2_ros.offline.processing.storage import RemoteFolder
from s2m2_ros.offline.processing.streams import Stream
from s2m2_ros.offline.processing.summary import Summary
from s2m2_ros.offline.processing.work_folder import WorkFolder, plan_in

_logger = logging.getLogger(__name__)

METADATA_NAME = 's2m2_ros'
# What the record says besides the recipe.
FACTS = ('pairs', 'lost', 'incomplete', 'losses')


class OccupiedError(S2M2Error):
    """Where a result would be is something that must not be replaced; names it."""


@dataclass(frozen=True)
class Processed:
    """What became of one input.

    Attributes:
        output: the recording, or the folder of files.
        report: the page to look at.
        pairs: how many were processed.
        lost: how many could not be.
        losses: what was damaged, failed or is lacking, each once.
        incomplete: how many of the processed pairs lack something.
        was_done: whether the result was there already, made from the same input in the same way.
        url: where output and report were put; empty if they are on this machine.

    """

    output: Path
    report: Path
    pairs: int
    lost: int
    losses: Sequence[str] = ()
    was_done: bool = False
    url: str = ''
    incomplete: int = 0

    @property
    def place(self) -> str:
        """Return the path or URL of the output."""
        return f'{self.url}/{self.output.name}' if self.url else str(self.output)

    @property
    def is_whole(self) -> bool:
        """Return whether nothing of the input was lost."""
        return not self.lost and not self.losses


class Result:
    """The files that one input becomes.

    Attributes:
        name: what they are called.
        work: the folder of an unfinished result.
        source: where the input is, so that no result of another one is replaced.

    """

    def __init__(
        self,
        folder: Path,
        name: str,
        options: ProcessOptions,
        remote: RemoteFolder | None = None,
        source: str = '',
    ) -> None:
        """Take the folder in which they are made, and the one they are put into at a URL."""
        self._folder, self.name, self._options = folder, name, options
        self.source = source
        self._remote = remote
        self.work = folder / f'.{name}.s2m2'
        is_mcap = options.formats == (OutputFormat.MCAP,)
        self.output = folder / (f'{name}.mcap' if is_mcap else name)
        self.record = folder / f'{name}.json'
        self.report = folder / f'{name}.html'

    @property
    def shared_attempts(self) -> str:
        """Return the URL where other machines put segments; empty if they see this folder."""
        return f'{self._remote.url}/{self.work.name}' if self._remote else ''

    def check(self, source: Path, fingerprint: Mapping[str, Any]) -> None:
        """Raise OccupiedError if a result here would replace, or change, what is not its own.

        That is the input, files that no earlier run made, and the result of another input, also
        an unfinished one.
        """
        folder, inside = self._folder.resolve(), source.resolve()
        is_inside = source.is_dir() and folder.is_relative_to(inside)
        if is_inside or self.output.resolve() == inside:
            raise OccupiedError(
                f"the result '{self.output}' would lie in the input '{source}' or replace it: "
                'take another folder for the output'
            )
        record = self._own_record()
        if record is not None:
            self._check_origin(record, fingerprint, self._shown(self.output), 'the result')
        elif self.work.exists():
            plan = plan_in(self.work)
            self._check_origin(plan, fingerprint, str(self.work), 'an unfinished result')
        else:
            self._check_free()

    def _check_origin(
        self, made: Mapping[str, Any], fingerprint: Mapping[str, Any], place: str, what: str
    ) -> None:
        """Raise OccupiedError if something was made of another input."""
        recipe, source = made.get('recipe'), made.get('source')
        if not isinstance(recipe, Mapping):
            return
        # Of the same place, it is the same input, if a changed one; so is a moved one.
        if source == self.source or recipe.get('input') == fingerprint:
            return
        raise OccupiedError(
            f"'{place}' is {what} of '{source}', not of '{self.source}': take another folder "
            'for the output, or move it'
        )

    def _check_free(self) -> None:
        for path in (self.output, self.report, self.record):
            if self._exists(path):
                raise OccupiedError(
                    f"'{self._shown(path)}' is there and is no result of an earlier run: move it, "
                    'or take another folder for the output'
                )

    def _own_record(self) -> dict[str, Any] | None:
        """Return the record of an earlier run; None if there is none."""
        try:
            if self._remote is None:
                text: bytes | None = self.record.read_bytes()
            else:
                text = self._remote.read(self.record.name)
        except OSError:
            return None
        return _as_record(text)

    def found(self, recipe: Mapping[str, Any]) -> Processed | None:
        """Return the result if it is there and was made by this recipe."""
        content = self._own_record()
        if content is None or content['recipe'] != recipe:
            return None
        for path in (self.output, self.report):
            if not self._exists(path):
                return None
            if not is_unchanged(content.get('files', {}).get(path.name), self._facts_of(path)):
                _logger.warning(
                    "'%s' is not as it was written: it is made again", self._shown(path)
                )
                return None
        return self._processed(content, was_done=True)

    def finish(
        self,
        work: WorkFolder,
        stream: Stream,
        recipe: Mapping[str, Any],
        summary: Summary,
        records: Sequence[StoredRecord] = (),
    ) -> Processed:
        """Give everything its final name, the record last. Raises FileWriteError.

        ``records`` are attachments and metadata of the input, to be carried along.
        """
        page = report_page(self.name, stream, recipe, summary)
        made = self._made(work, stream, recipe, records)
        with write_errors(self.record):
            self.record.unlink(missing_ok=True)
        work.place(made, self.output)
        work.place_text(page, self.report)
        with write_errors(self.output):
            content = {
                'recipe': recipe,
                'source': self.source,
                'files': {path.name: local_facts(path) for path in (self.output, self.report)},
                **_facts(summary),
            }
        # The record last: with it, the result counts as done.
        work.place_text(json.dumps(content, indent=2, sort_keys=True) + '\n', self.record)
        if self._remote is not None:
            self._put(self._remote)
        return self._processed(_facts(summary))

    def _processed(self, facts: Mapping[str, Any], *, was_done: bool = False) -> Processed:
        url = self._remote.url if self._remote else ''
        known = {fact: facts[fact] for fact in FACTS}
        return Processed(self.output, self.report, was_done=was_done, url=url, **known)

    def _put(self, remote: RemoteFolder) -> None:
        """Copy everything to its URL, the record last, and remove it here."""
        remote.remove(self.record.name)
        if self.output.is_dir():
            # Files of an earlier result may have other names.
            remote.remove(self.output.name)
        for path in (self.output, self.report, self.record):
            remote.put(path, path.name)
        remote.remove(self.work.name)
        for path in (self.output, self.report, self.record):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()

    def _exists(self, path: Path) -> bool:
        return path.exists() if self._remote is None else self._remote.exists(path.name)

    def _facts_of(self, path: Path) -> dict[str, Any]:
        if self._remote is not None:
            return remote_facts(self._remote, path.name)
        with write_errors(path):
            return local_facts(path)

    def _shown(self, path: Path) -> str:
        return f'{self._remote.url}/{path.name}' if self._remote else str(path)

    def _joined_files(self, work: WorkFolder) -> Path:
        folder, renamed = work.finish_files()
        if renamed:
            _logger.warning(
                "'%s': %d pairs have the timestamp of an earlier one: a number follows it in the "
                'names of their files, as in TIMESTAMP_2',
                self.source,
                renamed,
            )
        return folder

    def _made(
        self,
        work: WorkFolder,
        stream: Stream,
        recipe: Mapping[str, Any],
        records: Sequence[StoredRecord],
    ) -> Path:
        if not self._options.writes_recording:
            return self._joined_files(work)
        own = StoredMetadata(METADATA_NAME, _metadata(recipe))
        joined = work.finish_joined([*carried_records(records), own])
        if self._options.formats == (OutputFormat.MCAP,):
            return joined
        bag = work.path / 'bag'
        with write_errors(bag):
            shutil.rmtree(bag, ignore_errors=True)
            bag.mkdir()
            target = bag / f'{self.name}_0.mcap'
            channels = recorded_channels(stream, self._options.outputs)
            text = metadata_text(target.name, channels, work.parts())
            write_atomically(bag / METADATA, text.encode())
            try:
                # Not moved: if this run is killed, the next finds the joined file where it was.
                target.hardlink_to(joined)
            except OSError:
                joined.rename(target)
        return bag


def is_result(path: Path, name: str) -> bool:
    """Return whether a recording or folder is a result of this name, by the record beside it."""
    try:
        return is_record((path.parent / f'{name}.json').read_bytes())
    except OSError:
        return False


def is_record(text: bytes | None) -> bool:
    """Return whether the content of a file is the record of a result."""
    return _as_record(text) is not None


def _as_record(text: bytes | None) -> dict[str, Any] | None:
    """Return the record of a result; None if a text is none."""
    try:
        content = None if text is None else json.loads(text)
    except ValueError:
        return None
    is_ours = isinstance(content, dict) and {'recipe', *FACTS} <= content.keys()
    return content if is_ours else None


def _facts(summary: Summary) -> dict[str, Any]:
    """Return `FACTS` as JSON values."""
    return {
        'pairs': summary.pairs,
        'lost': summary.lost,
        'incomplete': summary.incomplete,
        'losses': list(summary.losses),
    }


def _metadata(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the recipe as the metadata record of an MCAP file, whose values are texts."""
    matcher = recipe['matcher']
    return {
        'software': recipe['software'],
        'checkpoint': matcher['checkpoint'],
        'checkpoint_sha256': matcher['checkpoint_sha256'],
        'backend': matcher['backend'],
        'precision': matcher['precision'],
        'device': matcher['device'],
        **{
            key: json.dumps(recipe[key], sort_keys=True)
            for key in ('matcher', 'options', 'pipeline', 'versions', 'input')
        },
    }
