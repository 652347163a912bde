from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from export_samples import payload
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from receivers import HttpReceiver, says, spans_of

from bridge.export.answers import Accepted, Answer, Denied, PartlyRejected, Refused, Retryable, Signal, TooLarge
from bridge.export.deliver import Delivery, deliver
from bridge.export.endpoint import Endpoint
from bridge.export.sink import open_sink

Numbers = Sequence[int]


class Backend:
    """A sink that judges each request by the numbers of its spans, and remembers what it took."""

    def __init__(self, judge: Callable[[Numbers], Answer]) -> None:
        self._judge = judge
        self.asked: list[list[int]] = []
        self.taken: list[bytes] = []

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        assert signal is Signal.TRACES
        self.asked.append(numbers(payload))
        answer = self._judge(self.asked[-1])
        if isinstance(answer, Accepted):
            self.taken += [span.SerializeToString() for span in spans_of(payload)]
        return answer

    async def close(self) -> None:
        pass


def numbers(payload: bytes) -> list[int]:
    return [int.from_bytes(span.span_id, "big") for span in spans_of(payload)]


def originals(count: int, *, but: Numbers = ()) -> list[bytes]:
    return [span.SerializeToString() for at, span in enumerate(spans_of(payload(count)), 1) if at not in but]


def refuses(*culprits: int, answer: Answer = Refused("bad")) -> Callable[[Numbers], Answer]:  # noqa: B008
    return lambda asked: answer if set(asked) & set(culprits) else Accepted()


async def test_accepted_at_once() -> None:
    backend = Backend(lambda _: Accepted())
    assert await deliver(backend, payload(5)) == Delivery(accepted=5)
    assert backend.asked == [[1, 2, 3, 4, 5]]


async def test_the_same_bytes_are_sent() -> None:
    async with HttpReceiver() as receiver:
        sink = open_sink(Endpoint(url=receiver.url), None)
        await deliver(sink, payload(5))
        await sink.close()
    assert receiver.requests[0].body == payload(5)


async def test_a_warning_is_passed_on() -> None:
    assert (await deliver(Backend(lambda _: Accepted("upgrade")), payload(2))).warnings == ("upgrade",)


@pytest.mark.parametrize("culprits", [(1,), (5,), (8,), (3, 4), (1, 8), (2, 4, 6, 8), tuple(range(1, 9))])
async def test_refused_is_bisected_to_the_culprits(culprits: tuple[int, ...]) -> None:
    backend = Backend(refuses(*culprits))
    delivery = await deliver(backend, payload(8))
    assert (delivery.accepted, delivery.rejected) == (8 - len(culprits), len(culprits))
    assert delivery.waiting is None
    assert delivery.remaining == b""
    assert backend.taken == originals(8, but=culprits)
    assert [(letter.kind, letter.source, letter.reason) for letter in delivery.dead_letters] == [
        ("span", f"{number:016x}", "bad") for number in culprits
    ]
    assert [numbers(letter.payload) for letter in delivery.dead_letters] == [[number] for number in culprits]


async def test_a_dead_letter_is_a_request_of_its_own() -> None:
    (letter,) = (await deliver(Backend(refuses(2)), payload(3))).dead_letters
    whole, alone = (ExportTraceServiceRequest.FromString(one) for one in (payload(3), letter.payload))
    assert alone.resource_spans[0].resource == whole.resource_spans[0].resource
    assert alone.resource_spans[0].scope_spans[0].scope == whole.resource_spans[0].scope_spans[0].scope
    assert spans_of(letter.payload) == [spans_of(payload(3))[1]]


async def test_one_bad_span_of_many_costs_few_requests() -> None:
    backend = Backend(refuses(77))
    await deliver(backend, payload(512))
    assert len(backend.asked) == 1 + 2 * 9


async def test_too_large_is_halved_until_it_passes() -> None:
    backend = Backend(lambda asked: TooLarge("big") if len(asked) > 3 else Accepted())
    assert await deliver(backend, payload(10)) == Delivery(accepted=10)
    assert backend.taken == originals(10)


async def test_a_single_span_that_is_too_large_is_a_dead_letter() -> None:
    delivery = await deliver(Backend(refuses(4, answer=TooLarge("over 4 MiB"))), payload(6))
    assert (delivery.accepted, delivery.rejected) == (5, 1)
    assert [(letter.kind, letter.reason) for letter in delivery.dead_letters] == [("span", "over 4 MiB")]


