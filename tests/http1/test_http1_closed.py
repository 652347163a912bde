"""What is closed is gone at once; and what TLS adds to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterator

import pytest
from http1.talking import BODY, WHOLE, Asker, Talk, Tls, asking, once, says

from bridge.causes import why
from bridge.http1 import NoAnswer, Unreachable
from bridge.http1.connection import Connection


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def in_memory() -> int:
    return sum(type(thing) is Connection for thing in gc.get_objects())


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("talk", [
    says(WHOLE),
    once(WHOLE[:-1]),
    once(WHOLE.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)),
    once(b"SSH-2.0-OpenSSH_9.6\r\n"),
], ids=["kept alive, then closed here", "closed half-way", "closed as announced", "no HTTP"])  # fmt: skip
async def test_a_closed_connection_needs_no_collector(talk: Talk, *, tls: bool) -> None:
    """The service collects rarely, and a connection over TLS is a quarter of a megabyte."""
    async with asking(talk, tls=Tls() if tls else None) as (asker, server):
        before = in_memory()
        with contextlib.suppress(NoAnswer):
            await asker.get()
        await asker.origin.close()
        await asyncio.gather(*server.talks)
        assert in_memory() == before


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_closed_while_it_rested_is_replaced(*, tls: bool) -> None:
    async with asking(once(WHOLE), tls=Tls() if tls else None) as (asker, server):
        for asked in range(1, 4):
            assert (await asker.get()).body == BODY
            await asyncio.gather(*server.talks)
            await closed(asker)
            assert server.connections == asked


async def closed(asker: Asker) -> None:
    """Wait until a connection that rests knows of the other side's end."""
    async with asyncio.timeout(10):
        while any(connection.usable for _, connection in asker.origin._resting):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)


async def test_a_connection_whose_end_was_announced_is_not_used_again() -> None:
    """Even where the server is slow to close it."""
    last = WHOLE.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
    async with asking(says(last, last)) as (asker, server):
        for _ in range(2):
            assert (await asker.get()).body == BODY
    assert server.connections == 2


async def test_who_stops_waiting_closes_the_connection() -> None:
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        with contextlib.suppress(OSError):
            await reader.read()
        ended.set()

    async with asyncio.timeout(10), asking(hang) as (asker, _):
        waiting = asyncio.create_task(asker.get())
        await asked.wait()
        waiting.cancel()
        await ended.wait()
        assert waiting.cancelled()


@pytest.mark.usefixtures("without_collector")
async def test_a_connection_that_ends_before_tls_begins_is_said() -> None:
    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        url = f"https://localhost:{listening.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable) as raised:
            await Asker(url, trust=Tls().trusted).get()
        await asyncio.sleep(0)
    assert why(raised.value) == "the connection was closed before TLS was agreed on"
    assert not in_memory()


async def test_a_host_with_a_dot_at_its_end_has_the_certificate_of_one_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So is a name written that is not to be looked up in the domains of a cluster; RFC 6066 wants it without."""
    tls = Tls("letta.test.", named="letta.test")
    async with asking(says(WHOLE), tls=tls) as (asker, _):
        port = int(asker.origin.authority.rpartition(":")[2])

        async def lookup(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        assert (await asker.get()).body == BODY
