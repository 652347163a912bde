"""The two ways to Letta: of odd answers the straight one makes what httpx makes, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme
from http1 import talking

from bridge.clock import SystemClock
from bridge.errors import AnswerTooLong, LettaUnavailable, SettingsError
from bridge.http1 import Disconnected, Unreachable, Unreadable
from bridge.source.client import Access, LettaClient
from bridge.source.via_http1 import ViaHttp1
from bridge.source.via_httpx import ViaHttpx
from bridge.source.way import Way

HEADERS = {"accept": "application/json", "authorization": "Bearer sk-1"}
TARGET = "/v1/runs/run-1/steps?order=asc&limit=1000&after=step-1"
BODY = b'[{"id": "step-1"}]'


class Answering(talking.Server):
    """Says the same to everyone.

    Attributes:
        answer: byte for byte.
        closes: whether the connection ends after it.
        heads: the requests.
    """

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        super().__init__(self._answered)
        self.answer = answer
        self.closes = closes
        self.heads: list[bytes] = []
        self.url = ""
        self.asked = asyncio.Event()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            self.asked.set()
            writer.write(self.answer)
            await writer.drain()
            if self.closes:
                break


@contextlib.asynccontextmanager
async def serving(
    answer: bytes, *, closes: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Answering]:
    server = Answering(answer, closes=closes)
    async with await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        yield server
        await asyncio.gather(*server.talks)


def fast(server: Answering, *, idle: float = 4.0) -> ViaHttp1:
    return ViaHttp1(server.url, HEADERS, trust=None, idle=idle)


async def outcome(way: Way) -> object:
    """What comes of a request: the answer, or what kind of failure."""
    try:
        async with asyncio.timeout(5):
            answer = await way.get(TARGET)
    except (Disconnected, Unreachable, Unreadable) as error:
        return "broken" if isinstance(error, Disconnected) else type(error)
    finally:
        await way.close()
    return answer.status, answer.body, answer.headers.get("content-type"), answer.headers.get("retry-after")


def answer(*lines: str, body: bytes = BODY, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1") + body


SIZED = f"content-length: {len(BODY)}"
CHUNKED = "transfer-encoding: chunked"
GZIPPED = gzip.compress(BODY)
GZIPPED_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GZIPPED), GZIPPED)
ANSWERS = {
    "a length": answer(SIZED, "content-type: application/json"),
    "a failure": answer(SIZED, "Retry-After: 7", status="HTTP/1.1 429 Too Many Requests"),
    "no reason phrase": answer(SIZED, status="HTTP/1.1 200"),
    "an odd reason phrase": answer(SIZED, status="HTTP/1.1 200 Ça va"),
    "capitals and blanks": answer(f"CONTENT-LENGTH:   {len(BODY)}  ", "Content-TYPE:x/y"),
    "a length twice": answer(SIZED, SIZED),
    "two lengths": answer(SIZED, "content-length: 3"),
    "a length that is none": answer("content-length: many"),
    "a negative length": answer("content-length: -1"),
    "lines that end with a line feed alone": answer(SIZED).replace(b"\r\n", b"\n"),
    "no length: to the end": answer("content-type: x/y"),
    "of HTTP/1.0": answer("content-type: x/y", status="HTTP/1.0 200 OK"),
    "of HTTP/2": answer(SIZED, status="HTTP/2 200 OK"),
    "no content": answer(body=b"", status="HTTP/1.1 204 No Content"),
    "one that is announced first": answer(body=b"", status="HTTP/1.1 103 Early Hints") + answer(SIZED),
    "chunks": answer(CHUNKED, body=b'5\r\n[{"id\r\nd\r\n": "step-1"}]\r\n0\r\n\r\n'),
    "chunks with extras": answer(CHUNKED, body=b"00012;a=b\r\n" + BODY + b"\r\n0\r\nx-a: 1\r\n\r\n"),
    "chunks and a length": answer(CHUNKED, "content-length: 3", body=b"12\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunks that break off": answer(CHUNKED, body=b"12\r\n" + BODY + b"\r\n"),
    "a chunk that is cut off": answer(CHUNKED, body=b"12\r\n" + BODY[:5]),
    "a chunk without a size": answer(CHUNKED, body=b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk of a size that is none": answer(CHUNKED, body=b"-2\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": answer(CHUNKED, body=b"2\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "packed": answer(f"content-length: {len(GZIPPED)}", "content-encoding: gzip", body=GZIPPED),
    "packed, in chunks": answer(CHUNKED, "Content-Encoding: GZIP", body=GZIPPED_CHUNK),
    "not packed, though it says so": answer(SIZED, "content-encoding: gzip"),
    "nothing in it": answer("content-length: 0", body=b""),
    "a body that is cut off": answer(f"content-length: {len(BODY) + 1}"),
    "a head that is cut off": b"HTTP/1.1 200 OK\r\ncontent-le",
    "nothing at all": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a header that is none": answer(SIZED, "content type"),
    "a blank before the colon": answer(SIZED, "content-type : x/y"),
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * (1 << 20),
}  # fmt: skip


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS.keys())
async def test_the_same_comes_of_it(said: bytes) -> None:
    async with serving(said, closes=True) as server:
        ours = await outcome(fast(server))
        theirs = await outcome(ViaHttpx(server.url, HEADERS, httpx.AsyncHTTPTransport()))
    assert ours in (theirs, "broken")


async def test_the_request_has_the_headers_and_no_cookie() -> None:
    async with serving(answer(SIZED, "set-cookie: a=b")) as server:
        way = fast(server)
        for _ in range(2):
            await way.get(TARGET)
        await way.close()
    for head in server.heads:
        assert head.startswith(f"GET {TARGET} HTTP/1.1\r\n".encode())
        assert {b"accept: application/json", b"authorization: Bearer sk-1"} <= set(head.split(b"\r\n"))
        assert b"cookie" not in head.lower()


async def test_what_is_below_a_path_is_asked_for_there() -> None:
    async with serving(answer(SIZED)) as server:
        await outcome(ViaHttp1(f"{server.url}/letta", HEADERS, trust=None, idle=4.0))
    assert server.heads[0].startswith(f"GET /letta{TARGET} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(("said", "connections"), [
    (answer(SIZED), 1),
    (answer(CHUNKED, body=b"12\r\n" + BODY + b"\r\n0\r\n\r\n"), 1),
    (answer(SIZED, "connection: close"), 3),
    (answer(SIZED, status="HTTP/1.0 200 OK"), 3),
    (answer(SIZED, "connection: keep-alive", status="HTTP/1.0 200 OK"), 1),
    (answer(SIZED) + b"HTTP/1.1 200 OK\r\n\r\n", 3),
])  # fmt: skip
async def test_a_connection_is_used_again_only_where_it_can_be(said: bytes, connections: int) -> None:
    async with serving(said) as server:
        way = fast(server)
        for _ in range(3):
            assert (await way.get(TARGET)).body == BODY
        await way.close()
    assert server.connections == connections


async def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    async with serving(answer(SIZED)) as server:
        way = fast(server, idle=-1.0)
        for _ in range(3):
            await way.get(TARGET)
        await way.close()
    assert server.connections == 3


async def test_requests_at_the_same_time_have_a_connection_each() -> None:
    async with serving(answer(SIZED)) as server:
        way = fast(server)
        for _ in range(2):
            answers = await asyncio.gather(*(way.get(TARGET) for _ in range(4)))
            assert [one.body for one in answers] == [BODY] * 4
        await way.close()
    assert server.connections == 4


async def test_a_request_that_is_dropped_leaves_no_answer_for_the_next() -> None:
    async with serving(b"") as server:
        way = fast(server)
        asking = asyncio.create_task(way.get(TARGET))
        await server.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        server.answer = answer(SIZED)
        assert (await way.get(TARGET)).body == BODY
        await way.close()
    assert server.connections == 2


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_that_is_too_long_is_not_read_to_its_end(*, packed: bool) -> None:
    body = b"x" * (40 << 20)
    lines = [f"content-length: {len(body)}"]
    if packed:
        body = zlib.compress(body, wbits=31)
        lines = ["content-encoding: gzip", f"content-length: {len(body)}"]
    async with serving(answer(*lines, body=body)) as server:
        asked = LettaClient(Access(base_url=server.url), SystemClock())
        with pytest.raises(AnswerTooLong, match="longer than 32 MiB"):
            await asked.get("/v1/runs/", endpoint="/v1/runs/")
        await asked.close()


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority, tls, ca_file = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), tmp_path / "ca.pem"
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(str(ca_file))
    async with serving(answer(SIZED), tls=tls) as server:
        asked = LettaClient(Access(base_url=server.url, ca_file=ca_file), SystemClock())
        for _ in range(2):
            assert (await asked.get("/v1/runs/", endpoint="/v1/runs/")).body == BODY
        await asked.close()
        stranger = LettaClient(Access(base_url=server.url), SystemClock())
        with pytest.raises(LettaUnavailable, match=r"cannot be reached .*certificate verify failed"):
            await stranger.get("/v1/runs/", endpoint="/v1/runs/")
        await stranger.close()
    assert server.connections == 1


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_asked_unless_the_server_is_excepted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    access = Access(base_url="http://letta.test:8283")
    async with serving(answer(SIZED)) as proxy:
        monkeypatch.setenv(name, proxy.url.removeprefix("http://") if name == "HTTP_PROXY" else proxy.url)
        asked = LettaClient(access, SystemClock())
        assert (await asked.get("/v1/runs/", endpoint="/v1/runs/")).body == BODY
        await asked.close()
        assert proxy.heads[0].startswith(b"GET http://letta.test:8283/v1/runs/ HTTP/1.1\r\n")
        monkeypatch.setenv("NO_PROXY", "letta.test")
        alone = LettaClient(access, SystemClock())
        with pytest.raises(LettaUnavailable, match="cannot be reached"):
            await alone.get("/v1/runs/", endpoint="/v1/runs/")
        await alone.close()
    assert len(proxy.heads) == 1


async def test_a_proxy_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy.test")
    with pytest.raises(SettingsError, match=r"proxy of HTTP_PROXY.* cannot be used"):
        LettaClient(Access(base_url="http://letta.test"), SystemClock())


def test_a_key_that_is_no_header_is_said_without_it() -> None:
    with pytest.raises(SettingsError) as raised:
        LettaClient(Access(base_url="http://letta.test", api_key="sk-canary\nx: y"), SystemClock())
    assert "LETTA_API_KEY" in str(raised.value)
    assert "canary" not in str(raised.value)
