"""Series of measurements, and those of them that are measured together."""

from __future__ import annotations

from bridge.map.instruments import CATALOGUE, Instrument

AttributeValue = str | bool | int | float | tuple[str, ...]
AttributeSet = tuple[tuple[str, AttributeValue], ...]  # sorted by name, so that equal sets are equal
SeriesKey = tuple[str, AttributeSet]  # the instrument goes first


class SeriesGroup:
    """Series that get their values together, a dozen for each step: they are looked up once for all of them.

    Compared by identity, for a key takes long to hash. Two groups may name the same series.

    Attributes:
        keys: of the series.
        instruments: theirs, at the same places.
    """

    __slots__ = ("instruments", "keys")

    def __init__(self, *keys: SeriesKey) -> None:
        """Look up the instruments.

        Raises:
            KeyError: one is not in the catalogue.
        """
        self.keys = keys
        self.instruments: tuple[Instrument, ...] = tuple(CATALOGUE[name] for name, _ in keys)
