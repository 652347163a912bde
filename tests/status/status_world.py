"""What the status page looks at, made by hand: a real ledger file, health, the bridge's own metrics and settings."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bridge.follow.state import FollowedRun, Phase
from bridge.health import Health
from bridge.ledger.ledger import Batch, DeadLetter, Ledger, Plan
from bridge.ledger.open import open_ledger
from bridge.ledger.sqlite import SqliteLedger
from bridge.map.failures import Failure
from bridge.observe import SelfMetrics
from bridge.settings import Settings, load
from bridge.status.render import Answer, Renderer
from bridge.status.view import View, gather
from bridge.status.watched import Standing, Watched

NOW = 1_700_000_000.0
HOUR, DAY = 3600.0, 86_400.0
JAEGER = "http://localhost:16686/trace/{trace_id}"
TRACE = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"

Mask = Callable[[str], str]


def a_run(name: str, *, ago: float = 60.0, **fields: Any) -> FollowedRun:
    """An open run that was created so many seconds ago, unless `fields` say otherwise."""
    known: dict[str, Any] = {
        "agent_id": "agent-1",
        "agent_name": "Ada",
        "status": "running",
        "created_ns": round((NOW - ago) * 1e9),
        "first_seen": NOW - ago,
        "last_news": NOW - 4,
    }
    return FollowedRun(id=name, **known | fields)


def a_failure(number: int = 1, **fields: Any) -> Failure:
    """A step that failed so many minutes ago, unless `fields` say otherwise."""
    known: dict[str, Any] = {
        "kind": "step",
        "seen_at": NOW - 60 * number,
        "status": "failed",
        "error_type": "LLMServerError",
        "message": "the model is overloaded, try again later",
        "run_id": f"run-{number:08x}-1111-4111-8111-111111111111",
        "step_id": f"step-{number:08x}-2222-4222-8222-222222222222",
        "trace_id": TRACE,
        "span_id": "0b" * 8,
        "agent_id": "agent-1",
        "agent_name": "billing clerk",
        "model_handle": "openai/gpt-4o",
    }
    return Failure(**known | fields)


def a_letter(**fields: Any) -> DeadLetter:
    """A span that the backend refused, unless `fields` say otherwise."""
    known: dict[str, Any] = {
        "kind": "span",
        "source": "step-7d1f0c9e",
        "reason": "the backend refused it for good: 400 attribute too long",
        "payload": b"\x00" * 1000,
    }
    return DeadLetter(**known | fields)


class StatusWorld:
    """Everything the page is made of; a test changes what it likes and then asks for the view or the page."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self.ledger = ledger
        self.path = path
        self.now = NOW
        self.started_at = NOW - 2 * DAY - 4 * HOUR
        self.health = Health(interval=5, turned_at=NOW - 2)
        self.health.letta.answered(NOW - 2)
        self.health.backend.answered(NOW - 2)
        self.own = SelfMetrics()
        self.standing = Standing(caught_up_at=NOW - 2, swept_at=NOW - 2)
        self.environ: dict[str, str] = {}
        self.mask: Mask = str

    @classmethod
    async def open(cls, folder: Path) -> StatusWorld:
        """A quiet bridge that has nothing to do."""
        path = folder / "ledger"
        ledger = await open_ledger(str(path), source="letta", destination="default", now=NOW - 2 * DAY)
        return cls(ledger, path)

    @property
    def settings(self) -> Settings:
        return load(self.environ, None)

    @property
    def connection(self) -> sqlite3.Connection:
        """The ledger's own, to see what is asked of it."""
        assert isinstance(self.ledger, SqliteLedger)
        return self.ledger._file.connection

    @property
    def watched(self) -> Watched:
        return Watched(self.health, self.ledger, lambda: self.standing, self.own.message)

    def stand(self, **changes: Any) -> None:
        """Change where the sweeps stand."""
        self.standing = replace(self.standing, **changes)

    async def keep(self, *, letters: tuple[DeadLetter, ...] = (), **plan: Any) -> None:
        """Commit a plan and dead letters."""
        await self.ledger.commit(Batch((), 0, Plan(**plan)), letters)

    def execute(self, statement: str) -> None:
        """Do something to the ledger's file that the bridge never would."""
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(statement)
        connection.close()

    async def view(self) -> View:
        return await gather(self.watched, self.settings, started_at=self.started_at, now=self.now)

    async def answer(self, *, refreshes: bool = True) -> Answer:
        renderer = _renderer(tuple(self.environ.items()), self.mask)
        return renderer.page(await self.view(), refreshes=refreshes)

    async def page(self, *, refreshes: bool = True) -> str:
        return (await self.answer(refreshes=refreshes)).body

    async def busy(self) -> None:
        """Work under way, some failures, nothing wrong with the bridge."""
        await self.ledger.begin(0)
        of_a_run: dict[str, Any] = {"kind": "run", "step_id": None, "model_handle": None, "message": ""}
        await self.keep(
            runs=(
                a_run("run-3f0c2c1e-8d0a-4c55-9a55-0e9d4d0f1a01", ago=2 * HOUR, agent_name="research assistant"),
                a_run("run-77aa51d0-02c4-4f39-8f65-5c0c84a0d802", ago=300, agent_name="support"),
                a_run("run-9be2f3aa-4b0e-4f4e-a8f2-2d8c2a94c403", status="created", agent_name=None),
                a_run(
                    "run-c1d2e3f4-1f2e-4d3c-b4a5-968778695a04",
                    ago=3 * HOUR,
                    agent_id="agent-2",
                    phase=Phase.CLOSED,
                    status="completed",
                    stop_reason="requires_approval",
                    keep_until=NOW + DAY,
                    agent_name="billing clerk",
                ),
            ),
            failures=(
                a_failure(400, status="abandoned", error_type="abandoned", agent_name="nightly import", **of_a_run),
                a_failure(90, status="cancelled", error_type="cancelled", message="", agent_name="support"),
                a_failure(12, error_type="LLMRateLimitError", message="429 Too Many Requests: slow down"),
                a_failure(3),
            ),
        )
        self._count()

    async def trouble(self) -> None:
        """Busy, with both sides in trouble and something of everything that can be stuck."""
        await self.busy()
        letters = (a_letter(), a_letter(kind="step", source="step-0", reason="Letta sent a step without an id"))
        zombies = [
            a_run(f"run-{n}-zombie", ago=n * DAY, phase=Phase.DORMANT, last_news=NOW - n * DAY) for n in (9, 40)
        ]
        await self.keep(runs=tuple(zombies), letters=letters)
        self.execute("UPDATE dead_letter SET kept_at = '2023-11-14 20:11:05'")
        await self.ledger.prepare(Batch((bytes(40_000), bytes(9_000)), 61, Plan()))
        self.health.letta.failed("http://letta:8283/v1/runs/ answered 503 (Service Unavailable)")
        self.health.letta.answered_at = NOW - 200
        self.health.backend.failed("connection refused: http://collector:4318/v1/traces")
        self.health.backend.answered_at = NOW - 260
        reason = "http://letta:8283/v1/runs/run-77aa51d0/steps answered 500 (Internal Server Error)"
        self.stand(
            caught_up_at=NOW - 260,
            swept_at=NOW - 9,
            retry_at=NOW + 21,
            postponed={"run-77aa51d0-02c4-4f39-8f65-5c0c84a0d802": reason},
        )

    def _count(self) -> None:
        for endpoint, answer, times in (
            ("/v1/runs/", "200", 37_440),
            ("/v1/runs/{id}/steps", "200", 4211),
            ("/v1/runs/{id}/steps", "503", 3),
            ("/v1/runs/{id}/steps", "timeout", 1),
            ("/v1/steps/{id}/metrics", "200", 4180),
            ("/v1/steps/{id}/metrics", "404", 31),
            ("/v1/agents/{id}", "200", 12),
        ):
            for _ in range(times if times < 50 else times // 50):
                self.own.request(endpoint, answer)
        self.own.spans("accepted", 12_633)
        self.own.log_events("accepted", 4)
        for _ in range(780):
            self.own.metric_exports("accepted")
            self.own.sweep(0.041)


@functools.cache
def _renderer(environ: tuple[tuple[str, str], ...], mask: Mask) -> Renderer:
    """One for all tests that want the same: to read the templates takes longer than most of them."""
    return Renderer(load(dict(environ), None), mask)


class Page(HTMLParser):
    """A page as a tree: every element with its attributes, the elements around it and its text."""

    _VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def all(self, tag: str, **attributes: str) -> list[Element]:
        return [one for one in self.elements if one.tag == tag and one.attributes.items() >= attributes.items()]

    def one(self, tag: str, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    def section(self, name: str) -> Element:
        """By the id of its heading."""
        return self.one("section", **{"aria-labelledby": name})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in self._VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.pieces.append(data)


class Element:
    """One element of a page."""

    def __init__(self, tag: str, attributes: Mapping[str, str], around: tuple[Element, ...]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.around = around
        self.pieces: list[str] = []

    def __repr__(self) -> str:
        return f"<{self.tag} {self.attributes}>"

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())