async def test_partly_rejected_keeps_all_since_nobody_says_which() -> None:
    delivery = await deliver(Backend(lambda _: PartlyRejected(2, "too old")), payload(5))
    assert (delivery.accepted, delivery.rejected) == (3, 2)
    (letter,) = delivery.dead_letters
    assert (letter.kind, letter.reason) == ("spans", "2 of 5 rejected: too old")
    assert letter.payload == payload(5)
    assert letter.source == f"{1:016x}..{5:016x}"


@pytest.mark.parametrize("rejected", [3, 999])
async def test_all_rejected_is_a_dead_letter_for_each(rejected: int) -> None:
    delivery = await deliver(Backend(lambda _: PartlyRejected(rejected, "too old")), payload(3))
    assert (delivery.accepted, delivery.rejected) == (0, 3)
    assert [(letter.kind, numbers(letter.payload)) for letter in delivery.dead_letters] == [
        ("span", [1]),
        ("span", [2]),
        ("span", [3]),
    ]


@pytest.mark.parametrize("waiting", [Retryable("busy", 7.0), Denied("no key")])
async def test_waiting_keeps_the_payload_as_it_is(waiting: Retryable | Denied) -> None:
    assert await deliver(Backend(lambda _: waiting), payload(4)) == Delivery(waiting=waiting, remaining=payload(4))


@pytest.mark.parametrize("asked_before_the_pause", range(11))
async def test_a_pause_anywhere_loses_and_repeats_nothing(asked_before_the_pause: int) -> None:
    pauses = iter([False] * asked_before_the_pause + [True] + [False] * 100)
    judge = refuses(3, 6)
    backend = Backend(lambda asked: Retryable("busy") if next(pauses) else judge(asked))
    first = await deliver(backend, payload(8))
    assert first.waiting == Retryable("busy")
    rest = await deliver(backend, first.remaining)
    assert backend.taken == originals(8, but=(3, 6))
    assert [letter.source[-1] for letter in (*first.dead_letters, *rest.dead_letters)] == ["3", "6"]
    assert (first.accepted + rest.accepted, first.rejected + rest.rejected) == (6, 2)
    assert rest.waiting is None


async def test_spans_of_several_resources_and_scopes_stay_where_they_belong() -> None:
    request = ExportTraceServiceRequest.FromString(payload(3))
    request.resource_spans.append(ExportTraceServiceRequest.FromString(payload(7)).resource_spans[0])
    del request.resource_spans[1].scope_spans[0].spans[:3]
    request.resource_spans[1].scope_spans[0].scope.name = "another"
    backend = Backend(refuses(3, 4))
    delivery = await deliver(backend, request.SerializeToString())
    assert backend.taken == originals(7, but=(3, 4))
    kept = [ExportTraceServiceRequest.FromString(letter.payload) for letter in delivery.dead_letters]
    assert [
        [scope.scope.name for group in one.resource_spans for scope in group.scope_spans if scope.spans]
        for one in kept
    ] == [["letta-otel-bridge"], ["another"]]


@pytest.mark.parametrize("answer", [Accepted(), Refused("empty"), PartlyRejected(1, "odd")])
async def test_a_payload_without_spans_is_done(answer: Answer) -> None:
    assert await deliver(Backend(lambda _: answer), b"") == Delivery()


async def test_over_a_real_connection() -> None:
    async with HttpReceiver() as receiver:
        sink = open_sink(Endpoint(url=receiver.url), None)
        receiver.answer(says(413), says(200), says(503, retry_after="3"))
        first = await deliver(sink, payload(4))
        rest = await deliver(sink, first.remaining)
        await sink.close()
    assert isinstance(first.waiting, Retryable)
    assert first.waiting.retry_after == 3
    assert (first.accepted, rest.accepted) == (2, 2)
    assert [numbers(request.body) for request in receiver.requests] == [[1, 2, 3, 4], [1, 2], [3, 4], [3, 4]]


async def test_all_rejected_may_mean_too_many_and_then_halves_are_taken() -> None:
    backend = Backend(lambda asked: PartlyRejected(len(asked), "HTTP 413") if len(asked) > 2 else Accepted())
    delivery = await deliver(backend, payload(7))
    assert delivery == Delivery(accepted=7)
    assert backend.taken == originals(7)
