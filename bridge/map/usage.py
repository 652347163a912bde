"""A step's tokens. Null is not zero: what Letta does not know is not counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.source.models import Step


class Usage(NamedTuple):
    """Tokens of one LLM request; `input` includes those read from and written to the cache.

    0.16.8 leaves the last three null where they are zero, and fills the details with zeros; so these tell where those
    are null.
    """

    input: int | None
    output: int | None
    total: int | None
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None

    @property
    def is_known(self) -> bool:
        """Whether a single token was counted: a step that failed, or broke off, shows zeros."""
        return bool(self.input or self.output or self.total)

    @property
    def priced(self) -> tuple[int | None, ...]:
        """Those that have a price: reasoning is part of the output."""
        return self.input, self.output, self.cache_read, self.cache_write

    def used_ratio(self, limit: int | None) -> float | None:
        """The share of the context window that is taken once the answer is in it, as Letta itself reckons."""
        used = self.total if self.total is not None else (self.input or 0) + (self.output or 0)
        return used / limit if used > 0 and limit and limit > 0 else None


def usage_of(step: Step) -> Usage:
    """The step's tokens, with the details where the field itself is null."""
    prompt, completion = step.prompt_tokens_details, step.completion_tokens_details
    cached, written, reasoning = step.cached_input_tokens, step.cache_write_tokens, step.reasoning_tokens
    return Usage(
        input=step.prompt_tokens,
        output=step.completion_tokens,
        total=step.total_tokens,
        cache_read=cached if cached is not None else _cache_read(prompt),
        cache_write=written if written is not None else _count(prompt, "cache_creation_tokens"),
        reasoning=reasoning if reasoning is not None else _count(completion, "reasoning_tokens"),
    )


def _cache_read(details: Mapping[str, Any] | None) -> int | None:
    """`cached_tokens` of OpenAI and Gemini, `cache_read_tokens` of Anthropic; the other is null, zero or the same."""
    counts = (_count(details, "cached_tokens"), _count(details, "cache_read_tokens"))
    return max((count for count in counts if count is not None), default=None)


def _count(details: Mapping[str, Any] | None, key: str) -> int | None:
    value = details.get(key) if details else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
