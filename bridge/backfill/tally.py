"""How far a backfill is, and whoever is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Tally:
    """What is done so far.

    Attributes:
        runs: runs sent, with their own span.
        steps: steps sent.
        spans: spans that the backend took.
        requests: requests to Letta.
        position_ns: how far down the runs are visited, ns since the epoch.
        share: how much of the time is behind, from 0 to 1.
    """

    runs: int = 0
    steps: int = 0
    spans: int = 0
    requests: int = 0
    position_ns: int = 0
    share: float = 0.0


class Progress(Protocol):
    """Where progress is shown."""

    def show(self, tally: Tally) -> None:
        """Something was done, or time has passed."""
        ...

    def say(self, line: str) -> None:
        """Tell the person something."""
        ...
