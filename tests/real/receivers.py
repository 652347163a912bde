"""Real OTLP receivers: how each is started, where a bridge sends to, and what it can show of what came.

`environment()` is what a bridge is given to send there; `spans()` and `totals()` read back, `totals()` only where the
receiver keeps metrics. Each is installed below the scratch folder by .ci/install-receivers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from real.normalise import otlp_event, otlp_points, otlp_span, phoenix_span
from real.process import Process
from real.seen import Point, SeenEvent, SeenSpan
from real.waiting import free_port, until


class Receiver(Protocol):
    """Where spans go to and can be seen."""

    def start(self) -> None:
        """Start it; returns at once."""
        ...

    def wait_ready(self) -> None:
        """Return when it listens."""
        ...

    def stop(self) -> None:
        """Stop it."""
        ...

    def environment(self) -> Mapping[str, str]:
        """The settings of a bridge that sends here."""
        ...

    def spans(self) -> list[SeenSpan]:
        """Every span it holds, doubled ones as often as they came."""
        ...

    def points(self) -> list[Point] | None:
        """Every metric point that came, in the order of its time; None where it keeps no metrics."""
        ...

    def events(self) -> list[SeenEvent] | None:
        """Every log record that came; None where it takes no logs."""
        ...


class Ddapm:
    """ddapm-test-agent: keeps all requests, shows them as OTLP JSON; `protocol` is `grpc` or `http/protobuf`."""

    def __init__(self, installed: Path, folder: Path, protocol: str) -> None:
        self.protocol = protocol
        self.http, self.grpc = free_port(), free_port()
        self._process = Process(
            [
                str(installed / "ddapm/bin/ddapm-test-agent"),
                "--disable-llmobs-data-forwarding",
                *("--port", str(free_port())),
                *("--otlp-http-port", str(self.http)),
                *("--otlp-grpc-port", str(self.grpc)),
            ],
            log=folder / f"ddapm-{self.http}.log",
        )

    def start(self) -> None:
        self._process.start()

    def wait_ready(self) -> None:
        until(lambda: _answers(f"http://127.0.0.1:{self.http}/test/session/traces"), seconds=60, what="ddapm listens")

    def stop(self) -> None:
        self._process.stop()

    def environment(self) -> Mapping[str, str]:
        port = self.grpc if self.protocol == "grpc" else self.http
        return _otlp(self.protocol, port)

    def spans(self) -> list[SeenSpan]:
        return [
            otlp_span(span)
            for request in self._session("traces")
            for resource in request.get("resource_spans", ())
            for scope in resource.get("scope_spans", ())
            for span in scope.get("spans", ())
        ]

    def points(self) -> list[Point] | None:
        found = [
            point
            for request in self._session("metrics")
            for resource in request.get("resource_metrics", ())
            for scope in resource.get("scope_metrics", ())
            for metric in scope.get("metrics", ())
            for point in otlp_points(metric)
        ]
        return sorted(found, key=lambda point: point.time_ns)

    def events(self) -> list[SeenEvent] | None:
        return [
            otlp_event(record)
            for request in self._session("logs")
            for resource in request.get("resource_logs", ())
            for scope in resource.get("scope_logs", ())
            for record in scope.get("log_records", ())
        ]

    def _session(self, signal: str) -> Any:
        return httpx.get(f"http://127.0.0.1:{self.http}/test/session/{signal}", timeout=60).raise_for_status().json()


class Rotel:
    """rotel, a collector, in front of ddapm-test-agent."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.behind = Ddapm(installed, folder, "http/protobuf")
        self.http = free_port()
        binary = next((installed / "rotel/lib").glob("python*/site-packages/rotel/rotel-agent"))
        self._process = Process(
            [
                *(str(binary), "start"),
                *("--pid-file", str(folder / "rotel.pid")),
                *("--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"),
                *("--otlp-http-endpoint", f"127.0.0.1:{self.http}"),
                *("--exporter", "otlp"),
                *("--otlp-exporter-protocol", "http"),
                *("--otlp-exporter-endpoint", f"http://127.0.0.1:{self.behind.http}"),
            ],
            log=folder / "rotel.log",
        )

    def start(self) -> None:
        self.behind.start()
        self._process.start()

    def wait_ready(self) -> None:
        self.behind.wait_ready()
        until(lambda: _answers(f"http://127.0.0.1:{self.http}/"), seconds=20, what="rotel listens")

    def stop(self) -> None:
        self._process.stop()
        self.behind.stop()

    def environment(self) -> Mapping[str, str]:
        return _otlp("http/protobuf", self.http)

    def spans(self) -> list[SeenSpan]:
        return self.behind.spans()

    def points(self) -> list[Point] | None:
        return self.behind.points()

    def events(self) -> list[SeenEvent] | None:
        return self.behind.events()


class Phoenix:
    """Arize Phoenix: keeps the first of two spans with one id, stores after it acknowledged, takes no metrics."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.http = free_port()
        storage = folder / "phoenix"
        storage.mkdir()
        self._process = Process(
            [str(installed / "phoenix/bin/phoenix"), "serve"],
            log=folder / "phoenix.log",
            environment={
                "PHOENIX_WORKING_DIR": str(storage),
                "PHOENIX_HOST": "127.0.0.1",
                "PHOENIX_PORT": str(self.http),
                "PHOENIX_GRPC_PORT": str(free_port()),
                "PHOENIX_TELEMETRY_ENABLED": "false",
                "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
                "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
            },
        )

    def start(self) -> None:
        self._process.start()

    def wait_ready(self) -> None:
        until(
            lambda: _answers(f"http://127.0.0.1:{self.http}/healthz"), seconds=180, every=0.5, what="Phoenix listens"
        )

    def stop(self) -> None:
        self._process.stop()

    def environment(self) -> Mapping[str, str]:
        return {**_otlp("http/protobuf", self.http), "OTEL_METRICS_EXPORTER": "none"}

    def spans(self) -> list[SeenSpan]:
        return [phoenix_span(span) for page in self._pages() for span in page]

    def points(self) -> list[Point] | None:
        return None

    def events(self) -> list[SeenEvent] | None:
        return None

    def _pages(self) -> Iterator[list[dict[str, Any]]]:
        query: dict[str, str | int] = {"limit": 1000}
        url = f"http://127.0.0.1:{self.http}/v1/projects/default/spans"
        while True:
            answer = httpx.get(url, params=query, timeout=60)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return  # no span, no project yet
            page = answer.raise_for_status().json()
            yield page["data"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False


def _otlp(protocol: str, port: int) -> Mapping[str, str]:
    return {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
