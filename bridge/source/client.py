"""One HTTP client towards one Letta server: the key, the budget, and what each answer means.

Every request waits for its place in the budget. One that a connection broke under is sent once more, and counted
and waited for as any other (0.16.8 closes what was idle for 5 s); nothing else is retried here: the sweep ends and
the next one tries again. The time-out covers the whole exchange, and a body has a limit, so that no server can hold
the bridge or fill its memory. Raises LettaUnavailable, LettaRefused, LettaNotFound or LettaMisbehaved, and names the
request in each. The key appears in none of them, and what a server says is one printable line.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiolimiter import AsyncLimiter

from bridge import __version__, retry_after, trust
from bridge.causes import why
from bridge.clock import Clock
from bridge.errors import AnswerTooLong, LettaMisbehaved, LettaUnavailable, SettingsError
from bridge.http1 import Answer, Disconnected, Unreachable, Unreadable
from bridge.masking import MASK, forms, masker
from bridge.plain import one_line
from bridge.proxy import proxy_for, unusable
from bridge.source.failure import failure
from bridge.source.via_http1 import ViaHttp1
from bridge.source.way import LONGEST, OK, Way

if TYPE_CHECKING:
    import httpx

Params = Mapping[str, str | int | bool]

_KEEPALIVE_SECONDS: Final = 4.0  # below the server's 5 s, so that we rarely race its close
_SHORTEST_IN_RECORDS: Final = 16  # characters


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
            params: the query.

        Raises:
            AnswerTooLong: the body is over the limit; a shorter page of the same may not be.
        """
        answer = await self._send(path, endpoint, params)
        self._on_answer(endpoint, str(answer.status))
        if answer.status != OK:
            request = f"GET {path} at {self.base_url}"
            raise failure(answer, request, mask=masker([self._key]), now=self._clock.now())
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
        target = f"{path}?{_query(params)}" if params else path
        async with self._budget:
            try:
                async with asyncio.timeout(self._timeout):
                    return self._without_key(await self._ask(target, endpoint))
            except TimeoutError as error:
                self._on_answer(endpoint, "timeout")
                raise LettaUnavailable(
                    f"Letta at {self.base_url} did not answer GET {path} within {self._timeout:g} s"
                ) from error
            except Disconnected as error:
                self._on_answer(endpoint, "disconnected")
                raise LettaUnavailable(
                    f"Letta at {self.base_url} closed the connection during GET {path}: {why(error)}"
                ) from error
            except Unreachable as error:
                self._on_answer(endpoint, "unreachable")
                raise LettaUnavailable(
                    f"Letta cannot be reached at {self.base_url}: {why(error)}."
                    " Is the server running, and is LETTA_BASE_URL right?"
                ) from error
            except Unreadable as error:
                self._on_answer(endpoint, "unreadable")
                raise LettaMisbehaved(
                    f"GET {path} at {self.base_url} has no answer that can be read: {one_line(str(error))}"
                ) from error

    async def _ask(self, target: str, endpoint: str) -> Answer:
        with contextlib.suppress(Disconnected):  # perhaps the connection was only idle for too long
            return await self._way.get(target)
        self._on_answer(endpoint, "disconnected")
        await self._budget.acquire()
        return await self._way.get(target)

    def _without_key(self, answer: Answer) -> Answer:
        """The answer as if Letta had not repeated the key, be it in the words of a failure or in a record.

        A key that is short might be a word of the records as well.
        """
        if not self._key or (answer.status == OK and len(self._key) < _SHORTEST_IN_RECORDS):
            return answer
        body = answer.body
        for written in self._key_forms:
            body = body.replace(written, MASK.encode())
        return replace(answer, body=body) if body != answer.body else answer


def _headers(access: Access) -> dict[str, str]:
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
    return given


def _query(params: Params) -> str:
    return "&".join(
        f"{name}={quote(value, safe='') if isinstance(value, str) else str(value).lower()}"
        for name, value in params.items()
    )


def _way(access: Access, transport: httpx.AsyncBaseTransport | None) -> Way:
    headers = _headers(access)
    if transport is None and (proxy := proxy_for(access.base_url)):
        transport = _through(proxy, access)
    if transport is None:
        return ViaHttp1(access.base_url, headers, trust=_trust(access), idle=_KEEPALIVE_SECONDS)
    from bridge.source.via_httpx import ViaHttpx  # noqa: PLC0415 - httpx takes 11 MB: only where it is needed

    return ViaHttpx(access.base_url, headers, transport)


def _through(proxy: str, access: Access) -> httpx.AsyncBaseTransport:
    import httpx  # noqa: PLC0415 - as above

    limits = httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS)
    try:
        return httpx.AsyncHTTPTransport(verify=_trust(access) or True, limits=limits, proxy=proxy)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise unusable(error) from error


def _trust(access: Access) -> ssl.SSLContext | None:
    """Whom to believe; None where nobody need be: to read the certificates that all the world trusts takes 3 MB."""
    if access.ca_file is None:
        return trust.usual() if access.base_url.startswith("https:") else None
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
