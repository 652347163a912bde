"""What tokens cost: the package's own numbers for every model that it knows; what has no list price has none here."""

from __future__ import annotations

import threading
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from genai_prices import Usage as Counts
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider

from bridge.map import cost
from bridge.map.usage import Usage
from bridge.source.models import STEP

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
OPENAI = {"provider_name": "openai", "model": "gpt-4o-mini", "model_endpoint": "https://api.openai.com/v1"}
SONNET = {
    "provider_name": "anthropic",
    "model": "claude-sonnet-4-5",
    "model_endpoint": "https://api.anthropic.com/v1",
}


def usd(
    step: dict[str, Any], tokens: int = 1000, read: int = 0, write: int = 0, output: int = 100, *, at: datetime = AT
) -> float | None:
    usage = Usage(tokens, output, tokens + output, read, write, None)
    return cost.usd(STEP.validate_python({"id": "step-1", **step}), usage, round(at.timestamp()) * 10**9)


def test_known_prices() -> None:
    """Read off the providers' price lists: dollars for a million tokens."""
    assert usd(OPENAI, 1_000_000, output=1_000_000) == pytest.approx(0.15 + 0.60)
    assert usd(OPENAI, 1_000_000, read=1_000_000, output=0) == pytest.approx(0.075)
    assert usd(SONNET, 100_000, output=0) == pytest.approx(0.3)
    assert usd(SONNET, 100_000, read=100_000, output=0) == pytest.approx(0.03)
    assert usd(SONNET, 100_000, write=100_000, output=0) == pytest.approx(0.375)


def test_a_long_prompt_costs_what_its_tier_says() -> None:
    assert usd(SONNET, 200_000, output=0) == pytest.approx(0.6)
    assert usd(SONNET, 300_000, output=0) == pytest.approx(1.8)


MODELS = [(provider, model) for provider in get_snapshot().providers for model in provider.models]


@pytest.mark.parametrize("counts", [(1000, 200, 100, 50), (1, 0, 0, 0), (250_000, 100_000, 0, 9), (600_000, 0, 7, 8)])
def test_every_model_costs_what_the_package_says(counts: tuple[int, int, int, int]) -> None:
    wrong = [
        f"{provider.id}/{model.id}"
        for provider, model in MODELS
        if _ours(model, counts) != _theirs(model, provider, counts)
    ]
    assert len(MODELS) > 500
    assert wrong == []


def _ours(model: ModelInfo, counts: tuple[int, int, int, int]) -> float | None:
    tokens, read, write, output = counts
    card = cost._card(model.get_prices(AT))
    usage = Usage(tokens, output, None, read, write, None)
    dollars = card.lines[bisect_left(card.tiers, tokens)].dollars(usage) if card else None
    return None if dollars is None else round(float(dollars), 12)


def _theirs(model: ModelInfo, provider: Provider, counts: tuple[int, int, int, int]) -> float | None:
    tokens, read, write, output = counts
    usage = Counts(input_tokens=tokens, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output)
    try:
        price = model.calc_price(usage, provider, genai_request_timestamp=AT)
    except ValueError:
        return None
    return round(float(price.total_price), 12)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:18080/v1",
        "http://localhost:11434",
        "http://ollama:11434/v1",
        "http://10.0.0.7:8000/v1",
        "http://[::1]:8000",
        "http://llm.prod.svc",
        "vllm:8000",
    ],
)
def test_what_runs_on_ones_own_machines_has_no_price(endpoint: str) -> None:
    assert usd({**OPENAI, "model_endpoint": endpoint}) is None


@pytest.mark.parametrize(
    "step",
    [
        {**OPENAI, "model": "no-such-model"},
        {**OPENAI, "model": None},
        {"provider_name": "ollama", "model": "llama3"},
        {"provider_name": "letta", "model": "letta-free", "model_endpoint": "https://inference.letta.com/v1/"},
        {"provider_name": None, "model": "gpt-4o-mini"},
        {},
    ],
)
def test_what_nobody_lists_has_no_price(step: dict[str, Any]) -> None:
    assert usd(step) is None


@pytest.mark.parametrize(
    ("step", "like"),
    [
        ({**OPENAI, "model_endpoint": None}, OPENAI),
        ({**OPENAI, "provider_name": "my own key"}, OPENAI),
        ({**OPENAI, "model_endpoint": "https://gateway.example.com/v1"}, OPENAI),
        ({**OPENAI, "model_endpoint": "https://key:secret@api.openai.com/v1?key=secret"}, OPENAI),
        ({**OPENAI, "model_endpoint": "https://[not a url"}, OPENAI),
        ({"provider_name": "bedrock", "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}, SONNET),
        ({"provider_name": "azure", "model": "gpt-4o-mini"}, OPENAI),
    ],
)
def test_the_same_model_by_another_way(step: dict[str, Any], like: dict[str, Any]) -> None:
    price = usd(step)
    assert price is not None
    assert price == pytest.approx(usd(like), rel=0.15)  # a provider that resells may take a little more


def test_counts_that_contradict_each_other_have_no_price() -> None:
    assert usd(OPENAI, 10, read=20) is None
    assert usd(OPENAI, -1) is None


def test_the_time_of_the_request_decides_and_not_the_clock(time_machine: Any) -> None:
    """o3 costs a fifth since June 2025."""
    o3 = {**OPENAI, "model": "o3"}
    cut = datetime(2025, 6, 10, tzinfo=UTC)
    for now in (cut - timedelta(days=100), cut + timedelta(days=100)):
        time_machine.move_to(now)
        assert usd(o3, 1_000_000, output=0, at=cut - timedelta(days=1)) == pytest.approx(10)
        assert usd(o3, 1_000_000, output=0, at=cut + timedelta(days=1)) == pytest.approx(2)


def test_no_price_is_ever_fetched() -> None:
    assert usd(OPENAI) is not None
    assert not get_snapshot().from_auto_update
    assert not [thread for thread in threading.enumerate() if "price" in thread.name.lower()]
