"""How much of it is run, and what came of it.

The small dose is run before every change is taken; TORTURE=full takes twenty minutes, TORTURE=every hours.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

EVERY: Final = os.environ.get("TORTURE") == "every"
FULL: Final = EVERY or os.environ.get("TORTURE") == "full"
NAME: Final = "every point" if EVERY else "the full dose" if FULL else "the small dose"

COUNTS: Final[Counter[str]] = Counter()
_WRONG: Final = {"sent in": "not the same", "missing": "lost", "must be": "off"}


def dose(*, small: int, full: int, every: int | None = None) -> int:
    """How many of something; of every point as many as of the full dose where nothing else is said."""
    if EVERY and every is not None:
        return every
    return full if FULL else small


def spread(total: int, wanted: int) -> list[int]:
    """At most `wanted` of the numbers from 1 to `total`, evenly spread."""
    wanted = min(total, wanted)
    return [1 + (number * total) // wanted for number in range(wanted)]


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """What is broken on purpose in here is not for the table."""
    before = COUNTS.copy()
    try:
        yield
    finally:
        COUNTS.clear()
        COUNTS.update(before)


def judge(complaints: Iterable[str], again: str) -> None:
    """Count what is wrong for the table, and fail with it; `again` says how to see it again."""
    wrong = list(complaints)
    for line in wrong:
        COUNTS.update(name for words, name in _WRONG.items() if words in line)
    assert not wrong, "\n".join([again, *wrong])
