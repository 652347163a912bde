"""OTLP over HTTP: one POST of protobuf per request, and the answer read to the letter.

Never raises for what a backend or a network does. Redirects are not followed: the official exporters take them for a
yes. A connection that turns out to have been closed while it was kept alive is replaced and the request sent again at
once, one time; every other failure is the caller's to retry. The time-out covers the whole exchange, so that a
backend that sends one byte a second cannot hold it open.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from urllib.parse import SplitResult, unquote, urlsplit

from bridge import __version__, http1, retry_after
from bridge.causes import causes, why
from bridge.clock import Clock
from bridge.errors import SettingsError
from bridge.export import replies, tls
from bridge.export.answers import Answer, Denied, Refused, Retryable, Signal, TooLarge, Unsupported
from bridge.export.endpoint import Endpoint, shown
from bridge.export.via_http1 import ViaHttp1
from bridge.export.way import Way, succeeded
from bridge.proxy import proxy_for

_TOO_LARGE = 413
# The specification retries 429, 502, 503 and 504 only. 408, 425 and the other 5xx pass by themselves as well, and to
# give up on them would lose spans that the backend had nothing against.
_PASSING = {408, 425, 429}
_UNSUPPORTED = {404, 405}
# These speak of the key, the address or the manner of asking: no span must be condemned for them.
_DENIED = {
    401: "check the key in the OTLP headers",
    403: "the key in the OTLP headers may not write here",
    407: "the proxy wants credentials",
    415: "it takes no protobuf, or not this compression",
    **dict.fromkeys((402, 406, 410, 421, 426, 431, 451, 501, 505), ""),
}

_FRAMING = {"content-length", "transfer-encoding"}  # say how long this very request is: nobody else can


class HttpSender:
    """Sends one signal to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint, clock: Clock) -> None:
        """Raise SettingsError where the URL is none or a certificate file or the proxy cannot be used."""
        self._signal = signal
        self._endpoint = endpoint
        self._clock = clock
        self._way = _way(endpoint)

    async def send(self, payload: bytes) -> Answer:
        """POST one serialised request."""
        body = gzip.compress(payload, mtime=0) if self._endpoint.compression == "gzip" else payload
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                return self._answer(await self._way.post(body))
        except TimeoutError:
            return Retryable(f"{self._endpoint.address} gave no answer within {self._endpoint.timeout:g} s")
        except http1.NoAnswer as error:
            return _failed(self._endpoint.address, error)

    async def close(self) -> None:
        """Close the connections."""
        await self._way.close()

    def _answer(self, reply: http1.Answer) -> Answer:
        status = reply.status
        if succeeded(status):
            return replies.success(self._signal, reply.body, address=self._endpoint.address)
        hints = (_moved(reply), _DENIED.get(status) or self._path(status), replies.refusal(reply.body))
        reason = ": ".join([f"{self._endpoint.address} answered {status}", *(hint for hint in hints if hint)])
        if _redirects(status) or status in _DENIED:
            return Denied(reason)
        if status in _UNSUPPORTED:
            return Unsupported(reason)
        if status == _TOO_LARGE:
            return TooLarge(reason)
        if status >= 500 or status in _PASSING:  # noqa: PLR2004 - the server's own failures
            return Retryable(reason, self._retry_after(reply))
        return Refused(reason)

    def _path(self, status: int) -> str:
        name = self._signal.value
        return f"check the path of the URL, for {name} usually /v1/{name}" if status in _UNSUPPORTED else ""

    def _retry_after(self, reply: http1.Answer) -> float | None:
        now = retry_after.http_date(reply.headers.get("date")) or self._clock.now()
        return retry_after.seconds(reply.headers.get("retry-after"), now=now)


def _redirects(status: int) -> bool:
    return 300 <= status < 400  # noqa: PLR2004 - so they are numbered


def _moved(reply: http1.Answer) -> str:
    location = reply.headers.get("location")
    return (
        f"redirects are not followed, it points to {shown(location)}" if _redirects(reply.status) and location else ""
    )


def _way(endpoint: Endpoint) -> Way:
    url = _url(endpoint)
    headers = _headers(endpoint, url)
    if proxy := proxy_for(endpoint.url):
        from bridge.export.via_httpx import ViaHttpx  # noqa: PLC0415 - httpx takes 4 MB: only where there is a proxy

        bare = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()  # httpx logs the URL of every request
        return ViaHttpx(bare, headers, tls.context(endpoint), proxy)
    return ViaHttp1(endpoint.url, headers, tls.context(endpoint) if url.scheme == "https" else None)


def _url(endpoint: Endpoint) -> SplitResult:
    try:
        url = urlsplit(endpoint.url)
        usable = url.scheme in {"http", "https"} and (url.hostname or "").encode("idna") and url.port != 0
    except ValueError:  # its words may repeat a part of the password
        usable = False
    if not usable:
        raise SettingsError(f"OTLP endpoint {endpoint.address}: over HTTP it must be http://host… or https://host…")
    return url


def _headers(endpoint: Endpoint, url: SplitResult) -> dict[str, str]:
    ours = {"user-agent": f"letta-otel-bridge/{__version__}", "content-type": "application/x-protobuf"}
    if endpoint.compression == "gzip":
        ours["content-encoding"] = "gzip"
    if url.username or url.password:
        named = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
        ours["authorization"] = f"Basic {base64.b64encode(named.encode()).decode()}"
    given = {name.lower(): value for name, value in endpoint.headers.items()}
    return {name: value for name, value in given.items() if name not in _FRAMING} | ours


def _failed(address: str, error: http1.NoAnswer) -> Answer:
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Denied(
                f"TLS with {address} failed, check the scheme and the certificates: {cause.reason or cause}"
            )
    if isinstance(error, http1.NotHttp) and error.begun is None:
        return Denied(f"{address} does not speak HTTP: is this the gRPC port?")
    return Retryable(f"{address}: {why(error)}")
