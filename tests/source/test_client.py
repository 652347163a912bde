"""What each answer of a server means, and that no error lets the key out."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from bridge.clock import SystemClock
from bridge.errors import AnswerTooLong, LettaError, LettaMisbehaved, LettaNotFound, LettaRefused, LettaUnavailable
from bridge.source.client import Access, LettaClient, Params

KEY = "sk-canary-0123456789"
DETAIL = {"detail": "Some reason"}


def client(answer: Callable[[httpx.Request], httpx.Response], **access: object) -> LettaClient:
    settings = Access(base_url="http://letta.test", api_key=KEY, requests_per_second=1000, **access)  # type: ignore[arg-type]
    return LettaClient(settings, SystemClock(), transport=httpx.MockTransport(answer))


async def ask(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    await client(answer).get("/v1/runs/", endpoint="/v1/runs/")


@pytest.mark.parametrize(("status", "kind", "words"), [
    (301, LettaMisbehaved, "was redirected (301) to https://elsewhere.test/. Set LETTA_BASE_URL"),
    (400, LettaMisbehaved, "Letta answered 400 to GET /v1/runs/ at http://letta.test: Some reason"),
    (401, LettaRefused, "for GET /v1/runs/ at http://letta.test: Some reason. Check LETTA_API_KEY."),
    (403, LettaRefused, "Letta refused the key (403)"),
    (404, LettaNotFound, "Letta has nothing (404) for GET /v1/runs/ at http://letta.test: Some reason"),
    (408, LettaUnavailable, "Letta answered 408"),
    (422, LettaMisbehaved, "Letta answered 422"),
    (429, LettaUnavailable, "Letta answered 429"),
    (500, LettaUnavailable, "Letta answered 500"),
    (502, LettaUnavailable, "Letta answered 502"),
    (503, LettaUnavailable, "Letta answered 503"),
])  # fmt: skip
async def test_a_status_has_its_meaning(status: int, kind: type[LettaError], words: str) -> None:
    response = httpx.Response(status, json=DETAIL, headers={"location": "https://elsewhere.test/"})
    with pytest.raises(kind) as raised:
        await ask(lambda _: response)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("response", [
    httpx.Response(404, json={"detail": "Not Found"}),
    httpx.Response(404, html="<h1>404</h1>"),
    httpx.Response(404, json=["nothing"]),
    httpx.Response(404),
])  # fmt: skip
async def test_a_404_that_names_no_record_does_not_say_that_one_is_gone(response: httpx.Response) -> None:
    with pytest.raises(LettaMisbehaved, match=r"was answered 404: .* Is LETTA_BASE_URL a Letta server's address"):
        await ask(lambda _: response)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None)])
async def test_retry_after_is_read_in_either_form(header: str, seconds: float | None) -> None:
    with pytest.raises(LettaUnavailable) as raised:
        await ask(lambda _: httpx.Response(429, headers={"retry-after": header}))
    assert raised.value.retry_after == seconds
    assert raised.value.status == 429


@pytest.mark.parametrize(("fault", "words"), [
    (httpx.ConnectError("Connection refused"), ("Letta cannot be reached at http://letta.test: Connection refused. Is"
                                               " the server running, and is LETTA_BASE_URL right?")),
    (httpx.ReadTimeout("slow"), "Letta at http://letta.test did not answer GET /v1/runs/ within 30 s"),
    (httpx.RemoteProtocolError("closed"), "Letta at http://letta.test closed the connection during GET /v1/runs/"),
])  # fmt: skip
async def test_no_answer_is_unavailable(fault: Exception, words: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise fault

    with pytest.raises(LettaUnavailable) as raised:
        await ask(fail)
    assert words in str(raised.value)
    assert raised.value.status is None


async def test_key_and_projects_are_sent_as_headers() -> None:
    seen: list[httpx.Headers] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json=[])

    await client(note, project="my-project", project_id="project-1").get("/v1/runs/", endpoint="/v1/runs/")
    assert seen[0]["authorization"] == f"Bearer {KEY}"
    assert (seen[0]["x-project"], seen[0]["x-project-id"]) == ("my-project", "project-1")


async def test_every_answer_is_reported_by_route() -> None:
    told: list[tuple[str, str]] = []
    asked = LettaClient(
        Access(base_url="http://letta.test"),
        SystemClock(),
        on_answer=lambda endpoint, answer: told.append((endpoint, answer)),
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})),
    )
    await asked.get("/v1/runs/run-1", endpoint="/v1/runs/{id}")
    assert told == [("/v1/runs/{id}", "200")]


@pytest.mark.parametrize("status", [200, 404, 500, 502])
async def test_a_body_that_only_says_it_is_json(status: int) -> None:
    response = httpx.Response(status, content=b"<h1>oh</h1>", headers={"content-type": "application/json"})
    if status == 200:
        await ask(lambda _: response)
        return
    with pytest.raises(LettaError, match="oh"):
        await ask(lambda _: response)


async def test_a_body_that_cannot_be_unpacked_is_a_letta_error() -> None:
    with pytest.raises(LettaMisbehaved, match="no answer that can be read"):
        await ask(lambda _: httpx.Response(200, stream=Bytes(b"plain"), headers={"content-encoding": "gzip"}))


async def test_a_body_without_end_is_not_read_to_the_end() -> None:
    endless = Bytes(*[b"x" * (1 << 20)] * 100)
    with pytest.raises(AnswerTooLong, match="longer than 32 MiB"):
        await ask(lambda _: httpx.Response(200, stream=endless))
    assert endless.read <= 34
    with pytest.raises(LettaUnavailable, match="502"):
        await ask(lambda _: httpx.Response(502, stream=endless))
    assert endless.read <= 36, "of a failure only its first words"


async def test_a_body_that_drips_ends_with_the_time_out() -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    dripping = client(lambda _: httpx.Response(200, content=drip()), timeout=0.1)
    with pytest.raises(LettaUnavailable, match=r"did not answer GET /v1/runs/ within 0\.1 s"):
        await dripping.get("/v1/runs/", endpoint="/v1/runs/")


async def test_an_address_that_is_none_is_a_letta_error() -> None:
    with pytest.raises(LettaMisbehaved, match="no answer that can be read"):
        await client(lambda _: httpx.Response(200)).get("/v1/runs/" + "x" * 70_000, endpoint="/v1/runs/{id}")


async def test_what_a_server_says_is_one_printable_line() -> None:
    nasty = {"detail": "\x1b[2J\x9b31mred\u2028line\u202e" + "!" * 10_000}
    with pytest.raises(LettaMisbehaved) as raised:
        await ask(lambda _: httpx.Response(400, json=nasty))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


class Bytes(httpx.AsyncByteStream):
    """A body in pieces, and how many of them were read."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.read += 1
            yield piece


