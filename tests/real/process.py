"""A child process with its output in a file, which ends with the test run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class Process:
    """One command, started again as often as wanted; its output of all lives is in `log`.

    It stays in the process group of the tests, so that whatever stops those stops it too.
    """

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        self._environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(
            environment or {}
        )
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        assert self._child is None, f"{self.command[0]} already runs"
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command,
                cwd=self.log.parent,  # where no config file lies about
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> int:
        """Send `how` and wait for the end; the exit code (negative: died of that signal). Killed when too slow."""
        assert self._child is not None, f"{self.command[0]} does not run"
        child, self._child = self._child, None
        child.send_signal(how)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"{self.command[0]} did not end within {seconds:.0f} s\n{self.tail()}") from None

    def tail(self, lines: int = 30) -> str:
        """The last lines of its output; 0 for all of them."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
