"""Which of two cameras a name belongs to, by the words and numbers that are in use for them.

Serves paths of image files and names of topics alike: both are sequences of components.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

Components = tuple[str, ...]

# Beside 'left' these name a limb or a place that has cameras of its own, not a camera of a pair.
LIMBS = frozenset({
    'arm', 'arms', 'hand', 'hands', 'wrist', 'gripper', 'finger', 'leg', 'foot', 'wheel',
    'shoulder', 'elbow', 'knee', 'hip', 'ankle', 'wing', 'robot', 'rig'
})  # fmt: skip
PLACES = LIMBS | frozenset({
    'front', 'rear', 'back', 'top', 'bottom', 'side', 'corner', 'door', 'mirror', 'bumper'
})  # fmt: skip
NOUNS = 'image|img|camera|cam|frame|view|picture|photo|eye|lens|sensor|stereo|video'
_NOUN_BEFORE = '|'.join(f'(?<={noun})' for noun in NOUNS.split('|'))
# 'left' as a word, in camelCase, or joined with a noun: left_000, imgLeft, leftimage.
_WORD = re.compile(
    rf'(?<![A-Za-z])([Ll]eft|[Rr]ight)(?=$|[^a-z]|{NOUNS}|rect|raw|mono|ir\b)'
    r'|(?<=[a-z])(Left|Right)(?![a-z])'
    rf'|(?:{_NOUN_BEFORE})(left|right)(?![a-z])',
)
_WORD_ANY_CASE = re.compile(r'(?<![A-Za-z])(left|right)(?![A-Za-z])', re.IGNORECASE)
# 'l' alone, beside a number, as the capital at the end of a word, or joined with a noun:
# 000_l, L000, 000R, imgL, imgl, lcam.
_LETTER = re.compile(
    r'(?<![A-Za-z0-9])([lrLR])(?![A-Za-z0-9])|(?<=\d)([lrLR])$|^([lrLR])(?=\d)|(?<=[a-z])([LR])$'
    rf'|(?:{_NOUN_BEFORE})([lr])$|^([lr])(?=(?:{NOUNS})(?![a-z]))'
)
# Besides what says so: libelas calls its images I1_0 and I2_0, fisheye1 is a RealSense T265.
_NUMBERED = re.compile(
    r'(?<![A-Za-z])(image|img|im|i|camera|cam|view|infrared|infra|ir|fisheye|colored|gray|grey|rgb'
    r'|mono|eye|sensor|video)([_-]?)(\d{1,2})(?!\d)',
    re.IGNORECASE,
)
_TRAILING = re.compile(r'(?<=[^_-])[_-](\d{1,18})$')
_TOKEN = re.compile(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+')

# Folders above a file; beyond it, those of different files are not ranked alike.
DEEPEST = 32
# Which numbers are a pair, the most usual ones first; KITTI's color cameras are 2 and 3.
NUMBER_PAIRS = ((0, 1), (1, 2), (2, 3))
KITTI_PAIRS = ((2, 3), (0, 1))
# Middlebury of 2001 and 2003, and of 2005 and 2006, number the views of a scene: these have truth.
MULTI_VIEW_PAIRS = {'im': (2, 6, 8), 'view': (1, 5, 6)}


class Kind(Enum):
    """What marks the side in a name."""

    WORD = 'word'
    LETTER = 'letter'
    NUMBER = 'number'
    SUFFIX = 'suffix'


@dataclass(frozen=True)
class Mark:
    """The part of one component that marks the side; ``right`` is what the right camera has.

    ``word_start`` is where the word of a number begins: that of `im` in `im0`.
    """

    component: int
    word_start: int
    start: int
    end: int
    right: str
    kind: Kind


@dataclass(frozen=True)
class SidePair:
    """A left name, its right counterpart in lower case, and what they share."""

    left: Components
    right: Components
    shared: Components


def tokens(name: str) -> list[str]:
    """Return the words and numbers of a name in lower case: 'disp0GT' gives disp, 0, gt."""
    return [token.lower() for token in _TOKEN.findall(name)]


class Sides:
    """Knows the side marks of a set of names; numbers only count as such beside their siblings."""

    def __init__(
        self,
        names: Iterable[Components],
        *,
        files: bool,
        places: frozenset[str] = PLACES,
    ) -> None:
        """Take all names; of ``files``, the last component is a stem and not a folder.

        Beside words of ``places``, left and right mean no pair (in a stem, beside limbs).
        """
        self._files, self._places = files, places
        self._numbers: dict[tuple[str, ...], set[int]] = defaultdict(set)
        seen: set[Components] = set()
        for name in names:
            for depth in range(1, len(name) + 1):
                if name[:depth] not in seen:
                    seen.add(name[:depth])
                    self._note_numbers(name[:depth])

    def pairs(self, names: Iterable[Components]) -> list[SidePair]:
        """Return which of the names are pairs; each name is in one at most.

        A word in a file's own name counts most, then folders from the innermost, so that pairs
        stay within one rig; `left/left_1` and its like, with several marks, come last.
        """
        known = {lowered(name) for name in names}
        found = [
            (rank, name, lowered(right), shared)
            for name in names
            for rank, right, shared in self.counterparts(name)
            if lowered(right) in known
        ]
        used: set[Components] = set()
        pairs = []
        for _, left, right, shared in sorted(found, key=lambda item: item[0]):
            if not used.intersection((lowered(left), right)):
                used.update((lowered(left), right))
                pairs.append(SidePair(left, right, shared))
        return pairs

    def counterparts(self, name: Components) -> Iterator[tuple[int, Components, Components]]:
        """Yield what the right image of a left one may be called, the likeliest first.

        Each comes with its rank, 0 for the likeliest, and with what both names share.
        """
        marks = self._marks(name)
        stem = len(name) - 1 if self._files else len(name)
        own = [m for m in marks if m.component == stem]
        strong = [m for m in marks if m.kind is not Kind.SUFFIX]
        choices = [[m for m in own if m.kind is kind] for kind in (Kind.WORD, Kind.LETTER)]
        choices += [[m for m in strong if m.component == c] for c in reversed(range(stem))]
        choices += [[]] * (DEEPEST - stem)
        choices.append([m for m in own if m.kind is Kind.NUMBER])
        choices.append([m for m in marks if m.kind in (Kind.WORD, Kind.LETTER)])
        choices += [strong, [m for m in marks if m.kind is Kind.SUFFIX]]
        yielded = set()
        for rank, chosen in enumerate(choices):
            key = tuple((m.component, m.start) for m in chosen)
            if chosen and key not in yielded:
                yielded.add(key)
                shared = _replaced(name, chosen, right=False)
                yield rank, _replaced(name, chosen, right=True), shared

    def _marks(self, name: Components) -> list[Mark]:
        marks = []
        for index, component in enumerate(name):
            is_stem = self._files and index == len(name) - 1
            found = list(_word_marks(index, component, LIMBS if is_stem else self._places))
            taken = [(m.start, m.end) for m in found]
            for mark in (*self._number_marks(name, index), *self._suffix_marks(name, index)):
                if all(mark.end <= start or mark.start >= end for start, end in taken):
                    found.append(mark)
                    taken.append((mark.start, mark.end))
            marks += found
        return marks

    def _note_numbers(self, name: Components) -> None:
        for pattern in (_NUMBERED, _TRAILING):
            for match in pattern.finditer(name[-1]):
                self._numbers[_template(name, match)].add(int(match[match.lastindex or 0]))

    def _number_marks(self, name: Components, index: int) -> Iterator[Mark]:
        for match in _NUMBERED.finditer(name[index]):
            numbers = self._numbers[_template(name[: index + 1], match)]
            is_stem = self._files and index == len(name) - 1
            pair = _chosen_pair(match[1].lower(), numbers, is_stem=is_stem)
            left = int(match[3])
            if pair and (left == pair[0] or self._is_further(left, pair, numbers)):
                right = str(left - pair[0] + pair[1]).zfill(len(match[3]))
                yield Mark(index, match.start(), *match.span(3), right, Kind.NUMBER)

    def _is_further(self, left: int, pair: tuple[int, int], numbers: set[int]) -> bool:
        """Return whether a topic is the left one of another pair: cam2 and cam3 after cam0, cam1.

        Of folders of files, one pair is taken.
        """
        return not self._files and left + 1 in numbers and (left - pair[0]) % 2 == 0

    def _suffix_marks(self, name: Components, index: int) -> Iterator[Mark]:
        if not self._files or index != len(name) - 1:
            return
        for match in _TRAILING.finditer(name[index]):
            if self._numbers[_template(name, match)] == {0, 1} and int(match[1]) == 0:
                right = '1'.zfill(len(match[1]))
                yield Mark(index, match.start(), *match.span(1), right, Kind.SUFFIX)


def without_sides(stem: str) -> str:
    """Return a stem without the words and letters that mark its side: 'L_000' gives '000'."""
    result = stem
    for pattern in (_WORD, _WORD_ANY_CASE, _LETTER):
        result = pattern.sub('', result)
    return re.sub(r'[_\-. ]{2,}', '_', result).strip('_-. ')


def _word_marks(index: int, component: str, places: frozenset[str]) -> Iterator[Mark]:
    if places.intersection(tokens(component)):
        return
    spans = set()
    for pattern, kind in ((_WORD, Kind.WORD), (_WORD_ANY_CASE, Kind.WORD), (_LETTER, Kind.LETTER)):
        for match in pattern.finditer(component):
            span = match.span(match.lastindex or 0)
            if span not in spans and match[0].lower() in ('left', 'l'):
                spans.add(span)
                right = 'right' if kind is Kind.WORD else 'r'
                yield Mark(index, span[0], *span, right, kind)


def _template(name: Components, match: re.Match[str]) -> tuple[str, ...]:
    group = match.lastindex or 0
    component = name[-1]
    placed = f'{component[: match.start(group)]}*{component[match.end(group) :]}'
    # `cam0/cam0_7` and `cam1/cam1_7` are siblings.
    above = (_NUMBERED.sub(r'\1\2*', part).lower() for part in name[:-1])
    return (*above, placed.lower())


def _chosen_pair(word: str, numbers: set[int], *, is_stem: bool) -> tuple[int, int] | None:
    """Return which numbers are left and right; in file names, a longer run is a sequence."""
    if is_stem and word in MULTI_VIEW_PAIRS:
        left, right, last = MULTI_VIEW_PAIRS[word]
        if {left, right} <= numbers and max(numbers) <= last:
            return left, right
    pairs: Sequence[tuple[int, int]] = NUMBER_PAIRS
    if word == 'image' and {2, 3} <= numbers:
        pairs = KITTI_PAIRS
    for left, right in pairs:
        if {left, right} <= numbers and (not is_stem or numbers == {left, right}):
            return left, right
    return None


def _replaced(name: Components, marks: Sequence[Mark], *, right: bool) -> Components:
    """Return the name with its marks replaced by those of the right image, or taken out."""
    parts = list(name)
    for mark in sorted(marks, key=lambda m: m.start, reverse=True):
        part = parts[mark.component]
        before = part[: mark.start] + mark.right if right else part[: mark.word_start]
        parts[mark.component] = before + part[mark.end :]
    if right:
        return tuple(parts)
    return tuple(kept for part in parts if (kept := tidy(part)))


def tidy(component: str) -> str:
    """Return a component without the separators that a removed mark leaves."""
    return re.sub(r'([_\-. ])[_\-. ]+', r'\1', component).strip('_-. ')


def lowered(name: Components) -> Components:
    """Return the key by which names are compared: without regard to case."""
    return tuple(part.lower() for part in name)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that counts: 2 before 10."""
    return tuple(
        (0, int(part), part) if part.isdigit() and part.isascii() else (1, 0, part)
        for part in re.split(r'(\d+)', name)
        if part
    )
