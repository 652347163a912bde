"""What a person sees while a backfill runs: a bar on a terminal, else a line every ten seconds.

How many runs there are nobody knows before the end of the list, so the scale is time: from when to when it goes, and
how far down it is. The estimate of the end supposes that the runs are spread evenly over it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final, Never, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bridge.backfill.bounds import when
from bridge.backfill.tally import Progress, Tally

_EVERY: Final = 10.0  # seconds between two lines
_NS: Final = 1_000_000_000
_BAR: Final = "{percentage:3.0f}% |{bar}| {desc} [{elapsed}, {remaining} left]"


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO, now: Callable[[], float]) -> None:
        """Write to `stream`, by a clock in seconds."""
        self._stream = stream
        self._now = now
        self._last = now()
        self._began: tuple[float, float] | None = None  # when the first was sent, and the share then

    def show(self, tally: Tally) -> None:
        """See `Progress`."""
        now = self._now()
        if self._began is None and tally.spans:
            self._began = now, tally.share
        if tally.position_ns and now - self._last >= _EVERY:
            self._last = now
            self.say(_line(tally) + self._left(now, tally.share))

    def say(self, line: str) -> None:
        """See `Progress`."""
        print(f"backfill: {line}", file=self._stream, flush=True)

    def _left(self, now: float, share: float) -> str:
        """An estimate from what was sent, since what is passed by takes no time."""
        since, at = self._began or (now, share)
        if share <= at:
            return ""
        return f", about {tqdm.format_interval((now - since) * (1 - share) / (share - at))} left"


class Bar:
    """A bar on a terminal, with what is said and logged above it."""

    def __init__(self, bar: tqdm[Never]) -> None:
        """Move this bar, whose total is 1."""
        self._bar = bar

    def show(self, tally: Tally) -> None:
        """See `Progress`."""
        down_to = when(tally.position_ns / _NS)[:16] if tally.position_ns else "waiting"
        self._bar.set_description_str(
            f"{down_to}, {tally.runs} runs, {tally.steps} steps, {tally.spans} spans", refresh=False
        )
        self._bar.update(max(0.0, tally.share - self._bar.n))
        self._bar.refresh()

    def say(self, line: str) -> None:
        """See `Progress`."""
        self._bar.write(f"backfill: {line}", file=self._bar.fp)


@contextlib.contextmanager
def shown(stream: TextIO, now: Callable[[], float]) -> Iterator[Progress]:
    """Progress on a stream, in the way that suits it."""
    if not stream.isatty() or not os.get_terminal_size(stream.fileno()).columns:  # some terminals have no size
        yield Lines(stream, now)
        return
    with (
        logging_redirect_tqdm(),
        tqdm(total=1.0, file=stream, bar_format=_BAR, dynamic_ncols=True, leave=False) as bar,
    ):
        yield Bar(bar)


def _line(tally: Tally) -> str:
    done = f"{tally.runs} runs, {tally.steps} steps, {tally.spans} spans sent with {tally.requests} requests"
    return f"{tally.share:4.0%} of the time, down to {when(tally.position_ns / _NS)}: {done}"
