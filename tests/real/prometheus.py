"""A real Prometheus and a real Alertmanager as child processes, on loopback ports and with data folders of their own.

.ci/install-prometheus installs them; `missing()` says what is not there, for a test to skip by. Both are stopped with
SIGKILL: their data is thrown away. A query that Prometheus refuses is an AssertionError with its reason.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import httpx
import pytest

from real.process import Process
from real.waiting import free_port, until

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")

Series = dict[str, Any]
"""One row of an answer: `metric` (labels by name), and `value` [seconds, text] or `values`, a list of those."""


def missing() -> list[str]:
    """Which of the programs are not on the PATH."""
    return [program for program in PROGRAMS if not shutil.which(program)]


needs_prometheus = pytest.mark.skipif(
    bool(missing()), reason=f"not installed: {', '.join(missing())} (see .ci/install-prometheus)"
)


class _Server:
    """What both have: a port, a start, pages that tell whether it is ready, an end."""

    def __init__(self, command: Sequence[str], folder: Path, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process = Process(command, log=folder / f"{Path(command[0]).name}.log")
        self._http = httpx.Client(base_url=self.url, timeout=30)

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._http.close()

    def start(self) -> None:
        """Start it; returns at once."""
        self._process.start()

    def wait_ready(self) -> None:
        """Return when it answers; AssertionError with its log when it ends instead."""
        until(self._ready, seconds=60, what=f"{self.url} is ready")

    def stop(self) -> None:
        """Make an end of it; nothing happens where it does not run."""
        if self._process.running():
            self._process.stop(signal.SIGKILL)

    def tail(self) -> str:
        """The end of its log."""
        return self._process.tail()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at `path`; a list is sent as a parameter that stands there several times."""
        answer = self._http.get(path, params=query)
        assert answer.is_success, f"{answer.url}: {answer.status_code} {answer.text}"
        return answer.json()

    def _ready(self) -> bool:
        assert self._process.running(), f"it ended by itself:\n{self.tail()}"
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False


class Prometheus(_Server):
    """Scrapes `scrape` (job → addresses `host:port`), evaluates `rules`, tells the Alertmanager at `alertmanager`.

    `every` is the interval of scraping and of evaluating rules, in Prometheus's words. `base` is a configuration of
    which all else is kept. The folder has to be there, and is its own.
    """

    def __init__(
        self,
        folder: Path,
        scrape: Mapping[str, Sequence[str]],
        *,
        rules: Sequence[Path] = (),
        alertmanager: str | None = None,
        every: str = "500ms",
        base: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        port = free_port()
        config = folder / "prometheus.json"  # JSON is YAML
        config.write_text(json.dumps(_config(base, scrape, rules, alertmanager, every)))
        command = [
            *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus-data'}"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn"),
        ]
        super().__init__(command, folder, port)

    def instant(self, query: str, *, time: float | None = None) -> list[Series]:
        """The rows of a query that gives a vector, now or at `time` (seconds)."""
        at = {} if time is None else {"time": time}
        rows: list[Series] = self.get("/api/v1/query", query=query, **at)["data"]["result"]
        return rows

    def value(self, query: str) -> float | None:
        """The value of a query with at most one row; None without."""
        rows = self.instant(query)
        assert len(rows) <= 1, f"{query}: {rows}"
        return float(rows[0]["value"][1]) if rows else None

    def range(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """The rows of a query over a time; all in seconds."""
        answer = self.get("/api/v1/query_range", query=query, start=start, end=end, step=step)
        rows: list[Series] = answer["data"]["result"]
        return rows

    def exemplars(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """Rows of `seriesLabels` and `exemplars`; times in seconds."""
        rows: list[dict[str, Any]] = self.get("/api/v1/query_exemplars", query=query, start=start, end=end)["data"]
        return rows

    def rules(self) -> list[dict[str, Any]]:
        """All rules of all groups, with `health`, `lastError` and, for an alert, `state`."""
        return [rule for group in self.get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing."""
        alerts: list[dict[str, Any]] = self.get("/api/v1/alerts")["data"]["alerts"]
        return alerts

    def wait_scraped(self, *, seconds: float = 60) -> None:
        """Return when every target has been scraped and was up."""
        until(self._all_up, seconds=seconds, what="every target is up")

    def _all_up(self) -> bool:
        targets = self.get("/api/v1/targets", state="active")["data"]["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)


class Alertmanager(_Server):
    """Runs a configuration file; paths in it are relative to the file."""

    def __init__(self, folder: Path, config: Path) -> None:
        port = free_port()
        command = [
            *("prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'alertmanager-data'}"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=debug"),
        ]
        super().__init__(command, folder, port)
        self.address = f"127.0.0.1:{port}"

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts it holds, with `status.state`, `status.inhibitedBy`, `labels` and `annotations`."""
        alerts: list[dict[str, Any]] = self.get("/api/v2/alerts")
        return alerts


def _config(
    base: Mapping[str, Any],
    scrape: Mapping[str, Sequence[str]],
    rules: Sequence[Path],
    alertmanager: str | None,
    every: str,
) -> dict[str, Any]:
    """The configuration; a target is given as long to answer as there is between two scrapes."""
    at = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    pace = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    return {
        "global": {**base.get("global", {}), **pace},
        "rule_files": [str(path.resolve()) for path in rules],
        "alerting": {**base.get("alerting", {}), "alertmanagers": at},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in scrape.items()
        ],
    }
