"""The CPU of each contestant over one workload, in turns: what slows the machine down slows them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shutil import which
from statistics import median

from benchmarks.stage import Failed, Result, Workload, staged

CONTESTANTS = ("naive", "official", "ours", "floor")
FLOORS = ("floor", "floor_httpx")
_LITTLE = Workload("little", runs=2, steps=2)  # what it takes to do next to nothing: connections, late imports


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all rounds of one workload gave, by contestant."""

    workload: Workload
    results: Mapping[str, Sequence[Result]]
    little: Mapping[str, float]  # seconds of CPU for next to nothing

    def rounds(self, contestant: str) -> Sequence[float]:
        """Seconds of CPU per 1,000 steps of each round, without what next to nothing takes."""
        little, steps = self.little[contestant], self.workload.total - _LITTLE.total
        return [(result.told["cpu"] - little) * 1000 / steps for result in self.results[contestant]]

    def cpu(self, contestant: str) -> float:
        """The median of the rounds."""
        return median(self.rounds(contestant))

    def ratio(self, one: str, other: str) -> float:
        """How many times the CPU of the other the one takes: the median over the rounds of the ratio within each."""
        return median(a / b for a, b in zip(self.rounds(one), self.rounds(other), strict=True))

    def requests(self, contestant: str) -> float:
        """Requests to Letta per 1,000 steps."""
        return sum(self.results[contestant][-1].asked.values()) * 1000 / self.workload.total


def compare(workload: Workload, *, rounds: int, contestants: Iterable[str] = CONTESTANTS) -> Comparison:
    """Play all contestants so many times, one after the other, and see that they delivered the same."""
    names = tuple(contestants)
    results: dict[str, list[Result]] = {name: [] for name in names}
    with staged(_LITTLE) as stage:
        plays = {name: [stage.play(name, _LITTLE).told["cpu"] for _ in range(rounds)] for name in names}
    with staged(workload) as stage:
        like_ours: Sequence[str] = ()
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                if name in FLOORS and not like_ours:
                    like_ours = _as_posted(stage.play("ours", workload))
                results[name].append(stage.play(name, workload, *(like_ours if name in FLOORS else ())))
                if name == "ours":
                    like_ours = _as_posted(results[name][-1])
    check(results)
    if workload.durations and any(
        lengths(result) != workload.total for of_one in results.values() for result in of_one
    ):
        raise Failed("not every step was asked for its lengths")
    return Comparison(workload, results, {name: median(cpu) for name, cpu in plays.items()})


def instructions(workload: Workload, contestants: Iterable[str]) -> Mapping[str, float]:
    """Millions of instructions per 1,000 steps, without what next to nothing takes."""
    names = tuple(contestants)
    if not which("valgrind"):
        raise Failed("valgrind is not installed")
    with staged(_LITTLE) as stage:
        little = {name: stage.count(name, _LITTLE) for name in names}
    with staged(workload) as stage:
        posts = _as_posted(stage.play("ours", workload))
        whole = {name: stage.count(name, workload, *(posts if name in FLOORS else ())) for name in names}
    steps = workload.total - _LITTLE.total
    return {name: (whole[name] - little[name]) / steps / 1e3 for name in names}


def _as_posted(result: Result) -> Sequence[str]:
    """For the floor: as many requests, bytes and spans as the bridge sends."""
    received, spans = result.received, result.received["spans"]
    posts = received["traces.requests"]
    return (
        *("--posts", str(posts)),
        *("--post-bytes", str(received["traces.bytes"] // posts)),
        *("--post-spans", str(-(-spans // posts))),
    )


def lengths(result: Result) -> int:
    """Steps that were asked for their measured lengths."""
    return result.asked.get("v1/steps/{id}/metrics", 0)


def check(results: Mapping[str, Sequence[Result]]) -> None:
    """Every contestant but the floor sent the same spans with as many attributes."""
    seen = {
        name: {key: count for key, count in result.received.items() if key.startswith(("spans", "attributes"))}
        for name, of_one in results.items()
        if name not in FLOORS
        for result in of_one
    }
    first, *others = seen.values()
    if any(other != first for other in others):
        raise Failed(f"not the same output: {seen}")
    for floor in results.keys() & set(FLOORS):
        sent, ready = first["spans"], results[floor][0].received["spans"]
        if abs(ready - sent) > sent * 0.02:
            raise Failed(f"{floor} posted {ready} spans instead of {sent}")
