"""Whether the bridge is alive and ready, as the sweep last told it. No I/O, no clock of its own.

Times are seconds since the Unix epoch by the bridge's clock. The reasons are shown on a page to whoever may reach it:
they are one line for a person, with nothing secret, as the messages of `bridge.errors` and the answers of a backend
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

OK: Final = "ok"

_INTERVALS: Final = 10
_AT_LEAST: Final = 120.0  # longer than one request's time-out and than the longest back-off of the sweeps


@dataclass(slots=True)
class Peer:
    """One side that the bridge depends on, by what it last answered.

    Attributes:
        answered_at: when it last gave a good answer; None before the first.
        trouble: what is wrong since then; None while nothing is.
    """

    answered_at: float | None = None
    trouble: str | None = None

    def answered(self, now: float) -> None:
        """It gave a good answer."""
        self.answered_at, self.trouble = now, None

    def failed(self, reason: str) -> None:
        """It gave none, or not a good one."""
        self.trouble = reason

    def answered_ago(self, now: float) -> float | None:
        """Seconds since the last good answer; None before the first."""
        return None if self.answered_at is None else max(0.0, now - self.answered_at)

    def silent_since(self, time: float) -> bool:
        """Whether it is in trouble and has given no good answer since `time`."""
        return self.trouble is not None and (self.answered_at is None or self.answered_at < time)


@dataclass(slots=True)
class Health:
    """What /livez and /readyz show.

    Letta has to answer once before the bridge is ready. The backend has not, for there may be nothing to send; nor
    does either get unready by silence alone: it takes a failure, and no good answer for a while.

    Attributes:
        interval: seconds between two sweeps, as set.
        turned_at: when the loop last turned; begins with the start of the process.
        letta: the server that is read.
        backend: where spans go, and what else goes to the same address.
        others: where metrics or log events go, by signal, if that is elsewhere.
    """

    interval: float
    turned_at: float
    letta: Peer = field(default_factory=lambda: Peer(trouble="has not answered yet"))
    backend: Peer = field(default_factory=Peer)
    others: dict[str, Peer] = field(default_factory=dict)

    def another(self, name: str) -> Peer:
        """A peer more."""
        return self.others.setdefault(name, Peer())

    @property
    def peers(self) -> Mapping[str, Peer]:
        """Each side that the bridge depends on, by name."""
        return {"letta": self.letta, "backend": self.backend, **self.others}

    def turned(self, now: float) -> None:
        """The loop goes on: said at each tick, backing off or not, and within a long sweep at each visit."""
        self.turned_at = now

    def alive(self, now: float) -> bool:
        """Whether the loop turned within ten intervals, or two minutes where those are shorter."""
        return self.turned_at >= now - self._patience

    def ready(self, now: float) -> bool:
        """Whether the loop turns, and all sides answered as lately as `alive` asks of the loop."""
        oldest = now - self._patience
        return self.alive(now) and not any(peer.silent_since(oldest) for peer in self.peers.values())

    def parts(self, now: float) -> Mapping[str, str]:
        """Each part by name: `ok`, or what is wrong with it, even if not for long enough to count."""
        loop = OK if self.alive(now) else f"has not turned for {now - self.turned_at:.0f} s"
        return {"loop": loop, **{name: peer.trouble or OK for name, peer in self.peers.items()}}

    def answered_ago(self, now: float) -> Mapping[str, float | None]:
        """Seconds since each side's last good answer; None where there was none, or nothing to ask yet."""
        ago = {name: peer.answered_ago(now) for name, peer in self.peers.items()}
        return {name: None if seconds is None else round(seconds, 1) for name, seconds in ago.items()}

    @property
    def _patience(self) -> float:
        return max(_INTERVALS * self.interval, _AT_LEAST)
