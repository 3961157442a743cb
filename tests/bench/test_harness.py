"""The benchmark's own parts, on a few requests: upstream, pass-through, and a load that notices a bad answer."""

import threading
from collections.abc import Iterator

import pytest

from bench import wire
from bench.load import Outcome, Plan, flaw, prepared
from bench.measures import PassThrough, RequestsFailed, Row, interleaved, sample
from bench.processes import cpu_seconds, free_port, resident_bytes, running
from bench.profile import Profile
from bench.report import table


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    port = free_port()
    with running("bench.upstream", port):
        yield port


@pytest.fixture(scope="module")
def limit(upstream: int) -> Iterator[PassThrough]:
    port = free_port()
    with running("bench.passthrough", port, str(upstream)) as pid:
        yield PassThrough(port, pid)


def fire(plan: Plan) -> Outcome:
    with prepared(plan) as load:
        return load.fire()


@pytest.mark.parametrize("kind", wire.KINDS)
def test_every_request_is_answered_whole(limit: PassThrough, kind: str) -> None:
    outcome = fire(Plan(limit.port, kind, limit.model(kind), clients=3, requests=8))

    assert (outcome.answered, outcome.failed, outcome.failures) == (8, 0, [])
    assert len(outcome.latencies) == 8
    assert outcome.percentile(0.5) <= outcome.percentile(0.99)


def test_a_paced_stream_takes_as_long_as_its_chunks_are_apart(upstream: int) -> None:
    outcome = fire(Plan(upstream, "paced", wire.KINDS["paced"].model, clients=1, requests=1))

    assert outcome.percentile(0.5) == pytest.approx((wire.CHUNKS - 1) * wire.PACE, rel=0.3)


def test_the_upstream_keeps_the_ids_that_the_gateway_does_not_mint(upstream: int) -> None:
    outcome = fire(Plan(upstream, "chat", wire.KINDS["chat"].model, clients=1, requests=2))

    assert outcome.request_ids == ["req_bench", "req_bench"]


def test_a_load_that_dies_says_how(upstream: int) -> None:
    with prepared(Plan(upstream, "paced", wire.KINDS["paced"].model, clients=1, requests=100)) as load:
        threading.Timer(0.3, load.kill).start()
        with pytest.raises(RuntimeError, match="ended with status -9, 0 bytes into its outcome"):
            load.fire()


def test_an_answer_that_is_no_success_is_a_failure_with_its_reason(limit: PassThrough) -> None:
    outcome = fire(Plan(limit.port, "chat", "no such model", clients=2, requests=4))

    assert (outcome.answered, outcome.failed) == (0, 4)
    assert "status 400" in outcome.failures[0]


def test_a_stream_instead_of_a_whole_answer_is_a_failure() -> None:
    assert "not the upstream's answer" in flaw(wire.KINDS["chat"], 200, b"".join(wire.events("m", usage=True)))


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"".join(wire.events("m", usage=False)), ""),
        (b"".join(wire.events("m", usage=True)), ""),
        (b"".join(wire.events("m", usage=False)[:-1]), "broke off"),
        (b"".join(wire.events("m", usage=False)[1:]), "99 chunks"),
    ],
)
def test_a_stream_must_hold_every_chunk_and_its_end(body: bytes, wrong: str) -> None:
    found = flaw(wire.KINDS["burst"], 200, body)

    assert wrong in found if wrong else not found


def test_samples_are_taken_in_turn_and_hold_cpu_and_latency(limit: PassThrough) -> None:
    samples = interleaved([limit, limit], "chat", clients=2, requests=20, rounds=2)

    assert [len(taken) for taken in samples] == [2, 2]
    assert all(each.cpu > 0 and each.p50 > 0 for taken in samples for each in taken)


def test_a_measurement_hides_no_failed_request(limit: PassThrough) -> None:
    class Misnamed(PassThrough):
        def model(self, kind: str) -> str:
            return "no such model"

    with pytest.raises(RequestsFailed, match=r"4 of 4 requests .* status 400"):
        sample(Misnamed(limit.port, limit.pid), "chat", clients=1, requests=4)


def test_cpu_time_is_of_other_processes_and_fine_grained(limit: PassThrough) -> None:
    before = cpu_seconds([limit.pid])
    fire(Plan(limit.port, "chat", limit.model("chat"), clients=1, requests=3))

    assert 0 < cpu_seconds([limit.pid]) - before < 0.5
    assert resident_bytes([limit.pid]) > 10_000_000


def test_a_profile_counts_own_and_cumulative_samples_without_starts_and_waits() -> None:
    loop = "Runner.run (asyncio/runners.py:86)"
    stacks = [
        f"main;{loop} 6",
        f"main;{loop};serve;parse 3",
        f"main;{loop};serve 2",
        f"main;{loop};write 5",
        "thread;begin;move 4",
        "thread;begin;Condition.wait (threading.py:295) 100",
    ]

    profile = Profile.of(stacks)

    assert profile.own == {"parse": 3, "serve": 2, "write": 5, "move": 4, loop: 6}
    assert profile.cumulative == {"serve": 5, "parse": 3, "write": 5}
    assert "25.0%    50.0 µs  write" in profile.text(0.2, top=3)


def test_the_table_says_which_figure_is_over() -> None:
    rows = [
        Row("CPU", "ms", 0.4, 0.1, 4.0, must=3, aim=2),
        Row("latency", "ms", 0.25, 0.1, 2.5, must=3, aim=2),
        Row("memory", "MB", 120, None, 120, must=170, aim=130),
    ]

    heading, *lines = table(rows).splitlines()

    assert heading.split()[:3] == ["what", "gateway", "pass-through"]
    assert [line.split()[-1] for line in lines] == ["over", "ok", "aim"]
