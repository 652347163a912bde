"""Ids: the same for the same record, valid whatever the record is called."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.map import ids
from bridge.map.ids import run_trace_id, span_id, usable_trace_id

TRACE = bytes.fromhex("0fbc63cc7831455d824500c81475b014")


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "",
        "0" * 32,
        "805F1B33711849BBDF4720B1C67E42E5",
        "805f1b33711849bbdf4720b1c67e42e",
        "805f1b33711849bbdf4720b1c67e42e5a",
        "805f1b33-7118-49bb-df47-20b1c67e42e5",
        "805f1b33711849bbdf4720b1c67e42e5\n",
        "trace-1",
    ],
)
def test_unusable_trace_ids(raw: str | None) -> None:
    assert usable_trace_id(raw) is None


def test_a_trace_id_of_the_server_is_used_as_it_stands() -> None:
    assert usable_trace_id("805f1b33711849bbdf4720b1c67e42e5") == "805f1b33711849bbdf4720b1c67e42e5"


def test_a_run_id_pastes_into_a_trace_search() -> None:
    assert run_trace_id("run-0fbc63cc-7831-455d-8245-00c81475b014") == TRACE.hex()
    assert run_trace_id("0FBC63CC-7831-455D-8245-00C81475B014") == TRACE.hex()


def test_the_first_steps_trace_comes_first() -> None:
    run_id = "run-0fbc63cc-7831-455d-8245-00c81475b014"
    assert run_trace_id(run_id, "805f1b33711849bbdf4720b1c67e42e5") == "805f1b33711849bbdf4720b1c67e42e5"
    assert run_trace_id(run_id, "not a trace") == TRACE.hex()


@pytest.mark.parametrize("run_id", ["run-7", "", "run-00000000-0000-0000-0000-000000000000", "run-\ud800"])
def test_a_run_id_that_is_no_uuid_is_hashed(run_id: str) -> None:
    expected = hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    assert run_trace_id(run_id) == expected


@given(st.text(st.characters()), st.none() | st.text())
def test_a_trace_id_is_always_valid(run_id: str, step_trace_id: str | None) -> None:
    made = run_trace_id(run_id, step_trace_id)
    assert usable_trace_id(made) == made
    assert made == run_trace_id(run_id, step_trace_id)


def test_a_span_id_is_eight_bytes_of_a_hash() -> None:
    hashed = hashlib.sha256(TRACE + b"step\0step-1").digest()[:8]
    assert span_id(TRACE, ids.STEP, "step-1") == hashed


def test_a_span_id_depends_on_trace_kind_and_source() -> None:
    made = {
        span_id(trace, kind, source)
        for trace in (TRACE, TRACE[::-1])
        for kind in (ids.RUN, ids.STEP, ids.CHAT, ids.TOOL)
        for source in ("1", "2")
    }
    assert len(made) == 16
