"""What a server answered, whichever way it was asked, and how much of a body is taken at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

OK: Final = 200
LONGEST: Final = 32 << 20  # bytes; a page of 1000 steps takes about one million
_LONGEST_REASON: Final = 64 << 10  # bytes read of a failure: its words are cut to a line anyway


def longest(status: int) -> int:
    """How many bytes of a body are of use; what is longer need not be read to its end."""
    return LONGEST if status == OK else _LONGEST_REASON


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the start of the body, and all of it where that is not longer than `longest`.

    Attributes:
        status: of three digits.
        headers: by their names, which may be asked for in small letters.
        body: unpacked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body's value; None where it is no JSON, whatever the content type says."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_json(self) -> bool:
        """Whether it says so."""
        return "json" in self.headers.get("content-type", "")


class Way(Protocol):
    """A way to a server. Raises httpx's errors; how long it may take is for the caller to say.

    A request that a connection broke under, perhaps because it was idle for too long, is sent once more.
    """

    async def get(self, target: str) -> Answer:
        """GET below the base URL.

        Args:
            target: path and query, encoded.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
