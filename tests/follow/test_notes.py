"""What is remembered of the steps of a run: what they mostly are, once, and those that are otherwise."""

from __future__ import annotations

from itertools import product

import pytest

from bridge.follow.notes import note, unusual, usual
from bridge.follow.reading import Outcome, SettledStep
from bridge.follow.state import FollowedRun, Noted
from bridge.source.models import STEP, Step

FIELDS = {
    "stop_reason": (None, "end_turn", "max_steps", ""),
    "error_type": (None, "LLMServerError", ""),
    "feedback": (None, "positive", ""),
    "tags": (None, (), ("one",)),
    "prompt_tokens": (None, 0, 7),
}
RUN = FollowedRun(id="run-1", created_ns=0, first_seen=0, last_news=0)
USUAL = Noted()
TAGGED = Noted(tags=("one",), tokens=False)


def step(number: int = 1, **fields: object) -> Step:
    return STEP.validate_python({"id": f"step-{number}", **fields})


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("mostly", [USUAL, TAGGED])
def test_a_step_is_remembered_when_its_note_is_not_the_usual_one(mostly: Noted, outcome: Outcome) -> None:
    for values in product(*FIELDS.values()):
        row = STEP.validate_python({"id": "step-1", **dict(zip(FIELDS, values, strict=True))})
        one = SettledStep(row, outcome)
        noted = note(*one)
        assert unusual([one], mostly) == ({} if noted == mostly else {"step-1": noted})


def test_what_the_first_delivered_step_is_counts_as_usual_for_good() -> None:
    tagged, plain = step(tags=("one",)), step(2, prompt_tokens=1)
    settled = [SettledStep(tagged, Outcome.SUCCESS), SettledStep(plain, Outcome.SUCCESS)]
    assert usual(RUN, ()) == USUAL
    assert usual(RUN, settled) == TAGGED
    assert unusual(settled, TAGGED) == {"step-2": USUAL}
    assert usual(RUN, [SettledStep(tagged, Outcome.FAILED)]) == USUAL
    later = RUN.model_copy(update={"cursor": "step-1", "usual": TAGGED})
    assert usual(later, settled[1:]) == TAGGED
