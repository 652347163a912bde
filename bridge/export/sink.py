"""The OTLP sink: each signal to its own endpoint, over that endpoint's protocol.

Whatever a backend says, nothing secret of the endpoint's settings is left in it: a backend may well repeat the key it
refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from bridge.clock import Clock, SystemClock
from bridge.export.answers import Accepted, Answer, Denied, Signal, Sink
from bridge.export.endpoint import Endpoint


class Sender(Protocol):
    """Sends one signal to one endpoint."""

    async def send(self, payload: bytes) -> Answer:
        """Send one serialised request; never raises for what a backend or a network does."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def open_sink(
    traces: Endpoint | None = None,
    metrics: Endpoint | None = None,
    logs: Endpoint | None = None,
    *,
    clock: Clock | None = None,
) -> Sink:
    """A sink for the signals that have an endpoint; others are denied.

    Nothing is dialled yet. Raises SettingsError where an endpoint can never work. `clock` is asked where a backend
    says until when to wait, but not what time it has.
    """
    endpoints = {Signal.TRACES: traces, Signal.METRICS: metrics, Signal.LOGS: logs}
    used = {signal: endpoint for signal, endpoint in endpoints.items() if endpoint}
    at = clock or SystemClock()
    return _OtlpSink(used, {signal: _sender(signal, endpoint, at) for signal, endpoint in used.items()})


class _OtlpSink:
    def __init__(self, endpoints: Mapping[Signal, Endpoint], senders: Mapping[Signal, Sender]) -> None:
        self._endpoints = endpoints
        self._senders = senders

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Send to the signal's endpoint."""
        if signal not in self._senders:
            return Denied(f"no endpoint is set up for {signal}")
        return _masked(await self._senders[signal].send(payload), self._endpoints[signal])

    async def close(self) -> None:
        """Close every connection."""
        for sender in self._senders.values():
            await sender.close()


def _sender(signal: Signal, endpoint: Endpoint, clock: Clock) -> Sender:
    if endpoint.protocol == "grpc":
        from bridge.export.grpc import GrpcSender  # noqa: PLC0415 - grpc takes its time and memory: only where chosen

        return GrpcSender(signal, endpoint)
    from bridge.export.http import HttpSender  # noqa: PLC0415 - the same for httpx

    return HttpSender(signal, endpoint, clock)


def _masked(answer: Answer, endpoint: Endpoint) -> Answer:
    if isinstance(answer, Accepted):
        return replace(answer, warning=endpoint.mask(answer.warning))
    return replace(answer, reason=endpoint.mask(answer.reason))
