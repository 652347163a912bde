"""Backfills that are killed, stopped, refused or kept waiting: nothing is lost, and nothing comes twice."""

import json
from pathlib import Path

import httpx
import pytest
from backfill_world import DAY, START, Past, Table
from bridge_world import spans_in

from bridge.backfill.bounds import asked
from bridge.demo import recording
from bridge.errors import LettaRefused
from bridge.export.answers import Accepted, Answer, Refused, Retryable

ALL = recording.names()


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


class Killed(BaseException):
    """What kill -9 is to the process under test."""


@pytest.mark.parametrize("taken", [False, True], ids=["before the yes", "after the yes"])
async def test_a_kill_at_any_batch_loses_nothing_and_counts_once(past: Past, *, taken: bool) -> None:
    for number, name in enumerate(ALL):
        past.play(name, at=START + number * 3600)
    for _ in range(60):
        past.play("text", at=START + 100 * 3600)
    past.slow_down(0.2)
    kills = 0

    def die(payload: bytes) -> Answer:
        nonlocal kills
        kills += 1
        if kills % 2:
            return Accepted()
        if taken:
            past.sink.accepted += spans_in(payload)
        raise Killed

    past.sink.answer = die
    for _ in range(200):
        try:
            await past.backfill(metrics=True)
        except Killed:
            continue
        break
    assert kills > 30
    unique = {span.span_id for span in past.sink.accepted}
    by_id = {span.span_id: span.SerializeToString() for span in past.sink.accepted}
    assert all(by_id[span.span_id] == span.SerializeToString() for span in past.sink.accepted), "resent as they were"
    past.sink.accepted = list({span.span_id: span for span in past.sink.accepted}.values())
    assert len(unique) == len(past.sink.accepted)
    past.assert_all_sent_once()
    async with past.bridge() as bridge:
        assert await bridge.total("letta.steps") == len(past.ids(Table.STEPS))
        assert await bridge.total("letta.runs") == len(past.ids(Table.RUNS))


@pytest.mark.parametrize("counted", [False, True])
async def test_what_a_crash_left_is_counted_as_it_was_begun(past: Past, *, counted: bool) -> None:
    past.play("conversation", at=START)  # two steps, and over by the last of them alone: closed by a later visit

    def die(_payload: bytes) -> Answer:
        raise Killed

    past.sink.answer = die
    with pytest.raises(Killed):
        await past.backfill(metrics=counted)
    past.sink.answer = lambda _payload: Accepted()
    await past.backfill(metrics=not counted)
    past.assert_all_sent_once()
    async with past.bridge() as bridge:
        assert await bridge.total("letta.steps") == (2 if counted else 0)
        assert await bridge.total("letta.runs") == (0 if counted else 1), "that came with the second command"


async def test_one_bad_span_is_kept_where_the_service_keeps_its_own(past: Past) -> None:
    past.play("multi_step", at=START)

    def refuse(payload: bytes) -> Answer:
        return Refused("bad tool") if any("execute_tool" in span.name for span in spans_in(payload)) else Accepted()

    past.sink.answer = refuse
    result = await past.backfill()
    past.assert_all_sent_once()
    assert result.letters == 4
    async with past.bridge() as bridge:
        assert await bridge.ledger.dead_letter_count() == 4


async def test_runs_that_cannot_be_read_are_kept_once_and_only_those_of_the_time(past: Past) -> None:
    past.texts(120)
    for name, at in (("old", START + 60), ("new", START + 20 * DAY)):
        fields = {"status": "completed", "agent_id": "agent-1", "metadata": {"a": 1}}
        past.store.put(Table.RUNS, f"run-{name}", fields, created_at=at, visible_at=at)
        past.store.rows(Table.RUNS)
    for row in past.store.rows(Table.RUNS):
        if row.id in ("run-old", "run-new"):
            row.fields["id"] = None
    for _ in range(3):
        await past.backfill(until="15d")
    assert len(past.runs_sent()) == 120
    async with past.bridge() as bridge:
        assert await bridge.ledger.dead_letter_count() == 1


class Undated(httpx.AsyncBaseTransport):
    """A Letta whose oldest run has no created_at."""

    def __init__(self, inner: httpx.AsyncBaseTransport, run_id: str) -> None:
        self._inner = inner
        self._run_id = run_id

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if request.url.path != "/v1/runs/":
            return response
        rows = json.loads(await response.aread())
        rows = [row | {"created_at": None} if row["id"] == self._run_id else row for row in rows]
        return httpx.Response(200, json=rows, headers={"date": response.headers["date"]})


async def test_a_run_without_a_date_is_kept_once_however_often_it_is_met(past: Past) -> None:
    past.texts(5, every=DAY)
    oldest = past.store.rows(Table.RUNS)[0].id
    past.wrap_transport = lambda inner: Undated(inner, oldest)
    for since in ("2027-01-18", "2027-01-17", "beginning"):
        await past.backfill(since)
    assert len(past.runs_sent()) == 4
    async with past.bridge() as bridge:
        assert [kept.letter.source for kept in await bridge.ledger.dead_letters()] == [oldest]


async def test_a_cursor_that_is_deleted_under_way_sends_it_back_to_the_top(past: Past) -> None:
    past.texts(150)
    rows = past.store.rows(Table.RUNS)
    edge = rows[-100].id  # the last of the first page
    deleted = False

    def answer(_payload: bytes) -> Answer:
        nonlocal deleted
        if not deleted:
            past.store._tables[Table.RUNS].pop(edge)
            deleted = True
        return Accepted()

    past.sink.answer = answer
    result = await past.backfill()
    assert len(past.runs_sent()) == len(set(past.runs_sent())) >= 149
    assert (result.passed, result.unfinished) == (0, 0)
    assert any("does not continue" in line for line in past.seen.lines)


async def test_an_outage_of_either_side_is_waited_for(past: Past) -> None:
    past.texts(5)
    began = past.clock.time
    answers = 0

    def away(_payload: bytes) -> Answer:
        nonlocal answers
        answers += 1
        if answers == 2:
            past.letta.database_down = True
        return Retryable("away", retry_after=700) if answers == 1 else Accepted()

    past.sink.answer = away
    sleep = past.clock.sleep

    async def slept(seconds: float) -> None:
        await sleep(seconds)
        past.letta.database_down = past.letta.database_down and past.clock.time < began + 3600

    past.clock.sleep = slept  # type: ignore[method-assign]
    past.environ["BRIDGE_LETTA_CONCURRENCY"] = "1"
    result = await past.backfill()
    assert past.clock.time >= began + 700
    assert past.sink.requests[0] == past.sink.requests[1]
    assert any(line.startswith("away; tried again in") for line in past.seen.lines)
    assert "goes on" in past.seen.lines
    assert result.tally.runs == 5
    past.assert_all_sent_once()


async def test_a_refused_key_ends_it(past: Past) -> None:
    past.texts(2)
    past.letta.api_key = "secret"
    with pytest.raises(LettaRefused):
        await past.backfill()


async def test_stopped_after_the_batch_in_hand_and_gone_on_with_later(past: Past) -> None:
    past.texts(80)
    async with past.opened() as (backfill, ledger):

        def stop(_payload: bytes) -> Answer:
            backfill.stop()
            return Accepted()

        past.sink.answer = stop
        result = await backfill.run(asked("beginning", None, None, now=past.clock.now()), past.seen)
        assert result.stopped
        assert await ledger.in_flight() is None
    assert 0 < len(past.steps_sent()) < 80
    past.sink.answer = lambda _payload: Accepted()
    assert not (await past.backfill()).stopped
    past.assert_all_sent_once()
