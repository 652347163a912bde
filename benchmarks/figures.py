"""The lines of the tables: figures, some of which there is something to reach by, and what each contestant took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_VERDICT = {None: "", True: "yes", False: "**no**"}


class Kept(StrEnum):
    """The figures that the history keeps, one a column, by the column's head."""

    NAIVE = "naive / ours"
    NAIVE_DURATIONS = "naive / ours, durations"
    FLOOR = "ours / floor"
    FLOOR_DURATIONS = "ours / floor, durations"
    REQUESTS = "requests"
    REQUESTS_DURATIONS = "requests, durations"
    TICK_REQUESTS = "tick: requests"
    TICK_CPU = "tick: CPU growth"
    GROWTH = "memory growth"
    IDLE_MEMORY = "idle MiB"
    POLLING = "polling p99, s"
    HOOK = "hook p99, s"
    BACKFILL = "backfill steps/s"
    SLOWING = "last / first tenth"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table of figures.

    Attributes:
        name: what was measured.
        value: what came out, with its unit.
        reach: what is to be reached; empty where nothing is.
        met: whether it is; None where nothing is to be reached, or nothing was measured.
        kept: the history's column for it.
        short: what stands in that column.
    """

    name: str
    value: str
    reach: str = ""
    met: bool | None = None
    kept: Kept | None = None
    short: str = ""

    HEAD = ("| figure | measured | reach | met |", "|---|---|---|---|")

    def line(self) -> str:
        """For who looks on."""
        told = {None: "", True: ": met", False: ": NOT MET"}[self.met]
        return f"{self.name}: {self.value}" + (f" ({self.reach}{told})" if self.reach else "")

    def row(self) -> str:
        """As a line of a Markdown table."""
        return f"| {self.name} | {self.value} | {self.reach} | {_VERDICT[self.met]} |"


@dataclass(frozen=True, slots=True)
class Performance:
    """One line of the table of contestants: what one took for one workload.

    Attributes:
        workload: in words.
        contestant: who.
        cpu: seconds per 1,000 steps.
        against: times the CPU that the bridge takes, within each round.
        speed: steps per second of wall time.
        peak_mib: the most memory it ever had, in MiB.
        requests: to Letta, per 1,000 steps.
    """

    workload: str
    contestant: str
    cpu: float
    against: float
    speed: float
    peak_mib: float
    requests: float

    HEAD = (
        "| workload | contestant | CPU s / 1,000 steps | / ours | steps/s | peak MiB | requests / 1,000 steps |",
        "|---|---|---:|---:|---:|---:|---:|",
    )

    def line(self) -> str:
        """For who looks on."""
        took = f"{self.cpu:.3f} s of CPU per 1,000 steps, {self.against:.2f} times ours, {self.speed:,.0f} steps/s"
        return f"{self.workload}: {self.contestant}: {took}, {self.peak_mib:.0f} MiB, {self.requests:,.0f} requests"

    def row(self) -> str:
        """As a line of a Markdown table."""
        cpu = f"{self.cpu:.3f} | {self.against:.2f}"
        rest = f"{self.speed:,.0f} | {self.peak_mib:.0f} | {self.requests:,.0f}"
        return f"| {self.workload} | *{self.contestant}* | {cpu} | {rest} |"


Line = Figure | Performance
