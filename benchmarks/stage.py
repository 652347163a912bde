"""Puts contestants on, one at a time, between a canned Letta server and a canned receiver, all of them processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_LONGEST, _LONGEST_FOLLOWED = 240.0, 600.0  # seconds: a performance that hangs does not cost the others their turn
ROOT = Path(__file__).parents[1]  # of the tree that this file is in, a copy beside it measures itself


class Failed(Exception):
    """A contestant did not do what it was to do."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What there is to be sent.

    Attributes:
        name: a word for the table.
        runs: how many.
        steps: of each.
        durations: whether each step's lengths are asked for, one request a step.
        open_runs: of the newest runs, how many go on.
    """

    name: str
    runs: int
    steps: int
    durations: bool = False
    open_runs: int = 0

    @property
    def total(self) -> int:
        """Steps altogether."""
        return self.runs * self.steps


@dataclass(frozen=True, slots=True)
class Result:
    """One performance.

    Attributes:
        told: what the contestant told of its own process.
        asked: requests to Letta by route.
        received: what came to the receiver, counted there.
    """

    told: Mapping[str, Any]
    asked: Mapping[str, int]
    received: Mapping[str, int]


class Mark(NamedTuple):
    """How far a contestant was at some moment: spans that arrived, seconds of CPU, memory in kB."""

    spans: int
    cpu: float
    rss_kb: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Both servers, running."""

    letta: str
    otlp: str

    def play(self, contestant: str, workload: Workload, *more: str) -> Result:
        """Let one contestant do the whole workload."""
        return self._result(self._run(self._command(contestant, workload, *more)).stdout)

    def follow(self, contestant: str, workload: Workload, *, every: float = 2.0) -> tuple[Result, Sequence[Mark]]:
        """The same, looked at from outside every so many seconds."""
        self._reset()
        marks: list[Mark] = []
        until = time.monotonic() + _LONGEST_FOLLOWED
        command = self._command(contestant, workload)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout
            try:
                while process.poll() is None and time.monotonic() < until:
                    time.sleep(every)
                    spans = ask(f"{self.otlp}/bench/stats")["counts"].get("spans", 0)
                    with suppress(OSError, StopIteration, ValueError):  # it has just ended
                        marks.append(Mark(spans, cpu_of(process.pid), rss_of(process.pid)))
            finally:
                process.kill()
            told = process.stdout.read()
        if process.returncode:
            spans = marks[-1].spans if marks else 0
            raise Failed(f"{contestant} ended with {process.returncode} after {spans:,} spans")
        return self._result(told), marks

    def count(self, contestant: str, workload: Workload, *more: str) -> int:
        """The instructions that a contestant executes in user space, by valgrind: slow, and hardly blurred."""
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        ran = self._run([*command, *self._command(contestant, workload, *more)], stderr=subprocess.PIPE)
        found = re.search(r"I\s+refs:\s+([\d,]+)", ran.stderr)
        assert found, ran.stderr
        return int(found[1].replace(",", ""))

    def _command(self, contestant: str, workload: Workload, *more: str) -> list[str]:
        command = [sys.executable, "-m", f"benchmarks.contestants.{contestant}", "--letta", self.letta]
        command += ["--otlp", self.otlp, "--runs", str(workload.runs), "--steps", str(workload.steps), *more]
        return [*command, "--durations"] if workload.durations else command

    def _run(self, command: list[str], *, stderr: int | None = None) -> subprocess.CompletedProcess[str]:
        self._reset()
        who = next(word.rpartition(".")[2] for word in command if word.startswith("benchmarks."))
        try:
            ran = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT, timeout=_LONGEST, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{who} did not end within {_LONGEST:.0f} s") from error
        if ran.returncode:
            raise Failed(f"{who} ended with {ran.returncode}")
        return ran

    def _reset(self) -> None:
        ask(f"{self.letta}/bench/reset")
        ask(f"{self.otlp}/bench/reset")

    def _result(self, told: str) -> Result:
        asked = ask(f"{self.letta}/bench/reset")["asked"]
        received = ask(f"{self.otlp}/bench/reset")["counts"]
        return Result(json.loads(told), asked, received)


@contextmanager
def staged(workload: Workload, *more: str) -> Iterator[Stage]:
    """Both servers, started with a world and stopped again."""
    world = ["--runs", str(workload.runs), "--steps", str(workload.steps), "--open-runs", str(workload.open_runs)]
    world += more
    with _serving("benchmarks.canned.letta", *world) as letta, _serving("benchmarks.canned.receiver") as otlp:
        yield Stage(letta, otlp)


@contextmanager
def _serving(module: str, *arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdin
        try:
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.stdin.close()


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_of(pid: int) -> int:
    """Memory of a process in kB, counted page by page: VmRSS of its status may lag behind."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))


def ask(url: str) -> Any:
    """What one of the servers tells of itself."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)
