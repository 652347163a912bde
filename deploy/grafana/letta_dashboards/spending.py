"""Panels of cost, tokens and cache, for whichever series a dashboard is about."""

from __future__ import annotations

from letta_dashboards import metrics, spans
from letta_dashboards.metrics import Scope, share
from letta_dashboards.panels import Panel, Series, Words, bars, lines, number
from letta_dashboards.spans import Links, clicked

_INPUT = 'letta_token_type="input"'
_CACHE_READ = 'letta_token_type="cache_read"'
_LIST_PRICES = "List prices that this version of the bridge knows; a model without a known price adds nothing."


def spent(scope: Scope, links: Links, *, height: int = 4) -> Panel:
    """The bill."""
    words = Words(
        "Spent",
        f"What the tokens of the time shown cost, in US dollars. {_LIST_PRICES}",
        nothing=scope.nothing,
    )
    total = scope.or_zero(scope.increase(metrics.COST))
    behind = links.requests("LLM requests")
    return number(words, total, behind, unit="currencyUSD", decimals=2, height=height)


def spent_an_hour(scope: Scope, links: Links, by: str, legend: str, where: str, *, width: int = 12) -> Panel:
    """Who spends, and since when.

    Args:
        scope: the series.
        links: where the spans are.
        by: label to split by.
        legend: name of a line.
        where: the span attribute of that label.
        width: of 24.
    """
    words = Words(
        "Spending an hour",
        f"US dollars an hour at the pace of each moment. A step up that stays is a loop or a larger prompt: click "
        f"for the requests. {_LIST_PRICES}",
    )
    series = Series(f"{scope.rate(metrics.COST, by=by)} * 3600", legend)
    behind = (
        links.requests("LLM requests of it") if where == spans.MODEL else links.steps("Steps of it", clicked(where))
    )
    return lines(words, [series], behind, unit="currencyUSD", width=width)


def tokens(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """What is bought."""
    words = Words(
        "Tokens, by type",
        "Tokens of LLM requests. Input contains what was read from or written to the cache, and output the "
        "reasoning: do not add the lines up. Input that grows run by run is a history that nobody summarises.",
    )
    series = Series(
        scope.increase(metrics.TOKENS, by="letta_token_type", over=metrics.WINDOW), "{{letta_token_type}}"
    )
    return lines(words, [series], links.requests("LLM requests"), unit="short", width=width)


def cache_hits(scope: Scope, links: Links, *, height: int = 4) -> Panel:
    """One number for the cache."""
    words = Words(
        "Input from the cache",
        "Share of input tokens that the provider read from its prompt cache in the time shown. A drop costs money: "
        "something at the front of the prompt changes from step to step. 0 where a provider reports none.",
        nothing=scope.nothing,
    )
    ratio = scope.or_zero(share(scope.increase(metrics.TOKENS, _CACHE_READ), scope.increase(metrics.TOKENS, _INPUT)))
    return number(words, ratio, links.requests("LLM requests"), unit="percentunit", height=height)


def cache_by_model(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """When the cache was lost."""
    words = Words(
        "Input from the cache, by model",
        "Share of input tokens read from the prompt cache. A line that falls and stays down: compare two traces from "
        "before and after. Models that report no cache have no line.",
        nothing="No model reported tokens from a cache in this time",
    )
    by = "letta_model_handle"
    ratio = share(scope.rate(metrics.TOKENS, _CACHE_READ, by=by), scope.rate(metrics.TOKENS, _INPUT, by=by))
    behind = links.steps("Steps of it", clicked(spans.MODEL))
    series = [Series(ratio, "{{letta_model_handle}}")]
    return lines(words, series, behind, unit="percentunit", ceiling=1, width=width)


def steps_by_status(scope: Scope, links: Links, *, width: int = 12) -> Panel:
    """How much goes on at all."""
    words = Words(
        "Steps, by how they ended",
        "All steps that ended. No bars where there used to be some: nobody asks, Letta is down, or the bridge is "
        "behind (see its own dashboard).",
        nothing="No step ended in this time",
    )
    by = "letta_step_status"
    series = Series(scope.increase(metrics.STEPS, by=by, over=metrics.WINDOW), "{{letta_step_status}}")
    return bars(words, [series], links.steps("These steps", clicked(spans.STEP_STATUS)), width=width)
