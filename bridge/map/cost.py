"""What the tokens of an LLM request cost by its provider's list price, in US dollars.

The prices are those that the installed `genai-prices` brings along; nothing is ever fetched. They are read with the
first request that may have one, which takes a tenth of a second and 6 MB. What has no price is None: a model nobody
lists, one that runs on the user's own machines (its endpoint has a private address or a bare name), counts that
contradict each other.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address
from math import lcm
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from bridge.map import genai
from bridge.map.usage import Usage
from bridge.source.models import Step

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_NS: Final = 1_000_000_000
_OWN_DOMAINS: Final = (".internal", ".lan", ".local", ".localhost", ".svc")


class _Line(NamedTuple):
    """Between two tiers a price is linear in the counts: what the request costs, and one token of each kind.

    Whole numbers, of which so many are a dollar: a sum of them is as exact as one of decimals, and takes less.
    """

    dollar: int
    request: int
    input: int
    cache_read: int
    cache_write: int
    output: int

    def dollars(self, usage: Usage) -> float | None:
        """The price of these tokens."""
        read, write = usage.cache_read or 0, usage.cache_write or 0
        fresh, output = (usage.input or 0) - read - write, usage.output or 0
        if fresh < 0 or read < 0 or write < 0 or output < 0:
            return None
        tokens = fresh * self.input + read * self.cache_read + write * self.cache_write + output * self.output
        return (self.request + tokens) / self.dollar


class _Card(NamedTuple):
    """A model's prices at one time: a line up to each tier's start, and one past the last."""

    tiers: tuple[int, ...]
    lines: tuple[_Line, ...]


_cards: Final[dict[int, _Card | None]] = {}  # by identity: the table lives as long as the process


def usd(step: Step, usage: Usage, at_ns: int) -> float | None:
    """The price of the step's tokens.

    Args:
        step: names the model, the provider and the endpoint.
        usage: its tokens; those read from and written to the cache are part of the input.
        at_ns: when the request was made, nanoseconds since the epoch: prices change.
    """
    model = _model(step.provider_name, step.model_endpoint, step.model)
    if model is None:
        return None
    prices = model.prices  # most models have one price for all times
    card = _card(_prices_at(model, at_ns) if isinstance(prices, list) else prices)
    return card.lines[bisect_left(card.tiers, usage.input or 0)].dollars(usage) if card else None


@lru_cache(maxsize=1024)
def _model(provider_name: str | None, endpoint: str | None, model: str | None) -> ModelInfo | None:
    """Where the request went tells the provider better than the name, which may be the user's own."""
    url, (host, _) = _bare(endpoint), genai.server(endpoint)
    if not model or (host and _is_own(host)):
        return None
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - slow to import, and not always needed

    prices = get_snapshot()

    def provider(name: str | None, at: str | None) -> Provider | None:
        try:
            return prices.find_provider(None, name, at) if name or at else None
        except LookupError:
            return None

    for found in (provider(None, url), provider(provider_name, None)):
        if found and (known := found.find_model(model, all_providers=prices.providers)):
            return known
    return None


def _prices_at(model: ModelInfo, at_ns: int) -> ModelPrice:
    return model.get_prices(datetime.fromtimestamp(at_ns // _NS, UTC))


def _bare(endpoint: str | None) -> str | None:
    """The endpoint without what may be a secret in it."""
    host, _ = genai.server(endpoint)
    if not host or not endpoint:
        return None
    return f"https://{host}{urlsplit(endpoint if '://' in endpoint else f'//{endpoint}').path}"


def _is_own(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:  # a name
        return "." not in host or host.endswith(_OWN_DOMAINS)


def _card(prices: ModelPrice) -> _Card | None:
    """Asked of the package once: a call of it takes longer than all else that is made of a step."""
    if id(prices) not in _cards:
        try:
            _cards[id(prices)] = _read_card(prices)
        except ValueError:  # prices that do not fit together
            _cards[id(prices)] = None
    return _cards[id(prices)]


def _read_card(prices: ModelPrice) -> _Card:
    from genai_prices.types import TieredPrices  # noqa: PLC0415 - as above

    tiered = [price for price in vars(prices).values() if isinstance(price, TieredPrices)]
    tiers = tuple(sorted({tier.start for price in tiered for tier in price.tiers}))
    return _Card(tiers, tuple(_read_line(prices, start + 1) for start in (0, *tiers)))


def _read_line(prices: ModelPrice, tokens: int) -> _Line:
    """The line that holds for so many input tokens and a few more, by what one more of each kind adds."""
    from genai_prices import Usage as Counts  # noqa: PLC0415 - as above

    def total(**counts: int) -> Decimal:
        return prices.calc_price(Counts(**counts))["total_price"]

    base = total(input_tokens=tokens)
    one = total(input_tokens=tokens + 1) - base
    parts = (
        base - tokens * one,
        one,
        total(input_tokens=tokens + 1, cache_read_tokens=1) - base,
        total(input_tokens=tokens + 1, cache_write_tokens=1) - base,
        total(input_tokens=tokens, output_tokens=1) - base,
    )
    fractions = [price.as_integer_ratio() for price in parts]
    dollar = lcm(*(denominator for _, denominator in fractions))
    return _Line(dollar, *(numerator * (dollar // denominator) for numerator, denominator in fractions))
