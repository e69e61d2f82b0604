"""Several publishers on one image topic: one camera is chosen, its pairs are never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from s2m2_ros.node.inputs.endpoints import Endpoint, Source, node_names

# A publisher that has sent nothing for this many seconds does not count.
ACTIVE = 2.0
# Eyes of two nodes belong together once they were the only ones for this many seconds.
ESTABLISHED = 10.0
SIDES = (0, 1)

# The publishers of left and right images that are used; None: none so far, or unknown.
Chosen = tuple[bytes | None, bytes | None]


@dataclass
class _Side:
    """The publishers of one image topic: known to the graph, and seen sending."""

    topic: str = ''
    endpoints: tuple[Endpoint, ...] = ()
    seen: dict[bytes | None, float] = field(default_factory=dict)

    def source(self, gid: bytes | None) -> Source | None:
        """Return the node that publishes with this identifier, None if the graph has none."""
        return next((e.source for e in self.endpoints if e.gid == gid), None)

    def sources(self) -> set[Source]:
        return {endpoint.source for endpoint in self.endpoints}

    def active(self, now: float) -> list[bytes | None]:
        """Return the identifiers that have sent lately."""
        self.seen = {gid: at for gid, at in self.seen.items() if now - at < ESTABLISHED}
        return [gid for gid, at in self.seen.items() if now - at < ACTIVE]


class PublisherWatch:
    """Decides whose images are used.

    One publisher on each topic needs no decision. Otherwise the images in use so far stay in use
    while they come; else those of a node that publishes both sides are used. Where neither
    decides, or rclpy does not say who sent a message (before Kilted), no image is used.
    Publishers that only stand in the graph and send nothing, as of a crashed process, count for
    `ACTIVE` seconds, and where each side has a node of its own for `ESTABLISHED` seconds.
    """

    def __init__(self) -> None:
        self._sides = (_Side(), _Side())
        self._chosen: Chosen | None = None
        self._chosen_at = 0.0
        self._last: list[bytes | None] = [None, None]
        self._changed_at = -ACTIVE
        self.several = False

    def follow(self, side: int, topic: str, endpoints: Sequence[Endpoint], now: float) -> None:
        """Take note of the publishers that the graph knows."""
        known = self._sides[side]
        if known.topic != topic:
            known.seen.clear()
        if known.topic != topic or known.sources() != {e.source for e in endpoints}:
            self._changed_at = now
        known.topic, known.endpoints = topic, tuple(endpoints)

    def knows(self, side: int, gid: bytes | None) -> bool:
        """Return whether the graph has named this publisher already."""
        return gid is None or self._sides[side].source(gid) is not None

    def source(self, side: int) -> Source | None:
        """Return the node whose images of this side are in use, None if unknown."""
        return self._sides[side].source(self._chosen[side]) if self._chosen else None

    def admit(self, side: int, gid: bytes | None, now: float) -> tuple[bool, bool]:
        """Return whether an image of this publisher is used, and whether it is the first of it.

        If so, images that wait are of another publisher and must be forgotten.
        """
        self._sides[side].seen[gid] = now
        self._choose(now)
        if self._chosen is None or self._chosen[side] != gid:
            return False, False
        fresh = self._last[side] not in (None, gid)
        self._last[side] = gid
        return True, fresh

    @property
    def is_ambiguous(self) -> bool:
        """Whether no image is used, because the publishers of a pair are unknown."""
        return self.several and self._chosen is None

    def explain(self) -> str | None:
        """Return which topics have several publishers, and what is done about it."""
        if not self.several:
            return None
        crowds = [
            f'{side.topic} has {len(side.endpoints)} publishers ({node_names(side.endpoints)})'
            for side in self._sides
            if len(side.endpoints) > 1
        ]
        crowd = ' and '.join(crowds) or 'an image topic has several publishers'
        if self._chosen is None:
            return (
                f'{crowd}, and which left image belongs to which right one is unknown, so no '
                'pairs are made: stop all cameras but one, or give each its own namespace'
            )
        used = sorted({source.node for side in SIDES if (source := self.source(side))})
        return (
            f'{crowd}: only the images of {", ".join(used)} are used, so that cameras are not '
            'mixed; stop the others, or give each camera its own namespace'
        )

    def _choose(self, now: float) -> None:
        active = [side.active(now) for side in self._sides]
        crowded = any(len(gids) > 1 for gids in active)
        if not crowded and not self._undecided(active, now):
            self.several = False
            # A side that has sent nothing yet may belong to any camera.
            left, right = (gids[0] if gids else None for gids in active)
            self._use((left, right), now)
            return
        if not self._stays(active, now):
            self._use(self._both_eyes_of_one_node(active), now)
        self.several = crowded or self._chosen is None

    def _use(self, chosen: Chosen | None, now: float) -> None:
        if self._chosen != chosen:
            self._chosen, self._chosen_at = chosen, now

    def _undecided(self, active: Sequence[Sequence[bytes | None]], now: float) -> bool:
        """Return whether single senders may be those of two cameras."""
        if all(len(side.sources()) < 2 for side in self._sides):
            return False
        if any(None in gids for gids in active):
            return True  # the sender is unknown
        since_change = now - self._changed_at
        if since_change < ACTIVE:
            return True
        sources = [
            [side.source(gid) for gid in gids]
            for side, gids in zip(self._sides, active, strict=True)
        ]
        if any(source is None or not source.is_named for found in sources for source in found):
            return True  # the graph does not know the sender yet
        left, right = (found[0] if found else None for found in sources)
        if left == right or left is None or right is None:
            return False
        # Nodes that offer both sides and send one, or sides that had another publisher before or
        # that will soon have one: the graph names it, its first image is on its way.
        offers_both = left in self._sides[1].sources() or right in self._sides[0].sources()
        return (
            offers_both
            or since_change < ESTABLISHED
            or any(len(side.seen) > 1 for side in self._sides)
        )

    def _stays(self, active: Sequence[Sequence[bytes | None]], now: float) -> bool:
        """Return whether the images used so far still come, and surely belong together."""
        if self._chosen is None:
            return False
        chosen = zip(self._chosen, active, strict=True)
        if not all(gid is not None and gid in gids for gid, gids in chosen):
            return False
        if now - self._chosen_at >= ESTABLISHED:
            return True
        source = self.source(0)
        if source is None or not source.is_named or source != self.source(1):
            return False
        return all(
            len(_by_source(side, gids).get(source, ())) == 1
            for side, gids in zip(self._sides, active, strict=True)
        )

    def _both_eyes_of_one_node(self, active: Sequence[Sequence[bytes | None]]) -> Chosen | None:
        left, right = (
            _by_source(side, gids) for side, gids in zip(self._sides, active, strict=True)
        )
        common = [
            source
            for source in left.keys() & right.keys()
            if source.is_named and len(left[source]) == len(right[source]) == 1
        ]
        if not common:
            return None
        source = min(common, key=lambda source: (source.node, source.participant))
        return left[source][0], right[source][0]


def _by_source(side: _Side, gids: Sequence[bytes | None]) -> dict[Source, list[bytes | None]]:
    found: dict[Source, list[bytes | None]] = {}
    for gid in gids:
        source = side.source(gid)
        if source is not None:
            found.setdefault(source, []).append(gid)
    return found
