"""What the page shows, without its HTML."""

import re

import pytest
from status.status_world import DAY, HOUR, NOW, StatusWorld, a_failure, a_letter, a_run

from bridge import __version__
from bridge.follow.state import Phase
from bridge.ledger.glance import FEW
from bridge.ledger.ledger import Batch, Export, Plan, SeriesKey, Total


async def test_a_quiet_bridge(world: StatusWorld) -> None:
    view = await world.view()
    assert view.headline.text == "up to date"
    assert view.problems == []
    assert (view.version, view.started_at, view.lag, view.behind) == (__version__, NOW - 2 * DAY - 4 * HOUR, 2, False)
    assert view.missing == {}
    assert view.failures == []
    assert view.ledger_bytes
    assert view.glance
    assert view.glance.version == 5
    assert (view.glance.open_runs, view.glance.dormant_runs, view.glance.in_flight) == ({}, {}, None)
    assert (view.glance.origin_ns, view.glance.watermark_ns) == (None, None)


async def test_runs_are_counted_by_status_and_the_first_few_named(world: StatusWorld) -> None:
    runs = [a_run(f"run-{n}", ago=n, status="running" if n % 3 else "created") for n in range(1, 10)]
    runs += [a_run(f"zombie-{n}", ago=n * DAY, phase=Phase.DORMANT) for n in range(1, 8)]
    runs += [a_run("over", phase=Phase.CLOSED, keep_until=NOW + DAY)]
    await world.keep(runs=tuple(runs))
    glance = (await world.view()).glance
    assert glance
    assert glance.open_runs == {"running": 6, "created": 3}
    assert list(glance.open_runs) == ["running", "created"]
    assert [run.id for run in glance.oldest] == [f"run-{n}" for n in range(9, 9 - FEW, -1)]
    assert glance.dormant_runs == {"running": 7}
    assert [run.id for run in glance.dormant] == [f"zombie-{n}" for n in range(1, 1 + FEW)]


async def test_who_waits_for_an_approval_longest_comes_first(world: StatusWorld) -> None:
    asks = {"status": "completed", "stop_reason": "requires_approval", "phase": Phase.CLOSED, "keep_until": NOW + DAY}
    await world.keep(
        runs=(
            *(a_run(f"asks-{n}", ago=n, agent_id=f"agent-{n}", **asks) for n in range(1, 8)),
            a_run("answered", ago=99, agent_id="agent-x", **asks),
            a_run("answer", ago=90, agent_id="agent-x"),
        )
    )
    glance = (await world.view()).glance
    assert glance
    assert glance.awaiting_approval == 7
    assert [run.id for run in glance.waiting] == [f"asks-{n}" for n in range(7, 7 - FEW, -1)]


async def test_what_is_in_flight(world: StatusWorld) -> None:
    await world.ledger.prepare(Batch((bytes(100), bytes(20)), 7, Plan(), logs=(bytes(3),)))
    told: dict[SeriesKey, Total] = {("letta.steps", ()): Total(sum=1)}
    await world.ledger.put_exports_aside([Export(b"a", told), Export(b"b", {})], until_ns=round(NOW * 1e9))
    glance = (await world.view()).glance
    assert glance
    assert (glance.in_flight, glance.exports) == ((7, 123), 2)


async def test_the_newest_dead_letters_without_what_is_in_them(world: StatusWorld) -> None:
    await world.keep(letters=tuple(a_letter(source=f"step-{n}") for n in range(8)))
    view = await world.view()
    assert view.glance
    assert view.glance.dead_letters == 8
    assert [letter.source for letter in view.glance.newest_letters] == [f"step-{n}" for n in (7, 6, 5, 4, 3)]
    assert [letter.id for letter in view.glance.newest_letters] == [8, 7, 6, 5, 4]
    assert [problem.what for problem in view.problems] == ["8 dead letters"]


async def test_failures_come_newest_first(world: StatusWorld) -> None:
    await world.keep(failures=(a_failure(2), a_failure(1)))
    assert (await world.view()).failures == [a_failure(1), a_failure(2)]


async def test_postponed_runs_with_what_the_ledger_knows_of_them(world: StatusWorld) -> None:
    await world.keep(runs=(a_run("run-1", next_visit=NOW + 30),))
    world.stand(postponed={"run-1": "answered 500", **{f"gone-{n}": "no" for n in range(9)}})
    view = await world.view()
    assert [one.run_id for one in view.postponed] == ["run-1", "gone-0", "gone-1", "gone-2", "gone-3"]
    assert view.postponed[0].reason == "answered 500"
    assert view.postponed[0].run
    assert view.postponed[0].run.next_visit == NOW + 30
    assert view.postponed[1].run is None
    assert [problem.what for problem in view.problems] == ["10 runs cannot be read for now"]


