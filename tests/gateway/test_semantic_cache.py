"""The semantic cache, from the outside: who asks the same in other words has the answer, and nobody else does."""

import itertools
import time
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.scene import Scene

STORED = "How do I reset my password?"
SAME = "What are the steps to reset my password?"
OTHER = "How do I not reset my password?"
# Seconds in which the embedding worker has read its model, also on a busy machine.
WARM = 240.0
PRICED = {"input_usd_per_mtok": "10", "output_usd_per_mtok": "20"}
TOOL = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}

pytestmark = pytest.mark.timeout(400)
_numbers = itertools.count(1)


class Room:
    """A policy of its own that takes semantic hits, and a system prompt that nobody else uses."""

    def __init__(self, scene: Scene, **cache: Any) -> None:
        self.scene = scene
        name = f"semantic-{next(_numbers)}"
        self.policy = scene.account.call(
            "POST", "/api/routing/policies", 201, name=name, cache={"semantic": True, "check_share": 0, **cache}
        )
        self.key = scene.account.create_key(policy=name)["key"]
        self.system = f"You are assistant number {next(_numbers)}."

    def ask(self, prompt: Any, **fields: Any) -> httpx.Response:
        messages = [
            {"role": "system", "content": fields.pop("system", self.system)},
            {"role": "user", "content": prompt},
        ]
        body = {"temperature": 0, **fields}
        headers = {"authorization": f"Bearer {body.pop('key', self.key)}"}
        return self.scene.post(messages=messages, headers=headers, **body)

    def state(self, prompt: Any, **fields: Any) -> str:
        response = self.ask(prompt, **fields)
        assert response.status_code == 200, response.text
        found: str = response.headers["x-gateway-cache"]
        return found

    def hit(self, stored: str = STORED, same: str = SAME, **fields: Any) -> httpx.Response:
        """A semantic hit; the worker may have to read its model first, and an answer is kept a moment later."""
        end = time.monotonic() + WARM
        while True:
            self.system = f"You are assistant number {next(_numbers)}."
            assert self.state(stored, **fields) == "miss"
            time.sleep(0.3)
            response = self.ask(same, **fields)
            if response.headers["x-gateway-cache"] == "semantic":
                return response
            assert time.monotonic() < end, "no semantic hit"
            time.sleep(1)


