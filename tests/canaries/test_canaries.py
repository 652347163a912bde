"""No secret and no content in anything that comes out of the bridge, but where `MAY` says so and why.

The real process lives its whole life between a Letta and backends that are full of canaries, both in order and broken
in every way that repeats what they were sent. Then every byte that came out is searched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from grpc import StatusCode
from life import HEARD, Life, answers, echoes
from marks import Canaries
from receivers import Fails, Play, Received, says

from bridge.demo.standin.rows import Table

pytestmark = pytest.mark.timeout(600)  # every wait in it ends after a minute; a busy machine makes many of them long

# What a canary of the right-hand names may be found in. Everything else is a leak.
KEYS_OF_THE_BACKEND = ["OTLP *", "METRICS header", "LOGS header", "endpoint query"]
# Which run, step, agent and model it was, and what went wrong: that is what the bridge is for (docs/telemetry.md).
NAMED = [
    "agent.name",
    "message.name",
    "message.tool_call*.name",
    "run.conversation_id",
    "run.metadata.run_type",
    "step.error_type",
    "step.model",
    "step.model_handle",
    "step.origin",
    "step.project_id",
    "step.provider_*",
    "step.request_id",
    "step.tags",
    "step.tid",
    "step.trace_id",
]
FAILURES = [
    "run.callback_error",
    "run.metadata.error.message",
    "run.metadata.error.traceback",
    "step.error_data.message",
]
STACKS = ["step.error_data.traceback"]
MALFORMED = ["malformed *"]
ABOUT_LETTA = ["health.version"]
ABOUT_THE_MACHINE = ["folder of the ledger"]
MAY: Mapping[str, list[str]] = {
    "to Letta": ["key of Letta"],
    "to the backend, headers": KEYS_OF_THE_BACKEND,
    "to the backend, traces": [*NAMED, *FAILURES, *STACKS],
    "to the backend, logs": [*NAMED, *FAILURES, *STACKS],
    "to the backend, metrics": [*NAMED, *FAILURES],
    "file spans.jsonl": [*NAMED, *FAILURES, *STACKS],
    # --dry-run and `dead-letters show` print what would be sent; `show` prints a malformed record as it came.
    "stdout": [*NAMED, *FAILURES, *STACKS, *MALFORMED, *ABOUT_LETTA, *ABOUT_THE_MACHINE],
    "stderr": [*ABOUT_LETTA, *ABOUT_THE_MACHINE],
    # A record that cannot be read is kept whole as a dead letter, in a file that is its owner's alone (mode 0600).
    "the ledger's files": [*NAMED, *FAILURES, *STACKS, *MALFORMED],
    "page /metrics": [*NAMED, *FAILURES],
    "page /": [*NAMED, *FAILURES, *ABOUT_LETTA, *ABOUT_THE_MACHINE],
}


def leaks(found: Mapping[str, set[str]]) -> list[str]:
    """A line for each canary that is where it may not be."""
    return [
        f"{name!r} is in {sink!r}"
        for sink, names in found.items()
        for name in sorted(names)
        if not any(fnmatchcase(name, pattern) for pattern in MAY.get(sink, ()))
    ]


async def test_nothing_leaks_in_a_whole_life(tmp_path: Path) -> None:
    canaries = Canaries()
    life = Life(canaries, tmp_path)
    async with life.begin():
        life.play(ago=900)
        await looked_at_before_it_runs(life)
        await a_good_day(life)
        await bad_days_of_letta(life)
        await bad_days_of_the_backend(life)
        await looked_at_afterwards(life)
        await over_grpc(life)
        found = {sink: canaries.found_in(data) for sink, data in life.gather().items()}
    assert not life.started.exists(), "what a bridge starts is given its environment, and with it the keys"
    assert set(MAY) <= set(found), "the life has a part less than it should"
    for sink, needed in {
        "to Letta": {"key of Letta"},
        "to the backend, headers": {"OTLP header", "METRICS header", "LOGS header", "endpoint query"},
        "to the backend, traces": {"step.model", "step.error_data.message", "agent.name"},
        "page /metrics": {"step.model_handle"},
        "the ledger's files": {"malformed step"},
    }.items():
        assert needed <= found[sink], f"the search is blind in {sink}"
    assert "\n".join(leaks(found)) == ""


def test_a_process_that_is_started_would_be_heard_with_its_arguments_and_environment(tmp_path: Path) -> None:
    canaries, started = Canaries(), tmp_path / "started"
    code = f"import subprocess; subprocess.run(['true', '{canaries('argument')}'], check=True)"
    heard = {"PYTHONPATH": str(HEARD), "STARTED_PROCESSES": str(started), "LETTA_API_KEY": canaries("key of Letta")}
    subprocess.run([sys.executable, "-c", code], env=os.environ | heard, check=True)
    assert canaries.found_in(started.read_bytes()) == {"argument", "key of Letta"}


@pytest.mark.parametrize(
    "sink",
    [
        "stdout",
        "stderr",
        "to Letta",
        "to elsewhere",
        "page /",
        "file core",
        *sorted(MAY.keys() - {"stdout", "stderr", "to Letta", "page /"}),
    ],
)
def test_each_sink_is_held_to_what_it_may(sink: str) -> None:
    assert leaks({sink: {"message.content"}}) == [f"'message.content' is in {sink!r}"]
    assert leaks({sink: {"unrelated variable"}}) == [f"'unrelated variable' is in {sink!r}"]


async def looked_at_before_it_runs(life: Life) -> None:
    await life.command("--help")
    await life.command("settings", "example")
    assert await life.command("doctor") == 0
    assert await life.command("once", "--dry-run") in {0, 6}
    assert await life.command("backfill", "--since", "beginning", "--until", "now", "--dry-run") in {0, 6}
    to_a_file = {"BRIDGE_EXPORT_FILE": "spans.jsonl", "BRIDGE_LEDGER": "file.ledger"}
    assert await life.command("once", environ=to_a_file) in {0, 6}


async def a_good_day(life: Life) -> None:
    process = await life.start("run")
    await life.until(lambda: spans(life) >= 40, "spans")
    assert await life.command("healthcheck") == 0
    await hook(life, f"Bearer {life.canaries('wake key')}")
    await hook(life, f"Bearer {life.canaries('key of a stranger')}")
    life.play(ago=5)
    process.kill()
    await life.ended(process)


async def hook(life: Life, authorization: str) -> None:
    """Letta's webhook, with a key that is right or wrong."""
    step = life.store.rows(Table.STEPS)[0].id
    async with httpx.AsyncClient() as letta:
        answer = await letta.post(
            f"http://{life.environ['BRIDGE_LISTEN']}/step-complete",
            json={"step_id": step},
            headers={"authorization": authorization},
        )
    life.seen["page /step-complete"].append(f"{answer.status_code} {answer.headers}".encode() + answer.content)