@pytest.fixture
async def hang_up_on_reuse() -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers the first request of a connection and hangs up on the second, as an idle close looks."""
    answered: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answered.append(1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]")
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answered


async def test_a_connection_that_was_closed_while_idle_is_retried_at_once(
    hang_up_on_reuse: tuple[str, list[int]],
) -> None:
    url, answered = hang_up_on_reuse
    told: list[str] = []
    access = Access(base_url=url, requests_per_second=2)
    asked = LettaClient(access, SystemClock(), on_answer=lambda _, answer: told.append(answer))
    began = asyncio.get_running_loop().time()
    for _ in range(2):
        assert (await asked.get("/v1/runs/", endpoint="/v1/runs/")).body == b"[]"
    took = asyncio.get_running_loop().time() - began
    await asked.close()
    assert len(answered) == 2
    assert told == ["200", "disconnected", "200"], "each request is counted"
    assert took > 0.49, "the third one waits for its place in a budget of two a second"


async def test_a_request_is_sent_twice_at_most() -> None:
    told: list[str] = []
    sent = 0

    def hang_up(_: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        raise httpx.ReadError("")

    asked = LettaClient(
        Access(base_url="http://letta.test"),
        SystemClock(),
        on_answer=lambda _, answer: told.append(answer),
        transport=httpx.MockTransport(hang_up),
    )
    with pytest.raises(LettaUnavailable, match="closed the connection during GET /v1/runs/"):
        await asked.get("/v1/runs/", endpoint="/v1/runs/")
    assert sent == 2
    assert told == ["disconnected", "disconnected"]


@pytest.mark.parametrize(("params", "query"), [
    ({"active": True, "limit": 10}, b"active=true&limit=10"),
    ({"after": "a&b=c/d", "x": ""}, b"after=a%26b%3Dc%2Fd&x="),
    ({}, b""),
    (None, b""),
])  # fmt: skip
async def test_a_query_is_written_as_fastapi_reads_it(params: Params | None, query: bytes) -> None:
    seen: list[httpx.URL] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return httpx.Response(200, json=[])

    await client(note).get("/v1/runs/", endpoint="/v1/runs/", params=params)
    assert seen[0].query == query
