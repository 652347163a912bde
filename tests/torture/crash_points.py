"""One life of a play, killed at numbered points or at none, and what is wrong in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torture.torture_plays import PLAYS
from torture.torture_truth import complaints


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        wrong: complaints, none is good.
        points: how many there were in the first life.
        deaths: how many lives were cut short; a kill past the end of a life is none.
        resent: spans and log records that came more than once.
        trails: the last points of each life, the latest first.
    """

    wrong: Sequence[str]
    points: int
    deaths: int
    resent: int
    trails: Sequence[str]


async def lived(name: str, kills: Sequence[int], folder: Path, *, at: str = "") -> Outcome:
    """Lives that are killed at these points, one after the other, and one that comes to its end.

    Args:
        name: of the play.
        kills: numbers of points, the first one is 1.
        folder: for the ledger; it is made.
        at: count only the points whose names begin with this.
    """
    folder.mkdir()
    play = PLAYS[name]
    world = play.world(folder)
    seams = [await world.live(world.to_the_end, kill_in=kill, at=at) for kill in kills]
    seams.append(await world.live(world.to_the_end))
    return Outcome(
        wrong=complaints(world, await world.books(), dead=play.dead),
        points=seams[0].points,
        deaths=world.deaths,
        resent=world.backend.resent(),
        trails=[" < ".join(reversed(seam.trail)) for seam in seams[:-1]],
    )
