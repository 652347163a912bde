"""HTTP itself: redirects, methods, connections, the server's clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from contract.servers import Server, StandInServer


async def until_closed(server: Server, request: str, *, within: float) -> bytes:
    """All that the server sends on a connection of its own for one request, until it hangs up."""
    address = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"{request} HTTP/1.1\r\nHost: {address.host}\r\n\r\n".encode())
    async with asyncio.timeout(within):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/steps", "/v1/health"])
async def test_307_on_a_missing_slash(server: Server, path: str) -> None:
    answer = await server.http.get(path)

    assert answer.status_code == 307
    assert answer.headers["location"] == f"{server.url}{path}/"


async def test_307_on_a_slash_too_many(server: Server) -> None:
    run = "/v1/runs/run-00000000-0000-4000-8000-000000000000"

    answer = await server.http.get(f"{run}/")

    assert (answer.status_code, answer.headers["location"]) == (307, f"{server.url}{run}")


async def test_head_is_not_allowed(server: Server) -> None:
    answer = await server.http.head("/v1/runs/")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_answers_carry_the_servers_date_and_no_compression(server: Server) -> None:
    answer = await server.http.get("/v1/runs/", headers={"accept-encoding": "gzip, br"})

    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "application/json"
    assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) < 60


async def test_keep_alive_closed_while_idle(server: Server) -> None:
    """The server hangs up on an idle connection after 5 s; the stand-in of this test after 1 s."""
    answer = await until_closed(server, "GET /v1/health/", within=8)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" not in answer.lower()


async def test_a_run_cannot_be_deleted(server: Server) -> None:
    run = (await server.finished("text"))["id"]

    answer = await server.http.delete(f"/v1/runs/{run}")

    assert (answer.status_code, answer.json()) == (500, {"detail": "An unknown error occurred"})
    async with httpx.AsyncClient(base_url=server.url, verify=False) as another:
        assert (await another.get(f"/v1/runs/{run}")).status_code == 200


async def test_an_unexpected_500_closes_the_connection_without_saying_so(server: Server) -> None:
    answer = await until_closed(server, "DELETE /v1/runs/run-00000000-0000-4000-8000-000000000000", within=4)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"connection: close" not in answer.lower()


async def test_deleting_an_agent_takes_its_runs_along(server: Server) -> None:
    agent = await server.play("text")
    run = (await server.over(agent))["id"]
    step = (await server.steps_of(run))[0]["id"]
    kept = (await server.finished("text"))["id"]

    assert (await server.http.delete(f"/v1/agents/{agent}")).status_code == 200

    gone = (f"/v1/runs/{run}", f"/v1/runs/{run}/steps", f"/v1/runs/{run}/messages", f"/v1/steps/{step}")
    for path in (*gone, f"/v1/steps/{step}/metrics"):
        assert (await server.http.get(path)).status_code == 404, path
    assert await server.get(f"/v1/steps/{step}/messages") == []
    assert await server.runs(limit=1, order="desc", before=run) == (await server.runs(limit=1))
    assert (await server.http.get(f"/v1/runs/{kept}")).status_code == 200


async def test_500_with_healthy_health(standin: StandInServer) -> None:
    """Seen on a real server whose database was stopped; the lab's stays up, so the stand-in alone shows it here."""
    standin.standin.database_down = True

    answer = await until_closed(standin, "GET /v1/runs/", within=0.9)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"detail":"An unknown error occurred"}')
    assert await standin.get("/v1/health/") == {"version": "0.16.8", "status": "ok"}


@pytest.mark.parametrize("headers", [{}, {"authorization": "bearer sesame"}, {"authorization": "Bearer wrong"}])
async def test_401_without_the_key(standin: StandInServer, headers: dict[str, str]) -> None:
    """The lab's server asks for no key, so the stand-in alone shows it here."""
    standin.standin.api_key = "sesame"

    for path in ("/v1/runs/", "/v1/runs", "/v1/nothing"):
        answer = await standin.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
    assert (await standin.http.get("/v1/health/", headers=headers)).status_code == 200


@pytest.mark.parametrize("headers", [{"authorization": "Bearer sesame"}, {"x-bare-password": "password sesame"}])
async def test_the_two_ways_to_show_the_key(standin: StandInServer, headers: dict[str, str]) -> None:
    standin.standin.api_key = "sesame"

    assert (await standin.http.get("/v1/runs/", headers=headers)).status_code == 200
