"""`bridge healthcheck`: as a container runs it, against pages on real sockets."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bridge.clock import SystemClock
from bridge.health import Health
from bridge.listening import serving
from bridge.serve import Pages


async def healthcheck(*arguments: str, **environ: str) -> tuple[int | None, str, str]:
    """Exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bridge", "healthcheck", *arguments),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())} | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, output.decode(), errors.decode()


class Bridge:
    """The pages of a bridge whose health is set by hand."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.health = Health(interval=5, turned_at=self.clock.now())
        self.health.letta.answered(self.clock.now())

    @asynccontextmanager
    async def serving(self, host: str) -> AsyncIterator[int]:
        async def nothing() -> list[object]:
            return []

        pages = Pages(self.health, self.clock, nothing)  # type: ignore[arg-type]
        async with serving(pages.app, host=host, port=0) as url:
            yield int(url.rpartition(":")[2])


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.mark.parametrize(("listen", "asked"), [
    ("127.0.0.1", "127.0.0.1"),
    ("0.0.0.0", "127.0.0.1"),
    ("localhost", "localhost"),
    ("::1", "[::1]"),
    ("::", "[::1]"),
])  # fmt: skip
async def test_it_finds_the_page_wherever_the_bridge_listens(bridge: Bridge, listen: str, asked: str) -> None:
    async with bridge.serving(listen) as port:
        written = f"[{listen}]:{port}" if ":" in listen else f"{listen}:{port}"
        for arguments, state, page in (((), "alive", "livez"), (("--ready",), "ready", "readyz")):
            done = await healthcheck(*arguments, BRIDGE_LISTEN=written)
            assert done == (0, f"{state} (http://{asked}:{port}/{page})\n", "")


async def test_a_bridge_that_is_alive_but_not_ready(bridge: Bridge) -> None:
    bridge.health.letta = type(bridge.health.letta)(trouble="Letta refused the key (401).")
    async with bridge.serving("127.0.0.1") as port:
        listen = f"127.0.0.1:{port}"
        assert (await healthcheck(BRIDGE_LISTEN=listen))[0] == 0
        code, output, errors = await healthcheck("--ready", BRIDGE_LISTEN=listen)
    assert (code, output) == (1, "")
    assert errors == f"bridge: not ready: letta: Letta refused the key (401). (http://{listen}/readyz)\n"


async def test_it_is_said_since_when_a_side_does_not_answer(bridge: Bridge) -> None:
    bridge.health.backend.answered(SystemClock().now() - 600)
    bridge.health.backend.failed("connection refused")
    async with bridge.serving("127.0.0.1") as port:
        code, _, errors = await healthcheck("--ready", BRIDGE_LISTEN=f"127.0.0.1:{port}")
    assert code == 1
    assert "backend: connection refused (its last good answer was 60" in errors


async def test_a_loop_that_does_not_turn_is_said(bridge: Bridge) -> None:
    bridge.health.turned_at -= 1000
    async with bridge.serving("127.0.0.1") as port:
        code, _, errors = await healthcheck(BRIDGE_LISTEN=f"127.0.0.1:{port}")
    assert code == 1
    assert errors.startswith("bridge: not alive: loop: has not turned for 100")  # seconds, and those of the start


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    done = await healthcheck(BRIDGE_LISTEN=listen)
    assert done == (1, "", f"bridge: not alive: Connection refused (http://{listen}/livez)\n")


async def test_a_process_that_hangs_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the kernel accepts, and nobody answers
        code, _, errors = await healthcheck(BRIDGE_LISTEN=f"127.0.0.1:{mute.getsockname()[1]}")
    assert code == 1
    assert errors.startswith("bridge: not alive: no answer for 5 s (")


@pytest.mark.parametrize("answer", [
    PlainTextResponse("no such page", 404),
    JSONResponse(["x"], 503),
    JSONResponse({"letta": "a\x1b[2J\nb"}, 503),
])  # fmt: skip
async def test_whatever_answers_it_is_one_printable_line(answer: Response) -> None:
    async def page(_: Request) -> Response:
        return answer

    async with serving(lambda: Starlette(routes=[Route("/livez", page)]), host="127.0.0.1", port=0) as url:
        code, _, errors = await healthcheck(BRIDGE_LISTEN=url.removeprefix("http://"))
    assert code == 1
    assert errors[:-1].isprintable()
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(("listen", "line"), [
    ("off", "BRIDGE_LISTEN is off, so there is no page to ask; set it to an address like 127.0.0.1:9464"),
    ("127.0.0.1:0", "BRIDGE_LISTEN is 127.0.0.1:0, and which port that became is not known; set a port"),
    ("9464", "BRIDGE_LISTEN: '9464' is not an address like 127.0.0.1:9464; write one, or off"),
])  # fmt: skip
async def test_no_page_to_ask_is_one_line(listen: str, line: str) -> None:
    assert await healthcheck(BRIDGE_LISTEN=listen) == (1, "", f"bridge: {line}\n")


async def test_without_the_variable_the_settings_file_says_where(bridge: Bridge, tmp_path: Path) -> None:
    file = tmp_path / "bridge.yaml"
    async with bridge.serving("127.0.0.1") as port:
        file.write_text(f"serve:\n  listen: 127.0.0.1:{port}\n")
        assert (await healthcheck("--config", str(file)))[0] == 0
        assert (await healthcheck(BRIDGE_CONFIG=str(file)))[0] == 0
    file.write_text("serve:\n  listen: nowhere\n")
    code, _, errors = await healthcheck("--config", str(file))
    assert code == 1, "a container engine knows 0 and 1 alone"
    assert "'nowhere' is not an address" in errors


async def test_a_proxy_is_not_asked(bridge: Bridge) -> None:
    async with bridge.serving("127.0.0.1") as port:
        proxy = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        assert (await healthcheck(BRIDGE_LISTEN=f"127.0.0.1:{port}", **proxy))[0] == 0


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bridge.cli import main\n"
        "try: main(['healthcheck'])\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'pydantic', 'httpx', 'yaml', 'starlette', 'structlog', 'opentelemetry'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environ = {"PATH": os.environ["PATH"], "BRIDGE_LISTEN": "127.0.0.1:1"}
    output = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True)
    assert output.stdout == "[]\n"
