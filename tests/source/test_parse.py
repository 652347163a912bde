"""Bodies that are not what the route promises: one bad record costs only itself."""

import json
from datetime import UTC
from typing import Any

import pytest

from bridge.errors import LettaMisbehaved
from bridge.source import parse
from bridge.source.models import RUN, RUNS, STEPS, Step, as_json, unknown_fields

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
    (b'[{"id": "step-1"', "is damaged JSON, or cut off"),
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


def test_a_record_is_told_with_the_fields_that_no_model_knows() -> None:
    row = {"id": "run-1", "created_at": "2026-11-21T23:01:31.969013Z", "mood": {"today": "fine"}, "status": 7}
    (run,) = parse.page(RUNS, "run", json.dumps([row]).encode(), REQUEST).items
    told = json.loads(as_json(run))
    assert told.items() >= {**row, "status": "7"}.items()
    assert parse.page(RUNS, "run", b"[%b]" % as_json(run).encode(), REQUEST).items == (run,)


@pytest.mark.parametrize("name", ["__dict__", "__class__", "__dataclass_fields__", "id_", "keys"])
def test_an_unknown_field_may_have_any_name(name: str) -> None:
    page = page_of({"id": "step-1", "status": "success", name: 1})
    assert unknown_fields(page.items) == {f"Step.{name}"}
    assert (page.items[0].id, page.items[0].status) == ("step-1", "success")


def test_a_time_without_a_zone_is_utc() -> None:
    run = parse.one(
        RUN,
        "a run",
        b'{"id": "run-1", "created_at": "2026-11-21T23:01:31.969013Z", "completed_at": "2026-11-21T23:01:37.992984"}',
        "GET /v1/runs/run-1",
    )
    assert run.completed_at is not None
    assert run.created_at.tzinfo is UTC  # pydantic's own takes ten times as long to compare
    assert (run.completed_at - run.created_at).total_seconds() == pytest.approx(6.023971)


def test_a_run_without_a_created_at_has_no_place_in_the_list() -> None:
    page = parse.page(RUNS, "run", b'[{"id": "run-1"}]', "GET /v1/runs/")
    assert page.items == ()
    assert page.malformed[0].reason == "created_at: Field required"


@pytest.mark.parametrize("raw", [b"\\ud83d", b"\xff"])
def test_text_that_no_encoding_can_hold_costs_no_record(raw: bytes) -> None:
    page = parse.page(STEPS, "step", b'[{"id": "step-1", "model": "gpt-' + raw + b'"}]', REQUEST)
    assert page.items[0].model == "gpt-\ufffd"
    assert not page.malformed


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": "x" * 300},
        {"prompt_tokens": 2**63},
        {"prompt_tokens_details": {"cached_tokens": -(2**63) - 1}},
    ],
)
def test_what_no_ledger_or_span_could_hold_is_malformed(fields: dict[str, Any]) -> None:
    page = page_of({"id": "step-1", **fields})
    assert len(page.malformed) == 1
    assert page.malformed[0].text.encode()


def test_a_number_of_thousands_of_digits_costs_its_record_alone() -> None:
    page = parse.page(STEPS, "step", b'[{"id": "a", "prompt_tokens": ' + b"9" * 5000 + b'}, {"id": "b"}]', REQUEST)
    assert [step.id for step in page.items] == ["b"]
    assert [lost.id for lost in page.malformed] == ["a"]


@pytest.mark.parametrize("year", ["0001", "1969", "2262", "9999"])
def test_a_run_beyond_what_nanoseconds_can_say_has_no_place(year: str) -> None:
    page = parse.page(RUNS, "run", f'[{{"id": "run-1", "created_at": "{year}-01-01T00:00:00Z"}}]'.encode(), REQUEST)
    assert not page.items
    assert not parse.rescued(RUN, page).items


def test_a_run_is_rescued_in_its_place_without_what_does_not_fit() -> None:
    rows = [
        {"id": "c", "created_at": "2026-01-03T00:00:00Z"},
        {"id": "b", "created_at": "2026-01-02T00:00:00Z", "background": "perhaps"},
        {"id": "a", "created_at": "2026-01-01T00:00:00Z"},
    ]
    page = parse.page(RUNS, "run", json.dumps(rows).encode(), REQUEST)
    assert [run.id for run in page.items] == ["c", "a"]
    assert [run.id for run in parse.rescued(RUN, page).items] == ["c", "b", "a"]


def test_the_place_to_go_on_from_is_one_that_letta_knows() -> None:
    assert page_of({"id": "a"}, {"status": "no id"}).last == "a"
    assert page_of({"status": "no id"}).last is None


def test_nesting_without_end_is_one_clear_line() -> None:
    with pytest.raises(LettaMisbehaved, match="nested too deeply"):
        parse.page(STEPS, "step", b"[" * 100_000 + b"]" * 100_000, REQUEST)
