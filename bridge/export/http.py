"""OTLP over HTTP: one POST of protobuf per request, and the answer read to the letter.

Never raises for what a backend or a network does. Redirects are not followed: the official exporters take them for a
yes. A connection that turns out to have been closed while it was kept alive is replaced and the request sent again at
once, one time; every other failure is the caller's to retry. The time-out covers the whole exchange, so that a
backend that sends one byte a second cannot hold it open.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl

import httpx

from bridge import __version__, retry_after
from bridge.causes import causes, why
from bridge.clock import Clock
from bridge.errors import SettingsError
from bridge.export import replies, tls
from bridge.export.answers import Answer, Denied, Refused, Retryable, Signal, TooLarge, Unsupported
from bridge.export.endpoint import Endpoint, shown

_LONGEST_ANSWER = 1 << 20  # bytes read of a body
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


class HttpSender:
    """Sends one signal to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint, clock: Clock) -> None:
        """Raise SettingsError where the URL is none or a certificate file cannot be used."""
        url = _url(endpoint)
        self._signal = signal
        self._endpoint = endpoint
        self._clock = clock
        self._url = url.copy_with(username=None, password=None)  # httpx logs the URL of every request
        self._client = httpx.AsyncClient(
            auth=(url.username, url.password) if url.userinfo else None,
            headers=_headers(endpoint),
            verify=tls.context(endpoint) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout=None,  # noqa: S113 - `send` puts one limit around it all
        )

    async def send(self, payload: bytes) -> Answer:
        """POST one serialised request."""
        body = gzip.compress(payload, mtime=0) if self._endpoint.compression == "gzip" else payload
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                return await self._exchange(body)
        except TimeoutError:
            return Retryable(f"{self._endpoint.address} gave no answer within {self._endpoint.timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _failed(self._endpoint.address, error)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _exchange(self, body: bytes) -> Answer:
        attempt = _Attempt()
        try:
            response = await self._post(body, attempt)
        except httpx.TransportError:
            if attempt.connected:
                raise
            response = await self._post(body, attempt)
        try:
            return self._answer(response, await _body(response))
        finally:
            await response.aclose()

    async def _post(self, body: bytes, attempt: _Attempt) -> httpx.Response:
        request = self._client.build_request("POST", self._url, content=body, extensions={"trace": attempt.trace})
        return await self._client.send(request, stream=True)

    def _answer(self, response: httpx.Response, body: bytes) -> Answer:
        status = response.status_code
        if response.is_success:
            return replies.success(self._signal, body, address=self._endpoint.address)
        hints = (_moved(response), _DENIED.get(status) or self._path(status), replies.refusal(body))
        reason = ": ".join([f"{self._endpoint.address} answered {status}", *(hint for hint in hints if hint)])
        if response.is_redirect or status in _DENIED:
            return Denied(reason)
        if status in _UNSUPPORTED:
            return Unsupported(reason)
        if status == _TOO_LARGE:
            return TooLarge(reason)
        if response.is_server_error or status in _PASSING:
            return Retryable(reason, self._retry_after(response))
        return Refused(reason)

    def _path(self, status: int) -> str:
        name = self._signal.value
        return f"check the path of the URL, for {name} usually /v1/{name}" if status in _UNSUPPORTED else ""

    def _retry_after(self, response: httpx.Response) -> float | None:
        now = retry_after.http_date(response.headers.get("date")) or self._clock.now()
        return retry_after.seconds(response.headers.get("retry-after"), now=now)


class _Attempt:
    """Whether a connection had to be opened: where not, a failure may be the old connection's alone."""

    connected = False

    async def trace(self, event: str, _info: object) -> None:
        """Take part in httpcore's tracing."""
        self.connected = self.connected or event == "connection.connect_tcp.started"


async def _body(response: httpx.Response) -> bytes:
    """The start of the body; of a failure whatever came, since the status alone decides there."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LONGEST_ANSWER:
                break
    except httpx.RequestError:
        if response.is_success:
            raise
    return bytes(body)


def _moved(response: httpx.Response) -> str:
    location = response.headers.get("location")
    return f"redirects are not followed, it points to {shown(location)}" if response.is_redirect and location else ""


def _url(endpoint: Endpoint) -> httpx.URL:
    try:
        url = httpx.URL(endpoint.url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"OTLP endpoint {endpoint.address}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(f"OTLP endpoint {endpoint.address}: over HTTP it must be http://host… or https://host…")
    return url


def _headers(endpoint: Endpoint) -> dict[str, str]:
    ours = {"user-agent": f"letta-otel-bridge/{__version__}", "content-type": "application/x-protobuf"}
    if endpoint.compression == "gzip":
        ours["content-encoding"] = "gzip"
    return {**{name.lower(): value for name, value in endpoint.headers.items()}, **ours}


def _failed(address: str, error: Exception) -> Answer:
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Denied(
                f"TLS with {address} failed, check the scheme and the certificates: {cause.reason or cause}"
            )
    if isinstance(error, httpx.RemoteProtocolError) and "illegal" in str(error):
        return Denied(f"{address} does not speak HTTP: is this the gRPC port?")
    return Retryable(f"{address}: {why(error)}")
