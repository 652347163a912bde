"""The lab: a real Letta 0.16.8 server with a scripted model behind it, on loopback.

LETTA_LAB names the folder with lab.sh; it is copied to a scratch folder (BRIDGE_REAL_DIR) that is reused between
runs, installed, brought up, and taken down at the end. With LETTA_LAB_URL a server that already runs is used and left
alone, except that LETTA_LAB_DIR (where that lab lives) lets a test kill it and start it again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from real.waiting import until

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

    def _script(self, script: str, *arguments: str, **environment: str) -> None:
        assert self.home is not None, "LETTA_LAB_DIR is not set: this server may not be restarted"
        run(self.home, script, *arguments, **environment)


def run(home: Path, script: str, *arguments: str, **environment: str) -> None:
    """Run one of the lab's scripts; its output goes to a file, since servers it starts would hold a pipe open."""
    log = home / "logs" / "tests.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as output:
        command = [str(home / script), *arguments]
        subprocess.run(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, check=True, timeout=1200
        )


def bring_up() -> Lab:
    """Copy, install and start the lab in the scratch folder; quick where that was done before."""
    home = scratch() / "lab"
    shutil.copytree(os.environ["LETTA_LAB"], home, dirs_exist_ok=True, copy_function=_writable_copy)
    for folder in (home, home / "lab"):
        folder.chmod(0o755)
    run(home, "lab.sh", "install")
    run(home, "lab.sh", "up")
    lab = Lab(DEFAULT_URL, home)
    until(lab.healthy, seconds=90, what="the lab's server is healthy")
    return lab


def take_down(lab: Lab) -> None:
    """Stop everything `bring_up` started."""
    assert lab.home is not None
    run(lab.home, "lab.sh", "down")


def running() -> Lab:
    """The server that LETTA_LAB_URL names."""
    home = os.environ.get("LETTA_LAB_DIR")
    return Lab(os.environ["LETTA_LAB_URL"].rstrip("/"), Path(home) if home else None)


def _writable_copy(source: str, target: str) -> None:
    """The lab may be read-only, and a copy of a copy must be possible."""
    Path(target).unlink(missing_ok=True)
    shutil.copy(source, target)
    Path(target).chmod(0o755)
