"""The lab: a real Letta 0.16.8 server with a scripted model behind it, on loopback.

LETTA_LAB names the folder with lab.sh; .ci/lab copies it to a scratch folder (BRIDGE_REAL_DIR) that is reused between
runs, installs it, brings it up, and takes it down at the end. With LETTA_LAB_URL a server that already runs is used
and left alone, except that LETTA_LAB_DIR (where that lab lives) lets a test kill it and start it again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from real.waiting import until

SCRIPTS = Path(__file__).parents[2] / ".ci"
DEFAULT_URL = "http://127.0.0.1:18283"
REDIS = "LETTA_REDIS_HOST=127.0.0.1 LETTA_REDIS_PORT=16379"


def scratch() -> Path:
    """Where the lab and the receivers are installed; outside the project, readable for PostgreSQL's own user."""
    default = Path(tempfile.gettempdir()) / "letta-otel-bridge-real"
    return Path(os.environ.get("BRIDGE_REAL_DIR") or default).resolve()


def is_running() -> bool:
    """Whether the environment names a server that runs already."""
    return bool(os.environ.get("LETTA_LAB_URL"))


def available() -> bool:
    """Whether the environment names a lab at all."""
    return bool(os.environ.get("LETTA_LAB_URL") or os.environ.get("LETTA_LAB"))


@dataclass(frozen=True)
class Lab:
    """A running server; `home` is None where it may not be restarted."""

    url: str
    home: Path | None

    def healthy(self) -> bool:
        """Whether the server answers its health page."""
        try:
            return httpx.get(f"{self.url}/v1/health/", timeout=5).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL the Letta server, as a crash would."""
        self._script("lab/srv.sh", "kill9")
        until(lambda: not self.healthy(), seconds=10, what="the killed server is gone")

    def start(self) -> None:
        """Start the Letta server again on the same database; takes 20 to 50 seconds."""
        self._script("lab/srv.sh", "start", LETTA_EXTRA=REDIS)
        until(self.healthy, seconds=90, what="the server is healthy")

    @contextlib.contextmanager
    def beside(self, port: int, **environment: str) -> Iterator[Lab]:
        """A second Letta server on the same database, with more in its environment; takes 20 to 50 seconds."""
        extra = " ".join([REDIS, *(f"{name}={value}" for name, value in environment.items())])
        names = {"SRV_NAME": f"beside-{port}", "LETTA_PORT": str(port)}
        self._script("lab/srv.sh", "start", LETTA_EXTRA=extra, **names)
        try:
            second = Lab(f"http://127.0.0.1:{port}", None)
            until(second.healthy, seconds=90, what="the second server is healthy")
            yield second
        finally:
            self._script("lab/srv.sh", "stop", **names)

    def _script(self, script: str, *arguments: str, **environment: str) -> None:
        assert self.home is not None, "LETTA_LAB_DIR is not set: this server may not be restarted"
        _run(str(self.home / script), *arguments, log=self.home / "logs" / "tests.log", **environment)


def install_receivers() -> None:
    """Install the receivers in the scratch folder; quick where that was done before."""
    _run(str(SCRIPTS / "install-receivers"), str(scratch()), log=scratch() / "receivers.log")


def bring_up() -> Lab:
    """Copy, install and start the lab in the scratch folder; only starts it where that was done before."""
    for command in ("install", "up"):
        _run(str(SCRIPTS / "lab"), command, log=scratch() / "lab.log")
    lab = Lab(DEFAULT_URL, scratch() / "lab")
    until(lab.healthy, seconds=90, what="the lab's server is healthy")
    return lab


def take_down() -> None:
    """Stop everything `bring_up` started."""
    _run(str(SCRIPTS / "lab"), "down", log=scratch() / "lab.log")


def running() -> Lab:
    """The server that LETTA_LAB_URL names."""
    home = os.environ.get("LETTA_LAB_DIR")
    return Lab(os.environ["LETTA_LAB_URL"].rstrip("/"), Path(home) if home else None)


def _run(*command: str, log: Path, **environment: str) -> None:
    """Run a script, with its output in a file: a pipe would be held open by the servers it starts."""
    tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "BRIDGE_REAL_DIR": str(scratch())}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        subprocess.run(
            command,
            env={**os.environ, **tools, **environment},
            stdout=output,
            stderr=output,
            check=True,
            timeout=1200,
        )
