"""One HTTP client towards one Letta server: the key, the budget, and what each answer means.

Every request waits for its place in the budget. One that a connection broke under is sent once more, at once
(0.16.8 closes what was idle for 5 s); nothing else is retried here: the sweep ends and the next one tries again.
The time-out covers the whole exchange, and a body has a limit, so that no server can hold the bridge or fill its
memory. Raises LettaUnavailable, LettaRefused, LettaNotFound or LettaMisbehaved, never an httpx error, and names the
request in each. The key appears in none of them, and what a server says is one printable line.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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
from bridge.masking import MASK, forms, masker
from bridge.plain import one_line
from bridge.source.answer import LONGEST, OK, Answer, Way
from bridge.source.via_aiohttp import ViaAiohttp
from bridge.source.via_httpx import ViaHttpx

Params = Mapping[str, str | int | bool | Sequence[str]]

_KEEPALIVE_SECONDS: Final = 4.0  # below the server's 5 s, so that we rarely race its close
_SHORTEST_IN_RECORDS: Final = 16  # characters
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


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
        self._way = _way(access, transport)
        self._key = access.api_key or ""
        self._key_forms = sorted({form.encode() for form in forms(self._key)}, key=len, reverse=True)
        self._date: tuple[str | None, float | None] = None, None

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
        if answer.status != OK:
            raise self._failure(answer, path)
        if len(answer.body) > LONGEST:
            raise AnswerTooLong(f"Letta's answer to GET {path} at {self.base_url} is longer than {LONGEST >> 20} MiB")
        return Reply(answer.body, self._server_now(answer.headers.get("date")))

    async def close(self) -> None:
        """Close the connections."""
        await self._way.close()

    def _server_now(self, date: str | None) -> float | None:
        """The date of an answer; many in a row have the same."""
        if date != self._date[0]:
            self._date = date, retry_after.http_date(date)
        return self._date[1]

    async def _send(self, path: str, endpoint: str, params: Params | None) -> Answer:
        target = f"{path}?{httpx.QueryParams(params)}" if params else path
        async with self._budget:
            try:
                async with asyncio.timeout(self._timeout):
                    return self._without_key(await self._way.get(target))
            except (TimeoutError, httpx.TimeoutException) as error:
                self._on_answer(endpoint, "timeout")
                raise LettaUnavailable(
                    f"Letta at {self.base_url} did not answer GET {path} within {self._timeout:g} s"
                ) from error
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                self._on_answer(endpoint, "disconnected")
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

    def _without_key(self, answer: Answer) -> Answer:
        """The answer as if Letta had not repeated the key, be it in the words of a failure or in a record.

        A key that is short might be a word of the records as well.
        """
        if not self._key or (answer.status == OK and len(self._key) < _SHORTEST_IN_RECORDS):
            return answer
        body = answer.body
        for written in self._key_forms:
            body = body.replace(written, MASK.encode())
        return replace(answer, body=body)

    def _failure(
        self, answer: Answer, path: str
    ) -> LettaUnavailable | LettaRefused | LettaNotFound | LettaMisbehaved:
        status, said = answer.status, masker([self._key])(_said(answer))
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
            location = re.sub("[?#].*", "", answer.headers.get("location", ""))  # the query may hold the key
            target = one_line(masker([self._key])(location)) or "nowhere"
            return LettaMisbehaved(
                f"{request} was redirected ({status}) to {target}. Set LETTA_BASE_URL to the server's final address."
            )
        return LettaMisbehaved(f"Letta answered {status} to {request}: {said}")


def _headers(access: Access) -> httpx.Headers:
    headers = {
        "accept": "application/json",
        "accept-encoding": "gzip",
        "user-agent": f"letta-otel-bridge/{__version__}",
        "authorization": f"Bearer {access.api_key}" if access.api_key else None,
        "x-project": access.project,
        "x-project-id": access.project_id,
    }
    given = {name: value for name, value in headers.items() if value}
    if not all(value.isascii() and value.isprintable() for value in given.values()):
        raise SettingsError(
            "LETTA_API_KEY, the project or its id has a line break or another character that no header can hold"
        )
    return httpx.Headers(given)


def _way(access: Access, transport: httpx.AsyncBaseTransport | None) -> Way:
    headers = _headers(access)
    if transport is None and (proxy := _proxy(access.base_url)):
        limits = httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS)
        try:
            transport = httpx.AsyncHTTPTransport(verify=_trust(access) or True, limits=limits, proxy=proxy)
        except (ValueError, ImportError, httpx.InvalidURL) as error:  # a scheme that is not known; SOCKS
            said = "the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used"
            raise SettingsError(f"{said}: {one_line(str(error))}") from error
    if transport is not None:
        return ViaHttpx(access.base_url, headers, transport)
    return ViaAiohttp(access.base_url, headers, trust=_trust(access), idle=_KEEPALIVE_SECONDS)


def _proxy(base_url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names, unless NO_PROXY names the server."""
    address = urlsplit(base_url)
    if proxy_bypass(address.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _trust(access: Access) -> ssl.SSLContext | None:
    """Whom to believe; None where nobody need be: to read the certificates that all the world trusts takes 3 MB."""
    if access.ca_file is None:
        return httpx.create_ssl_context() if access.base_url.startswith("https:") else None
    try:
        return ssl.create_default_context(cafile=str(access.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"letta.ca_file: {access.ca_file} cannot be used as a certificate file: {error}"
        ) from error


def _budget(requests_per_second: float) -> AsyncLimiter:
    """A burst of one second's worth, but at least of one request."""
    if requests_per_second < 1:
        return AsyncLimiter(1, 1 / requests_per_second)
    return AsyncLimiter(requests_per_second, 1)


def _names_a_record(answer: Answer) -> bool:
    """Whether a 404 is Letta's word on one record; an unknown route, or a proxy on its way, says nothing of any."""
    body = answer.json() if answer.is_json else None
    detail = body.get("detail") if isinstance(body, dict) else None
    return isinstance(detail, str) and detail != "Not Found"


def _said(answer: Answer) -> str:
    """The answer's own words, on one short line."""
    body = answer.json() if answer.is_json else None
    if body is None:
        text = answer.body.decode(errors="replace")
    else:
        text = str(body.get("detail", body)) if isinstance(body, dict) else str(body)
    return one_line(text, longest=200) or "no words"
