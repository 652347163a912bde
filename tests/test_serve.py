"""The pages over a real socket."""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from bridge.errors import LedgerError, SettingsError
from bridge.health import Health
from bridge.listening import serving
from bridge.observe import SelfMetrics
from bridge.serve import Pages

NOW = 1_700_000_000.0


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health() -> Health:
    health = Health(interval=5, turned_at=NOW)
    health.letta.answered(NOW)
    return health


class Metrics:
    """Gives the bridge's own metrics, or fails."""

    def __init__(self) -> None:
        self.own = SelfMetrics()
        self.failure: Exception | None = None

    async def __call__(self) -> Iterable[ExportMetricsServiceRequest]:
        if self.failure:
            raise self.failure
        return [self.own.message()]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def pages(health: Health, clock: Clock, metrics: Metrics) -> Pages:
    return Pages(health, clock, metrics)


@asynccontextmanager
async def visiting(pages: Pages, host: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    async with serving(pages.app, host=host, port=0) as url, httpx.AsyncClient(base_url=url) as browser:
        yield browser


@pytest.fixture
async def browser(pages: Pages) -> AsyncIterator[httpx.AsyncClient]:
    async with visiting(pages) as browser:
        yield browser


async def test_metrics_are_a_prometheus_page(browser: httpx.AsyncClient, metrics: Metrics) -> None:
    metrics.own.spans("accepted", 3)
    answer = await browser.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert [one.value for one in families["letta_bridge_spans"].samples] == [3, 0, 0]


async def test_who_takes_openmetrics_gets_it(browser: httpx.AsyncClient, metrics: Metrics) -> None:
    metrics.own.spans("accepted", 3)
    answer = await browser.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert answer.headers["vary"] == "accept"
    assert 'letta_bridge_spans_total{outcome="accepted"} 3.0\n' in answer.text
    assert answer.text.endswith("# EOF\n")


async def test_metrics_are_of_the_moment(browser: httpx.AsyncClient, metrics: Metrics) -> None:
    await browser.get("/metrics")
    metrics.own.cursor_restarted()
    assert "letta_bridge_cursor_restarts_total 1.0" in (await browser.get("/metrics")).text


async def test_metrics_that_cannot_be_read_are_one_line(browser: httpx.AsyncClient, metrics: Metrics) -> None:
    metrics.failure = LedgerError("ledger /x: the disk is full")
    answer = await browser.get("/metrics")
    assert (answer.status_code, answer.text) == (503, "ledger /x: the disk is full\n")
    metrics.failure = None
    assert (await browser.get("/metrics")).status_code == 200


async def test_a_bridge_that_is_well_is_alive_and_ready(browser: httpx.AsyncClient) -> None:
    alive, ready = await browser.get("/livez"), await browser.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"alive": True, "loop": "ok"})
    ago = {"letta": 0.0, "backend": None}
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "loop": "ok", "letta": "ok", "backend": "ok", "answered_s_ago": ago}


async def test_a_loop_that_stands_is_told(browser: httpx.AsyncClient, clock: Clock) -> None:
    clock.time = NOW + 300
    alive, ready = await browser.get("/livez"), await browser.get("/readyz")
    assert (alive.status_code, alive.json()) == (503, {"alive": False, "loop": "has not turned for 300 s"})
    assert (ready.status_code, ready.json()["ready"]) == (503, False)


async def test_what_does_not_answer_is_told_with_the_reason(browser: httpx.AsyncClient, health: Health) -> None:
    health.backend.failed("connection refused")
    answer = await browser.get("/readyz")
    ago = {"letta": 0.0, "backend": None}
    said = {"loop": "ok", "letta": "ok", "backend": "connection refused", "answered_s_ago": ago}
    assert (answer.status_code, answer.json()) == (503, {"ready": False, **said})
    assert (await browser.get("/livez")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/status", "/metrics/"])
async def test_there_is_nothing_else(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status_code, answer.text) == (404, "there is no such page; there are /metrics, /livez, /readyz\n")


async def test_nothing_can_be_written(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/metrics")).status_code == 405


async def test_the_server_does_not_tell_what_it_is(browser: httpx.AsyncClient) -> None:
    assert "server" not in (await browser.get("/livez")).headers


async def test_ipv6_is_an_address_too(pages: Pages) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    async with visiting(pages, "::1") as browser:
        assert str(browser.base_url).startswith("http://[::1]:")
        assert (await browser.get("/livez")).status_code == 200


async def test_a_port_that_is_taken_is_one_line(pages: Pages) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as error:
            async with serving(pages.app, host="127.0.0.1", port=port):
                raise AssertionError("served")
    assert str(error.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; "
        "free it, or set BRIDGE_LISTEN to another address, or to off"
    )
    assert error.value.exit_code == 2


async def test_an_address_of_another_machine_is_one_line(pages: Pages) -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1:80: [^\n]+; free it"):
        async with serving(pages.app, host="192.0.2.1", port=80):
            raise AssertionError("served")


@pytest.mark.parametrize("host", ["a..b", "fe80::1%missing"])  # both fail without asking a name server
async def test_a_host_that_does_not_exist_is_one_line(pages: Pages, host: str) -> None:
    with pytest.raises(SettingsError, match=r"^cannot listen on \S+:80: no such host; free it[^\n]+$"):
        async with serving(pages.app, host=host, port=80):
            raise AssertionError("served")


async def test_the_port_is_free_afterwards(pages: Pages) -> None:
    async with visiting(pages) as browser:
        await browser.get("/livez")  # leaves a connection open, as scrapers do
        port = browser.base_url.port
    async with serving(pages.app, host="127.0.0.1", port=port or 0):
        pass


async def test_signals_stay_the_bridges_own(pages: Pages) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with visiting(pages) as browser:
        await browser.get("/livez")
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_an_error_in_the_block_is_not_swallowed(pages: Pages) -> None:
    with pytest.raises(ZeroDivisionError):
        async with visiting(pages):
            raise ZeroDivisionError


async def test_a_cancelled_block_ends_the_server(pages: Pages) -> None:
    served = asyncio.Event()

    async def serve() -> None:
        async with visiting(pages):
            served.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await served.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_page_that_hangs_does_not_keep_the_bridge(health: Health, clock: Clock) -> None:
    asked = asyncio.Event()

    async def hang() -> Iterable[ExportMetricsServiceRequest]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("went on")

    async with asyncio.timeout(20), httpx.AsyncClient(timeout=20) as browser:
        async with serving(Pages(health, clock, hang).app, host="127.0.0.1", port=0) as url:
            request = asyncio.create_task(browser.get(f"{url}/metrics"))
            await asked.wait()
        assert (await request).status_code == 500


async def test_nothing_is_logged(pages: Pages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with visiting(pages) as browser:
        await browser.get("/metrics")
        await browser.get("/missing")
    assert [record for record in caplog.records if record.name.startswith(("uvicorn", "bridge"))] == []


def test_the_web_server_is_not_imported_by_what_always_runs() -> None:
    code = "import sys, bridge.health, bridge.observe, bridge.ledger.open; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"uvicorn", "starlette", "prometheus_client"} & set(done.stdout.split())
