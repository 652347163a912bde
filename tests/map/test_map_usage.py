"""Tokens: null is not zero."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.map.usage import usage_of
from bridge.source.models import Step


def step(**fields: Any) -> Step:
    return Step(id="step-1", **fields)


def test_fields_come_before_their_details() -> None:
    usage = usage_of(
        step(
            cached_input_tokens=0,
            cache_write_tokens=1,
            reasoning_tokens=2,
            prompt_tokens_details={"cached_tokens": 9, "cache_read_tokens": 9, "cache_creation_tokens": 9},
            completion_tokens_details={"reasoning_tokens": 9},
        )
    )
    assert (usage.cache_read, usage.cache_write, usage.reasoning) == (0, 1, 2)


@pytest.mark.parametrize(
    ("details", "cache_read"),
    [
        ({"cached_tokens": 512, "cache_read_tokens": 512}, 512),
        ({"cached_tokens": 0, "cache_read_tokens": 700}, 700),
        ({"cached_tokens": 512, "cache_read_tokens": None}, 512),
        ({"cached_tokens": 0, "cache_read_tokens": 0}, 0),
        ({"cached_tokens": "512", "cache_read_tokens": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_details_fill_what_is_null(details: dict[str, Any] | None, cache_read: int | None) -> None:
    assert usage_of(step(prompt_tokens_details=details)).cache_read == cache_read


@pytest.mark.parametrize(
    ("fields", "limit", "ratio"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 125}, 1000, 0.125),
        ({"prompt_tokens": 100, "completion_tokens": 20}, 1000, 0.12),
        ({"prompt_tokens": 100}, 1000, 0.1),
        ({"total_tokens": 0}, 1000, None),
        ({}, 1000, None),
        ({"total_tokens": 100}, 0, None),
        ({"total_tokens": 100}, None, None),
        ({"total_tokens": 100}, -1, None),
    ],
)
def test_share_of_the_context_window(fields: dict[str, int], limit: int | None, ratio: float | None) -> None:
    assert usage_of(step(**fields)).used_ratio(limit) == ratio


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, False),
        ({}, False),
        ({"prompt_tokens": 1}, True),
        ({"completion_tokens": 1}, True),
        ({"total_tokens": 1}, True),
    ],
)
def test_whether_anything_was_counted(fields: dict[str, int], known: bool) -> None:  # noqa: FBT001
    assert usage_of(step(**fields)).is_known is known
