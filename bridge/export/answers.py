"""What a backend said to one request, and the protocol of everything that can be asked.

The OTLP specification sorts answers into full success, partial success, retryable and not retryable failure;
too large is told apart, because half of the same request may pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Signal(StrEnum):
    """The three OTLP signals, in the order of `open_sink`; the value is the last part of the HTTP path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Everything was taken; `warning` is what the backend said besides."""

    warning: str = ""


@dataclass(frozen=True, slots=True)
class PartlyRejected:
    """`rejected` items were dropped for good, the rest was taken; which ones the protocol does not say."""

    rejected: int
    reason: str


@dataclass(frozen=True, slots=True)
class Retryable:
    """Not taken now; the same bytes may be taken later, not before `retry_after` seconds where it is given."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Refused for its size alone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """These bytes will never be taken as they are."""

    reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The endpoint takes nothing from us as it is set up: wrong key, path or address. Waits for the operator."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Nothing takes this signal at the endpoint (404, 405, UNIMPLEMENTED): wrong address, or no such signal there."""

    reason: str


Answer = Accepted | PartlyRejected | Retryable | TooLarge | Refused | Denied | Unsupported
Waiting = Retryable | Denied | Unsupported  # nothing is wrong with the bytes: they are kept


class Sink(Protocol):
    """Takes one encoded OTLP request and says what became of it."""

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Send `payload`, a serialised Export{Trace,Metrics,Logs}ServiceRequest.

        Never raises for what a backend or a network does; that is the answer's business.
        """
        ...

    async def close(self) -> None:
        """Release connections and files."""
        ...
