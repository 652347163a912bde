"""One HTTP client towards one Letta server: the key, the budget, and what each answer means.

Every request waits for its place in the budget. A connection that the server closed while idle (0.16.8 does so
after 5 s) is retried once, at once; nothing else is retried here: the sweep ends and the next one tries again.
The time-out covers the whole exchange, and a body has a limit, so that no server can hold the bridge or fill its
memory. Raises LettaUnavailable, LettaRefused, LettaNotFound or LettaMisbehaved, never an httpx error, and names the
request in each. The key appears in none of them, and what a server says is one printable line.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from aiolimiter import AsyncLimiter

from bridge import __version__, retry_after
from bridge.causes import why
from bridge.clock import Clock
from bridge.errors import (
    AnswerTooLong,
    LettaMisbehaved,
    LettaNotFound,
    LettaRefused,
    LettaUnavailable,
    SettingsError,
)
from bridge.plain import one_line

Params = Mapping[str, str | int | bool | Sequence[str]]

_KEEPALIVE_SECONDS: Final = 4.0  # below the server's 5 s, so that we rarely race its close
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_ANSWER: Final = 32 << 20  # bytes; a page of 1000 steps takes about one million
_LONGEST_REASON: Final = 64 << 10  # bytes read of a failure: its words are cut to a line anyway


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one Letta server.

    Attributes:
        base_url: without a trailing slash and without /v1.
        api_key: sent as a bearer token; None for an open server.
        project: sent as X-Project (Letta Cloud); None for none.
        project_id: sent as X-Project-Id (Letta Cloud); None for none.
        ca_file: certificates to trust instead of the system's.
        timeout: seconds for one request.
        requests_per_second: the budget over everything.
    """

    base_url: str
    api_key: str | None = None
    project: str | None = None
    project_id: str | None = None
    ca_file: Path | None = None
    timeout: float = 30.0
    requests_per_second: float = 5.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came: the start of the body, and all of it where it is a 200."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> object:
        """The body's value; None where it is no JSON, whatever the content type says."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a 200, and the server's clock (its Date header, seconds since the epoch)."""

    body: bytes
    server_now: float | None


