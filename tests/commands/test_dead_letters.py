"""`bridge dead-letters`: the commands on real ledger files, towards real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from bridge_process import Processes
from export_samples import log_event, log_payload, payload
from export_samples import span as sample_span
from opentelemetry.sdk.resources import Resource
from receivers import HttpReceiver, Received, says

from bridge import app, cli
from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.errors import LedgerError, SettingsError
from bridge.export.encode import encode_spans
from bridge.export.logs import encode_log_batches
from bridge.follow.state import FollowedRun, Phase
from bridge.hosting import hosted
from bridge.ledger.ledger import Batch, DeadLetter, KeptLetter, Ledger, Plan
from bridge.map.ids import STEP, span_id
from bridge.map.run import run_span_id
from bridge.settings import Settings, load

KEY = "s3cr3t-key-0123"
RUN = "run-11111111-2222-4333-8444-555555555555"
TRACE = "11111111222243338444555555555555"
ODD = "prompt_tokens: odd"
STEP_ID = "step-99999999-2222-4333-8444-555555555555"
EVIL = "a\x1b[2J\x9b\u202e\nb"


class Shelf:
    """A ledger with dead letters, a receiver, and the command."""

    def __init__(self, folder: Path, receiver: HttpReceiver, capture: pytest.CaptureFixture[str]) -> None:
        self.receiver = receiver
        self.processes = Processes()
        self.environ = {
            "LETTA_BASE_URL": "http://letta.test",
            "BRIDGE_LEDGER": str(folder / "ledger"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={KEY}",
        }
        self._capture = capture

    @property
    def settings(self) -> Settings:
        return load(self.environ, None)

    @contextlib.asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """As the service has it; nobody else can while it is open."""
        settings = self.settings
        ledger = await app.stream_ledger(settings, settings.ledger.location, now=1.0)
        try:
            yield ledger
        finally:
            await ledger.close()

    async def keep(self, *letters: DeadLetter, runs: Sequence[FollowedRun] = ()) -> None:
        async with self.ledger() as ledger:
            await ledger.commit(Batch((), 0, Plan(runs=tuple(runs))), letters)

    async def letters(self) -> Sequence[KeptLetter]:
        async with self.ledger() as ledger:
            return await ledger.dead_letters()

    async def kept(self) -> list[tuple[str, str]]:
        """(kind, reason) of each letter."""
        return [(kept.letter.kind, kept.letter.reason) for kept in await self.letters()]

    async def steps_counted(self) -> float:
        async with self.ledger() as ledger:
            return sum(total.sum for (name, _), total in (await ledger.totals()).items() if name == "letta.steps")

    async def bridge(self, *arguments: str) -> tuple[int, list[str]]:
        """The exit code, and what was printed, standard error after standard output."""
        given = cli._parser().parse_args(["dead-letters", *arguments])
        code = await given.command(given, self.settings)
        out, err = self._capture.readouterr()
        return code, [*out.splitlines(), *err.splitlines()]


@pytest.fixture
async def shelf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Shelf]:
    async with HttpReceiver() as receiver:
        shelf = Shelf(tmp_path, receiver, capsys)
        yield shelf
        await shelf.processes.end()


EVIL_STEP = json.dumps({EVIL: EVIL, "lone": "\ud800"}).encode()


def of_span(number: int = 1, reason: str = "answered 400: no name") -> DeadLetter:
    request = encode_spans([sample_span(number)], Resource({"service.name": "letta"}))
    return DeadLetter(kind="span", source=f"{number:016x}", reason=reason, payload=request)


def of_spans() -> DeadLetter:
    return DeadLetter(kind="spans", source="01..05", reason="2 of 5 rejected: too old", payload=payload(5))


def of_event() -> DeadLetter:
    (request,) = encode_log_batches([log_event(3)], Resource({"service.name": "letta"}))
    return DeadLetter(kind="event", source=f"{3:016x}", reason="answered 400: no", payload=request)


def of_step(**fields: object) -> DeadLetter:
    row = {"id": STEP_ID, "run_id": RUN, "status": "success", "prompt_tokens": 7, "completion_tokens": 1, **fields}
    return DeadLetter(kind="step", source=str(row["id"]), reason=ODD, payload=json.dumps(row).encode())


def of_run(**fields: object) -> DeadLetter:
    row = {"id": RUN, "created_at": "2026-01-01T00:00:00Z", "status": "completed", **fields}
    return DeadLetter(kind="run", source=RUN, reason="created_at: odd", payload=json.dumps(row).encode())


def a_run(**fields: Any) -> FollowedRun:
    return FollowedRun(**{"id": RUN, "created_ns": 1, "first_seen": 1.0, "last_news": 1.0, **fields})


def spans(receiver: HttpReceiver) -> list[Any]:
    return [one for request in receiver.requests for one in request.spans()]


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


# list and show


async def test_nothing_to_list(shelf: Shelf) -> None:
    await shelf.keep()
    assert await shelf.bridge("list") == (0, ["there are no dead letters"])
    assert await shelf.bridge("list", "--json") == (0, [])


async def test_a_line_each_within_the_width(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    await shelf.keep(of_span(reason="because " * 50), of_step(), *[of_event()] * 30)
    code, (head, first, second, *others) = await shelf.bridge("list")
    assert code == 0
    assert head.split() == ["NUMBER", "KEPT", "(UTC)", "KIND", "SOURCE", "REASON"]
    assert first.split()[0] == "1"
    assert first.split()[3:6] == ["span", f"{1:016x}", "because"]
    assert first.endswith("…")
    assert second.split()[4:6] == [f"{STEP_ID[:23]}…", "prompt_tokens:"]
    assert len(others) == 30
    assert max(map(len, (head, first, second, *others))) == 100


async def test_a_list_for_programs(shelf: Shelf) -> None:
    await shelf.keep(of_span(), of_event())
    _, (first, second) = await shelf.bridge("list", "--json")
    entry = json.loads(first)
    kept_at = entry.pop("kept_at")
    assert entry == {"number": 1, "kind": "span", "source": f"{1:016x}", "reason": "answered 400: no name"}
    assert abs(time.time() - time.mktime(time.strptime(kept_at, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
    assert json.loads(second)["kind"] == "event"


async def test_a_letter_in_full(shelf: Shelf) -> None:
    reason = "because\nof this " * 50
    await shelf.keep(of_span(reason=reason), of_event(), of_step(), of_spans())
    _, span_lines = await shelf.bridge("show", "1")
    assert span_lines[0] == "number  1"
    assert span_lines[4] == "reason  " + "because\\nof this " * 50
    assert span_lines[6].startswith("2025-10-09T08:53:20.000Z chat 1 0.001s client unset trace=")
    _, event_lines = await shelf.bridge("show", "2")
    assert event_lines[6].startswith("2025-10-09T08:53:20.000Z event letta.run.changed INFO 'run 3 changed' trace=")
    _, step_lines = await shelf.bridge("show", "3")
    assert step_lines[6:8] == ["{", f'  "id": "{STEP_ID}",']
    _, spans_lines = await shelf.bridge("show", "4")
    assert sum(" chat " in line for line in spans_lines) == 5


@pytest.mark.parametrize(
    "letter",
    [
        DeadLetter(kind=EVIL, source=EVIL, reason=EVIL, payload=EVIL.encode()),
        DeadLetter(kind="step", source=EVIL, reason=EVIL, payload=EVIL_STEP),
        DeadLetter(kind="step", source="s", reason="r", payload=b"\xff\xfe{" + b'{"a":' * 100_000),
        DeadLetter(kind="span", source=EVIL, reason=EVIL, payload=b"\xff\xff\xff"),
        of_span().model_copy(update={"source": EVIL, "reason": EVIL}),
    ],
)
async def test_nothing_in_a_letter_can_move_the_cursor(shelf: Shelf, letter: DeadLetter) -> None:
    await shelf.keep(letter)
    for arguments in (["list"], ["list", "--json"], ["show", "1"], ["retry", "1"], ["drop", "--all", "--yes"]):
        _, lines = await shelf.bridge(*arguments)
        assert [line for line in lines if not line.isprintable()] == []


async def test_no_command_shows_a_secret(shelf: Shelf) -> None:
    shelf.receiver.answer(says(503, f"your key {KEY} is busy".encode()))
    leaky = of_span(reason=f"answered 400: key {KEY} is not known")
    step = DeadLetter(kind="step", source="s", reason="odd", payload=json.dumps({"note": KEY}).encode())
    await shelf.keep(leaky, step)
    for arguments in (["list"], ["list", "--json"], ["show", "1"], ["show", "2"], ["retry", "--all"]):
        _, lines = await shelf.bridge(*arguments)
        assert KEY not in "\n".join(lines)


@pytest.mark.parametrize("arguments", [["show", "7"], ["retry", "1", "7"], ["drop", "1", "7"]])
async def test_a_number_that_is_not_there(shelf: Shelf, arguments: Sequence[str]) -> None:
    await shelf.keep(of_span())
    with pytest.raises(SettingsError, match="there is no dead letter 7"):
        await shelf.bridge(*arguments)
    assert len(await shelf.letters()) == 1
    assert shelf.receiver.requests == []


@pytest.mark.parametrize("arguments", [["retry"], ["drop"], ["retry", "1", "--all"], ["drop", "1", "--all"]])
async def test_which_letters_must_be_said(shelf: Shelf, arguments: Sequence[str]) -> None:
    await shelf.keep(of_span())
    with pytest.raises(SettingsError, match="name the dead letters by their numbers, or say --all"):
        await shelf.bridge(*arguments)


async def test_no_ledger_is_made_for_it(shelf: Shelf) -> None:
    with pytest.raises(LedgerError):
        await shelf.bridge("list")
    assert not shelf.settings.ledger.location.exists()


# retry: what a backend refused


async def test_what_is_accepted_is_gone_and_was_the_same_bytes(shelf: Shelf) -> None:
    await shelf.keep(of_span(1), of_span(2), of_event())
    code, lines = await shelf.bridge("retry", "1", "3", "1")
    assert (code, lines) == (
        0,
        [f"1 span {1:016x}: accepted", f"3 event {3:016x}: accepted", "2 gone, 0 stay"],
    )
    assert [(request.path, request.body) for request in shelf.receiver.requests] == [
        ("/v1/traces", of_span(1).payload),
        ("/v1/logs", of_event().payload),
    ]
    assert [kept.letter for kept in await shelf.letters()] == [of_span(2)]


async def test_what_is_refused_again_stays_with_the_new_reason(shelf: Shelf) -> None:
    shelf.receiver.answer(says(400), says(200), says(400, b"still no name"), says(200))
    await shelf.keep(of_span(1), of_span(2))
    code, lines = await shelf.bridge("retry", "--all")
    assert code == 5
    assert lines[0].startswith(f"1 span {1:016x}: refused again: ")
    assert lines[1:] == [f"2 span {2:016x}: accepted", "1 gone, 1 stay"]
    ((kind, reason),) = await shelf.kept()
    assert (kind, reason) == ("span", f"{shelf.receiver.url}/v1/traces answered 400: still no name")
    assert (await shelf.letters())[0].letter.payload == of_span(1).payload


@pytest.mark.parametrize("status", [503, 401, 404])
async def test_a_backend_that_waits_stops_it(shelf: Shelf, status: int) -> None:
    shelf.receiver.answer(says(200), says(status))
    await shelf.keep(of_span(1), of_span(2), of_span(3))
    code, (first, last) = await shelf.bridge("retry", "--all")
    assert (code, first) == (5, f"1 span {1:016x}: accepted")
    assert last.startswith(f"bridge: 2 stay, the backend takes nothing now: {shelf.receiver.url}/v1/traces answered")
    assert len(shelf.receiver.requests) == 2
    assert [kept.letter for kept in await shelf.letters()] == [of_span(2), of_span(3)]


async def test_an_endpoint_that_refuses_everything_is_no_new_reason(shelf: Shelf) -> None:
    shelf.receiver.answer(*[says(400)] * 2)
    await shelf.keep(of_span(1))
    code, (line,) = await shelf.bridge("retry", "1")
    assert code == 5
    assert "refuses everything" in line
    assert [kept.letter for kept in await shelf.letters()] == [of_span(1)]


async def test_a_backend_without_logs_keeps_no_span_back(shelf: Shelf) -> None:
    shelf.receiver.answer(says(404))
    await shelf.keep(of_event(), of_span(2))
    code, lines = await shelf.bridge("retry", "--all")
    assert code == 5
    assert "/v1/logs answered 404" in lines[0]
    assert lines[1:] == [f"2 span {2:016x}: accepted", "1 gone, 1 stay"]
    assert await shelf.kept() == [("event", "answered 400: no")]


@pytest.mark.parametrize(("letter", "signal"), [(of_span(), "traces"), (of_event(), "logs"), (of_step(), "traces")])
async def test_nothing_is_dropped_where_its_signal_goes_nowhere(
    shelf: Shelf, letter: DeadLetter, signal: str
) -> None:
    shelf.environ[f"OTEL_{signal.upper()}_EXPORTER"] = "none"
    await shelf.keep(letter)
    code, lines = await shelf.bridge("retry", "1")
    assert code == 5
    assert lines[0].endswith(f": {signal} go nowhere: OTEL_{signal.upper()}_EXPORTER is none")
    assert [kept.letter for kept in await shelf.letters()] == [letter]
    assert await shelf.steps_counted() == 0


async def test_some_of_many_are_sent_only_on_a_yes(shelf: Shelf) -> None:
    await shelf.keep(of_spans())
    code, lines = await shelf.bridge("retry", "--all")
    assert code == 5
    assert lines == [
        "1 spans 01..05: 2 of 5 rejected: too old",
        "  which ones is not known: all are sent, and a backend that ignores their ids shows some twice",
        "1 spans 01..05: not sent, that wants --yes",
        "0 gone, 1 stay",
    ]
    assert shelf.receiver.requests == []
    code, lines = await shelf.bridge("retry", "1", "--yes")
    assert code == 0
    assert "shows some twice" in lines[1]
    assert [request.body for request in shelf.receiver.requests] == [payload(5)]
    assert await shelf.letters() == []


@pytest.mark.parametrize(("typed", "sent"), [("y\n", True), ("\n", False), ("n\n", False)])
async def test_a_terminal_is_asked(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, typed: str, *, sent: bool) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    await shelf.keep(of_spans())
    code, _ = await shelf.bridge("retry", "1")
    assert (code, len(shelf.receiver.requests)) == ((0, 1) if sent else (5, 0))


async def test_of_many_the_culprit_stays_alone(shelf: Shelf) -> None:
    #                    all five   1, 2       3, 4, 5    3          3 again    4, 5
    shelf.receiver.answer(says(400), says(200), says(400), says(400), says(400), says(200))
    await shelf.keep(of_spans())
    code, lines = await shelf.bridge("retry", "1", "--yes")
    assert code == 5
    assert lines[2].endswith("(4 accepted)")
    (kept,) = await shelf.letters()
    assert (kept.letter.kind, kept.letter.source) == ("span", f"{3:016x}")


async def test_of_many_what_a_pause_leaves_stays(shelf: Shelf) -> None:
    shelf.receiver.answer(says(413), says(200), says(503))
    await shelf.keep(of_spans())
    code, _ = await shelf.bridge("retry", "1", "--yes")
    assert code == 5
    (kept,) = await shelf.letters()
    assert (kept.letter.kind, kept.letter.reason) == ("spans", "2 of 5 rejected: too old")
    assert [one.name for one in Received("", {}, kept.letter.payload).spans()] == ["chat 3", "chat 4", "chat 5"]


async def test_rejected_events_of_many(shelf: Shelf) -> None:
    some = DeadLetter(kind="events", source="01..04", reason="1 of 4 rejected: x", payload=log_payload(4))
    await shelf.keep(some)
    assert (await shelf.bridge("retry", "1", "--yes"))[0] == 0
    assert [(request.path, request.body) for request in shelf.receiver.requests] == [("/v1/logs", log_payload(4))]


# retry: what of Letta's could not be read


async def test_a_run_that_can_be_read_now_is_followed(shelf: Shelf) -> None:
    await shelf.keep(of_run())
    code, lines = await shelf.bridge("retry", "1")
    assert (code, lines[0]) == (0, f"1 run {RUN}: the service follows it from now on")
    async with shelf.ledger() as ledger:
        (due,) = await ledger.due(now=time.time(), limit=10)
        assert (due.id, due.status, due.created_ns) == (RUN, "completed", 1_767_225_600_000_000_000)
        assert await ledger.dead_letter_count() == 0


@pytest.mark.parametrize("phase", list(Phase))
async def test_a_run_that_was_found_meanwhile_stays_where_it_is(shelf: Shelf, phase: Phase) -> None:
    known = a_run(phase=phase, cursor="step-5", trace_id="ab" * 16, span_sent=True, status="completed")
    await shelf.keep(of_run(), runs=[known])
    code, lines = await shelf.bridge("retry", "1")
    assert (code, lines[0]) == (0, f"1 run {RUN}: it is followed already")
    async with shelf.ledger() as ledger:
        assert await ledger.run(RUN) == known


@pytest.mark.parametrize("letter", [of_run(created_at="long ago"), of_step(prompt_tokens={"odd": 1})])
async def test_what_still_cannot_be_read_stays(shelf: Shelf, letter: DeadLetter) -> None:
    await shelf.keep(letter)
    code, lines = await shelf.bridge("retry", "1")
    assert code == 5
    assert ": this version cannot read it either: " in lines[0]
    assert [kept.letter for kept in await shelf.letters()] == [letter]
    assert shelf.receiver.requests == []


async def test_a_step_joins_its_runs_trace_and_is_counted_once(shelf: Shelf) -> None:
    trace_id = bytes.fromhex("ab" * 16)
    await shelf.keep(of_step(), runs=[a_run(trace_id=trace_id.hex())])
    (kept,) = await shelf.letters()
    code, lines = await shelf.bridge("retry", "1")
    assert (code, lines[0]) == (0, f"1 step {STEP_ID}: accepted")
    own, chat = spans(shelf.receiver)
    assert (own.name, own.trace_id, own.parent_span_id) == ("agent_step", trace_id, run_span_id(trace_id, RUN))
    assert own.span_id == chat.parent_span_id == span_id(trace_id, STEP, STEP_ID)
    assert own.end_time_unix_nano == kept.kept_at * 1e9
    attributes = {pair.key: pair.value.string_value or pair.value.int_value for pair in own.attributes}
    assert attributes["letta.timing"] == "estimated"
    assert await shelf.steps_counted() == 1
    assert await shelf.letters() == []


async def test_a_step_of_a_forgotten_run_has_the_trace_that_the_run_had(shelf: Shelf) -> None:
    await shelf.keep(of_step(), of_step(id="step-b", run_id=None))
    assert (await shelf.bridge("retry", "--all"))[0] == 0
    own, _, alone, _ = spans(shelf.receiver)
    trace_id = bytes.fromhex(TRACE)
    assert (own.trace_id, own.parent_span_id) == (trace_id, run_span_id(trace_id, RUN))
    assert alone.parent_span_id == b""


async def test_a_step_that_has_to_wait_is_sent_again_byte_for_byte_and_counted_once(shelf: Shelf) -> None:
    shelf.receiver.answer(says(503))
    await shelf.keep(of_step())
    assert (await shelf.bridge("retry", "1"))[0] == 5
    assert await shelf.steps_counted() == 0
    assert (await shelf.bridge("retry", "1"))[0] == 0
    first, second = shelf.receiver.requests
    assert first.body == second.body
    assert await shelf.steps_counted() == 1


async def test_a_step_whose_chat_is_refused_is_counted_and_the_chat_stays(shelf: Shelf) -> None:
    #                     both       step       chat       chat again
    shelf.receiver.answer(says(400), says(200), says(400), says(400, b"no"))
    await shelf.keep(of_step())
    code, lines = await shelf.bridge("retry", "1")
    assert code == 5
    assert lines[0].endswith("answered 400: no (1 accepted)")
    ((kind, _),) = await shelf.kept()
    assert kind == "span"
    assert await shelf.steps_counted() == 1


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        (of_step(status="pending"), "it was still pending when it was kept: what became of it is not known"),
        (
            DeadLetter(kind="message", source="message-1", reason="odd", payload=b"{}"),
            "its step was sent without it: it can only be dropped",
        ),
        (
            DeadLetter(kind="remainder", source="run-1", reason="odd", payload=b"{}"),
            "some of its steps are delivered already, and would be counted twice",
        ),
        (
            DeadLetter(kind="span", source="01", reason="odd", payload=b"\xff\xff"),
            "its payload is damaged: it can only be dropped",
        ),
        (
            DeadLetter(kind="step", source="01", reason="odd", payload=b"{"),
            "its payload is damaged: it can only be dropped",
        ),
    ],
    ids=["pending step", "message", "remainder", "damaged span", "damaged step"],
)
async def test_what_can_only_be_dropped_says_so(shelf: Shelf, letter: DeadLetter, said: str) -> None:
    await shelf.keep(letter)
    code, lines = await shelf.bridge("retry", "1")
    assert code == 5
    assert lines[0].endswith(f": {said}")
    assert [kept.letter for kept in await shelf.letters()] == [letter]


# drop


async def test_drop_deletes_what_is_named(shelf: Shelf) -> None:
    await shelf.keep(of_span(1), of_span(2), of_span(3))
    assert await shelf.bridge("drop", "1", "3") == (
        0,
        [f"1 span {1:016x}: deleted", f"3 span {3:016x}: deleted"],
    )
    assert [kept.letter for kept in await shelf.letters()] == [of_span(2)]
    assert shelf.receiver.requests == []


async def test_drop_all_wants_a_yes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.keep(of_span(1), of_span(2))
    with pytest.raises(SettingsError, match="wants --yes"):
        await shelf.bridge("drop", "--all")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with pytest.raises(SettingsError, match="wants --yes"):
        await shelf.bridge("drop", "--all")
    assert len(await shelf.letters()) == 2
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert (await shelf.bridge("drop", "--all"))[0] == 0
    assert await shelf.letters() == []


async def test_drop_all_with_a_yes(shelf: Shelf) -> None:
    await shelf.keep(*[of_span()] * 50)
    code, lines = await shelf.bridge("drop", "--all", "--yes")
    assert (code, len(lines)) == (0, 50)
    assert await shelf.letters() == []


# as a person starts it


async def command(shelf: Shelf, *arguments: str, **environ: str) -> tuple[int | None, str, str]:
    return await shelf.processes.command(*arguments, environ={**shelf.environ, **environ})


async def test_beside_a_running_service(shelf: Shelf) -> None:
    """The service holds its lock and goes on; what was put back is followed by it without a restart."""
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta:
        (run,) = recording.load("text").play(store, time.time() - 7200)  # too old to be found again
        shelf.environ |= {
            "LETTA_BASE_URL": letta,
            "BRIDGE_LISTEN": "off",
            "BRIDGE_POLL_INTERVAL": "200ms",
            "BRIDGE_SETTLE": "100ms",
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "500",
            "OTEL_METRICS_EXPORTER": "none",
        }
        async with httpx.AsyncClient() as browser:
            row = (await browser.get(f"{letta}/v1/runs/{run}")).content
        unread = DeadLetter(kind="run", source=run, reason="odd", payload=row)
        await shelf.keep(of_span(1), unread)
        service = await shelf.processes.start("run", environ=shelf.environ)
        assert service.stderr
        while b"following" not in (line := await service.stderr.readline()):
            assert line, "the service ended"
        with pytest.raises(LedgerError, match="another bridge is using it"):
            await shelf.letters()
        code, out, err = await command(shelf, "dead-letters", "retry", "--all")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1] == "2 gone, 0 stay"
        async with asyncio.timeout(20):
            while f"invoke_agent {run}" not in sent(shelf.receiver):  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.05)
        service.terminate()
        await service.communicate()
        assert service.returncode == 0
    assert shelf.receiver.requests[0].body == of_span(1).payload
    assert await shelf.letters() == []


def sent(receiver: HttpReceiver) -> list[str]:
    """The names of all spans; a run's with its id."""
    ids = (next((a.value.string_value for a in s.attributes if a.key == "letta.run.id"), "") for s in spans(receiver))
    return [f"{one.name.split()[0]} {id_}" for one, id_ in zip(spans(receiver), ids, strict=True)]


async def test_what_the_shell_gets(shelf: Shelf) -> None:
    await shelf.keep(of_span(1, reason="kein Name: «leer»"))
    code, out, err = await command(shelf, "dead-letters", "list", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "kein Name: \\xableer\\xbb" in out
    code, out, err = await command(shelf, "dead-letters", "show", "9")
    assert (code, out) == (2, "")
    assert err == "bridge: there is no dead letter 9: `bridge dead-letters list` shows those there are\n"
