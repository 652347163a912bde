"""All that the page shows, gathered from the live parts and the settings; no HTML.

A part of the ledger that cannot be read is missing from the view, with the reason; the others are there. What is in
memory (health, standing, the bridge's own metrics, settings) cannot fail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from bridge import __version__
from bridge.errors import BridgeError
from bridge.export.endpoint import shown
from bridge.follow.state import FollowedRun
from bridge.health import OK, Health, Peer
from bridge.ledger.figures import Glance
from bridge.ledger.glance import FEW
from bridge.map.failures import Failure
from bridge.settings import Settings, destination, resolve
from bridge.settings.otlp import Signal
from bridge.status.traffic import Counts, Traffic, traffic
from bridge.status.verdict import Facts, Headline, Problem, headline, problems
from bridge.status.watched import Standing, Watched

T = TypeVar("T")

_SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")


@dataclass(frozen=True, slots=True)
class Part:
    """The health of one part.

    Attributes:
        name: for a person.
        trouble: what is wrong; None for nothing.
        answered_at: when it last gave a good answer; None before the first, and where there is nothing to answer.
        where: its address, as it may be shown.
    """

    name: str
    trouble: str | None
    answered_at: float | None
    where: str


@dataclass(frozen=True, slots=True)
class Way:
    """Where one signal goes, and what became of it; `where` as it may be shown."""

    signal: Signal
    where: str
    outcomes: Counts


@dataclass(frozen=True, slots=True)
class Postponed:
    """A run that could not be read; `run` is None where the ledger does not tell more of it."""

    run_id: str
    reason: str
    run: FollowedRun | None


@dataclass(frozen=True, slots=True)
class View:
    """The page's content; times are seconds since the epoch.

    What is None, `glance`, `failures` or `ledger_bytes`, could not be read, and `missing` says why.
    """

    now: float
    started_at: float
    version: str
    headline: Headline
    problems: Sequence[Problem]
    lag: float
    behind: bool
    interval: float
    standing: Standing
    parts: Sequence[Part]
    ways: Sequence[Way]
    traffic: Traffic
    glance: Glance | None
    postponed: Sequence[Postponed]
    failures: Sequence[Failure] | None
    ledger_bytes: int | None
    ledger_path: str
    missing: Mapping[str, str]
    trace_url: str | None


async def gather(watched: Watched, settings: Settings, *, started_at: float, now: float) -> View:
    """The view of this moment.

    Args:
        watched: the live parts.
        settings: in force.
        started_at: when the process began to serve.
        now: seconds since the epoch.
    """
    reader = _Reader()
    glance = await reader.read("runs and dead letters", watched.ledger.glance)
    failures = await reader.read("last failures", watched.ledger.failures)
    ledger_bytes = await reader.read("size of the ledger", watched.ledger.size_bytes)
    standing, seen = watched.standing(), traffic(watched.own_metrics())
    postponed = [
        Postponed(run_id, reason, await reader.read("postponed runs", partial(watched.ledger.run, run_id)))
        for run_id, reason in islice(standing.postponed.items(), FEW)
    ]
    facts = _facts(watched.health, standing, glance, reader.missing, now)
    return View(
        now=now,
        started_at=started_at,
        version=__version__,
        headline=headline(facts),
        problems=problems(facts),
        lag=facts.lag,
        behind=facts.behind,
        interval=facts.interval,
        standing=standing,
        parts=_parts(watched.health, settings, now),
        ways=[Way(signal, _way(settings, signal), seen.outcomes[signal]) for signal in _SIGNALS],
        traffic=seen,
        glance=glance,
        postponed=postponed,
        failures=failures,
        ledger_bytes=ledger_bytes,
        ledger_path=str(settings.ledger.location),
        missing=reader.missing,
        trace_url=settings.map.trace_url,
    )


@dataclass(slots=True)
class _Reader:
    """Asks the ledger, and notes what it does not answer."""

    missing: dict[str, str] = field(default_factory=dict)

    async def read(self, part: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await ask()
        except BridgeError as error:
            self.missing[part] = str(error)
            return None


def _facts(
    health: Health, standing: Standing, glance: Glance | None, missing: Mapping[str, str], now: float
) -> Facts:
    retry_at = standing.retry_at
    return Facts(
        standstill=None if health.alive(now) else now - health.turned_at,
        letta=health.letta.trouble,
        backend=health.backend.trouble,
        started=standing.swept_at is not None,
        lag=max(0.0, now - standing.caught_up_at),
        interval=health.interval,
        retry_in=None if retry_at is None or retry_at < now else retry_at - now,
        postponed=len(standing.postponed),
        dead_letters=glance.dead_letters if glance else None,
        missing=missing,
    )


def _parts(health: Health, settings: Settings, now: float) -> list[Part]:
    loop = health.parts(now)["loop"]
    return [
        Part("Loop", None if loop == OK else loop, health.turned_at, "this process"),
        _side("Letta", health.letta, settings.letta.base_url),
        _side("Backend", health.backend, _way(settings, "traces")),
        *(_side(f"Backend of {name}", peer, _other_way(settings, name)) for name, peer in health.others.items()),
    ]


def _side(name: str, peer: Peer, where: str) -> Part:
    return Part(name, peer.trouble, peer.answered_at, where)


def _other_way(settings: Settings, name: str) -> str:
    return next((_way(settings, signal) for signal in _SIGNALS if signal == name), "")


def _way(settings: Settings, signal: Signal) -> str:
    """Where a signal goes, as it may be shown."""
    match destination(settings.export, signal):
        case "otlp":
            return shown(resolve(settings.otlp, signal).url)
        case "file":
            return f"file {settings.export.file}"
        case "none":
            return "nowhere"
        case way:
            return way
