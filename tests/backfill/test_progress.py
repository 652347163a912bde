"""What is shown where there is no terminal."""

import io

from backfill_world import START

from bridge.backfill.progress import Lines
from bridge.backfill.tally import Tally

NS = 1_000_000_000


class Watch:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_line_every_ten_seconds_with_an_estimate_from_what_was_sent() -> None:
    stream, watch = io.StringIO(), Watch()
    lines = Lines(stream, watch)
    tally = Tally()
    for second in range(60):
        watch.time = 100.0 + second
        if second >= 15:  # until then Letta was away
            tally.position_ns = round((START - second) * NS)
            tally.share = 0.5 + 0.01 * (second - 15)  # half of it was there already
            tally.runs, tally.spans, tally.requests = second, 3 * second, 5 * second
        lines.show(tally)
    shown = stream.getvalue().splitlines()
    assert len(shown) == 5
    assert shown[1] == (
        "backfill:  60% of the time, down to 2027-01-15 07:59:35Z:"
        " 25 runs, 0 steps, 75 spans sent with 125 requests, about 00:40 left"
    )
    assert all(len(line) < 140 for line in shown)


def test_what_is_said_is_a_line_of_its_own() -> None:
    stream = io.StringIO()
    Lines(stream, Watch()).say("goes on")
    assert stream.getvalue() == "backfill: goes on\n"
