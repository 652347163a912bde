"""How each backend answered, noted where the answers come in: what Health shows rests on nothing else.

Signals that go to one address have one backend. What it says to the most important of them (spans, then metrics, then
log events) counts in full; of the others it is known that not every backend has them, so that an address which takes
spans and says 404 to metrics is well. It is in trouble until each signal that was in trouble has had a good answer:
that it takes metrics says nothing of the spans that it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.clock import Clock
from bridge.export.answers import Answer, Denied, Retryable, Signal, Sink, Unsupported
from bridge.health import Health, Peer


@dataclass(frozen=True, slots=True)
class Backend:
    """One address, and what goes there.

    Attributes:
        peer: where it is noted how it answered.
        leads: the most important signal that goes there.
        troubles: why it does not take a signal, for each that it did not take when it was last sent.
    """

    peer: Peer
    leads: Signal
    troubles: dict[Signal, str] = field(default_factory=dict)


def backends(addresses: Mapping[Signal, str], health: Health) -> Mapping[Signal, Backend]:
    """The backend of each signal that goes anywhere, told to `health`: spans' as its `backend`, others by signal.

    Args:
        addresses: where each signal goes; those of one address go to one backend.
        health: has a peer for the spans' backend.
    """
    found: dict[str, Backend] = {}
    by_signal: dict[Signal, Backend] = {}
    for signal in Signal:
        address = addresses.get(signal)
        if address is not None:
            if address not in found:
                peer = health.backend if signal is Signal.TRACES else health.another(signal.value)
                found[address] = Backend(peer, leads=signal)
            by_signal[signal] = found[address]
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
            _note(backend, signal, answer, self._clock.now())
        return answer

    async def close(self) -> None:
        """See the protocol."""
        await self._sink.close()


def _note(backend: Backend, signal: Signal, answer: Answer, now: float) -> None:
    """Also who refuses a batch for good has answered; that it takes no metrics says nothing of the spans."""
    has_none = isinstance(answer, Unsupported) and signal is not backend.leads
    if isinstance(answer, Retryable | Denied | Unsupported) and not has_none:
        backend.troubles[signal] = answer.reason
    else:
        backend.troubles.pop(signal, None)
    shown = next((backend.troubles[of] for of in Signal if of in backend.troubles), None)
    if shown is not None:
        backend.peer.failed(shown)
    elif has_none:
        backend.peer.trouble = None
    else:
        backend.peer.answered(now)
