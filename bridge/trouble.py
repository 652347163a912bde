"""A trouble is said once, however often it is met: once for each kind of it, and once when all of it is over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from structlog.typing import FilteringBoundLogger

_PARTICULAR: Final = re.compile(r"\S*\d\S*")  # ids, times, numbers: the same trouble has others each time


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

    def begins(self, text: str, *, reason: str = "", serious: bool = False, **facts: object) -> None:
        """It was met.

        Args:
            text: what is wrong and what to do, in one line.
            reason: what tells one kind from another, where the text does not.
            serious: it will not pass by itself.
            facts: what else is worth saying.
        """
        self._times += 1
        kind = _kind(reason or text)
        if kind not in self._said:
            self._said.add(kind)
            said = {"reason": reason, **facts} if reason else facts
            (self._log.error if serious else self._log.warning)(text, **said)

    def ends(self, text: str, *, but: Iterable[str] = ()) -> None:
        """It is over, if there was any, `but` for what was said with these reasons."""
        still = self._said & {_kind(reason) for reason in but}
        if self._said != still:
            self._log.info(text, failures=self._times)
            self._times = 0
        self._said = still


def _kind(text: str) -> str:
    return _PARTICULAR.sub("#", text)
