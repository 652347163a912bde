"""A clock that is turned by hand: what the bridge decides by the time of day is not left to how busy a machine is."""

from __future__ import annotations

import time


class HandClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.time = time.time()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Turn on."""
        self.time += seconds
