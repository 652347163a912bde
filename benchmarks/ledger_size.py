"""Does the ledger follow its open and watched runs, or history? Pushes steps through a real file and prints its size.

Runs of 25 steps are discovered, put aside, committed, closed, looked at again ever more rarely and forgotten, as the
service does it, by a clock that is turned by hand. The last columns are what putting a batch aside and committing it
takes, the median: by the wall clock, fsync included, and of the processor, which no other program blurs.

    python benchmarks/ledger_size.py                     1,000,000 steps, 2,000 runs a day, watched for 7 days
    python benchmarks/ledger_size.py --watch-days 0
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bridge.follow.state import FollowedRun, Phase, Sums
from bridge.ledger.ledger import Batch, Ledger, Plan, Total
from bridge.ledger.open import open_ledger

_START = 1_800_000_000.0
_DAY = 86_400.0
_STEPS = 25  # of a run
_RUNS = 8  # of a batch
_SPAN_BYTES = 500
_OVERLAP = 300.0
_FIRST_LOOK = 300.0
_AGENTS = 200
_MODELS = 20
_STATUSES = ("completed",) * 9 + ("failed",)


@dataclass(slots=True)
class Load:
    """A Letta server's worth of runs, pushed through one ledger."""

    ledger: Ledger
    runs_a_day: float
    watch_for: float
    now: float = _START
    costs: list[tuple[float, float]] = field(default_factory=list)  # seconds: by the wall clock, of the processor
    chance: random.Random = field(default_factory=lambda: random.Random(3))

    async def batch(self) -> None:
        """Some runs from their first sighting to their tombstones, and the looks that are due meanwhile."""
        self.now += _RUNS * _DAY / self.runs_a_day
        runs = [self._new_run(self.now + at / 10) for at in range(_RUNS)]
        top = runs[-1].created_ns
        await self.ledger.discover(runs, now=self.now, watermark_ns=top, forget_before_ns=top - int(_OVERLAP * 1e9))
        payload = self.chance.randbytes(_RUNS * _STEPS * 2 * _SPAN_BYTES)
        delivered = Plan(runs=tuple(map(self._delivered, runs)), totals=self._totals())
        began, began_cpu = time.perf_counter(), time.process_time()
        sent = Batch((payload,), _RUNS * _STEPS * 2, delivered)
        await self.ledger.prepare(sent)
        await self.ledger.commit(sent)
        self.costs.append((time.perf_counter() - began, time.process_time() - began_cpu))
        await self.ledger.commit(Batch((), 0, Plan(runs=tuple(map(self._closed, delivered.runs)))))
        while looks := await self.ledger.looks(now=self.now, limit=64):
            await self.ledger.commit(Batch((), 0, Plan(runs=tuple(map(self._looked_at, looks)))))

    def _new_run(self, at: float) -> FollowedRun:
        return FollowedRun(
            id=f"run-{uuid.UUID(int=self.chance.getrandbits(128))}",
            agent_id=f"agent-{uuid.UUID(int=self.chance.randrange(_AGENTS))}",
            created_ns=int(at * 1e9),
            status="created",
            first_seen=at,
            last_news=at,
            next_visit=at,
        )

    def _delivered(self, run: FollowedRun) -> FollowedRun:
        step = f"step-{uuid.UUID(int=self.chance.getrandbits(128))}"
        sums = Sums(steps=_STEPS, input_tokens=90_000, output_tokens=4_000, total_tokens=94_000)
        news = {"status": "running", "cursor": step, "seen": f"running None {step} success None", "sums": sums}
        return run.model_copy(
            update=news | {"last_visit": self.now, "message_cursor": step, "fence_ns": run.created_ns}
        )

    def _closed(self, run: FollowedRun) -> FollowedRun:
        tomb = {"phase": Phase.CLOSED, "seen": "", "sums": Sums(steps=_STEPS), "span_sent": True}
        end = {"status": self.chance.choice(_STATUSES), "stop_reason": "end_turn", "over_since": self.now}
        kept = {
            "keep_until": self.now + self.watch_for if self.watch_for else 0.0,
            "next_visit": self.now + _FIRST_LOOK,
        }
        return run.model_copy(update=tomb | end | kept)

    def _looked_at(self, run: FollowedRun) -> FollowedRun:
        age = max(_FIRST_LOOK, self.now - run.last_news)
        return run.model_copy(update={"last_visit": self.now, "next_visit": self.now + age})

    def _totals(self) -> tuple[tuple[str, tuple[tuple[str, str], ...], Total], ...]:
        models = [(("letta.model.handle", f"provider/model-{n}"),) for n in range(_MODELS)]
        counted = [("letta.steps", model, Total(sum=10)) for model in models]
        timed = [("letta.step.duration", model, Total(sum=1.5, count=10, buckets=(1,) * 10)) for model in models]
        return (*counted, *timed)


async def measure(path: Path, *, steps: int, every: int, runs_a_day: float, watch_days: float) -> None:
    """Print a line every so many steps."""
    ledger = await open_ledger(str(path), source="letta", destination="default", now=_START)
    load = Load(ledger, runs_a_day, watch_days * _DAY)
    print(f"{'steps':>10} {'kept runs':>10} {'bytes':>12} {'ms a batch':>11} {'ms of CPU':>10}")
    for done in range(_RUNS * _STEPS, steps + 1, _RUNS * _STEPS):
        await load.batch()
        if done % every == 0:
            wall, cpu = _medians(load.costs[-every // (_RUNS * _STEPS) :])
            size = await ledger.size_bytes()
            print(f"{done:>10,} {_kept(path):>10,} {size:>12,} {wall * 1e3:>11.2f} {cpu * 1e3:>10.2f}", flush=True)
    tenth = max(1, len(load.costs) // 10)
    (first, first_cpu), (last, last_cpu) = _medians(load.costs[:tenth]), _medians(load.costs[-tenth:])
    print(f"last tenth to first: {last / first:.2f} by the wall clock, {last_cpu / first_cpu:.2f} of the processor")
    await ledger.close()


def _medians(costs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    walls, cpus = zip(*costs, strict=True)
    return median(walls), median(cpus)


def _kept(path: Path) -> int:
    """Rows of runs, read from outside."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        return int(reader.execute("SELECT count(*) FROM run").fetchone()[0])


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100_000, help="steps between two lines")
    parser.add_argument("--runs-a-day", type=float, default=2_000)
    parser.add_argument("--watch-days", type=float, default=7)
    parser.add_argument("--folder", type=Path, help="where to put the ledger; a temporary one by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder).resolve() / "bridge.ledger"
        wanted = {"steps": given.steps, "every": given.every, "runs_a_day": given.runs_a_day}
        asyncio.run(measure(path, **wanted, watch_days=given.watch_days))


if __name__ == "__main__":
    main()
