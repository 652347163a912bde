"""Backends that are a program of their own and run from what deploy/ ships: Jaeger and a collector.

Each is found by an environment variable or on the PATH. Where it is not, the tests that need it are skipped, saying
how to get it: none of them is a package that could be installed beside the tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import httpx
import pytest

from real.process import Process
from real.waiting import free_port, until

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
JAEGER: Final = ("BRIDGE_JAEGER", "jaeger")
JAEGER_FILE: Final = DEPLOY / "jaeger/jaeger.yaml"
COLLECTOR: Final = ("BRIDGE_COLLECTOR", "otelcol-contrib")
COLLECTOR_FILE: Final = DEPLOY / "collector/collector.yaml"
HOW: Final = "docs/traces.md says how to get it"


def program(variable: str, name: str) -> str:
    """The path of a program; skips the test where there is none."""
    named = os.environ.get(variable, "")
    found = shutil.which(named or name)
    assert found or not named, f"{variable}: there is no program {named!r}"
    if found is None:
        pytest.skip(f"needs {name}, on the PATH or named by {variable}; {HOW}")
    return found


def free_address() -> str:
    """A loopback address nobody listens on."""
    return f"127.0.0.1:{free_port()}"


class Program:
    """One such backend: a process, and the addresses that its configuration takes from the environment."""

    def __init__(self, command: list[str], addresses: Mapping[str, str], folder: Path, *, ready: str) -> None:
        self.addresses = dict(addresses)
        self._ready = ready
        self._process = Process(command, log=folder / f"{Path(command[0]).name}.log", environment=self.addresses)

    def __enter__(self) -> Self:
        """Start it, and return when its page answers."""
        self._process.start()
        until(self._answers, seconds=30, what=f"{self._process.command[0]} is ready")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._process.running():
            self._process.stop()

    def url(self, address: str, path: str = "") -> str:
        """The URL of one of its addresses, by the name of its variable."""
        return f"http://{self.addresses[address]}{path}"

    def log(self) -> str:
        """All that it said."""
        return self._process.tail(lines=0)

    def _answers(self) -> bool:
        assert self._process.running(), f"it ended by itself:\n{self._process.tail()}"
        try:
            return httpx.get(self._ready, timeout=5).is_success
        except httpx.TransportError:
            return False


def jaeger(folder: Path, **environment: str) -> Program:
    """Jaeger with deploy/jaeger/jaeger.yaml, each of its addresses one that is free unless it is given."""
    names = ("JAEGER_PAGE", "JAEGER_QUERY_GRPC", "JAEGER_OTLP_GRPC", "JAEGER_OTLP_HTTP", "JAEGER_SPAN_METRICS")
    more = {"JAEGER_FLUSH_INTERVAL": "500ms", "JAEGER_DATA": str(folder / "jaeger-data")}
    addresses = {name: free_address() for name in names} | more | environment
    command = [program(*JAEGER), "--config", f"file:{JAEGER_FILE}"]
    return Program(command, addresses, folder, ready=f"http://{addresses['JAEGER_PAGE']}/api/services")


def collector(folder: Path, **environment: str) -> Program:
    """A collector with deploy/collector/collector.yaml."""
    addresses = {
        name: free_address() for name in ("COLLECTOR_OTLP_GRPC", "COLLECTOR_OTLP_HTTP", "COLLECTOR_METRICS_PAGE")
    }
    command = [program(*COLLECTOR), "--config", f"file:{COLLECTOR_FILE}"]
    ready = f"http://{addresses['COLLECTOR_METRICS_PAGE']}/metrics"
    return Program(command, addresses | environment, folder, ready=ready)
