"""How a request is brought to Letta, and how much of its answer is taken at all."""

from __future__ import annotations

from typing import Final, Protocol

from bridge.http1 import Answer

OK: Final = 200
LONGEST: Final = 32 << 20  # bytes; a page of 1000 steps takes about one million
_LONGEST_REASON: Final = 64 << 10  # bytes read of a failure: its words are cut to a line anyway


def longest(status: int) -> int:
    """How many bytes of a body are of use; what is longer need not be read to its end."""
    return LONGEST if status == OK else _LONGEST_REASON


class Way(Protocol):
    """A way to a server. It sends nothing twice, and how long it may take is for the caller to say."""

    async def get(self, target: str) -> Answer:
        """GET below the base URL.

        Args:
            target: path and query, encoded.

        Raises:
            NoAnswer: why there is none.
            TimeoutError: the way has a limit of its own.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