async def test_each_part_of_the_health_with_its_reason_and_address(world: StatusWorld) -> None:
    world.environ = {
        "LETTA_BASE_URL": "http://letta:8283",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://metrics/in?key=sk-canary",
        "OTEL_LOGS_EXPORTER": "none",
    }
    world.health.letta.failed("answered 503")
    world.health.another("metrics").failed("refused")
    view = await world.view()
    assert [(part.name, part.trouble, part.answered_at, part.where) for part in view.parts] == [
        ("Loop", None, NOW - 2, "this process"),
        ("Letta", "answered 503", NOW - 2, "http://letta:8283"),
        ("Backend", None, NOW - 2, "http://collector:4318/v1/traces"),
        ("Backend of metrics", "refused", None, "https://metrics/in"),
    ]
    assert [(way.signal, way.where) for way in view.ways] == [
        ("traces", "http://collector:4318/v1/traces"), ("metrics", "https://metrics/in"), ("logs", "nowhere"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"BRIDGE_EXPORT_FILE": "spans.jsonl"}, "file spans.jsonl"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "collector:4317"),
    ],
)
async def test_where_spans_go(world: StatusWorld, environ: dict[str, str], where: str) -> None:
    world.environ = environ
    assert (await world.view()).ways[0].where == where


async def test_a_loop_that_stands(world: StatusWorld) -> None:
    world.now = NOW + 400
    view = await world.view()
    assert view.headline.text == "stands still for 6 min"
    assert view.parts[0].trouble == "has not turned for 402 s"


async def test_a_clock_that_was_set_back_makes_no_negative_lag(world: StatusWorld) -> None:
    world.now = NOW - DAY
    view = await world.view()
    assert (view.lag, view.headline.text) == (0, "up to date")


@pytest.mark.parametrize(
    ("damage", "part", "rest"),
    [
        ("DROP TABLE failure", "last failures", {"glance", "ledger_bytes"}),
        ("DROP TABLE dead_letter", "runs and dead letters", {"failures", "ledger_bytes"}),
        ("DROP TABLE run", "runs and dead letters", {"failures", "ledger_bytes"}),
        ("INSERT INTO failure (stream, failure) VALUES (1, '{\"sk-canary\": 1}')", "last failures", {"glance"}),
    ],
)
async def test_a_part_that_fails_leaves_the_others(
    world: StatusWorld, damage: str, part: str, rest: set[str]
) -> None:
    world.execute(damage)
    view = await world.view()
    assert list(view.missing) == [part]
    assert "sk-canary" not in view.missing[part]
    assert all(getattr(view, name) is not None for name in rest)
    assert view.headline.text == "not all can be shown"
    assert view.problems[0].what == f"Not shown: {part}"
    assert view.problems[0].why == view.missing[part]


async def test_a_postponed_run_that_cannot_be_read_is_named_all_the_same(world: StatusWorld) -> None:
    world.stand(postponed={"run-1": "answered 500"})
    world.execute("DROP TABLE run")
    view = await world.view()
    assert [(one.run_id, one.run) for one in view.postponed] == [("run-1", None)]
    assert set(view.missing) == {"runs and dead letters", "postponed runs"}


async def test_looking_changes_nothing(world: StatusWorld) -> None:
    await world.trouble()
    before = await world.ledger.in_flight(), await world.ledger.failures(), await world.ledger.dead_letters()
    assert await world.view() == await world.view()
    assert (
        await world.ledger.in_flight(),
        await world.ledger.failures(),
        await world.ledger.dead_letters(),
    ) == before


async def test_it_does_not_read_the_closed_runs_or_a_payload(world: StatusWorld) -> None:
    """The plan of each query: history and megabytes must not cost the sweep its time."""
    await world.busy()
    seen: list[str] = []
    world.connection.set_trace_callback(seen.append)
    await world.view()
    world.connection.set_trace_callback(None)
    queries = [query for query in seen if query.lstrip().startswith("SELECT") and " run" in query]
    assert len(queries) >= 5
    for query in queries:
        plan = [row[3] for row in world.connection.execute(f"EXPLAIN QUERY PLAN {query}")]
        touched = [step for step in plan if re.match(r"(SCAN|SEARCH) (run|later)\b", step)]
        assert touched
        small = r"SEARCH \w+ USING .*(run_followed|run_asking|run_by_agent|\(stream=\? AND id=\?\))"
        assert not [step for step in touched if not re.match(small, step)], (query, plan)
