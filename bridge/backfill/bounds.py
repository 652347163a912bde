"""From what a person asked for to the runs that are a backfill's business. Pure.

The service owns every run created at or after its origin, a backfill those before it. Where the service has not run
yet the backfill decides where it will begin. Runs can show up in Letta's list minutes after their created_at (0.16.8:
seconds, and out of order), so only what is older than the overlap counts as complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bridge.errors import SettingsError
from bridge.ledger.covered import Range
from bridge.settings.durations import START_FROM, StartFrom

OLDEST_TAKEN: Final = 3600.0  # seconds: the strictest limit that a backend documents, see docs/backfill.md

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says.

    Attributes:
        since: from when on.
        until: up to when; None for as far as there is something to do.
        agent_id: whose runs; None for every agent's.
    """

    since: StartFrom
    until: StartFrom | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What there is to do.

    Attributes:
        range: the runs to send; empty where the service has them all.
        complete_ns: runs created before this (ns since the epoch) have all shown up.
        origin_ns: where the service begins.
        notes: what the person should know of it, a line each.
    """

    range: Range
    complete_ns: int
    origin_ns: int
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every run in the range has shown up."""
        return self.range.from_ns >= self.range.until_ns or self.range.until_ns <= self.complete_ns


def asked(since: str, until: str | None, agent_id: str | None, *, now: float) -> Asked:
    """The arguments, read; `now` is the bridge's clock, seconds since the epoch.

    Raises:
        SettingsError: one line for each that is wrong, or that the time asked for is empty.
    """
    problems: list[str] = []
    read: dict[str, StartFrom] = {}
    for name, text in (("since", since), ("until", until)):
        if text is not None:
            try:
                read[name] = _moment(text)
            except (ValueError, OverflowError) as error:
                problems.append(f"--{name}: {error}")
    if agent_id is not None and not agent_id.strip():
        problems.append("--agent: give the id of an agent, such as agent-00000000-0000-4000-8000-000000000000")
    if problems:
        raise SettingsError("\n".join(problems))
    found = Asked(read["since"], read.get("until"), agent_id and agent_id.strip())
    _time(found, now)
    return found


def bounds(asked: Asked, *, now: float, overlap: float, origin_ns: int | None, start_from: StartFrom) -> Bounds:
    """What there is to do.

    Args:
        asked: the command line.
        now: the server's clock, seconds since the epoch.
        overlap: seconds within which runs can show up late.
        origin_ns: where the service began; None where it has not run yet.
        start_from: where it would begin if it ran now.

    Raises:
        SettingsError: the time asked for is empty.
    """
    since, until = _time(asked, now)
    complete = now - overlap
    notes: list[str] = []
    if origin_ns is None:
        origin = complete if until > complete else min(complete, max(until, start_from.since(now)))
        origin_ns = round(origin * _NS)
        notes.append(f"the service has not run yet: it will go on from {when(origin)}, and never before")
    elif since * _NS >= origin_ns:
        notes.append(f"nothing to do: the service has every run created from {when(origin_ns / _NS)} on")
    elif asked.until and round(until * _NS) > origin_ns:
        notes.append(f"runs created from {when(origin_ns / _NS)} on are the service's: left to it")
    if since < now - OLDEST_TAKEN:
        notes.append(
            "some backends refuse or hide old spans (Dynatrace after 1 hour, Datadog and New Relic after 24,"
            " Tempo's search after 2 minutes): see docs/backfill.md"
        )
    until_ns = max(round(since * _NS), min(round(until * _NS), origin_ns))
    return Bounds(Range(round(since * _NS), until_ns, asked.agent_id), round(complete * _NS), origin_ns, tuple(notes))


def when(seconds: float) -> str:
    """A moment as a person reads it, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def _time(asked: Asked, now: float) -> tuple[float, float]:
    since, until = asked.since.since(now), asked.until.since(now) if asked.until else now
    if since >= until:
        to = "--until" if asked.until else "now"
        raise SettingsError(f"--since ({when(since)}) is not before {to} ({when(until)}): nothing lies between")
    return since, until


def _moment(text: str) -> StartFrom:
    moment = START_FROM.parse(text)
    assert isinstance(moment, StartFrom)
    return moment if moment.moment is None else StartFrom(moment=max(0.0, moment.moment))
