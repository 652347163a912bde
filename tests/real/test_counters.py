"""What Prometheus makes of a bridge that is killed under load: counters that never drop, never jump, and end right.

The load is the stand-in's, whose rows are the truth; the bridge, its kills and Prometheus are real.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from receivers import HttpReceiver

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from real.background import in_background
from real.prometheus import Prometheus, Series, needs_prometheus
from real.service import Service
from real.waiting import until

NAMES = ("text", "tool_ok", "tool_raises", "parallel_tools", "multi_step", "llm_429", "llm_500", "tool_then_500")
RUNS = 120
LOAD_SECONDS = 30.0
KILLS = 4
STEP = 0.5  # seconds between two scrapes, and between two points of a query
TOTALS = '{__name__=~"(letta|gen_ai)_.+_(total|count|bucket|sum)",__name__!~"letta_bridge_.+"}'

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), needs_prometheus]


@dataclass
class Watched:
    """All that Prometheus saw, from the first scrape on, and what the server held in the end."""

    prometheus: Prometheus
    store: Store
    began: float
    ended: float = 0.0
    deaths: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)

    def seen(self, query: str) -> list[Series]:
        """A query over the whole time."""
        return self.prometheus.range(query, self.began, self.ended, STEP)

    def resets(self, counter: str) -> list[float]:
        """How often each of its series went down over the whole time."""
        query = f"resets({counter}[{self.ended - self.began:.0f}s])"
        return [float(row["value"][1]) for row in self.prometheus.instant(query, time=self.ended)]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A bridge that is killed again and again while runs go on, until it has told all of them."""
    folder = tmp_path_factory.mktemp("counters")
    store = Store(SystemClock())
    began = time.time()
    for number in range(RUNS):
        recording.load(NAMES[number % len(NAMES)]).play(store, began + number * LOAD_SECONDS / RUNS)
    with ExitStack() as stack:
        letta = stack.enter_context(in_background(hosted(StandIn(store).app)))
        backend = stack.enter_context(in_background(HttpReceiver()))
        service = Service(
            "killed",
            letta=letta,
            since=datetime.fromtimestamp(began - 1, UTC),
            folder=folder,
            sends_to={
                "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                "BRIDGE_POLL_INTERVAL": "200ms",
                "BRIDGE_SETTLE": "1s",
                "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
                "BRIDGE_METRICS_AGENTS": "true",
            },
        )
        stack.callback(service.close)
        prometheus = Prometheus(folder, {"letta-bridge": [service.address]}, every=f"{STEP * 1000:.0f}ms")
        stack.enter_context(prometheus)
        watched = Watched(prometheus, store, began)
        service.start()
        for _ in range(KILLS):
            killed(service, watched)
        until(lambda: not store.pending(), seconds=90, every=STEP, what="the load is over")
        with contextlib.suppress(AssertionError):  # the next line says more
            until(lambda: totals(watched) == truth(watched), seconds=60, every=STEP, what="all of it is told")
        assert totals(watched) == truth(watched), service.tail()
        watched.ended = time.time()
        service.stop()
        yield watched


def killed(service: Service, watched: Watched) -> None:
    """kill -9 as soon as Prometheus has seen this process move its counters, and start it again."""
    before = steps(watched) or 0.0
    until(lambda: (steps(watched) or 0.0) >= before + 5, seconds=60, every=0.2, what="the counters move")
    service.stop(signal.SIGKILL)
    watched.deaths.append(time.time())
    until(lambda: steps(watched) is None, seconds=30, every=0.1, what="Prometheus misses the bridge")
    service.start()
    until(lambda: steps(watched) is not None, seconds=60, every=0.1, what="Prometheus sees the bridge again")
    watched.returns.append(time.time())


def steps(watched: Watched) -> float | None:
    return watched.prometheus.value("sum(letta_steps_total)")


def totals(watched: Watched) -> dict[str, float]:
    """Steps and runs by how they ended, as Prometheus has them now."""
    found = {}
    for what, label in (("steps", "letta_step_status"), ("runs", "letta_run_status")):
        for row in watched.prometheus.instant(f"sum by ({label}) (letta_{what}_total)"):
            found[f"{what} {row['metric'][label]}"] = float(row["value"][1])
    for row in watched.prometheus.instant(
        'sum by (letta_token_type) (letta_tokens_total{letta_token_type!~"c.+|r.+"})'
    ):
        found[row["metric"]["letta_token_type"]] = float(row["value"][1])
    return found


def truth(watched: Watched) -> dict[str, float]:
    """The same, counted from the server's rows."""
    rows = watched.store.rows
    found = Counter({"input": 0, "output": 0})
    for step in rows(Table.STEPS):
        found[f"steps {step.fields['status']}"] += 1
        found["input"] += step.fields["prompt_tokens"] or 0
        found["output"] += step.fields["completion_tokens"] or 0
    for run in rows(Table.RUNS):
        found[f"runs {run.fields['status']}"] += 1
    return {name: float(count) for name, count in found.items()}


def test_each_process_was_killed_in_the_middle_of_the_load(watched: Watched) -> None:
    total = sum(count for name, count in truth(watched).items() if name.startswith("steps"))
    at_death = [watched.prometheus.instant("sum(letta_steps_total)", time=death - 0.1) for death in watched.deaths]
    counts = [float(rows[0]["value"][1]) for rows in at_death]
    assert len(counts) == KILLS
    assert all(0 < count < total for count in counts), (counts, total)


def test_no_counter_ever_drops(watched: Watched) -> None:
    rows = watched.seen(TOTALS)
    assert len(rows) > 100
    for row in rows:
        values = [float(value) for _, value in row["values"]]
        assert values == sorted(values), row["metric"]


def test_prometheus_counts_no_reset(watched: Watched) -> None:
    names = {row["metric"]["__name__"] for row in watched.seen(TOTALS)}
    assert {"letta_steps_total", "letta_tokens_total", "letta_step_duration_seconds_bucket"} <= names
    assert {reset for name in names for reset in watched.resets(name)} == {0}


def test_the_bridges_own_counters_do_begin_again(watched: Watched) -> None:
    """They are of one process alone: that no other is seen to drop is no accident of the way it is looked at."""
    [resets] = watched.resets('letta_bridge_requests_total{endpoint="/v1/runs/",answer="200"}')
    assert resets > 0


def test_no_counter_jumps_past_the_truth(watched: Watched) -> None:
    """As none drops, it would still be too high in the end."""
    [row] = watched.seen("sum(letta_steps_total)")
    assert float(row["values"][-1][1]) == sum(n for name, n in truth(watched).items() if name.startswith("steps"))
