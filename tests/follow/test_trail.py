"""How far a run is delivered, and where to read on when Letta has lost that step."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.follow.reading import ReadFrom
from bridge.follow.state import FollowedRun, Sums
from bridge.follow.trail import advance, read_from, rewind

T0 = 1_000_000.0


def followed(**fields: Any) -> FollowedRun:
    return FollowedRun(id="run-1", created_ns=1, first_seen=T0, last_news=T0, **fields)


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"step-{number}" for number in numbers)


def after(run: FollowedRun, order: Sequence[str], settled: Sequence[str]) -> FollowedRun:
    progress = advance(run, run.cursor, order, settled)
    update = {"cursor": progress.cursor, "trail": progress.trail, "sent": progress.sent}
    sums = Sums(steps=run.sums.steps + len(settled))
    return run.model_copy(update={**update, "sums": sums})


def test_the_trail_is_the_last_eight_steps_up_to_the_cursor() -> None:
    run = after(followed(), ids(*range(1, 12)), ids(*range(1, 11)))
    assert run.cursor == "step-10"
    assert run.trail == ids(*range(3, 11))


def test_what_is_delivered_past_a_gap_is_kept_and_so_is_what_the_page_does_not_show() -> None:
    run = after(followed(sent=("step-99",)), ids(1, 2, 3), ids(1, 3))
    assert (run.cursor, run.sent) == ("step-1", ("step-3", "step-99"))


def test_a_run_that_is_over_is_read_from_the_start_of_its_trail() -> None:
    few = after(followed(over_since=T0), ids(1, 2), ids(1, 2))
    many = after(followed(over_since=T0), ids(*range(1, 11)), ids(*range(1, 11)))
    assert read_from(few) == ReadFrom(None)
    assert read_from(many) == ReadFrom("step-3")
    assert read_from(many.model_copy(update={"over_since": None})) == ReadFrom("step-10")


def test_a_lost_cursor_falls_back_to_the_newest_step_that_is_left() -> None:
    run = after(followed(), ids(*range(1, 11)), ids(*range(1, 11)))
    assert rewind(run, ids(1, 2, 3, 5, 6)) == ReadFrom("step-6")


def test_where_the_trail_is_all_that_was_delivered_the_rest_is_new() -> None:
    assert rewind(after(followed(), ids(1, 2), ids(1, 2)), ids(3)) == ReadFrom(None)


def test_where_more_was_delivered_than_the_trail_holds_nobody_can_tell() -> None:
    run = after(followed(), ids(*range(1, 11)), ids(*range(1, 11)))
    assert rewind(run, ids(1, 11)) is None
    entombed = run.model_copy(update={"trail": ()})
    again = after(entombed, ids(11), ids(11))
    assert rewind(again, ids(1)) is None, "it was opened again: its trail is short, its past is not"


def test_a_run_of_before_there_were_trails_has_no_safe_place() -> None:
    assert rewind(followed(cursor="step-3", sums=Sums(steps=3)), ids(1)) is None


@given(st.lists(st.integers(1, 30), unique=True), st.data())
def test_no_step_is_ever_delivered_twice_or_passed_by(numbers: list[int], data: st.DataObject) -> None:
    """Steps appear in any order, are settled in any order, and are lost from the end: what is new is what was not."""
    run = followed()
    delivered: list[str] = []
    shown: set[int] = set()
    for number in numbers:
        shown.add(number)
        order = ids(*sorted(shown))
        start = order.index(run.cursor) + 1 if run.cursor in order else 0
        page = order[start:]
        new = [id_ for id_ in page if id_ not in run.delivered]
        settled = data.draw(st.lists(st.sampled_from(new), unique=True)) if new else []
        run = after(run, page, settled)
        delivered += settled
    assert len(delivered) == len(set(delivered))
    assert run.delivered <= set(delivered)
