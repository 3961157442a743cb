"""A conversation stays on its model, until it outgrows it, the model fails or the policy changes."""

import dataclasses
from typing import Any

import pytest

from keys.queries import KeyFacts
from routing.decision import Decision
from routing.endpoints import COMPLETIONS
from routing.exchange import Exchange, Label, Wishes
from routing.health import Health
from routing.policies import PolicyFacts, Weights
from routing.share import Channel
from routing.sticky import MANY, NEWS, TELL_AGAIN, TTL, Conversations, conversation
from routing.targets import WorkspaceTargets
from tests.redis_server import running_redis
from tests.routing.stage import caller_of, decided, ids, policy_with, provider, request, settings, view_of
from tests.routing.test_shared_health import wait_until

FIRST = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a monad?"}]
SECOND = [*FIRST, {"role": "assistant", "content": "A burrito."}, {"role": "user", "content": "And a functor?"}]
CHEAP, GOOD = Weights(1, 0, 0), Weights(0, 1, 0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A cheap model and a good one, and a policy whose taste changes from one turn to the next."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.conversations = Conversations(self.clock, lambda kind, news: self.told.append(news))
        self.health = Health()
        self.view = self.view_of()

    def view_of(self, **settings_of_good: Any) -> WorkspaceTargets:
        good = {"quality": 0.9, "into": 5, "out": 5, "context_window": 100_000, **settings_of_good}
        return view_of(
            provider("c", "openai_compatible", ("cheap", "good"), local=False),
            settings={"c/cheap": settings(into=1, out=1, quality=0.75), "c/good": settings(**good)},
        )

    def turn(
        self,
        messages: list[dict[str, Any]],
        weights: Weights = CHEAP,
        *,
        keep: bool = True,
        caller: KeyFacts | None = None,
        policy: PolicyFacts | None = None,
        answered_by: str = "",
        **given: Any,
    ) -> Decision:
        """One request, answered by the first target unless the test says by whom."""
        given.setdefault("complexity", "simple")
        exchange = request(messages=messages, caller=caller, **given)
        policy = policy or policy_with(weights=weights)
        decision = decided(exchange, self.view, self.health, self.conversations, policy=policy)
        if keep:
            targets = {target.id: target for target in decision.targets}
            exchange.target = targets[answered_by] if answered_by else decision.targets[0]
            self.conversations.keep(exchange)
        return decision


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("messages", [None, 5, "hi", [1], [{}], [{"role": 5}], SECOND])
def test_an_unknown_field_named_messages_is_no_conversation(messages: Any) -> None:
    conversations = Conversations(tell=lambda kind, news: None)
    exchange = Exchange(COMPLETIONS, model="auto", body={"prompt": "Hi", "messages": messages})
    exchange.label = Label("simple", 0.1, "chat", 5)
    exchange.target = view_of(provider("c", models=("m",))).all[0]
    assert conversations.held(exchange) is None
    conversations.keep(exchange)
    assert not len(conversations)


def test_a_conversation_stays(stage: Stage) -> None:
    assert ids(stage.turn(FIRST, GOOD)) == ["c/good", "c/cheap"]
    decision = stage.turn(SECOND, CHEAP)
    assert ids(decision) == ["c/good", "c/cheap"]
    assert any("stays on c/good" in note for note in decision.notes)
    assert [each.target.id for each in decision.candidates] == ["c/good", "c/cheap"]


def test_whoever_has_no_history_is_chosen_for_anew(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    assert ids(stage.turn(FIRST, CHEAP))[0] == "c/cheap"


@pytest.mark.parametrize("changed", [0, 1])
def test_other_first_messages_are_another_conversation(stage: Stage, changed: int) -> None:
    stage.turn(FIRST, GOOD)
    other = [dict(message) for message in SECOND]
    other[changed]["content"] = "Something else."
    assert ids(stage.turn(other, CHEAP))[0] == "c/cheap"


def test_another_key_is_another_conversation(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    assert ids(stage.turn(SECOND, CHEAP, caller=caller_of(id="another")))[0] == "c/cheap"


def test_what_follows_the_first_messages_does_not_matter(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    third = [*SECOND, {"role": "assistant", "content": "A taco."}, {"role": "user", "content": "Hm."}]
    assert ids(stage.turn(third, CHEAP))[0] == "c/good"


def test_a_harder_turn_is_chosen_for_anew_an_easier_one_is_not(stage: Stage) -> None:
    stage.turn(FIRST, GOOD, complexity="moderate")
    assert ids(stage.turn(SECOND, CHEAP, complexity="simple"))[0] == "c/good"
    assert ids(stage.turn(SECOND, CHEAP, complexity="moderate"))[0] == "c/good", "it was chosen for as hard a one"
    assert ids(stage.turn(SECOND, CHEAP, complexity="complex"))[0] == "c/cheap"


def test_a_model_that_a_filter_excludes_is_left(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    decision = stage.turn(SECOND, CHEAP, max_tokens=200_000, keep=False)
    assert ids(decision) == ["c/cheap"]
    assert any("was on c/good, which may not answer" in note for note in decision.notes)
    stage.view = stage.view_of(enabled=False)
    assert ids(stage.turn(SECOND, CHEAP)) == ["c/cheap"]


def test_a_prompt_that_grew_long_goes_to_a_large_window(stage: Stage) -> None:
    stage.turn(FIRST, CHEAP)
    stage.view = stage.view_of(context_window=200_000)
    assert ids(stage.turn(SECOND, CHEAP, keep=False))[0] == "c/cheap"
    decision = stage.turn(SECOND, CHEAP, tokens=31_000)
    assert ids(decision)[0] == "c/good"
    assert any("c/good now goes before" in note for note in decision.notes)


def test_a_target_that_fails_is_left(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    stage.turn(SECOND, GOOD, answered_by="c/cheap")
    assert ids(stage.turn(SECOND, GOOD))[0] == "c/cheap", "it stays with whoever answered"
    for _ in range(3):
        flight = stage.health.begin(stage.view.targets["c"][0], stream=False)
        assert flight is not None
        flight.failed("HTTP 500")
    assert ids(stage.turn(SECOND, CHEAP)) == ["c/good", "c/cheap"]


def test_a_change_of_the_policy_counts_at_once(stage: Stage) -> None:
    ours = policy_with(weights=GOOD)
    stage.turn(FIRST, policy=ours)
    changed = dataclasses.replace(ours, version=2, weights=CHEAP)
    assert ids(stage.turn(SECOND, policy=changed))[0] == "c/cheap"


def test_a_named_model_is_not_moved(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    policy = policy_with(fallbacks=("c/good",))
    assert ids(stage.turn(SECOND, policy=policy, model="c/cheap")) == ["c/cheap", "c/good"]


def test_privacy_stands_above(stage: Stage) -> None:
    stage.view = view_of(provider("c", "openai", ("gpt-4o",)), provider("here", models=("m",)))
    stage.turn(FIRST, GOOD, answered_by="c/gpt-4o")
    assert ids(stage.turn(SECOND, wishes=Wishes(privacy_mode="strict"))) == ["here/m"]


def test_it_is_forgotten_after_an_hour(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    stage.clock.now += TTL - 1
    assert ids(stage.turn(SECOND, CHEAP))[0] == "c/good", "and each turn begins another hour"
    stage.clock.now += TTL - 1
    assert ids(stage.turn(SECOND, CHEAP))[0] == "c/good"
    stage.clock.now += TTL + 1
    assert ids(stage.turn(SECOND, CHEAP))[0] == "c/cheap"


def test_what_is_asked_once_pushes_no_conversation_out(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    stage.turn(SECOND, GOOD)
    for number in range(MANY + 1):
        exchange = request(messages=[{"role": "user", "content": str(number)}])
        exchange.target = stage.view.all[0]
        stage.conversations.keep(exchange)
    assert len(stage.conversations) <= 2 * MANY
    assert ids(stage.turn(SECOND, CHEAP))[0] == "c/good"


def test_to_look_changes_nothing(stage: Stage) -> None:
    stage.turn(FIRST, GOOD, keep=False)
    stage.turn(SECOND, GOOD, keep=False)
    assert len(stage.conversations) == 0
    assert stage.told == []


def test_without_other_processes_it_stays_all_the_same(stage: Stage) -> None:
    stage.conversations = Conversations(stage.clock, tell=None)
    stage.turn(FIRST, GOOD)
    assert ids(stage.turn(SECOND, CHEAP))[0] == "c/good"
    assert ids(stage.turn([said("Something else."), *SECOND[2:]], CHEAP))[0] == "c/cheap"
    assert len(stage.conversations) == 2


# --- Between processes -----------------------------------------------------------------------------


def test_other_processes_are_told(stage: Stage) -> None:
    other = Stage()
    stage.turn(FIRST, GOOD)
    for news in stage.told:
        other.conversations.hear("elsewhere", news)
    assert ids(other.turn(SECOND, CHEAP))[0] == "c/good"


def test_they_hear_it_through_redis() -> None:
    with running_redis() as server:
        here, there = Channel(server.url), Channel(server.url)
        asked, other = Stage(), Stage()
        asked.conversations = Conversations(asked.clock, here.publish)
        there.on(NEWS, other.conversations.hear)
        try:
            for channel in (here, there):
                channel.start()
                wait_until(channel.connected.is_set)
            asked.turn(FIRST, GOOD)
            wait_until(lambda: len(other.conversations) == 1)
        finally:
            here.stop()
            there.stop()
    assert ids(other.turn(SECOND, CHEAP))[0] == "c/good"


def test_they_are_told_of_what_changed_and_now_and_then(stage: Stage) -> None:
    stage.turn(FIRST, GOOD)
    stage.turn(SECOND, GOOD)
    stage.turn(SECOND, GOOD)
    assert len(stage.told) == 1
    stage.turn(SECOND, GOOD, answered_by="c/cheap")
    assert len(stage.told) == 2
    stage.clock.now += TELL_AGAIN
    stage.turn(SECOND, GOOD)
    assert len(stage.told) == 3


def test_nothing_that_was_said_leaves_the_process(stage: Stage) -> None:
    stage.turn([{"role": "user", "content": "My secret."}])
    assert "secret" not in str(stage.told)


# --- The name of a conversation --------------------------------------------------------------------


def name(*messages: Any) -> str:
    return conversation(Exchange(endpoint=request().endpoint, body={"messages": list(messages)}))


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


def test_long_messages_differ_in_length_and_in_both_ends() -> None:
    long = "x" * 100_000
    names = {name(said(text)) for text in (long, long + "x", "y" + long[1:], long[:-1] + "y")}
    assert len(names) == 4


def test_pictures_tell_conversations_apart() -> None:
    def picture(url: str) -> dict[str, Any]:
        return said([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}])

    assert name(picture("https://a")) != name(picture("https://b"))
    assert name(picture("https://a")) == name(picture("https://a"), said("A cat.", "assistant"))


@pytest.mark.parametrize("content", [None, 7, [7], [{"type": "image_url", "image_url": 7}], "\ud800"])
def test_any_content_has_a_name(content: Any) -> None:
    assert name(said(content))
