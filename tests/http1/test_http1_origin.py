"""The small HTTP client, against servers that do what a server may, and what none should."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import os
import socket
import struct

import pytest
from http1.talking import BODY, HEAD, WHOLE, Asker, Server, Talk, asking, once, says

from bridge.http1 import Answer, Disconnected, NoAnswer, NotHttp, Origin, Unreachable, Unreadable
from bridge.http1.connection import Connection
from bridge.http1.origin import words

MEGABYTE = b"x" * (1 << 20)


async def failure(talk: Talk, *, longest: int = 1 << 20) -> NoAnswer:
    async with asking(talk, longest=longest) as (asker, _):
        with pytest.raises(NoAnswer) as raised:
            await asker.get()
    return raised.value


async def test_what_a_kept_connection_breaks_under_is_sent_once_and_said_to_be_so() -> None:
    async with asking(says(WHOLE, WHOLE)) as (asker, server):
        assert (await asker.get()).body == BODY
        assert (await asker.get()).body == BODY
        with pytest.raises(Disconnected) as raised:
            await asker.get()
        assert raised.value.reused
        assert server.connections == 1, "nothing is sent twice"
        assert (await asker.get()).body == BODY
        assert server.connections == 2


@pytest.mark.parametrize("answer", [b"", HEAD, b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_a_new_connection_that_ends_before_an_answer_is_no_old_one(answer: bytes) -> None:
    error = await failure(once(answer))
    assert isinstance(error, Disconnected)
    assert not error.reused
    assert error.begun is None


async def test_a_connection_that_was_closed_before_the_request_is_not_waited_on() -> None:
    server = Server(says())
    async with asyncio.timeout(10), await asyncio.start_server(server.accept, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(lambda _: 1), host, port)
        connection.close()
        await asyncio.sleep(0)  # the end is known, and will not be told again
        with pytest.raises(Disconnected, match="at once"):
            await connection.ask(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.gather(*server.talks)


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with asking(once(HEAD + b"\r\n" + BODY)) as (asker, _):
        assert (await asker.get()).body == BODY


async def test_a_packed_body_without_a_length_is_cut_off_where_it_does_not_say_that_it_ends() -> None:
    packed, said = gzip.compress(BODY), HEAD + b"content-encoding: gzip\r\n\r\n"
    async with asking(once(said + packed)) as (asker, _):
        assert (await asker.get()).body == BODY
    assert isinstance(await failure(once(said + packed[:-1])), Disconnected)


async def test_a_body_without_a_length_does_not_end_with_a_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await once(HEAD + b"\r\n" + BODY)(reader, writer)
        linger = struct.pack("ii", 1, 0)  # to close is to reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    error = await failure(reset)
    assert isinstance(error.__cause__, ConnectionResetError)


async def test_one_broken_connection_ends_those_that_rested_as_long() -> None:
    async with asking(says(WHOLE)) as (asker, server):
        await asyncio.gather(asker.get(), asker.get())
        with pytest.raises(Disconnected):
            await asker.get()
        await asyncio.gather(asker.get(), asker.get())
    assert server.connections == 4


async def test_of_an_answer_that_breaks_off_there_is_what_came() -> None:
    cut = b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\n" + BODY
    error = await failure(once(cut))
    assert isinstance(error, Disconnected)
    assert error.begun == Answer(500, {"content-length": "100"}, BODY)


async def test_what_comes_unasked_ends_the_connection() -> None:
    more = asyncio.Event()
    told = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(WHOLE)(reader, writer) if more.is_set() else await _then_more(reader, writer)

    async def _then_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(WHOLE)
        await more.wait()
        writer.write(WHOLE.replace(b"step-1", b"step-2"))
        with contextlib.suppress(OSError):
            await reader.read()  # to its end: it was closed on the other side
        told.set()

    async with asking(talk) as (asker, server):
        assert (await asker.get()).body == BODY
        more.set()
        await told.wait()
        assert (await asker.get()).body == BODY
        assert server.connections == 2


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_may_come_byte_by_byte(*, packed: bool) -> None:
    body = gzip.compress(BODY) if packed else BODY
    lines = b"X-Empty:\r\nx-a: 1\r\n" + (b"content-encoding: gzip\r\n" if packed else b"")
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    said = HEAD + lines + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\nx-a: 2\r\n\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in said:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with asking(talk) as (asker, _):
        answer = await asker.get()
    assert answer.body == BODY
    assert (answer.headers["x-empty"], answer.headers["x-a"]) == ("", "1"), "what follows the body is no header"


@pytest.mark.parametrize("endless", [
    HEAD + b"x: " + MEGABYTE,
    HEAD + b"x: y\r\n" * (1 << 17),
    b"HTTP/1.1 103 Early Hints\r\n\r\n" * (1 << 15),
    HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + MEGABYTE,
    HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 90 + b"0\r\nx: " + MEGABYTE,
], ids=["a header", "headers", "announcements", "a chunk's size", "what follows the body"])  # fmt: skip
async def test_what_has_no_end_is_not_kept(endless: bytes) -> None:
    error = await failure(once(endless), longest=100)
    assert isinstance(error, NotHttp)
    assert "more than an answer can be" in str(error)


@pytest.mark.parametrize("packed", [False, True])
async def test_of_a_body_there_is_one_byte_more_than_is_of_use(*, packed: bool) -> None:
    body = gzip.compress(MEGABYTE) if packed else MEGABYTE
    lines = b"content-encoding: gzip\r\n" if packed else b""
    said = HEAD + lines + b"content-length: %d\r\n\r\n" % len(body) + body
    async with asking(says(said), longest=1000) as (asker, server):
        assert len((await asker.get()).body) == 1001
        await asker.get()
        assert server.connections == 2, "its rest is not the next one's answer"


@pytest.mark.parametrize(("lines", "words"), [
    (b"content-encoding: gzip", "cannot be unpacked"),
    (b"content-encoding: br", "packed by 'br', which was not asked for"),
    (b"content-encoding: gzip, gzip", "packed by 'gzip, gzip'"),
])  # fmt: skip
async def test_a_body_that_is_packed_otherwise_is_said(lines: bytes, words: str) -> None:
    error = await failure(says(HEAD + lines + b"\r\ncontent-length: 5\r\n\r\nplain"))
    assert isinstance(error, Unreadable)
    assert words in str(error)


@pytest.mark.parametrize("said", [
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello",
    HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
])  # fmt: skip
async def test_another_protocol_is_said(said: bytes) -> None:
    assert isinstance(await failure(says(said)), NotHttp)


@pytest.mark.parametrize(("url", "authority"), [
    ("http://letta.test", "letta.test"),
    ("http://letta.test:80/x", "letta.test"),
    ("https://Letta.test:443", "letta.test"),
    ("https://letta.test:80", "letta.test:80"),
    ("http://user:password@letta_server:8283", "letta_server:8283"),
    ("http://[::1]:8283", "[::1]:8283"),
    ("http://bücher.test", "xn--bcher-kva.test"),
])  # fmt: skip
def test_a_host_is_named_as_a_server_expects_it(url: str, authority: str) -> None:
    origin = Origin(url, trust=None, idle=1.0, longest=len)  # type: ignore[arg-type] # no answer is read
    assert origin.authority == authority
    assert origin.head({"a": "b"}) == f" HTTP/1.1\r\nhost: {authority}\r\na: b\r\n\r\n".encode()


@pytest.mark.parametrize("url", ["http://letta..test", f"http://{'x' * 64}.test"])
def test_a_host_that_is_no_name_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="label"):
        Origin(url, trust=None, idle=1.0, longest=len)  # type: ignore[arg-type] # no answer is read


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_that_is_not_there_is_said_in_the_systems_words(host: str, unused_tcp_port: int) -> None:
    with pytest.raises(Unreachable) as raised:
        await Asker(f"http://{host}:{unused_tcp_port}").get()
    cause = raised.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.ECONNREFUSED or str(raised.value) == os.strerror(errno.ECONNREFUSED)


def test_of_several_addresses_the_first_ones_reason_is_said() -> None:
    refused = (
        "[Errno 111] Connect call failed ('::1', 8283, 0, 0), [Errno 111] Connect call failed ('127.0.0.1', 8283)"
    )
    assert words(OSError(f"Multiple exceptions: {refused}")) == os.strerror(111)
    assert words(OSError("other words")) == "other words"
