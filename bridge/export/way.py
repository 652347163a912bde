"""How a request is brought to a backend over HTTP, and how much of its answer is taken."""

from __future__ import annotations

from typing import Final, Protocol

from bridge.http1 import Answer

LONGEST: Final = 1 << 20  # bytes read of a body


class Way(Protocol):
    """A way to one URL. It follows no redirect, and how long it may take is for the caller to say.

    A request that a connection broke under is sent once more, at once, where that connection had been kept alive: it
    may have been closed meanwhile.
    """

    async def post(self, body: bytes) -> Answer:
        """POST it.

        Raises:
            NoAnswer: why there is none; of a failure half a body will do.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def succeeded(status: int) -> bool:
    """Whether a status is a yes, so that all of the body has to be there."""
    return 200 <= status < 300  # noqa: PLR2004 - so they are numbered (RFC 9110, 15)
