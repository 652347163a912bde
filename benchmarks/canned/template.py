"""A body written once for all runs of a kind: their records differ in nothing but the run's number and the dates.

Writing JSON is what a canned server's time goes to; a million steps are a thousandth of that when ids and dates alone
are put into bytes that are there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_NUMBER = b"\0number\0"  # no JSON has such bytes
_DATE = re.compile(rb'(?<="date":")[^"]*')


class Template:
    """The body of one run, with holes."""

    def __init__(self, body: bytes, run: int, created: float) -> None:
        """Take the records of one run of the kind, as JSON, and when it was created, seconds since the epoch."""
        numbered = re.compile(rb'(run-|step-|message-|"otid":"|call_)%08x' % run)
        holed = numbered.sub(rb"\1" + _NUMBER, body.replace(b"%", b"%%"))
        self._body = _DATE.sub(b"%b", holed)
        self._later = [_seconds(date) - int(created) for date in _DATE.findall(body)]

    def filled(self, run: int, created: float) -> bytes:
        """The body of another run of the kind."""
        dates = tuple(_date(int(created) + later) for later in self._later)
        return (self._body % dates).replace(_NUMBER, b"%08x" % run)


def _seconds(date: bytes) -> int:
    return int(datetime.fromisoformat(date.decode()).timestamp())


def _date(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).isoformat().encode()
