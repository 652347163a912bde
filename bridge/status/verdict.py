"""What is wrong, in the order in which a person should care, and the one line that says how the bridge is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.status.text import age, plural

Tone = Literal["good", "note", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the judgement rests on.

    Attributes:
        standstill: seconds for which the loop has not turned; None while it turns.
        letta: what is wrong with it; None for nothing.
        backend: the same.
        started: whether a sweep has ended yet.
        lag: seconds since all that was due had been read and delivered.
        interval: seconds between two sweeps, as set.
        retry_in: seconds until a side that failed is tried again; None where none is left alone.
        postponed: runs that cannot be read for now.
        dead_letters: how many are kept; None where that is not known.
        missing: parts of the page that cannot be shown, with the reason.
    """

    standstill: float | None
    letta: str | None
    backend: str | None
    started: bool
    lag: float
    interval: float
    retry_in: float | None
    postponed: int
    dead_letters: int | None
    missing: Mapping[str, str]

    @property
    def behind(self) -> bool:
        """Whether the lag is more than what lies between two sweeps, one of which may take its time."""
        return self.lag > max(2 * self.interval, self.interval + 5)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: what, why, and what to do."""

    tone: Tone
    what: str
    why: str
    todo: str


@dataclass(frozen=True, slots=True)
class Headline:
    """How the bridge is, in a few words that do not rest on the tone."""

    tone: Tone
    text: str


def headline(facts: Facts) -> Headline:
    """For the title of the page."""
    if facts.standstill is not None:
        return Headline("bad", f"stands still for {age(facts.standstill)}")
    if not facts.started and not facts.missing:
        return Headline("warn", "starting")
    sides = [name for name, trouble in (("Letta", facts.letta), ("backend", facts.backend)) if trouble]
    wrong = [f"behind {age(facts.lag)}"] if facts.behind else []
    wrong += [f"{' and '.join(sides)} in trouble"] if sides else []
    wrong += ["not all can be shown"] if facts.missing else []
    if not wrong:
        return Headline("good", "up to date")
    return Headline("bad" if facts.behind or facts.missing else "warn", ", ".join(wrong))


def problems(facts: Facts) -> list[Problem]:
    """The worst first; empty where all is well."""
    return [*_loop(facts), *_missing(facts), *_sides(facts), *_lag(facts), *_rest(facts)]


def _loop(facts: Facts) -> Iterator[Problem]:
    if facts.standstill is not None:
        yield Problem(
            "bad",
            "The bridge stands still",
            f"Its loop has not turned for {age(facts.standstill)}.",
            "Restart it; nothing is lost. The last lines of its log say what it was at.",
        )


def _missing(facts: Facts) -> Iterator[Problem]:
    by_reason: dict[str, list[str]] = {}
    for part, why in facts.missing.items():
        by_reason.setdefault(why, []).append(part)
    for why, parts in by_reason.items():
        what = ", ".join(parts)
        yield Problem("bad", f"Not shown: {what}", why, "The figures of /metrics and the log may say more.")


def _sides(facts: Facts) -> Iterator[Problem]:
    again = f" Tried again {_in(facts.retry_in)}." if facts.retry_in is not None else ""
    doctor = f"`bridge doctor` tells what to do.{again} Nothing is lost meanwhile."
    if facts.letta and facts.started:
        yield Problem("warn", "Letta cannot be read", facts.letta, doctor)
    if facts.backend:
        yield Problem("warn", "The backend does not take everything", facts.backend, doctor)


def _lag(facts: Facts) -> Iterator[Problem]:
    if facts.behind and facts.started and not (facts.letta or facts.backend):
        yield Problem(
            "bad",
            f"Behind by {age(facts.lag)}",
            "That long ago all that was due had been read and sent; there is more to do than the budget allows.",
            "`BRIDGE_LETTA_REQUESTS_PER_SECOND` sets how many requests a second Letta is asked.",
        )


def _rest(facts: Facts) -> Iterator[Problem]:
    if facts.postponed:
        yield Problem(
            "warn",
            f"{plural(facts.postponed, 'run')} cannot be read for now",
            "All others go on.",
            "Each is tried again, ever more rarely; the reasons stand below.",
        )
    if facts.dead_letters:
        yield Problem(
            "note",
            plural(facts.dead_letters, "dead letter"),
            "No backend would take them, or what Letta sent could not be read.",
            "`bridge dead-letters list` shows them, `show N` one, `retry` sends them again, `drop` deletes them.",
        )


def _in(seconds: float) -> str:
    return f"in {age(seconds)}" if seconds >= 1 else "now"
