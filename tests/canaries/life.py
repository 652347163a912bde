"""The whole life of the bridge as a person runs it: real processes among a Letta and backends full of canaries.

Everything that comes out is kept under the name of the way it took, its sink: what was printed, what each side and
the pages were sent, and every file that was left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import socket
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
from marks import Canaries
from planted_letta import PlantedLetta
from receivers import GrpcReceiver, HttpReceiver, Received
from starlette.requests import Request
from starlette.responses import Response

import bridge
from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.hosting import hosted

PAGES: Final = ("/", "/metrics", "/livez", "/readyz", "/no-such-page")
OPENMETRICS: Final = {"accept": "application/openmetrics-text; version=1.0.0"}
HEARD: Final = Path(__file__).parent / "heard"  # what makes a process note those that it starts
SECRETS: Final = "secrets"  # the folder of what was given to the bridge in files
_LONGEST: Final = 60  # seconds that anything may take
_BETWEEN_LOOKS: Final = 2  # seconds: each page takes a bridge's time
Process = asyncio.subprocess.Process
NOTHING: Final[Mapping[str, str]] = {}


class Life:
    """One installation: its two sides, its files, and all that came out of it."""

    def __init__(self, canaries: Canaries, folder: Path) -> None:
        self.canaries = canaries
        self._started: list[Process] = []
        self.folder = folder
        self.started = folder / "started processes"  # a line each
        self.seen: dict[str, list[bytes]] = defaultdict(list)
        self.store = Store(SystemClock())
        self.letta = PlantedLetta(StandIn(self.store), canaries)
        self.backend = HttpReceiver()
        self.grpc = GrpcReceiver()
        self.elsewhere = HttpReceiver()  # where redirects point
        self.environ: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        """Both sides are there."""
        async with hosted(self.letta) as letta, self.backend, self.grpc, self.elsewhere:
            self.environ = self._environment(letta)
            try:
                yield
            finally:
                await self._end_what_runs()

    async def _end_what_runs(self) -> None:
        """A test that failed leaves no bridge behind."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    def _environment(self, letta: str) -> dict[str, str]:
        """Every setting that takes a secret has one; odd characters in them would show what is not unescaped."""
        secret, folders = self.canaries, {}
        for name in (SECRETS, "home", "tmp", "work"):
            folders[name] = self.folder / name
            folders[name].mkdir()
        key_file = folders[SECRETS] / "letta-api-key"
        key_file.write_text(f"sk/{secret('key of Letta')}+\"=%\\'\n")
        general = {"api-key": secret("OTLP header"), "authorization": f"Bearer {secret('OTLP bearer')}"}
        ledger = folders["work"] / secret("folder of the ledger") / "bridge.ledger"
        ledger.parent.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            page = f"127.0.0.1:{free.getsockname()[1]}"
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{HEARD}{os.pathsep}{Path(bridge.__file__).parents[1]}",
            "STARTED_PROCESSES": str(self.started),
            "PYTHONFAULTHANDLER": "1",
            "HOME": str(folders["home"]),
            "TMPDIR": str(folders["tmp"]),
            "UNRELATED_PASSWORD": secret("unrelated variable"),
            "LETTA_BASE_URL": letta,
            "LETTA_API_KEY_FILE": str(key_file),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.backend.url,
            "OTEL_EXPORTER_OTLP_HEADERS": ",".join(f"{name}={quote(value)}" for name, value in general.items()),
            **{
                f"OTEL_EXPORTER_OTLP_{signal}_HEADERS": f"x-{signal.lower()}={secret(f'{signal} header')}%20%22%25"
                for signal in ("METRICS", "LOGS")
            },
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.backend.url}/v1/traces?key={secret('endpoint query')}",
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip",
            "BRIDGE_WAKE_KEY": f"{secret('wake key')}",
            "BRIDGE_LEDGER": str(ledger),
            "BRIDGE_LISTEN": page,
            "BRIDGE_START_FROM": "beginning",
            "BRIDGE_POLL_INTERVAL": "100ms",
            "BRIDGE_SETTLE": "200ms",
            "BRIDGE_ABANDON_AFTER": "300ms",
            "BRIDGE_LETTA_REQUESTS_PER_SECOND": "1000",
            "BRIDGE_BACKFILL_REQUESTS_PER_SECOND": "1000",
            "BRIDGE_LOG_LEVEL": "debug",
            "BRIDGE_LOG_FORMAT": "json",
            "BRIDGE_METRICS_AGENTS": "true",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }

    def play(self, *names: str, ago: float) -> None:
        """These recordings happened so many seconds ago."""
        for name in names or recording.names():
            recording.load(name).play(self.store, time.time() - ago)

    async def start(self, *arguments: str, environ: Mapping[str, str] = NOTHING) -> Process:
        """A process of the bridge; an empty value takes a variable away."""
        wanted = {name: value for name, value in {**self.environ, **environ}.items() if value}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge", *arguments,
            cwd=self.folder / "work", env=wanted, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._started.append(process)
        return process

    async def command(self, *arguments: str, environ: Mapping[str, str] = NOTHING) -> int:
        """Run one to its end; its exit code."""
        return await self.ended(await self.start(*arguments, environ=environ))

    async def ended(self, process: Process) -> int:
        """Its exit code; what it printed is kept."""
        waiting = asyncio.create_task(process.communicate())
        done, _ = await asyncio.wait({waiting}, timeout=_LONGEST)
        if not done:
            process.send_signal(signal.SIGABRT)  # says where it is, with PYTHONFAULTHANDLER
        output, errors = await waiting
        assert done, f"still running after {_LONGEST} s: {errors[-4000:].decode()}"
        self.seen["stdout"].append(output)
        self.seen["stderr"].append(errors)
        assert process.returncode is not None
        assert b"Traceback" not in errors, errors.decode()
        return process.returncode

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for it; look at every page before, at its end, and while it lasts, as a person does."""
        end, looked = time.monotonic() + _LONGEST, -math.inf
        address = f"http://{self.environ['BRIDGE_LISTEN']}"
        async with httpx.AsyncClient(timeout=20, base_url=address, verify=False) as browser:
            while not condition():
                now = time.monotonic()
                assert now < end, f"waited in vain for {what}"
                due = now - looked >= _BETWEEN_LOOKS
                looked = now if due else looked
                await self._look(browser, PAGES if due else ["/readyz"])
                await asyncio.sleep(0.2)
            await self._look(browser, PAGES)

    async def _look(self, browser: httpx.AsyncClient, pages: Iterable[str]) -> None:
        for page in pages:
            for headers in ({}, OPENMETRICS) if page == "/metrics" else ({},):
                with contextlib.suppress(httpx.TransportError):
                    answer = await browser.get(page, headers=headers)
                    head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
                    self.seen[f"page {page}"].append(head.encode() + b"\n" + answer.content)

    def gather(self) -> Mapping[str, bytes]:
        """All that came out, by sink."""
        self.seen["to Letta"] += [asked.text for asked in self.letta.asked]
        for name, side in (("to the backend", self.backend), ("to the backend", self.grpc)):
            for request in side.requests:
                self.seen[f"{name}, headers"].append(f"{request.path}\n{request.headers}".encode())
                self.seen[f"{name}, {_signal(request)}"].append(request.body)
        self.seen["to elsewhere"] += [f"{each}".encode() for each in self.elsewhere.requests]
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and SECRETS not in path.parts:
                self.seen[_file_sink(path)] += [path.read_bytes(), *_rows(path)]
        return {sink: b"\n\n".join(dict.fromkeys(parts)) for sink, parts in self.seen.items()}


def _signal(request: Received) -> str:
    return next(name for name in ("traces", "metrics", "logs") if name[:-1] in request.path.lower())


def _file_sink(path: Path) -> str:
    if "ledger" in path.name:
        return "the ledger's files"
    return f"file {path.name}"


def _rows(path: Path) -> list[bytes]:
    """Every row of an SQLite file: in its bytes, a long value is cut into pages."""
    if not path.read_bytes().startswith(b"SQLite format 3"):
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return ["\n".join(file.iterdump()).encode()]


def echoes(received_headers: Mapping[str, str], more: str = "") -> str:
    """What a careless server says of a failure: the request's headers, in every way of writing them."""
    plain = "; ".join(f"{name}: {value}" for name, value in received_headers.items() if name != "host")
    secrets = [value for name, value in received_headers.items() if "auth" in name or "key" in name or "x-" in name]
    ways = [*secrets, *map(quote, secrets), *(quote(each, safe="") for each in secrets), *map(json.dumps, secrets)]
    words = [word for each in secrets for word in each.split()]
    return " | ".join([*words, *ways, *map(repr, secrets), plain, more])


def answers(status: int, *, to: str = "", content_type: str = "application/json") -> Callable[[Request], Response]:
    """Letta's failure, which repeats the request; with `to` a redirect that carries its key."""

    def fault(request: Request) -> Response:
        said = echoes(dict(request.headers))
        headers = {"location": f"{to}/v1/?key={quote(said)}"} if to else {}
        body = json.dumps({"detail": said}) if content_type == "application/json" else said
        return Response(body, status, headers, content_type)

    return fault
