"""The searches on docs/traces.md for Jaeger: what is filled in on its search page, and which runs are the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from real.played import Played

PAGE = (Path(__file__).parents[2] / "docs/traces.md").read_text(encoding="utf-8")
_FIELDS = re.compile(r"```jaeger\n([^`]*)```")


def searches() -> dict[str, Mapping[str, str]]:
    """By the heading of the question, the fields of the search page; `RUN_ID` stands for a run's id."""
    found: dict[str, Mapping[str, str]] = {}
    for section in PAGE.split("\n### ")[1:]:
        if fields := _FIELDS.search(section):
            found[section.split("\n", 1)[0]] = dict(line.split(": ", 1) for line in fields[1].strip().splitlines())
    return found


def answer(question: str, played: Played) -> set[str]:
    """The ids of the runs that the search must find."""
    runs = played.runs
    wrong = {id_ for id_, run in runs.items() if run["status"] in {"failed", "cancelled"}}
    answers = {
        "Which steps of one agent failed today?": played.runs_with(status="failed") & played.runs_of("billing-clerk"),
        "Everything red, whatever it is": wrong | played.runs_where_a_tool_failed,
        "Which requests to a model are the slowest?": {
            run_id for run_id in played.runs_with(model="claude-sonnet-4-5") if played.run_seconds[run_id] > 4
        },
        "Which runs waited for approval?": {
            id_ for id_, run in runs.items() if run["stop_reason"] == "requires_approval"
        },
        "Which tools fail, and where?": set(played.runs_where_a_tool_failed),
        "One run, by its id": {min(runs)},
    }
    return answers[question]
