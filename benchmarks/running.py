"""`bridge run` as a user runs it: what it takes to start and to sit there, and how soon a step shows up.

Freshness is from the moment at which a step, its messages and its lengths are there in Letta to the moment at which
the receiver has its span. With the hook, this program calls it at that moment, as Letta's webhook does.

The environment is a clean one: what is measured here is promised to who installed the bridge and nothing else.
"""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.canned.records import AGENTS
from benchmarks.clean import environment
from benchmarks.stage import ROOT, Failed, Stage, Workload, ask, cpu_of, rss_of, staged

_HISTORY = Workload("history", runs=1000, steps=1)
_SOME = 5  # runs that end while somebody looks on
_KEY = "a-key-for-the-hook"
# Seconds between steps: a run that comes and ends takes nine requests, and what comes faster than the budget allows
# waits for that.
_REST = 2.0


@dataclass(frozen=True, slots=True)
class Idle:
    """A bridge that has nothing to do.

    Attributes:
        start_cpu: seconds of CPU from exec until its first sweep is over.
        share: of one core, at the default interval.
        rss: memory in MiB after that, no step seen yet.
        rss_asked: memory in MiB once somebody asked for a page, which is when the web server is loaded.
        rss_later: memory in MiB once some steps were sent, too.
    """

    start_cpu: float
    share: float
    rss: float
    rss_asked: float
    rss_later: float


def idle(seconds: float) -> Idle:
    """Start one, and leave it alone for so long: five seconds at least, for runs from before it are none of its."""
    with staged(_HISTORY) as stage, _bridge(stage, BRIDGE_START_FROM="now") as (pid, url):
        _until_swept(stage)
        time.sleep(1.0)
        begin, since = cpu_of(pid), time.perf_counter()
        time.sleep(seconds)
        share = (cpu_of(pid) - begin) / (time.perf_counter() - since)
        rss = rss_of(pid) / 1024
        urllib.request.urlopen(f"{url}/livez", timeout=10).close()
        asked = rss_of(pid) / 1024
        for _ in range(_SOME):
            ask(f"{stage.letta}/bench/grow")
        _until(
            lambda: ask(f"{stage.otlp}/bench/stats")["counts"].get("spans.invoke_agent", 0) == _SOME, "a run's end"
        )
        time.sleep(1.0)
        return Idle(begin, share, rss, asked, rss_of(pid) / 1024)


def freshness(*, hook: bool, samples: int, interval: float) -> Sequence[float]:
    """Seconds from a step's end to its span's arrival, sorted."""
    variables = {"BRIDGE_START_FROM": "1m", "BRIDGE_POLL_INTERVAL": f"{interval:g}s"}
    variables |= {"BRIDGE_WAKE_KEY": _KEY} if hook else {}
    with staged(_HISTORY) as stage, _bridge(stage, **variables) as (_, url):
        _until_swept(stage)
        ask(f"{stage.otlp}/bench/watch")
        for _ in range(AGENTS):  # each agent's name is asked for, once
            _one(stage, url if hook else None, interval)
        return sorted(_one(stage, url if hook else None, interval) for _ in range(samples))


def _one(stage: Stage, hook: str | None, interval: float) -> float:
    """Let a step end at some moment between two sweeps, and wait for its span."""
    time.sleep(_REST + random.uniform(0.0, min(interval, 2.0)))
    ended = time.time()
    step = ask(f"{stage.letta}/bench/grow")["step"]
    if hook:
        _call(hook, step)
    deadline = time.monotonic() + interval + 20.0
    while step not in (seen := ask(f"{stage.otlp}/bench/stats")["seen"]):
        if time.monotonic() > deadline:
            raise Failed("a step never arrived")
        time.sleep(0.05)
    came: float = seen[step]
    return came - ended


def percentile(sorted_: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted_[math.ceil(share * len(sorted_)) - 1]


@contextmanager
def _bridge(stage: Stage, **variables: str) -> Iterator[tuple[int, str]]:
    with tempfile.TemporaryDirectory() as folder, environment() as python:
        port = _free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LETTA_BASE_URL": stage.letta,
            "OTEL_EXPORTER_OTLP_ENDPOINT": stage.otlp,
            "BRIDGE_LEDGER": f"{folder}/ledger",
            "BRIDGE_LISTEN": f"127.0.0.1:{port}",
            "BRIDGE_LOG_LEVEL": "error",
            **variables,
        }
        with subprocess.Popen([python, "-m", "bridge", "run"], env=environ) as process:
            try:
                yield process.pid, f"http://127.0.0.1:{port}"
            finally:
                process.send_signal(signal.SIGTERM)


def _until_swept(stage: Stage) -> None:
    _until(lambda: ask(f"{stage.letta}/bench/stats")["asked"].get("v1/runs", 0) > 0, "the first sweep")


def _until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60.0
    while not reached():
        if time.monotonic() > deadline:
            raise Failed(f"`bridge run` never came to {what}")
        time.sleep(0.1)


def _call(url: str, step: str) -> None:
    request = urllib.request.Request(
        f"{url}/step-complete",
        data=b'{"step_id": "%b"}' % step.encode(),
        headers={"authorization": f"Bearer {_KEY}", "content-type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=10).close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
