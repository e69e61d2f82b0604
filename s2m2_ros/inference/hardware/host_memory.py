"""How much memory of the host this process may still take: free pages, control groups, limits."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GroupFiles:
    """Names of the files of a memory control group: limit, usage, and reclaimable page cache."""

    limit: str
    usage: str
    reclaimable: str


VERSION_1 = GroupFiles('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
VERSION_2 = GroupFiles('memory.max', 'memory.current', 'inactive_file')
# An unset limit of version 1 is the largest whole number of pages.
UNLIMITED = 1 << 60
# Limits of a process, and the fields of /proc/self/status that count against them.
PROCESS_LIMITS = ((resource.RLIMIT_AS, 'VmSize'), (resource.RLIMIT_DATA, 'VmData'))


def free_host_bytes(proc: Path = Path('/proc'), groups: Path = Path('/sys/fs/cgroup')) -> int:
    """Return the bytes this process may still allocate; 0 if unknown.

    The least of what the kernel calls available, what the limits of the process's control groups
    (version 1 or 2, and all groups around them) leave, and what its resource limits leave.

    Args:
        proc: where the kernel's process information is.
        groups: where the control groups are mounted.

    """
    available = _kilobytes(proc / 'meminfo', 'MemAvailable')
    left = [math.inf if available is None else float(available)]
    left += _left_in_groups(proc / 'self' / 'cgroup', groups)
    left += _left_of_process_limits(proc / 'self' / 'status')
    smallest = min(left)
    return max(0, int(smallest)) if math.isfinite(smallest) else 0


def _left_in_groups(membership: Path, groups: Path) -> Iterator[float]:
    for line in _lines(membership):
        fields = line.split(':', 2)
        if len(fields) != 3:
            continue
        _, controllers, path = fields
        if not controllers:
            yield from _left_up_to_root(groups, path, VERSION_2)
        elif 'memory' in controllers.split(','):
            yield from _left_up_to_root(groups / 'memory', path, VERSION_1)


def _left_up_to_root(mount: Path, path: str, files: GroupFiles) -> Iterator[float]:
    """Yield what a group and each group around it leaves.

    In a container the path may be that of the host and not exist; the container's own group is
    then the root of the mount.
    """
    inside = Path(path.lstrip('/'))
    for folder in (mount / inside, *(mount / parent for parent in inside.parents)):
        limit = _number(folder / files.limit)
        usage = _number(folder / files.usage)
        if limit is None or usage is None or limit >= UNLIMITED:
            continue
        cached = [
            int(line.split()[1])
            for line in _lines(folder / 'memory.stat')
            if line.startswith(f'{files.reclaimable} ')
        ]
        yield float(limit - usage + sum(cached))


def _left_of_process_limits(status: Path) -> Iterator[float]:
    for limit_of, field in PROCESS_LIMITS:
        limit = resource.getrlimit(limit_of)[0]
        used = _kilobytes(status, field)
        if limit != resource.RLIM_INFINITY and used is not None:
            yield float(limit - used)


def _kilobytes(path: Path, field: str) -> int | None:
    """Return the bytes of a line such as 'MemAvailable:  123 kB'."""
    values = [line.split()[1] for line in _lines(path) if line.startswith(f'{field}:')]
    return int(values[0]) * 1024 if values else None


def _number(path: Path) -> int | None:
    """Return the number in a file; None for 'max' and for a file that is not there."""
    text = ''.join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError):
        return []