class LettaClient:
    """GET with the budget, the key and the answer's meaning."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        *,
        on_answer: Callable[[str, str], None] = lambda _endpoint, _answer: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            access: where and how.
            clock: to read Retry-After dates against.
            on_answer: told the endpoint (a path template) and the answer (a status, or the kind of failure).
            transport: httpx's swap point, for tests.
        """
        self.base_url = access.base_url
        self._clock = clock
        self._on_answer = on_answer
        self._timeout = access.timeout
        self._budget = _budget(access.requests_per_second)
        self._http = httpx.AsyncClient(
            headers=_headers(access),
            timeout=access.timeout,
            verify=_trust(access.ca_file),
            limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            transport=transport,
        )

    async def get(self, path: str, *, endpoint: str, params: Params | None = None) -> Reply:
        """GET `path`, which starts with a slash and ends with one exactly where the server's route does.

        Args:
            path: below the base URL.
            endpoint: the route's template, a name of low cardinality for metrics.
            params: the query; a sequence repeats its parameter.

        Raises:
            AnswerTooLong: the body is over the limit; a shorter page of the same may not be.
        """
        answer = await self._send(path, endpoint, params)
        self._on_answer(endpoint, str(answer.status))
        if answer.status != httpx.codes.OK:
            raise self._failure(answer, path)
        if len(answer.body) > _LONGEST_ANSWER:
            raise AnswerTooLong(
                f"Letta's answer to GET {path} at {self.base_url} is longer than {_LONGEST_ANSWER >> 20} MiB"
            )
        return Reply(answer.body, retry_after.http_date(answer.headers.get("date")))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, path: str, endpoint: str, params: Params | None) -> _Answer:
        for last_try in (False, True):
            async with self._budget:
                try:
                    async with asyncio.timeout(self._timeout):
                        return await self._exchange(path, params)
                except (TimeoutError, httpx.TimeoutException) as error:
                    self._on_answer(endpoint, "timeout")
                    raise LettaUnavailable(
                        f"Letta at {self.base_url} did not answer GET {path} within {self._timeout:g} s"
                    ) from error
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                    self._on_answer(endpoint, "disconnected")
                    if last_try:
                        raise LettaUnavailable(
                            f"Letta at {self.base_url} closed the connection during GET {path}: {why(error)}"
                        ) from error
                except httpx.TransportError as error:
                    self._on_answer(endpoint, "unreachable")
                    raise LettaUnavailable(
                        f"Letta cannot be reached at {self.base_url}: {why(error)}."
                        " Is the server running, and is LETTA_BASE_URL right?"
                    ) from error
                except (httpx.DecodingError, httpx.InvalidURL) as error:
                    self._on_answer(endpoint, "unreadable")
                    raise LettaMisbehaved(
                        f"GET {path} at {self.base_url} has no answer that can be read: {one_line(str(error))}"
                    ) from error
        raise AssertionError("unreachable")

    async def _exchange(self, path: str, params: Params | None) -> _Answer:
        async with self._http.stream("GET", self.base_url + path, params=params) as response:
            longest = _LONGEST_ANSWER if response.status_code == httpx.codes.OK else _LONGEST_REASON
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > longest:
                    break
            return _Answer(response.status_code, response.headers, bytes(body))

    def _failure(
        self, answer: _Answer, path: str
    ) -> LettaUnavailable | LettaRefused | LettaNotFound | LettaMisbehaved:
        status, said = answer.status, _said(answer)
        request = f"GET {path} at {self.base_url}"
        if status in _PASSING:
            wait = retry_after.seconds(answer.headers.get("retry-after"), now=self._clock.now())
            return LettaUnavailable(f"Letta answered {status} to {request}: {said}", retry_after=wait, status=status)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return LettaRefused(f"Letta refused the key ({status}) for {request}: {said}. Check LETTA_API_KEY.")
        if status == httpx.codes.NOT_FOUND and _names_a_record(answer):
            return LettaNotFound(f"Letta has nothing (404) for {request}: {said}")
        if status == httpx.codes.NOT_FOUND:
            return LettaMisbehaved(f"{request} was answered 404: {said}. Is LETTA_BASE_URL a Letta server's address?")
        if httpx.codes.is_redirect(status):
            target = one_line(answer.headers.get("location", "")) or "nowhere"
            return LettaMisbehaved(
                f"{request} was redirected ({status}) to {target}. Set LETTA_BASE_URL to the server's final address."
            )
        return LettaMisbehaved(f"Letta answered {status} to {request}: {said}")


def _headers(access: Access) -> dict[str, str]:
    headers = {"accept": "application/json", "user-agent": f"letta-otel-bridge/{__version__}"}
    if access.api_key:
        headers["authorization"] = f"Bearer {access.api_key}"
    if access.project:
        headers["x-project"] = access.project
    if access.project_id:
        headers["x-project-id"] = access.project_id
    return headers


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"letta.ca_file: {ca_file} cannot be used as a certificate file: {error}") from error


def _budget(requests_per_second: float) -> AsyncLimiter:
    """A burst of one second's worth, but at least of one request."""
    if requests_per_second < 1:
        return AsyncLimiter(1, 1 / requests_per_second)
    return AsyncLimiter(requests_per_second, 1)


def _names_a_record(answer: _Answer) -> bool:
    """Whether a 404 is Letta's word on one record; an unknown route, or a proxy on its way, says nothing of any."""
    body = answer.json() if _is_json(answer) else None
    detail = body.get("detail") if isinstance(body, dict) else None
    return isinstance(detail, str) and detail != "Not Found"


def _said(answer: _Answer) -> str:
    """The answer's own words, on one short line."""
    body = answer.json() if _is_json(answer) else None
    if body is None:
        text = answer.body.decode(errors="replace")
    else:
        text = str(body.get("detail", body)) if isinstance(body, dict) else str(body)
    return one_line(text, longest=200) or "no words"


def _is_json(answer: _Answer) -> bool:
    return "json" in answer.headers.get("content-type", "")
