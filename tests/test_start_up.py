"""What the service has imported by its first request: each library costs start-up time and memory, time and again.

Modules are counted, not seconds: those are the machine's. What is named here is for other commands, other protocols,
pages that nobody has asked for yet, or steps that have not come yet.
"""

import asyncio
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from receivers import HttpReceiver, hangs

LATER = {
    "anyio",
    "bridge.app.backfill",
    "bridge.backfill",
    "bridge.commands.state_text",
    "bridge.demo",
    "bridge.doctor",
    "bridge.export.grpc",
    "bridge.export.file",
    "bridge.export.via_httpx",
    "bridge.exposition",
    "bridge.hook",
    "bridge.hosting",
    "bridge.serve",
    "bridge.settings.file",
    "bridge.settings.generate",
    "bridge.source.via_httpx",
    "bridge.status.page",
    "bridge.status.render",
    "click",
    "difflib",
    "genai_prices",
    "grpc",
    "h11",
    "http.server",
    "httpcore",
    "httpx",
    "jinja2",
    "opentelemetry.exporter",
    "opentelemetry.sdk.metrics",
    "opentelemetry.sdk.trace",
    "prometheus_client",
    "requests",
    "starlette",
    "tqdm",
    "urllib.request",
    "uvicorn",
    "yaml",
}
AT_MOST = 680  # modules, the standard library's among them; raise it knowingly


async def imported(folder: Path) -> list[str]:
    """What `bridge run` has imported when it asks Letta for the first time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        page = f"127.0.0.1:{free.getsockname()[1]}"
    asked = asyncio.Event()
    async with HttpReceiver().answer(*[hangs] * 9) as letta:
        letta.rule = lambda _: asked.set()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "importtime", "-m", "bridge", "run", cwd=folder,
            env={"PATH": os.environ["PATH"], "LETTA_BASE_URL": letta.url, "BRIDGE_LISTEN": page},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = asyncio.create_task(process.communicate())
        await asyncio.wait_for(asked.wait(), 40)
        process.kill()
        _, errors = await said
    return re.findall(r"^import time:[^|]*\|[^|]*\| +(\S+)$", errors.decode(), re.MULTILINE)


async def test_nothing_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    modules = await imported(tmp_path)
    assert {"bridge.sweep.sweep", "bridge.listening", "bridge.export.http", "httptools"} <= set(modules), (
        "the list is not what it should be"
    )
    early = {name for name in modules for later in LATER if name == later or name.startswith(f"{later}.")}
    assert early == set()
    assert len(modules) <= AT_MOST


@pytest.mark.parametrize("later", sorted(LATER))
def test_each_of_them_is_there_to_be_found(later: str) -> None:
    """A module that was renamed would never be found again."""
    assert __import__("importlib.util").util.find_spec(later)
