"""One pass of everything, which all the real tests look at.

A Letta server plays the scenarios while several bridges watch it, each with a receiver of its own; two of the bridges
are stopped and started all the while. Then the server is killed in the middle of runs and started again. When no
bridge follows a run any more, the API is asked for the truth, one run is judged and cancelled although it was sent
long ago, and what the receivers show is kept beside the truth.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from real import scenarios
from real.compare import last_totals, spans_once, totals, without_resent
from real.driver import Driver
from real.lab import Lab
from real.receivers import Ddapm, Phoenix, Receiver, Rotel
from real.seen import Point, SeenEvent, SeenSpan
from real.service import Service
from real.truth import Totals, Truth, read_truth, runs_since
from real.waiting import until

SEED = 20261121
LEFT_ALONE = ("ddapm-grpc", "phoenix")
RESTARTED = {"ddapm-http": signal.SIGTERM, "rotel": signal.SIGKILL}  # these show a span that comes twice, twice
LATE_EVENTS = 3  # of the run that changes late: it is cancelled, its step judged and tagged
LANES = (*LEFT_ALONE, *RESTARTED)


@dataclass
class Lane:
    """A bridge, where it sends to, and at the end what arrived there.

    Attributes:
        spans: what the receiver shows; of a bridge that was killed each span once, since it may send some again.
        points: the metrics it shows, in the order of their time; None where it keeps none.
        events: the log records it shows; None where it takes none.
        page: the totals on the bridge's /metrics.
        changed: complaints about spans that were sent again with other content.
    """

    service: Service
    receiver: Receiver
    spans: list[SeenSpan] = field(default_factory=list)
    points: list[Point] | None = None
    events: list[SeenEvent] | None = None
    page: Totals = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


@dataclass
class World:
    """The end of the pass.

    Attributes:
        truth: what the API showed when no bridge followed a run any more.
        lanes: the bridges, by name.
        played: the runs of each scenario.
        zombies: the runs that the killed server left behind; none where it may not be killed.
        late: the run that was judged and cancelled after the truth was read.
        since: when the pass began; the server may hold older runs.
        until: when the truth was read; the server may hold younger runs.
    """

    truth: Truth
    lanes: Mapping[str, Lane]
    played: Mapping[str, list[str]]
    zombies: Mapping[str, list[str]]
    late: str
    since: datetime
    until: datetime


def receivers(installed: Path, folder: Path) -> dict[str, Receiver]:
    """One for each lane, none started."""
    return {
        "ddapm-grpc": Ddapm(installed, folder, "grpc"),
        "ddapm-http": Ddapm(installed, folder, "http/protobuf"),
        "rotel": Rotel(installed, folder),
        "phoenix": Phoenix(installed, folder),
    }


def play(lab: Lab, receivers: Mapping[str, Receiver], folder: Path) -> World:
    """The whole pass; the receivers must be ready. Everything it starts has ended when it returns."""
    driver = Driver(lab.url)
    since = datetime.now(UTC)
    with ExitStack() as stack:
        stack.callback(driver.close)
        lanes = {}
        for name, receiver in receivers.items():
            service = Service(name, letta=lab.url, since=since, folder=folder, sends_to=receiver.environment())
            lanes[name] = Lane(service, receiver)
            service.start()
            stack.callback(service.close)
        for lane in lanes.values():
            lane.service.wait_live()
        with _restarting(lanes):
            played = scenarios.drive(driver)
            zombies = _crash(lab, driver)
            _wait_drained(driver, since, [lanes[name] for name in LEFT_ALONE])
        for name in RESTARTED:
            lanes[name].service.wait_live()
        _wait_drained(driver, since, lanes.values())
        agent, late = scenarios.leave_unanswered(driver)
        _wait_drained(driver, since, lanes.values())
        truth = read_truth(driver, since)
        read_at = datetime.now(UTC)
        scenarios.change_late(driver, agent, late)
        with ThreadPoolExecutor(len(lanes)) as pool:
            list(pool.map(lambda lane: _finish(lane, truth), lanes.values()))
    return World(truth, lanes, played, zombies, late, since, read_at)


def _crash(lab: Lab, driver: Driver) -> dict[str, list[str]]:
    if lab.home is None:
        return {}
    runs = scenarios.interrupt(driver)
    lab.kill()
    lab.start()
    return runs


@contextmanager
def _restarting(lanes: Mapping[str, Lane]) -> Iterator[None]:
    """Stop and start the bridges of RESTARTED at random moments, seeded, until the block ends."""
    over = threading.Event()
    with ThreadPoolExecutor(len(RESTARTED)) as pool:
        moments = {name: random.Random(f"{SEED} {name}") for name in RESTARTED}
        at_work = [
            pool.submit(_restart, lanes[name].service, RESTARTED[name], moments[name], over) for name in moments
        ]
        try:
            yield
        finally:
            over.set()
    for restarter in at_work:
        restarter.result()


def _restart(service: Service, how: signal.Signals, moments: random.Random, over: threading.Event) -> None:
    while not over.wait(moments.uniform(1, 12)):
        service.stop(how)
        over.wait(moments.uniform(0, 2))
        service.start()
        service.wait_live()


def _wait_drained(driver: Driver, since: datetime, lanes: Iterable[Lane]) -> None:
    """Return when each bridge has closed as many runs as there are, and follows none any more."""
    runs = len(runs_since(driver, since))
    for lane in lanes:
        what = f"bridge {lane.service.name} has closed {runs} runs"
        until(partial(_drained, lane.service, runs), seconds=300, every=1, what=what)


def _drained(service: Service, runs: int) -> bool:
    assert service.running(), f"bridge {service.name} ended by itself:\n{service.tail()}"
    return service.open_runs() == 0 and service.totals().get(("letta.runs", ""), 0) >= runs


def _is_late(event: SeenEvent) -> bool:
    """Whether it is about a change, and not about how a step or run ended in the first place."""
    return event.name.endswith((".changed", ".result"))


def _finish(lane: Lane, truth: Truth) -> None:
    """Wait until all has arrived, look on for a few sweeps more, stop the bridge, and keep what there is to see."""
    _give_time(lambda: not any(line.startswith("missing") for line in spans_once(truth, lane.receiver.spans())))
    _give_time(lambda: (events := lane.receiver.events()) is None or sum(map(_is_late, events)) >= LATE_EVENTS)
    _give_time(lambda: (points := lane.receiver.points()) is None or not totals(truth, last_totals(points)))
    enough = lane.service.sweeps() + 5
    until(lambda: lane.service.sweeps() >= enough, seconds=60, every=0.5, what="five sweeps more")
    lane.page = lane.service.totals()
    lane.service.stop()
    lane.spans, lane.points, lane.events = lane.receiver.spans(), lane.receiver.points(), lane.receiver.events()
    if -signal.SIGKILL in lane.service.stopped_with:
        lane.spans, lane.changed = without_resent(lane.spans)


def _give_time(check: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait for `check`, but not for ever and without complaint: what never arrives is for the tests to tell."""
    deadline = time.monotonic() + seconds
    while not check() and time.monotonic() < deadline:
        time.sleep(0.5)
