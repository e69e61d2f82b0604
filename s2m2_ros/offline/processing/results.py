"""The files that an input becomes, and whether they are there already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2m2_ros.atomic_files import FileWriteError, write_atomically, write_errors
from s2m2_ros.offline.output_formats import OutputFormat
from s2m2_ros.offline.processing.options import ProcessOptions
from s2m2_ros.offline.processing.report import report_page
from s2m2_ros.offline.processing.rosbag2_metadata import METADATA, metadata_text
from s2m2_ros.offline.processing.sinks import recorded_channels
from s2m2_ros.offline.processing.storage import RemoteFolder
from s2m2_ros.offline.processing.streams import Stream
from s2m2_ros.offline.processing.summary import Summary
from s2m2_ros.offline.processing.work_folder import WorkFolder

METADATA_NAME = 's2m2_ros'
# What the record says besides the recipe.
FACTS = ('pairs', 'lost', 'losses')


@dataclass(frozen=True)
class Processed:
    """What became of one input.

    Attributes:
        output: the recording, or the folder of files.
        report: the page to look at.
        pairs: how many were processed.
        lost: how many could not be.
        losses: what was damaged or failed, each once.
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

    """

    def __init__(
        self, folder: Path, name: str, options: ProcessOptions, remote: RemoteFolder | None = None
    ) -> None:
        """Take the folder in which they are made, and the one they are put into at a URL."""
        self._folder, self.name, self._options = folder, name, options
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

    def check(self, source: Path, *, is_begun: bool) -> None:
        """Raise FileWriteError if a result here would replace, or change, what is not one.

        ``is_begun``: an earlier run began this result.
        """
        folder, inside = self._folder.resolve(), source.resolve()
        is_inside = source.is_dir() and folder.is_relative_to(inside)
        if is_inside or self.output.resolve() == inside:
            raise FileWriteError(
                f"the result '{self.output}' would lie in the input '{source}' or replace it: "
                'take another folder for the output'
            )
        if is_begun or self._own_record() is not None:
            return
        for path in (self.output, self.report, self.record):
            if self._exists(path):
                raise FileWriteError(
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
            content = None if text is None else json.loads(text)
        except (OSError, ValueError):
            return None
        is_ours = isinstance(content, dict) and {'recipe', *FACTS} <= content.keys()
        return content if is_ours else None

    def found(self, recipe: Mapping[str, Any]) -> Processed | None:
        """Return the result if it is there and was made by this recipe."""
        content = self._own_record()
        if content is None or content['recipe'] != recipe:
            return None
        if not (self._exists(self.output) and self._exists(self.report)):
            return None
        pairs, lost, losses = (content[fact] for fact in FACTS)
        return self._processed(pairs, lost, losses, was_done=True)

    def finish(
        self, work: WorkFolder, stream: Stream, recipe: Mapping[str, Any], summary: Summary
    ) -> Processed:
        """Give everything its final name, the record last. Raises FileWriteError."""
        page = report_page(self.name, stream, recipe, summary)
        facts = {'pairs': summary.pairs, 'lost': summary.lost, 'losses': list(summary.losses)}
        record = json.dumps({'recipe': recipe, **facts}, indent=2, sort_keys=True)
        made = self._made(work, stream, recipe)
        with write_errors(self.record):
            self.record.unlink(missing_ok=True)
        work.place(made, self.output)
        work.place_text(page, self.report)
        # The record last: with it, the result counts as done.
        work.place_text(f'{record}\n', self.record)
        if self._remote is not None:
            self._put(self._remote)
        return self._processed(summary.pairs, summary.lost, summary.losses)

    def _processed(
        self, pairs: int, lost: int, losses: Sequence[str], *, was_done: bool = False
    ) -> Processed:
        url = self._remote.url if self._remote else ''
        return Processed(self.output, self.report, pairs, lost, losses, was_done, url)

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

    def _shown(self, path: Path) -> str:
        return f'{self._remote.url}/{path.name}' if self._remote else str(path)

    def _made(self, work: WorkFolder, stream: Stream, recipe: Mapping[str, Any]) -> Path:
        if not self._options.writes_recording:
            return work.files
        joined = work.finish_joined({METADATA_NAME: _metadata(recipe)})
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