def test_who_asks_the_same_in_other_words_has_the_answer_at_no_cost(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai")
    scene.account.call("PATCH", f"/api/routing/models/{scene.name}/{scene.model}", 200, **PRICED)
    room = Room(scene)
    hit = room.hit()
    asked = len(scene.received())

    assert hit.json()["choices"][0]["message"]["content"]
    assert hit.headers["x-gateway-cost-usd"] == "0"
    record = scene.record(hit)
    assert (record["cache"], record["cost_usd"], record["provider"]) == ("semantic", "0", scene.name)
    assert float(record["saved_usd"]) > 0
    assert room.state(SAME, stream=True) == "semantic"
    assert room.state([{"type": "text", "text": SAME}]) == "semantic"
    assert len(scene.received()) == asked


def test_what_only_looks_alike_is_asked_for(scene: Scene) -> None:
    room = Room(scene)
    room.hit()

    assert room.state(OTHER) == "miss"
    assert room.state("How do I reset my username?") == "miss"


def test_what_the_embedding_model_cannot_read_is_asked_for(scene: Scene) -> None:
    """The one that comes along was taught on English, and finds texts of other scripts all alike."""
    room = Room(scene)
    room.hit()

    assert room.state("जयपुर का मौसम कैसा है?") == "miss"
    time.sleep(0.3)
    # No gate tells these apart.
    assert room.state("जयपुर का मौसम कैसा है") == "miss"
    assert room.state("जयपुर का मौसम कैसा है?") == "hit"


def test_all_but_the_last_message_must_be_equal(scene: Scene) -> None:
    room = Room(scene)
    room.hit(max_tokens=100)
    another = scene.account.create_key(policy=room.policy["name"], privacy_mode="strict")["key"]

    assert room.state(SAME, max_tokens=100) == "semantic"
    for fields in ({"max_tokens": 101}, {"system": "You are somebody else."}, {"tools": [TOOL]}, {"key": another},
                   {"response_format": {"type": "json_object"}}):  # fmt: skip
        assert room.state(SAME, **{"max_tokens": 100, **fields}) == "miss", fields


def test_it_is_off_by_default_and_where_the_exact_cache_is(scene: Scene) -> None:
    room = Room(scene)
    room.hit()

    assert room.state(SAME, cache="off") == "off"
    assert room.state(SAME + " Please.", temperature=0.7) == "off"
    off = Room(scene, semantic=False)
    assert (off.state(STORED), off.state(SAME)) == ("miss", "miss")


def test_a_picture_is_never_looked_for(scene: Scene) -> None:
    room = Room(scene)
    room.hit()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    assert room.ask([{"type": "text", "text": SAME}, picture]).headers["x-gateway-cache"] != "semantic"


def test_a_purge_takes_it_back(scene: Scene) -> None:
    room = Room(scene)
    room.hit()
    purged = scene.account.call("POST", "/api/routing/cache/purge", 200, policy=room.policy["id"])

    assert purged["purged"] >= 1
    assert room.state(SAME + " Thanks.") == "miss"


def test_a_hit_is_answered_afresh_and_what_is_found_is_shown(scene: Scene) -> None:
    room = Room(scene, check_share=1.0)
    hit = room.hit()
    hit_id = hit.headers["x-request-id"]

    end = time.monotonic() + 60
    while not (row := semantic_row(room))["checked"]:
        assert time.monotonic() < end, row
        time.sleep(0.5)
    assert (row["wrong"], row["false_hit_rate"], row["limit"]) == (0, 0.0, 0.01)
    assert row["interval"][1] < 1
    end = time.monotonic() + 10
    while hit_id not in (checked := [trace["metadata"].get("gateway_check_of") for trace in newest(scene)]):
        assert time.monotonic() < end, checked
        time.sleep(0.2)


@pytest.mark.parametrize(("said", "wrong"), [("NO", 1), ("YES", 0)])
def test_a_judge_says_whether_two_answers_are_the_same(make_scene: MakeScene, said: str, wrong: int) -> None:
    scene = make_scene()
    Room(scene).hit()  # from now on nothing waits for the model that embeds
    bench = make_scene()
    bench.behave({"text": said})
    given, fresh = "Open the settings and choose a new password there.", "Write a letter to the mayor of Lisbon."
    room = Room(scene, check_share=1.0, judge=f"{bench.name}/{bench.model}")
    scene.behave({"text": given}, {"text": fresh})

    assert room.hit().json()["choices"][0]["message"]["content"] == given

    end = time.monotonic() + 60
    while not (row := semantic_row(room))["checked"]:
        assert time.monotonic() < end, row
        time.sleep(0.5)
    # The embeddings of the two are far apart: it is the judge's word that counts.
    assert (row["checked"], row["wrong"]) == (1, wrong)
    (asked,) = bench.received()
    question = asked["body"]["messages"][-1]["content"]
    assert all(part in question for part in (SAME, given, fresh))
    assert asked["body"]["temperature"] == 0


def semantic_row(room: Room) -> dict[str, Any]:
    """What the cache's figures say of a room's policy."""
    rows = room.scene.account.call("GET", "/api/routing/cache", 200)["data"]
    found: dict[str, Any] = next(row for row in rows if row["policy_id"] == room.policy["id"])["semantic"]
    return found


def newest(scene: Scene) -> list[dict[str, Any]]:
    """The ledger's newest records of requests without the cache."""
    fresh = [each for each in scene.account.requests() if each["cache"] == "off"]
    return [scene.account.call("GET", f"/api/analytics/requests/{each['id']}", 200) for each in fresh[:5]]
