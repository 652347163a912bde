"""Bodies that are not what the route promises: one bad record costs only itself."""

import json
from typing import Any

import pytest

from bridge.errors import LettaMisbehaved
from bridge.source import parse
from bridge.source.models import RUNS, STEPS, Run, Step, unknown_fields

REQUEST = "GET /v1/runs/run-1/steps"


def page_of(*rows: Any) -> parse.Page[Step]:
    return parse.page(STEPS, "step", json.dumps(rows).encode(), REQUEST)


def test_one_malformed_step_in_a_good_page_is_kept_aside_in_its_place() -> None:
    page = page_of({"id": "step-1"}, {"id": "step-2", "prompt_tokens": "many"}, {"id": "step-3"})
    assert [step.id for step in page.items] == ["step-1", "step-3"]
    assert page.order == ("step-1", "step-2", "step-3")
    (lost,) = page.malformed
    assert (lost.id, lost.kind) == ("step-2", "step")
    assert lost.reason.startswith("prompt_tokens: Input should be a valid integer")
    assert json.loads(lost.text) == {"id": "step-2", "prompt_tokens": "many"}


def test_a_record_without_an_id_is_known_again_by_its_text() -> None:
    first, second = page_of({"status": "success"}, "no record"), page_of({"status": "success"}, "no record")
    assert first.order == second.order
    assert len(set(first.order)) == 2


@pytest.mark.parametrize(("body", "words"), [
    (b"<html>502 Bad Gateway</html>", "is not JSON; it begins with '<html>502 Bad Gateway</html>'"),
    (b'[{"id": "step-1"', "is not JSON; it begins with"),
    (b'{"detail": "x"}', "is not a list but dict"),
    (b"", "is not JSON; it begins with ''"),
])  # fmt: skip
def test_a_body_that_is_no_list_is_one_clear_line(body: bytes, words: str) -> None:
    with pytest.raises(LettaMisbehaved) as raised:
        parse.page(STEPS, "step", body, REQUEST)
    assert REQUEST in str(raised.value)
    assert words in str(raised.value)


def test_an_unknown_status_is_text_and_an_unknown_field_is_reported_by_name() -> None:
    page = page_of({"id": "step-1", "status": "dreaming", "stop_reason": 7, "mood": "fine"})
    assert (page.items[0].status, page.items[0].stop_reason) == ("dreaming", "7")
    assert unknown_fields(page.items) == {"Step.mood"}


def test_a_time_without_a_zone_is_utc() -> None:
    run = parse.one(
        Run,
        b'{"id": "run-1", "created_at": "2026-11-21T23:01:31.969013Z", "completed_at": "2026-11-21T23:01:37.992984"}',
        "GET /v1/runs/run-1",
    )
    assert run.completed_at is not None
    assert (run.completed_at - run.created_at).total_seconds() == pytest.approx(6.023971)


def test_a_run_without_a_created_at_has_no_place_in_the_list() -> None:
    page = parse.page(RUNS, "run", b'[{"id": "run-1"}]', "GET /v1/runs/")
    assert page.items == ()
    assert page.malformed[0].reason == "created_at: Field required"
