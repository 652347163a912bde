from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import grpc
import pytest
from export_samples import log_payload, payload
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from receivers import Fails, GrpcReceiver, HttpReceiver, log_records_of, says, spans_of

from bridge.export.answers import (
    Accepted,
    Answer,
    Denied,
    PartlyRejected,
    Refused,
    Retryable,
    Signal,
    TooLarge,
    Unsupported,
    Waiting,
)
from bridge.export.deliver import SIGNALS, Delivery, deliver
from bridge.export.endpoint import Endpoint
from bridge.export.sink import open_sink

Numbers = Sequence[int]

both = pytest.mark.parametrize("signal", [Signal.TRACES, Signal.LOGS])


class Backend:
    """A sink that judges each request by the numbers of its records, and remembers what it took."""

    def __init__(self, judge: Callable[[Numbers], Answer], signal: Signal = Signal.TRACES) -> None:
        self._judge = judge
        self._signal = signal
        self.asked: list[list[int]] = []
        self.taken: list[bytes] = []

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        assert signal is self._signal
        self.asked.append(numbers(payload, signal))
        answer = self._judge(self.asked[-1])
        if isinstance(answer, Accepted):
            self.taken += [record.SerializeToString() for record in records(payload, signal)]
        return answer

    async def close(self) -> None:
        pass


def records(request: bytes, signal: Signal = Signal.TRACES) -> Sequence[Span | LogRecord]:
    return spans_of(request) if signal is Signal.TRACES else log_records_of(request)


def numbers(request: bytes, signal: Signal = Signal.TRACES) -> list[int]:
    return [int.from_bytes(record.span_id, "big") for record in records(request, signal)]


def sample(many: int, signal: Signal = Signal.TRACES) -> bytes:
    return payload(many) if signal is Signal.TRACES else log_payload(many)


def originals(many: int, *, but: Numbers = (), signal: Signal = Signal.TRACES) -> list[bytes]:
    everything = records(sample(many, signal), signal)
    return [record.SerializeToString() for at, record in enumerate(everything, 1) if at not in but]


def refuses(*culprits: int, answer: Answer = Refused("bad")) -> Callable[[Numbers], Answer]:  # noqa: B008
    return lambda asked: answer if set(asked) & set(culprits) else Accepted()


async def spans_to(backend: Backend, request: bytes) -> Delivery:
    return await deliver(backend, Signal.TRACES, request)


@both
async def test_accepted_at_once(signal: Signal) -> None:
    backend = Backend(lambda _: Accepted(), signal)
    assert await deliver(backend, signal, sample(5, signal)) == Delivery(accepted=5)
    assert backend.asked == [[1, 2, 3, 4, 5]]


@both
async def test_the_same_bytes_are_sent(signal: Signal) -> None:
    async with HttpReceiver() as receiver:
        endpoint = Endpoint(url=receiver.url)
        sink = open_sink(endpoint, None, endpoint)
        await deliver(sink, signal, sample(5, signal))
        await sink.close()
    assert receiver.requests[0].body == sample(5, signal)


async def test_a_warning_is_passed_on() -> None:
    assert (await spans_to(Backend(lambda _: Accepted("upgrade")), payload(2))).warnings == ("upgrade",)


@both
@pytest.mark.parametrize("culprits", [(1,), (5,), (8,), (3, 4), (1, 8), (2, 4, 6, 8), tuple(range(1, 9))])
async def test_refused_is_bisected_to_the_culprits(culprits: tuple[int, ...], signal: Signal) -> None:
    backend = Backend(refuses(*culprits), signal)
    delivery = await deliver(backend, signal, sample(8, signal))
    assert (delivery.accepted, delivery.rejected) == (8 - len(culprits), len(culprits))
    assert delivery.waiting is None
    assert delivery.remaining == b""
    assert backend.taken == originals(8, but=culprits, signal=signal)
    kind = "span" if signal is Signal.TRACES else "event"
    assert [(letter.kind, letter.source, letter.reason) for letter in delivery.dead_letters] == [
        (kind, f"{number:016x}", "bad") for number in culprits
    ]
    assert [numbers(letter.payload, signal) for letter in delivery.dead_letters] == [[each] for each in culprits]


@both
async def test_a_dead_letters_kind_says_its_signal(signal: Signal) -> None:
    delivery = await deliver(Backend(refuses(1), signal), signal, sample(2, signal))
    some = await deliver(Backend(lambda _: PartlyRejected(1, "old"), signal), signal, sample(2, signal))
    kinds = {letter.kind for letter in (*delivery.dead_letters, *some.dead_letters)}
    assert kinds == {kind for kind, of in SIGNALS.items() if of is signal}


async def test_a_dead_letter_is_a_request_of_its_own() -> None:
    (letter,) = (await spans_to(Backend(refuses(2)), payload(3))).dead_letters
    whole, alone = (ExportTraceServiceRequest.FromString(one) for one in (payload(3), letter.payload))
    assert alone.resource_spans[0].resource == whole.resource_spans[0].resource
    assert alone.resource_spans[0].scope_spans[0].scope == whole.resource_spans[0].scope_spans[0].scope
    assert spans_of(letter.payload) == [spans_of(payload(3))[1]]


