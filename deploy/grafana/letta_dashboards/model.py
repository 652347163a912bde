"""One model, or a few beside each other: failures, cost, cache, tokens, speed."""

from __future__ import annotations

from letta_dashboards import failing, metrics, spans, speed, spending
from letta_dashboards.layout import Page, Row
from letta_dashboards.metrics import Scope, share
from letta_dashboards.panels import ANY_IS_BAD, Panel, Series, Words, lines, number
from letta_dashboards.spans import Links, clicked
from letta_dashboards.traces import Backend

_BY = "letta_model_handle"
_LEGEND = "{{letta_model_handle}}"


def page(backend: Backend) -> Page:
    """The dashboard."""
    scope, links = Scope(), Links(backend)
    return Page(
        "letta-model",
        "Letta: one model, cost and cache",
        "What a model does: whether it fails, what it costs, how well its cache works, how fast it is.",
        [
            Row(
                "Is it failing?",
                [
                    failing.steps_that_went_wrong(scope, links),
                    failing.share_of_steps(scope, links),
                    spending.spent(scope, links),
                    _spent_a_step(scope, links),
                    spending.cache_hits(scope, links),
                    _without_a_price(scope, links),
                ],
            ),
            Row("What, since when?", [failing.by_error(scope, links), failing.share_by_model(scope, links)]),
            Row(
                "What does it cost?",
                [
                    spending.spent_an_hour(scope, links, _BY, _LEGEND, spans.MODEL),
                    _cost_of_a_step(scope, links),
                ],
            ),
            Row("Does the cache work?", [spending.cache_by_model(scope, links), _cache_writes(scope, links)]),
            Row("What does it read and write?", [spending.tokens(scope, links), _tokens_of_a_request(scope, links)]),
            Row("How fast is it?", [speed.requests(scope, links), _tokens_a_second(scope, links)]),
            Row(
                "Details",
                [
                    speed.context_window(scope, links),
                    speed.nearly_full(scope, links),
                    speed.without_usage(scope, links),
                    spending.steps_by_status(scope, links),
                ],
            ),
        ],
    )


def _spent_a_step(scope: Scope, links: Links) -> Panel:
    words = Words(
        "A thousand steps cost",
        "US dollars for a thousand steps at the mean of the time shown: what to compare models by.",
    )
    mean = f"1000 * {share(scope.increase(metrics.COST), scope.increase(metrics.STEPS))}"
    return number(words, scope.or_zero(mean), links.requests("LLM requests"), unit="currencyUSD", decimals=2)


def _without_a_price(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Models without a price",
        "Models that had tokens but no cost: this version knows no list price for them, so what they cost is missing "
        "here. Ask a newer version, or reckon it from the tokens.",
    )
    bought = f"group by ({_BY}) ({scope.of(metrics.TOKENS)})"
    missing = scope.or_zero(f"count({bought} unless group by ({_BY}) ({scope.of(metrics.COST)}))")
    return number(words, missing, links.requests("LLM requests"), levels=ANY_IS_BAD)


def _cost_of_a_step(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Cost of a step, by model",
        "Mean cost of a step. It creeps up as histories grow and jumps when the cache is lost.",
    )
    mean = share(scope.rate(metrics.COST, by=_BY), scope.rate(metrics.STEPS, by=_BY))
    behind = links.steps("Steps of it", clicked(spans.MODEL))
    return lines(words, [Series(mean, _LEGEND)], behind, unit="currencyUSD")


def _cache_writes(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Tokens to and from the cache",
        "Tokens read from and written to the provider's prompt cache. Much written and little read: every step "
        "starts a cache that nobody uses, which some providers charge for.",
        nothing="No model reported tokens of a cache in this time",
    )
    by = f"{_BY}, letta_token_type"
    grown = scope.increase(metrics.TOKENS, 'letta_token_type=~"cache_.+"', by=by, over=metrics.WINDOW)
    behind = links.steps("Steps of it", clicked(spans.MODEL))
    return lines(words, [Series(grown, f"{_LEGEND} {{{{letta_token_type}}}}")], behind)


def _tokens_of_a_request(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Tokens of a request, 95th percentile",
        "How large requests and replies get, by model. Dots are single requests: click one for its trace.",
    )
    by = "gen_ai_request_model, gen_ai_token_type"
    p95 = scope.quantile(0.95, metrics.TOKEN_USAGE, by=by)
    series = Series(p95, "{{gen_ai_request_model}} {{gen_ai_token_type}}", exemplars=True)
    return lines(words, [series], links.requests("Requests to it", clicked(spans.REQUEST_MODEL)))


def _tokens_a_second(scope: Scope, links: Links) -> Panel:
    words = Words(
        "Output tokens a second",
        "Tokens of replies for each second of waiting, by model: how fast it writes, the wait for the first token "
        "included. Lower while requests are no larger: the provider is slower.",
    )
    by = "gen_ai_request_model"
    written = scope.rate(metrics.TOKEN_USAGE, 'gen_ai_token_type="output"', by=by, suffix="_sum")
    pace = share(written, scope.rate(metrics.REQUEST_DURATION, by=by, suffix="_sum"))
    behind = links.requests("Requests to it", clicked(spans.REQUEST_MODEL))
    return lines(words, [Series(pace, "{{gen_ai_request_model}}")], behind)
