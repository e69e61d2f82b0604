"""Files that a user has added to the weights folder under names of their own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from s2m2_ros.atomic_files import write_atomically
from s2m2_ros.confidence_files import has_table, read_table_of, table_path
from s2m2_ros.regular_files import read_regular_file
from s2m2_ros.text_safety import safe_text
from s2m2_ros.weights.errors import WeightsError
from s2m2_ros.weights.private_folders import check_private, private_folder
from s2m2_ros.weights.registry import CHECKPOINTS
from s2m2_ros.weights.verification import file_sha256

FOLDERS = ('weights', 'added')
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}')
# Names with another meaning where a checkpoint is named.
RESERVED = ('auto', 'sgbm', 'left_right_check')
SUFFIXES = ('.onnx', '.safetensors', '.pth', '.pt', '.ckpt')
RECORD_SUFFIX = '.json'
LARGEST_RECORD = 1 << 16
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class AddedCheckpoint:
    """The record of one added file.

    Attributes:
        name: what users call it.
        filename: in the folder of added files.
        sha256: of that file, all 64 digits.
        license: of the weights, empty if unknown.
        source: the file it was copied from.
        size_bytes: of the file.
        companions: SHA-256 of other files that belong to it, its description among them, by their
            names in the folder.

    """

    name: str
    filename: str
    sha256: str
    license: str
    source: str
    size_bytes: int
    companions: dict[str, str]


def added_folder(cache_folder: Path) -> Path:
    """Return the folder of added files, whether it is there or not."""
    return cache_folder.joinpath(*FOLDERS)


def check_name(name: str) -> None:
    """Raise WeightsError if an added file cannot be called this."""
    if not NAME.fullmatch(name):
        raise WeightsError(
            f"'{safe_text(name, 80)}' cannot be the name of a checkpoint: use letters, digits, "
            'dots, dashes and underscores, at most 64: --name NAME'
        )
    if name in CHECKPOINTS or name in RESERVED:
        raise WeightsError(f"'{name}' is the name of something else: choose another by --name")


def add_file(
    file: Path,
    name: str,
    cache_folder: Path,
    *,
    content: bytes | None = None,
    description: str = '',
    license: str = '',
    companions: Mapping[str, bytes] | None = None,
    sha256: str = '',
    replace: bool = False,
) -> AddedCheckpoint:
    """Copy a file into the weights folder, so that it is found by its name.

    What the file's confidence is worth is copied too, where there is a table beside it.

    Args:
        file: what is copied.
        name: what it is called from now on.
        cache_folder: of this package.
        content: what is written instead of the file's own content.
        description: the text of the YAML beside an ONNX file; empty for none.
        license: of the weights, for lists.
        companions: content of other files that belong to it, by their names in the folder; these
            begin with `name` and a dot.
        sha256: of the network, where that is not the one of what is written; a table of its
            confidence names it.
        replace: whether another file of that name may be replaced.

    Raises WeightsError if the name is taken or invalid, the file is not of a known kind, or the
    disk does not take it; ConfidenceTableError if the table beside it is damaged, or of other
    weights.

    """
    check_name(name)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise WeightsError(
            f"'{file}' is no checkpoint: its name must end with one of {', '.join(SUFFIXES)}"
        )
    folder = private_folder(cache_folder, *FOLDERS)
    previous = find_record(name, cache_folder)
    try:
        temporary, digest = _copied(file, folder, content)
        try:
            if previous is not None and previous.sha256 != digest and not replace:
                raise WeightsError(
                    f"another file is called '{name}' already (added from {previous.source}): "
                    'choose another name by --name, or replace it by --replace'
                )
            table = _table_of(file, sha256 or digest)
            target = folder / f'{name}{suffix}'
            _remove(
                previous, folder, keep_table=previous is not None and previous.sha256 == digest
            )
            if table:
                write_atomically(table_path(target), table)
            beside = dict(companions or {})
            if description:
                beside[target.with_suffix('.yaml').name] = description.encode()
            for other, data in beside.items():
                write_atomically(folder / other, data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        record = AddedCheckpoint(
            name,
            target.name,
            digest,
            license,
            str(file.absolute()),
            target.stat().st_size,
            {other: hashlib.sha256(data).hexdigest() for other, data in beside.items()},
        )
        text = json.dumps(asdict(record), indent=2) + '\n'
        write_atomically(folder / f'{name}{RECORD_SUFFIX}', text.encode())
    except OSError as error:
        raise WeightsError(
            f"'{file}' cannot be added to '{folder}' ({error.strerror or error})"
        ) from error
    return record


def find_record(name: str, cache_folder: Path) -> AddedCheckpoint | None:
    """Return the record of an added file by its name, or None.

    Raises WeightsError if others could have changed it, or if it is damaged.
    """
    if not NAME.fullmatch(name):
        return None
    folder = added_folder(cache_folder)
    path = folder / f'{name}{RECORD_SUFFIX}'
    try:
        if not path.is_file():
            return None
        check_private(cache_folder, folder.parent, folder)
        values = json.loads(read_regular_file(path, max_bytes=LARGEST_RECORD))
        record = AddedCheckpoint(**{f.name: values[f.name] for f in fields(AddedCheckpoint)})
        # The files are loaded by these names: they must lead nowhere else.
        if any(Path(other).name != other for other in (record.filename, *record.companions)):
            raise ValueError('a name is a path')
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"'{path}' is damaged: delete it, and add the file again") from error
    return record


def added_checkpoints(cache_folder: Path) -> Iterator[AddedCheckpoint]:
    """Yield the records of all added files by name; raises WeightsError as `find_record`."""
    try:
        names = sorted(p.stem for p in added_folder(cache_folder).glob(f'*{RECORD_SUFFIX}'))
    except OSError:
        return
    for name in names:
        record = find_record(name, cache_folder)
        if record is not None:
            yield record


def is_added_intact(record: AddedCheckpoint, cache_folder: Path) -> bool:
    """Return whether an added file, and what belongs to it, is as it was added."""
    folder = added_folder(cache_folder)
    digests = {record.filename: record.sha256, **record.companions}
    return all(
        (folder / name).is_file() and file_sha256(folder / name) == digest
        for name, digest in digests.items()
    )


def _table_of(file: Path, sha256: str) -> bytes:
    """Return what the confidence of a file is worth, empty where there is no table beside it.

    Raises ConfidenceTableError if it is damaged, or was counted for other weights.
    """
    return read_table_of(file, sha256).to_yaml() if has_table(file) else b''


def _remove(record: AddedCheckpoint | None, folder: Path, *, keep_table: bool) -> None:
    if record is None:
        return
    (folder / f'{record.name}{RECORD_SUFFIX}').unlink(missing_ok=True)
    main = folder / record.filename
    others = (folder / name for name in record.companions)
    tables = () if keep_table else (table_path(main),)
    for path in (main, main.with_suffix('.yaml'), *tables, *others):
        path.unlink(missing_ok=True)


def _copied(file: Path, folder: Path, content: bytes | None) -> tuple[Path, str]:
    """Return a complete copy under a temporary name in the folder, and its SHA-256."""
    handle, name = tempfile.mkstemp(dir=folder, prefix='.s2m2-')
    temporary = Path(name)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, 'wb') as target:
            for block in _blocks(file, content):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary, digest.hexdigest()


def _blocks(file: Path, content: bytes | None) -> Iterator[bytes]:
    if content is not None:
        yield content
        return
    if not file.is_file():  # a FIFO would wait forever
        raise OSError(None, 'it is not a regular file')
    with file.open('rb') as source:
        while block := source.read(BLOCK_BYTES):
            yield block
