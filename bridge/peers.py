"""How each backend answered, noted where the answers come in: what Health shows rests on nothing else.

Signals that go to one address have one backend. What it says to the most important of them (spans, then metrics, then
log events) counts in full; of the others it is known that not every backend has them, so that an address which takes
spans and says 404 to metrics is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.clock import Clock
from bridge.export.answers import Answer, Denied, Retryable, Signal, Sink, Unsupported
from bridge.health import Health, Peer


@dataclass(frozen=True, slots=True)
class Backend:
    """The peer of a signal.

    Attributes:
        peer: where it is noted how it answered.
        leads: whether the signal is the most important one that goes there.
    """

    peer: Peer
    leads: bool


def backends(addresses: Mapping[Signal, str], health: Health) -> Mapping[Signal, Backend]:
    """The backend of each signal that goes anywhere, told to `health`: spans' as its `backend`, others by signal.

    Args:
        addresses: where each signal goes; those of one address go to one backend.
        health: has a peer for the spans' backend.
    """
    found: dict[str, Peer] = {}
    by_signal: dict[Signal, Backend] = {}
    for signal in Signal:
        address = addresses.get(signal)
        if address is not None:
            leads = address not in found
            if leads:
                found[address] = health.backend if signal is Signal.TRACES else health.another(signal.value)
            by_signal[signal] = Backend(found[address], leads)
    return by_signal


class NotingSink:
    """A sink, and what it answered."""

    def __init__(self, sink: Sink, by_signal: Mapping[Signal, Backend], clock: Clock) -> None:
        """Wrap a sink."""
        self._sink = sink
        self._backends = by_signal
        self._clock = clock

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """See the protocol."""
        answer = await self._sink.send(signal, payload)
        backend = self._backends.get(signal)
        if backend:
            _note(backend, answer, self._clock.now())
        return answer

    async def close(self) -> None:
        """See the protocol."""
        await self._sink.close()


def _note(backend: Backend, answer: Answer, now: float) -> None:
    """Also who refuses a batch for good has answered; that it takes no metrics says nothing of the spans."""
    if isinstance(answer, Unsupported) and not backend.leads:
        return
    if isinstance(answer, Retryable | Denied | Unsupported):
        backend.peer.failed(answer.reason)
    else:
        backend.peer.answered(now)
