"""A trouble is one line, however often it is met, and however often it comes and goes.

`Trouble` is for what begins and ends: a line for each kind of it, and one when all of it is over. One that comes back
within the hour is over only once it has stayed away, each time for longer: a side that flaps is two lines, and not
two for each flap. `Recurring` is for what is over as soon as it is met: a line for each kind of it and hour.

Times are seconds since the epoch by the bridge's clock; one that was set back makes a wait shorter, never longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from structlog.typing import FilteringBoundLogger

_PARTICULAR: Final = re.compile(r"\S*\d\S*")  # ids, times, numbers: the same trouble has others each time
_KINDS: Final = 20  # of one trouble: words that differ each time must not be a line each time
_SOON: Final = 3600.0
_STEADY: Final = 120.0  # how long a trouble that came back has to stay away, doubled each time
_AGAIN: Final = 3600.0


class Trouble:
    """What is wrong at the moment with one thing.

    A text that differs from one already said only in ids and numbers is not said again, or an answer with an id of
    the request in it would make a line at every attempt.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        """All is well.

        Args:
            log: where the lines go.
        """
        self._log = log
        self._said: set[str] = set()
        self._times = 0
        self._since = 0.0
        self._well_since: float | None = None  # it seems over, and that is not said yet
        self._ended: float | None = None
        self._returns = 0  # how often it came back soon

    def begins(self, text: str, *, now: float, reason: str = "", serious: bool = False, **facts: object) -> None:
        """It was met.

        Args:
            text: what is wrong and what to do, in one line.
            now: by the bridge's clock.
            reason: what tells one kind from another, where the text does not.
            serious: it will not pass by itself.
            facts: what else is worth saying.
        """
        if not self._said:
            came_back = self._ended is not None and now - self._ended < _SOON
            self._returns = self._returns + 1 if came_back else 0
            self._since = now
        self._times += 1
        self._well_since = None
        kind = _kind(reason or text)
        if kind not in self._said and len(self._said) < _KINDS:
            self._said.add(kind)
            said = {"reason": reason, **facts} if reason else facts
            (self._log.error if serious else self._log.warning)(text, **said)

    def ends(self, text: str, *, now: float, but: Iterable[str] = ()) -> None:
        """It is over, if there was any, `but` for what was said with these reasons."""
        still = self._said & {_kind(reason) for reason in but}
        if self._said == still:
            return
        if self._well_since is None:
            self._well_since = now
        if 0 <= now - self._well_since < self._has_to_stay_away:
            return
        self._log.info(text, failures=self._times, for_seconds=max(0, round(self._well_since - self._since)))
        self._times = 0
        self._well_since = None
        self._ended = now
        self._said = still

    @property
    def _has_to_stay_away(self) -> float:
        return min(_SOON, _STEADY * 2.0 ** (min(self._returns, 10) - 1)) if self._returns else 0.0


class Recurring:
    """What is met again and again, each time for itself."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Nothing was met yet.

        Args:
            log: where the lines go.
        """
        self._log = log
        self._said_at: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def met(
        self, text: str, *, now: float, reason: str = "", times: int = 1, level: str = "warning", **facts: object
    ) -> None:
        """It was met; `times` in the line is how often since the last one of its kind.

        Args:
            text: what is wrong and what to do, in one line.
            now: by the bridge's clock.
            reason: what tells one kind from another, where the text does not.
            times: how many at once.
            level: warning, error or info.
            facts: what else is worth saying, of the one that is said.
        """
        kind = _kind(f"{text} {reason}")
        if kind not in self._said_at and len(self._said_at) >= _KINDS:
            kind = _kind(text)
        self._times[kind] = self._times.get(kind, 0) + times
        said_at = self._said_at.get(kind)
        if said_at is not None and 0 <= now - said_at < _AGAIN:
            return
        self._said_at[kind] = now
        said = {"reason": reason, **facts} if reason else facts
        getattr(self._log, level)(text, times=self._times.pop(kind), **said)


def _kind(text: str) -> str:
    return _PARTICULAR.sub("#", text)
