"""What the output topics of each rig of a recording begin with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from s2m2_ros.io.recordings.recorded_infos import RecordedTopics
from s2m2_ros.io.recordings.topic_names import NOUNS, VARIANT_WORDS
from s2m2_ros.io.sources.side_words import tokens
from s2m2_ros.ros_names import FORBIDDEN


def rig_namespaces(rigs: Sequence[RecordedTopics], given: str | None) -> list[str]:
    """Return a namespace for each rig, '' or beginning with a slash, each different.

    It is what the names of both images begin with: '/front' of '/front/left/image_rect'; where
    rigs share that, the words that both names share, without those of variants if they differ
    then. ``given`` comes before a rig's own where there are several.
    """
    prefix = '' if given in (None, '', '/') else f'/{given.lstrip("/")}'
    if given is not None and len(rigs) == 1:
        return [prefix]
    found = [f'{prefix}{_valid(_shared_parents(rig))}' for rig in rigs]
    if len(set(found)) < len(found):
        ways = [
            [f'{prefix}{_valid(_shared_words(rig, left_out))}' for rig in rigs]
            for left_out in (VARIANT_WORDS, NOUNS)
        ]
        found = next((names for names in ways if len(set(names)) == len(names)), ways[0])
    return [
        name if found.index(name) == index else f'{name}/rig_{index + 1}'
        for index, name in enumerate(found)
    ]


def _valid(namespace: str) -> str:
    """Return a namespace that ROS 2 takes: recordings of others have names that it does not."""
    parts = (FORBIDDEN.sub('_', part) for part in _parts(namespace))
    return ''.join(f'/rig_{part}' if part[0].isdigit() else f'/{part}' for part in parts)


def _parts(topic: str) -> list[str]:
    return [part for part in topic.split('/') if part]


def _shared_parents(rig: RecordedTopics) -> str:
    shared = ''
    for left, right in zip(_parts(rig.left)[:-1], _parts(rig.right)[:-1], strict=False):
        if left != right:
            break
        shared += f'/{left}'
    return shared


def _shared_words(rig: RecordedTopics, left_out: Collection[str]) -> str:
    result = ''
    for left, right in zip(_parts(rig.left), _parts(rig.right), strict=False):
        both = set(tokens(left)) & set(tokens(right)) - set(left_out)
        words = [word for word in tokens(left) if word in both]
        if words:
            result += f'/{"_".join(words)}'
    return result
