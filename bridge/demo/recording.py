"""Recorded runs, played into a store as if they happened now.

A recording is the list of changes that one message to an agent makes to the rows, each with the moment it became
visible. They were recorded on a Letta 0.16.8 server; names, texts, models and numbers were rewritten so that they
read like a day at work, the order of the changes and the gaps between them were kept. Times count in seconds from
the first run's created_at. Ids such as `run-1` stand for ids that every play makes anew; agents keep theirs.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from bridge.demo.standin.rows import SHOWN_MESSAGE, Table
from bridge.demo.standin.store import Store

_MINTED: Final = frozenset({"run", "step", "message", "call", "tool"})
_LENGTHS: Final = frozenset({"run_ns", "step_ns", "llm_request_ns", "tool_execution_ns"})


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Agent(_Data):
    """Whose runs these are."""

    id: str
    name: str
    agent_type: str


class Change(_Data):
    """A row that is inserted or changed.

    Attributes:
        at: when it is seen.
        table: where.
        id: which row.
        run: the run it belongs to; a run's own row has none.
        step: of a message, the step it belongs to.
        created_at: of a new row, the time it is ordered by.
        set: the fields that change.
    """

    at: float
    table: Table
    id: str
    run: str | None = None
    step: str | None = None
    created_at: float | None = None
    set: Mapping[str, Any]


class Recording(_Data):
    """One message to an agent, and all that came of it.

    Attributes:
        title: what there is to see in it, in one line.
        source: the scenarios of the real server it was recorded from.
    """

    title: str
    source: str
    agent: Agent
    changes: Sequence[Change]

    def seconds(self, speed: float = 1.0) -> float:
        """How long it plays."""
        return max(change.at for change in self.changes) / speed

    def play(self, store: Store, at: float, speed: float = 1.0) -> Sequence[str]:
        """Enter all its changes into a store.

        Args:
            store: the server's rows.
            at: when the first run is created, seconds since the epoch.
            speed: 2.0 is twice as fast as it was recorded; measured lengths shrink with it.

        Returns:
            The ids of the runs, in the order they are created.
        """
        return _Play(self, store, at, speed).enter()


def names() -> Sequence[str]:
    """All recordings there are."""
    folder = resources.files("bridge.demo") / "recordings"
    return sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))


def load(name: str) -> Recording:
    """One recording by its name."""
    text = (resources.files("bridge.demo") / "recordings" / f"{name}.json").read_text(encoding="utf-8")
    return Recording.model_validate_json(text)


class _Play:
    """One play of one recording: its clock and its fresh ids."""

    def __init__(self, recording: Recording, store: Store, at: float, speed: float) -> None:
        self._recording = recording
        self._store = store
        self._start = at
        self._speed = speed
        self._ids: dict[str, str] = {}

    def enter(self) -> Sequence[str]:
        agent = self._recording.agent
        about = {"name": agent.name, "agent_type": agent.agent_type}
        self._store.put(Table.AGENTS, agent.id, about, visible_at=self._start)
        for change in self._recording.changes:
            self._store.put(
                change.table,
                self._id(change.id),
                self._fields(change),
                created_at=None if change.created_at is None else self._time(change.created_at),
                visible_at=self._time(change.at),
            )
        runs = (change.id for change in self._recording.changes if change.table is Table.RUNS)
        return [self._ids[run] for run in dict.fromkeys(runs)]

    def _fields(self, change: Change) -> dict[str, Any]:
        fields = {name: self._value(name, value) for name, value in change.set.items()}
        fields["agent_id"] = self._recording.agent.id
        if change.run and change.table is not Table.RUN_METRICS:
            fields["run_id"] = self._id(change.run)
        if change.table is Table.MESSAGES:
            fields["step_id"] = self._id(change.step) if change.step else None
            fields["shown"] = [self._message(change, fields, shown) for shown in fields["shown"]]
        return fields

    def _message(self, change: Change, row: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
        """A message as the API shows it; its date is exact to the second."""
        date = self._moment(change.created_at or change.at).replace(microsecond=0).isoformat()
        common = {"id": self._id(change.id), "date": date, "run_id": row["run_id"], "step_id": row["step_id"]}
        return {**SHOWN_MESSAGE, **common, **shown}

    def _value(self, name: str, value: Any) -> Any:
        if name == "completed_at":
            return self._moment(value).replace(tzinfo=None).isoformat()
        if name == "run_start_ns":
            return round(self._time(value) * 1e9)
        if name in _LENGTHS:
            return round(value / self._speed)
        return self._renamed(value)

    def _renamed(self, value: Any) -> Any:
        """The value with every stand-in id in it replaced."""
        if isinstance(value, Mapping):
            return {name: self._renamed(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._renamed(inner) for inner in value]
        return self._id(value) if isinstance(value, str) else value

    def _id(self, text: str) -> str:
        kind, _, rest = text.partition("-")
        if kind not in _MINTED or not rest or " " in rest:
            return text
        return self._ids.setdefault(text, f"{kind}-{uuid.uuid4()}")

    def _time(self, offset: float) -> float:
        return self._start + offset / self._speed

    def _moment(self, offset: float) -> datetime:
        return datetime.fromtimestamp(self._time(offset), UTC)
