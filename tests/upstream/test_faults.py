"""The fake provider does what it is told, and tells what it saw: the other tests rest on that."""

from collections.abc import Iterator

import httpx
import pytest

from tests.upstream import Upstream

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


def test_behaviours_are_used_up_one_by_one_and_the_last_stays(upstream: Upstream) -> None:
    upstream.behave("m", {"status": 500}, {"status": 429, "headers": {"retry-after": "3"}}, {})
    answers = [upstream.http.post(CHAT, json={"model": "m"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [500, 429, 200, 200]
    assert answers[1].headers["retry-after"] == "3"


def test_behaviours_may_begin_anew(upstream: Upstream) -> None:
    upstream.behave("o", {"status": 500}, {}, {}, cycle=True)
    answers = [upstream.http.post(CHAT, json={"model": "o"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [500, 200, 200, 500, 200, 200]


def test_a_models_name_can_tell_the_behaviour(upstream: Upstream) -> None:
    answer = upstream.http.post(CHAT, json={"model": "x?status=418&headers.x-tea=pot"})
    assert (answer.status_code, answer.headers["x-tea"]) == (418, "pot")


def test_scenes_do_not_see_each_other(upstream: Upstream) -> None:
    upstream.behave("n", {"status": 500}, scene="one")
    assert upstream.http.post(f"/s/one{CHAT}", json={"model": "n"}).status_code == 500
    assert upstream.http.post(f"/s/two{CHAT}", json={"model": "n"}).status_code == 200
    assert len(upstream.requests(scene="two", model="n")) == 1


@pytest.mark.parametrize("drop", ["before_headers", "after_headers", "after_chunks"])
def test_a_connection_is_dropped(upstream: Upstream, drop: str) -> None:
    upstream.behave("d", {"drop": drop, "drop_after": 2})
    with pytest.raises(httpx.TransportError):
        upstream.http.post(CHAT, json={"model": "d", "stream": True})


def test_it_notices_when_its_client_leaves(upstream: Upstream) -> None:
    upstream.behave("l", {"chunks": 100, "interval": 0.05})
    with httpx.stream("POST", upstream.url + CHAT, json={"model": "l", "stream": True}, trust_env=False) as response:
        next(response.iter_lines())
    left = upstream.wait_until_left(within=1, model="l")
    assert left["chunks_sent"] < 10
    assert left["finished_at"] is None


def test_a_client_may_be_quicker_with_its_next_request_than_the_end_of_the_answer(upstream: Upstream) -> None:
    upstream.behave("q", {"linger": 0.2}, {})
    with httpx.Client(base_url=upstream.url, trust_env=False) as client:
        assert [client.post(CHAT, json={"model": "q"}).status_code for _ in range(2)] == [200, 200]
    assert [(seen["method"], seen["peer_left_at"]) for seen in upstream.requests(model="q")] == [("POST", None)] * 2


@pytest.mark.parametrize("split", [1, 3, "event", "whole"])
@pytest.mark.parametrize("gzip", [False, True])
def test_the_bytes_are_the_same_however_they_are_cut(upstream: Upstream, split: int | str, gzip: bool) -> None:
    body = {"model": "c", "stream": True}
    upstream.behave("c", {"text": "Zürich 🙂"})
    plain = upstream.http.post(CHAT, json=body).content
    upstream.behave("c", {"text": "Zürich 🙂", "split": split, "gzip": gzip})
    assert upstream.http.post(CHAT, json=body).content == plain