async def test_one_bad_span_of_many_costs_few_requests() -> None:
    backend = Backend(refuses(77))
    await spans_to(backend, payload(512))
    assert len(backend.asked) == 1 + 2 * 9 + 1, "halves, and the culprit once more"


async def test_too_large_is_halved_until_it_passes() -> None:
    backend = Backend(lambda asked: TooLarge("big") if len(asked) > 3 else Accepted())
    assert await spans_to(backend, payload(10)) == Delivery(accepted=10)
    assert backend.taken == originals(10)


async def test_a_single_span_that_is_too_large_is_a_dead_letter() -> None:
    delivery = await spans_to(Backend(refuses(4, answer=TooLarge("over 4 MiB"))), payload(6))
    assert (delivery.accepted, delivery.rejected) == (5, 1)
    assert [(letter.kind, letter.reason) for letter in delivery.dead_letters] == [("span", "over 4 MiB")]


@both
async def test_partly_rejected_keeps_all_since_nobody_says_which(signal: Signal) -> None:
    backend = Backend(lambda _: PartlyRejected(2, "too old"), signal)
    delivery = await deliver(backend, signal, sample(5, signal))
    assert (delivery.accepted, delivery.rejected) == (3, 2)
    (letter,) = delivery.dead_letters
    assert (letter.kind[-1], letter.reason) == ("s", "2 of 5 rejected: too old")
    assert letter.payload == sample(5, signal)
    assert letter.source == f"{1:016x}..{5:016x}"


@pytest.mark.parametrize("rejected", [3, 999])
async def test_all_rejected_is_a_dead_letter_for_each(rejected: int) -> None:
    delivery = await spans_to(Backend(lambda _: PartlyRejected(rejected, "too old")), payload(3))
    assert (delivery.accepted, delivery.rejected) == (0, 3)
    assert [(letter.kind, numbers(letter.payload)) for letter in delivery.dead_letters] == [
        ("span", [1]),
        ("span", [2]),
        ("span", [3]),
    ]


@both
@pytest.mark.parametrize("waiting", [Retryable("busy", 7.0), Denied("no key"), Unsupported("404")])
async def test_waiting_keeps_the_payload_as_it_is(waiting: Waiting, signal: Signal) -> None:
    delivery = await deliver(Backend(lambda _: waiting, signal), signal, sample(4, signal))
    assert delivery == Delivery(waiting=waiting, remaining=sample(4, signal))


@both
@pytest.mark.parametrize("asked_before_the_pause", range(13))
async def test_a_pause_anywhere_loses_and_repeats_nothing(asked_before_the_pause: int, signal: Signal) -> None:
    pauses = iter([False] * asked_before_the_pause + [True] + [False] * 100)
    judge = refuses(3, 6)
    backend = Backend(lambda asked: Retryable("busy") if next(pauses) else judge(asked), signal)
    first = await deliver(backend, signal, sample(8, signal))
    assert first.waiting == Retryable("busy")
    rest = await deliver(backend, signal, first.remaining)
    assert backend.taken == originals(8, but=(3, 6), signal=signal)
    assert [letter.source[-1] for letter in (*first.dead_letters, *rest.dead_letters)] == ["3", "6"]
    assert (first.accepted + rest.accepted, first.rejected + rest.rejected) == (6, 2)
    assert rest.waiting is None


async def test_spans_of_several_resources_and_scopes_stay_where_they_belong() -> None:
    request = ExportTraceServiceRequest.FromString(payload(3))
    request.resource_spans.append(ExportTraceServiceRequest.FromString(payload(7)).resource_spans[0])
    del request.resource_spans[1].scope_spans[0].spans[:3]
    request.resource_spans[1].scope_spans[0].scope.name = "another"
    backend = Backend(refuses(3, 4))
    delivery = await spans_to(backend, request.SerializeToString())
    assert backend.taken == originals(7, but=(3, 4))
    kept = [ExportTraceServiceRequest.FromString(letter.payload) for letter in delivery.dead_letters]
    assert [
        [scope.scope.name for group in one.resource_spans for scope in group.scope_spans if scope.spans]
        for one in kept
    ] == [["letta-otel-bridge"], ["another"]]


@pytest.mark.parametrize("answer", [Accepted(), Refused("empty"), PartlyRejected(1, "odd")])
async def test_a_payload_without_spans_is_done(answer: Answer) -> None:
    assert await spans_to(Backend(lambda _: answer), b"") == Delivery()


async def test_over_a_real_connection() -> None:
    async with HttpReceiver() as receiver:
        sink = open_sink(Endpoint(url=receiver.url))
        receiver.answer(says(413), says(200), says(503, retry_after="3"))
        first = await deliver(sink, Signal.TRACES, payload(4))
        rest = await deliver(sink, Signal.TRACES, first.remaining)
        await sink.close()
    assert isinstance(first.waiting, Retryable)
    assert first.waiting.retry_after == 3
    assert (first.accepted, rest.accepted) == (2, 2)
    assert [numbers(request.body) for request in receiver.requests] == [[1, 2, 3, 4], [1, 2], [3, 4], [3, 4]]