async def bad_days_of_letta(life: Life) -> None:
    process = await life.start("run")
    for fault in (
        answers(401),
        answers(500),
        answers(404, content_type="text/plain"),
        answers(422),
        answers(200, content_type="text/plain"),
        answers(307, to=life.elsewhere.url),
    ):
        await life.until(lambda: not trouble(life, "letta"), "Letta to be well")
        life.letta.fault = fault
        await life.until(lambda: trouble(life, "letta"), "trouble with Letta")
        life.letta.fault = lambda _: None
    await life.command("healthcheck", "--ready")
    process.terminate()
    assert await life.ended(process) == 0
    for fault in (answers(401), answers(307, to=life.elsewhere.url)):
        life.letta.fault = fault
        assert await life.command("once") == 4
    assert await life.command("doctor") == 1
    assert await life.command("backfill", "--since", "beginning") == 4
    life.letta.fault = lambda _: None


async def bad_days_of_the_backend(life: Life) -> None:
    life.letta.malformed = True
    process = await life.start("run")
    for status in (401, 503, 302, 200, 500, 404):
        await life.until(lambda: not trouble(life, "backend"), "the backend to be well")
        life.backend.rule = repeats(status, life.elsewhere.url)
        life.play("text", "llm_500", ago=2)
        await life.until(lambda: trouble(life, "backend"), f"trouble with a backend that says {status}")
        life.backend.rule = lambda _: None
    assert await life.command("doctor") == 0
    life.backend.rule = repeats(400, "")
    life.play("text", "llm_500", ago=2)
    before = spans(life)
    await life.until(lambda: spans(life) > before, "spans that are refused for good")
    await life.command("doctor")
    process.send_signal(signal.SIGTERM)
    assert await life.ended(process) == 0
    life.backend.rule = lambda _: None


def repeats(status: int, to: str) -> Callable[[Received], Play]:
    """A backend that refuses, and says with what words it was asked."""

    def rule(request: Received) -> Play:
        said = echoes(request.headers, request.path)
        location = {"location": f"{to}/?key={quote(said)}"} if status == 302 else {}
        return says(status, said.encode(), "text/plain", **location)

    return rule


def trouble(life: Life, side: str) -> bool:
    """Whether /readyz, as it was last looked at, says something else than ok."""
    page = life.seen["page /readyz"][-1:]
    return not page or f'"{side}":"ok"'.encode() not in page[0]


async def looked_at_afterwards(life: Life) -> None:
    assert await life.command("dead-letters", "list") == 0
    assert await life.command("dead-letters", "list", "--json") == 0
    number = str(json.loads(life.seen["stdout"][-1].splitlines()[0])["number"])
    assert await life.command("dead-letters", "show", number) == 0
    await life.command("dead-letters", "retry", "--all", "--yes")
    for what in (["show"], ["verify"], ["backup", "copy.ledger"]):
        assert await life.command("state", *what) == 0


async def over_grpc(life: Life) -> None:
    """One sweep that gRPC backends refuse with every word they were sent."""

    def refuses(code: StatusCode) -> None:
        life.grpc.rule = lambda request: Fails(code, echoes(request.headers)[:2000])

    grpc = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": life.grpc.url,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "",
        "BRIDGE_LEDGER": "grpc.ledger",
    }
    for code in (StatusCode.UNAUTHENTICATED, StatusCode.INVALID_ARGUMENT):
        refuses(code)
        assert await life.command("once", environ=grpc) in {5, 6}
    assert await life.command("doctor", environ=grpc) == 1


def spans(life: Life) -> int:
    return sum(len(request.spans()) for request in life.backend.requests if "traces" in request.path)
