"""`bridge run` as a user starts it: a process with its settings in the environment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from real.compare import SPLIT_BY
from real.process import Process
from real.truth import Totals
from real.waiting import free_port, until

# Patient enough for a server that several bridges read on two cores: a tool alone may take it half a minute there.
# A cancelled stream's step turns failed up to 9 s later.
PACE = {
    "BRIDGE_POLL_INTERVAL": "2s",
    "BRIDGE_SETTLE": "15s",
    "BRIDGE_ABANDON_AFTER": "20s",
    "BRIDGE_STALE_AFTER": "90s",
    "BRIDGE_GRACE": "30s",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
}


class Service:
    """One bridge with a ledger of its own; it can be stopped and started again."""

    def __init__(self, name: str, *, letta: str, since: datetime, folder: Path, sends_to: Mapping[str, str]) -> None:
        self.name = name
        self.stopped_with: list[int] = []
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self._process = Process(
            [str(Path(sys.executable).with_name("bridge")), "run"],
            log=folder / f"bridge-{name}.log",
            environment={
                **PACE,
                **sends_to,
                "LETTA_BASE_URL": letta,
                "BRIDGE_START_FROM": since.isoformat(),
                "BRIDGE_LEDGER": str(folder / f"{name}.ledger"),
                "BRIDGE_LISTEN": f"127.0.0.1:{port}",
            },
        )

    def start(self) -> None:
        """Start it; returns at once."""
        self._process.start()

    def wait_live(self) -> None:
        """Return when its pages answer; AssertionError with its log when it ends instead."""
        until(self._live, seconds=60, what=f"bridge {self.name} is live")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it with that signal, and note its exit code."""
        self.stopped_with.append(self._process.stop(how))

    def close(self) -> None:
        """Make an end of it, whatever it is doing."""
        self._http.close()
        if self.running():
            self._process.stop(signal.SIGKILL)

    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.running()

    def open_runs(self) -> float:
        """How many runs it still follows."""
        return sum(value for name, _, value in self._samples() if name == "letta_runs_open")

    def sweeps(self) -> float:
        """How many sweeps it has finished since it was started."""
        return sum(value for name, _, value in self._samples() if name == "letta_bridge_sweep_duration_seconds_count")

    def totals(self) -> Totals:
        """The totals on its /metrics page."""
        sums: dict[tuple[str, str], float] = {}
        for name, labels, value in self._samples():
            metric = PROMETHEUS_NAMES.get(name)
            if metric is not None:
                by = SPLIT_BY[metric]
                key = (metric, labels.get(by.replace(".", "_"), "") if by else "")
                sums[key] = sums.get(key, 0) + value
        return {key: total for key, total in sums.items() if total}

    def tail(self) -> str:
        """The end of its log."""
        return self._process.tail()

    def log(self) -> str:
        """All that it logged."""
        return self._process.tail(lines=0)

    def _live(self) -> bool:
        assert self.running(), f"bridge {self.name} ended by itself:\n{self.tail()}"
        try:
            return self._http.get("/livez").is_success
        except httpx.TransportError:
            return False

    def _samples(self) -> list[tuple[str, Mapping[str, str], float]]:
        page = self._http.get("/metrics").raise_for_status().text
        families = text_string_to_metric_families(page)
        return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


PROMETHEUS_NAMES = {
    "letta_steps_total": "letta.steps",
    "letta_tokens_total": "letta.tokens",
    "letta_runs_total": "letta.runs",
    "letta_tool_calls_total": "letta.tool.calls",
    "gen_ai_client_token_usage_sum": "gen_ai.client.token.usage",
}