async def test_all_rejected_may_mean_too_many_and_then_halves_are_taken() -> None:
    backend = Backend(lambda asked: PartlyRejected(len(asked), "HTTP 413") if len(asked) > 2 else Accepted())
    delivery = await spans_to(backend, payload(7))
    assert delivery == Delivery(accepted=7)
    assert backend.taken == originals(7)


# An endpoint that refuses everything, and one that hiccups


@both
@pytest.mark.parametrize("refusal", [Refused("answered 400"), TooLarge("answered 413")])
async def test_an_endpoint_that_refuses_everything_is_waited_for(refusal: Answer, signal: Signal) -> None:
    backend = Backend(lambda _: refusal, signal)
    delivery = await deliver(backend, signal, sample(512, signal))
    assert isinstance(delivery.waiting, Denied)
    assert delivery.waiting.reason.endswith("; the endpoint refuses everything, also an empty request")
    assert delivery.remaining == sample(512, signal)
    assert (delivery.dead_letters, delivery.rejected) == ((), 0)
    assert len(backend.asked) == 10 + 1, "down to one alone, then an empty one"


async def test_the_empty_request_has_the_resource_of_the_others() -> None:
    async with HttpReceiver().answer(*[says(400)] * 3) as receiver:
        sink = open_sink(Endpoint(url=receiver.url))
        await deliver(sink, Signal.TRACES, payload(2))
        await sink.close()
    whole, _, empty = (ExportTraceServiceRequest.FromString(request.body) for request in receiver.requests)
    assert empty.resource_spans[0].resource == whole.resource_spans[0].resource
    assert not empty.resource_spans[0].scope_spans[0].spans


async def test_it_goes_on_where_it_stopped_once_the_endpoint_takes_things_again() -> None:
    broken = iter([True] * 6)
    backend = Backend(lambda _: Refused("answered 400") if next(broken, False) else Accepted())
    first = await spans_to(backend, payload(8))
    assert isinstance(first.waiting, Denied)
    assert await spans_to(backend, first.remaining) == Delivery(accepted=8)


async def test_what_the_backend_took_before_speaks_for_the_endpoint() -> None:
    backend = Backend(lambda asked: Refused("bad") if 4 in asked or not asked else Accepted())
    delivery = await spans_to(backend, payload(4))
    assert (delivery.accepted, [letter.source[-1] for letter in delivery.dead_letters]) == (3, ["4"])


async def test_nothing_but_bad_records_costs_one_empty_request() -> None:
    backend = Backend(refuses(1, 2, 3, 4))
    await spans_to(backend, payload(4))
    assert backend.asked.count([]) == 1


@pytest.mark.parametrize("hiccup", range(20))
async def test_one_hiccup_condemns_nothing_whenever_it_comes(hiccup: int) -> None:
    at = count()
    judge = refuses(3, answer=TooLarge("big"))
    backend = Backend(lambda asked: Refused("INTERNAL") if next(at) == hiccup else judge(asked))
    delivery = await spans_to(backend, payload(8))
    while delivery.waiting:  # the empty request was what it hit
        delivery = await spans_to(backend, delivery.remaining)
    assert backend.taken == originals(8, but=(3,))


@both
@pytest.mark.parametrize("waiting", [Retryable("busy", 7.0), Denied("no key"), Unsupported("404")])
@pytest.mark.parametrize("asked", ["the empty request", "the second time"])
async def test_the_last_question_may_have_to_wait(waiting: Waiting, asked: str, signal: Signal) -> None:
    answers = iter([Refused("bad"), *([] if asked == "the empty request" else [Accepted()]), waiting])
    delivery = await deliver(Backend(lambda _: next(answers), signal), signal, sample(1, signal))
    assert delivery == Delivery(waiting=waiting, remaining=sample(1, signal))


async def test_the_count_of_a_partial_success_is_not_asked_again() -> None:
    backend = Backend(lambda _: PartlyRejected(1, "old"))
    assert (await spans_to(backend, payload(1))).rejected == 1
    assert backend.asked == [[1]]


async def test_over_http_a_wrong_port_costs_no_span() -> None:
    async with HttpReceiver().answer(*[says(400, b"what is this")] * 100) as other:
        url = f"{other.url}/v1/traces"
        sink = open_sink(Endpoint(url=url))
        delivery = await deliver(sink, Signal.TRACES, payload(100))
        await sink.close()
    assert (delivery.rejected, delivery.remaining) == (0, payload(100))
    assert delivery.waiting == Denied(
        f"{url} answered 400: what is this; the endpoint refuses everything, also an empty request"
    )
    assert len(other.requests) == 7 + 1


@both
@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL])
async def test_over_grpc_a_fault_of_the_server_costs_nothing(code: grpc.StatusCode, signal: Signal) -> None:
    async with GrpcReceiver().answer(Fails(code), Fails(code)) as receiver:
        endpoint = Endpoint(url=receiver.url, protocol="grpc")
        sink = open_sink(endpoint, None, endpoint)
        assert await deliver(sink, signal, sample(2, signal)) == Delivery(accepted=2)
        await sink.close()
