"""Reads that can be dropped at once: they lose nothing, for what was not committed is read again.

So a server that hangs does not hold up the end of the process for as long as its answers may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The reads were dropped; whoever was waiting for them finishes what is in hand."""


class Reads:
    """Reads under way."""

    def __init__(self) -> None:
        """None are."""
        self._under_way: set[asyncio.Task[Any]] = set()
        self._stop = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Drop those under way, and let none begin."""
        self._stop.set()
        for task in self._under_way:
            task.cancel()

    async def __call__(self, read: Coroutine[Any, Any, T]) -> T:
        """Wait for a read.

        Raises:
            Stopped: it was dropped.
        """
        if self._stop.is_set():
            read.close()
            raise Stopped
        task = asyncio.ensure_future(read)
        self._under_way.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if self._stop.is_set() and not (waiting and waiting.cancelling()):
                raise Stopped from None
            raise
        finally:
            self._under_way.discard(task)
