"""`bridge demo` as a person runs it: a process, an address on stdout, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ENDED = {"completed", "failed", "cancelled"}


class Demo:
    """A demo that runs.

    Attributes:
        url: where it says its page is.
        said: what it printed up to there.
    """

    def __init__(self, port: int, folder: Path) -> None:
        environment = {**os.environ, "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "demo", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said = ""
        self.url = self._address()

    def state(self) -> dict[str, Any]:
        """What the page gets to see."""
        answer = httpx.get(f"{self.url}/api/state", trust_env=False)
        empty: dict[str, Any] = {"traces": [], "figures": [], "spans": {"received": 0, "twice": 0}}
        return empty if answer.status_code == 204 else answer.json()

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C: the exit code, and what is printed from then on."""
        self._process.send_signal(signal.SIGINT)
        said, complained = self._process.communicate(timeout=30)
        return self._process.returncode, said, complained

    def end(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _address(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line
            if found := re.search(r"The demo is at (\S+)", line):
                return found[1]
        raise AssertionError(f"it said no address: {self.said}{self._process.communicate()[1]}")


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Whoever started the tests in the background had Ctrl-C ignored, and a child inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def demo(folder: Path) -> Iterator[Demo]:
    running = Demo(0, folder)
    yield running
    running.end()


def until_shown(demo: Demo) -> dict[str, Any]:
    """The state once it shows a good, a failed and a cancelled run, and counts them."""
    deadline = time.monotonic() + 50
    while True:
        state = demo.state()
        states = {trace["state"] for trace in state["traces"]}
        counted = {
            one["attributes"].get("letta.run.status") for one in state["figures"] if one["name"] == "letta.runs"
        }
        if states >= ENDED and counted >= ENDED:
            return state
        assert time.monotonic() < deadline, f"shown: {states}, counted: {counted}"
        time.sleep(0.2)


def test_shows_traces_and_ends_on_ctrl_c(demo: Demo, folder: Path) -> None:
    state = until_shown(demo)

    assert state["spans"]["twice"] == 0
    assert httpx.get(demo.url, trust_env=False).text.startswith("<!doctype html>")
    code, _, complained = demo.interrupt()
    assert (code, complained) == (0, "")
    assert list(folder.iterdir()) == []


def test_takes_the_next_port_when_one_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = Demo(port, folder)
        try:
            code, _, _ = demo.interrupt()
        finally:
            demo.end()

    assert code == 0
    other = httpx.URL(demo.url).port
    assert other is not None
    assert other > port
    assert f"Port {port} is taken, so the page is on {other}." in demo.said
