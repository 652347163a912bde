"""What a server answered, or why it did not.

NoAnswer
├── Unreachable       no connection could be made
├── Disconnected      the connection ended before the answer did
│   └── NotHttp       because what came is no HTTP
└── Unreadable        the body is not packed as it says
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the start of the body, and all of it where that is not longer than what was to be read.

    Attributes:
        status: of three digits.
        headers: by their names, which may be asked for in small letters.
        body: unpacked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """None came, or only a part of one. What the system said is the cause.

    Attributes:
        begun: what came of it, once its head is whole.
        reused: whether the connection had been kept alive: it may have been closed meanwhile.
    """

    begun: Answer | None = None
    reused: bool = False


class Unreachable(NoAnswer):
    """No connection could be made."""


class Disconnected(NoAnswer):
    """The connection ended before the answer did."""


class NotHttp(Disconnected):
    """What came is of another protocol, or has a head or a body without end."""


class Unreadable(NoAnswer):
    """The body is not packed as it says."""
