"""Delta temporality: what a backend has not been told yet of each total.

The ledger knows what the exports before add up to and until when they reached; a difference begins there, so that
between two points of a series there is neither gap nor overlap, and all points together make the total. Sums of
floating numbers are compared with what a backend has by adding up, so that rounding errors never pile up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.ledger.ledger import Told
from bridge.map.instruments import CATALOGUE, Kind
from bridge.map.series import SeriesKey
from bridge.map.totals import Total


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be told of one series.

    Attributes:
        added: what it counted since then.
        since_ns: until when it was told of before, nanoseconds since the epoch.
        whole: what the backend has been told together, once it has this too.
    """

    added: Total
    since_ns: int
    whole: Total


def differences(totals: Mapping[SeriesKey, Total], told: Told) -> dict[SeriesKey, Difference]:
    """Of every series that moved; one of an instrument that this version does not know waits for one that does."""
    found: dict[SeriesKey, Difference] = {}
    for key, total in totals.items():
        before, since_ns = told.series.get(key, (Total(), told.until_ns))
        if key[0] in CATALOGUE and (total.count, total.buckets) != (before.count, before.buckets):
            added = minus(total, before, monotonic=CATALOGUE[key[0]].kind is Kind.COUNTER)
            whole = Total(sum=before.sum + added.sum, count=total.count, buckets=total.buckets)
            found[key] = Difference(added, since_ns, whole)
    return found


def minus(total: Total, before: Total, *, monotonic: bool = True) -> Total:
    """What came to `before` to make `total`."""
    rest = total.sum - before.sum
    earlier = before.buckets or (0,) * len(total.buckets)
    return Total(
        sum=max(0, rest) if monotonic else rest,  # a rounding error must not make a counter fall
        count=total.count - before.count,
        buckets=tuple(one - other for one, other in zip(total.buckets, earlier, strict=True)),
    )
