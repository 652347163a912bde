"""How far a run is delivered: a cursor, the last few steps up to it, and what is delivered past it. Pure.

The trail is for two things that 0.16.8 can do to a cursor. A step can become visible late, in front of one that is
delivered already: so a run that is over is read once more from the start of its trail on. And the cursor's own row
can be deleted, after which Letta answers 404: so the reading goes back to the newest step of the trail that is left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from bridge.follow.reading import ReadFrom
from bridge.follow.state import FollowedRun

_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands once some more of its steps are delivered.

    Attributes:
        cursor: every step up to this one is delivered.
        trail: the last of those, oldest first.
        sent: what is delivered past it.
        drained: whether nothing of the page is left.
    """

    cursor: str | None
    trail: tuple[str, ...]
    sent: tuple[str, ...]
    drained: bool


def advance(followed: FollowedRun, start: str | None, order: Sequence[str], settled: Collection[str]) -> Progress:
    """Move the cursor over everything that is delivered without a gap.

    Args:
        followed: the run so far.
        start: the step that the page follows; None for the beginning.
        order: ids of the page.
        settled: ids of what is delivered now.
    """
    delivered = followed.delivered.union(settled)
    passed = list(takewhile(delivered.__contains__, order))
    rest = order[len(passed) :]
    listed = frozenset(order)
    hidden = [id_ for id_ in followed.sent if id_ not in listed]  # may come back, and must not be sent twice then
    newly = frozenset(passed)
    return Progress(
        cursor=passed[-1] if passed else start,
        trail=(*(id_ for id_ in followed.trail if id_ not in newly), *passed)[-_LENGTH:],
        sent=(*(id_ for id_ in rest if id_ in delivered), *hidden),
        drained=not rest,
    )


def read_from(followed: FollowedRun) -> ReadFrom:
    """Where to read on: after the cursor, and once the run is over from the start of the trail."""
    if followed.over_since is None or not followed.trail:
        return ReadFrom(followed.cursor)
    return ReadFrom(None if _is_whole(followed) else followed.trail[0])


def rewind(followed: FollowedRun, known: Collection[str]) -> ReadFrom | None:
    """Where to read on after Letta has lost the cursor's row; None where no place is safe.

    Everything up to the newest step of the trail that is left is delivered, and so is the trail. Where none of it
    is left but the trail holds all that was ever delivered, everything there is new. Else some of what is there may
    be delivered and some not, and their number tells nothing: nobody knows how many of the delivered ones are gone.

    Args:
        followed: the run so far.
        known: the ids of all steps that Letta still shows.
    """
    left = [id_ for id_ in followed.trail if id_ in known]
    if left:
        return ReadFrom(left[-1])
    return ReadFrom(None) if _is_whole(followed) else None


def _is_whole(followed: FollowedRun) -> bool:
    """Whether the trail holds all that was ever delivered."""
    return 0 < len(followed.trail) < _LENGTH and followed.sums.steps <= len(followed.trail) + len(followed.sent)
