"""What Letta's webhook asked to hasten: steps that it named, and the runs that a sweep goes on with because of them.

No I/O, and no clock of its own: times are seconds since the epoch by the bridge's clock, and one that was set back
makes a wait shorter, never longer. A hook is a hint and nothing else. What finds no room is dropped, and so is all of
it when the process ends: polling finds every step, with hooks or without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["taken", "repeated", "dropped"]

_ROOM: Final = 256  # steps that wait to be looked up
_MET: Final = 1024  # steps that were looked up lately: to be told of one again is no news
_GATHER: Final = 0.1  # seconds: hooks come in flocks, and a step's messages 50 ms after its hook (0.16.8)


@dataclass(frozen=True, slots=True)
class _Timer:
    """Runs for `seconds` from `since` on."""

    since: float
    seconds: float

    def left(self, now: float) -> float:
        """Seconds; 0 once it is over."""
        waited = now - self.since
        return self.seconds - waited if 0 <= waited < self.seconds else 0.0


_OVER: Final = _Timer(0.0, 0.0)


class Wakes:
    """Bounded, however many hooks come."""

    def __init__(self) -> None:
        """Nothing is asked for."""
        self._steps: dict[str, None] = {}  # in the order in which they were named
        self._met: dict[str, None] = {}
        self._runs: dict[str, _Timer] = {}
        self._gathering = self._resting = _OVER
        self._changed = asyncio.Event()

    def add(self, step_id: str, now: float) -> Outcome:
        """A hook named a step."""
        if step_id in self._steps or step_id in self._met:
            return "repeated"
        if len(self._steps) >= _ROOM:
            return "dropped"
        if not self._steps:
            self._gathering = _Timer(now, _GATHER)
        self._steps[step_id] = None
        self._changed.set()
        return "taken"

    def take(self, limit: int) -> Sequence[str]:
        """The steps that were named first; until `forget` they are no news any more."""
        taken = list(self._steps)[:limit]
        for step_id in taken:
            del self._steps[step_id]
            self._met[step_id] = None
        for step_id in list(self._met)[: max(0, len(self._met) - _MET)]:
            del self._met[step_id]
        return taken

    def forget(self, step_id: str) -> None:
        """A hook that names this step is news."""
        self._met.pop(step_id, None)

    def put_back(self, step_ids: Iterable[str]) -> None:
        """They could not be looked up: another time, before the others."""
        for step_id in step_ids:
            self.forget(step_id)
            self._steps = {step_id: None, **self._steps}
        self._changed.set()

    def rest(self, now: float, seconds: float) -> None:
        """Look up no step for so long."""
        self._resting = _Timer(now, seconds)

    def follow(self, run_id: str, now: float, seconds: float) -> None:
        """Come back to a run in so many seconds."""
        self._runs[run_id] = _Timer(now, seconds)
        self._changed.set()

    def take_runs(self, now: float) -> Sequence[str]:
        """The runs whose time has come."""
        due = [run_id for run_id, timer in self._runs.items() if not timer.left(now)]
        for run_id in due:
            del self._runs[run_id]
        return due

    def may_look_up(self, now: float) -> bool:
        """Whether steps were named, and gathered for long enough."""
        return bool(self._steps) and not self._until_look_up(now)

    def wait(self, now: float) -> float | None:
        """Seconds until there is something to do; None where nothing is asked for."""
        waits = [timer.left(now) for timer in self._runs.values()]
        if self._steps:
            waits.append(self._until_look_up(now))
        return min(waits, default=None)

    async def changed(self, seconds: float | None) -> None:
        """Return when more is asked for, or after so many seconds."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _until_look_up(self, now: float) -> float:
        return max(self._gathering.left(now), self._resting.left(now))
