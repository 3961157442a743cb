"""The order of the targets: total, the same whatever comes first, and never better for who raises a price."""

import dataclasses
import random
import time
from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway_project.lib.errors import ApiError
from routing.decision import Decision
from routing.exchange import Exchange, Wishes
from routing.health import Health
from routing.policies import PolicyFacts, Weights
from routing.targets import WorkspaceTargets
from tests.routing.stage import caller_of, decided, ids, policy_with, provider, request, settings, view_of


@dataclasses.dataclass(frozen=True)
class Offer:
    """One model at one provider, with what was measured of it."""

    provider: int
    model: str
    # USD per million tokens; None: nobody knows.
    into: float | None
    out: float
    quality: float
    window: int | None
    local: bool
    ttft: float | None
    speed: float
    failures: int
    in_flight: int

    @property
    def id(self) -> str:
        return f"p{self.provider}/{self.model}"


def _usd(rate: float) -> float:
    """As exact and as high as a price may be."""
    return min(round(rate, 6), 999_999.0)


rates = st.floats(0, 1000).map(_usd)
offers = st.builds(
    Offer,
    provider=st.integers(0, 3),
    model=st.sampled_from(["m", "n", "gemma3:4b"]),
    into=st.none() | rates,
    out=rates,
    quality=st.sampled_from([0.2, 0.5, 0.5, 0.62, 0.9]),
    window=st.sampled_from([None, 4000, 128_000]),
    local=st.booleans(),
    ttft=st.none() | st.floats(0.01, 60),
    speed=st.floats(1, 1000),
    failures=st.integers(0, 4),
    in_flight=st.integers(0, 3),
)
# One offer for each provider and model; what is local is the provider's to say.
workspaces = st.lists(offers, min_size=1, max_size=9, unique_by=lambda offer: offer.id).map(
    lambda found: [dataclasses.replace(offer, local=offer.provider % 2 == 0) for offer in found]
)
weights = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda parts: Weights(*(part / sum(parts) for part in parts)))
policies = st.builds(
    policy_with,
    weights=weights,
    max_cost_usd=st.none() | st.floats(0.0001, 1),
    min_quality=st.sampled_from([{}, {"complex": 0.6}]),
    fallbacks=st.sampled_from([(), ("n", "m"), ("p0/m",)]),
    internal_may_leave=st.booleans(),
)


def view_with(found: Sequence[Offer]) -> WorkspaceTargets:
    """The workspace: providers and models in the order in which they come."""
    models: dict[int, list[str]] = {}
    for offer in found:
        models.setdefault(offer.provider, []).append(offer.model)
    return view_of(
        *(
            provider(f"p{number}", "openai_compatible", tuple(names), local=number % 2 == 0)
            for number, names in models.items()
        ),
        settings={
            offer.id: settings(
                into=offer.into,
                out=None if offer.into is None else offer.out,
                quality=offer.quality,
                context_window=offer.window,
            )
            for offer in found
        },
    )


def health_of(found: Sequence[Offer]) -> Health:
    now = time.monotonic()
    health = Health(clock=lambda: now)
    for offer in found:
        state = health.made((f"id-p{offer.provider}", offer.model), "openai_compatible")
        if offer.ttft is not None:
            state.measured(now, ttft_s=offer.ttft, tokens_per_s=offer.speed)
        state.rate.add(now, 10.0, float(offer.failures))
        state.under_way = offer.in_flight
    return health


# Of a request: its model, complexity, tokens and sensitivity.
Asked = tuple[str, str, int, str]
requests: st.SearchStrategy[Asked] = st.tuples(
    st.sampled_from(["auto", "auto", "m", "n"]),
    st.sampled_from(["simple", "complex", "expert"]),
    st.sampled_from([0, 17, 5000, 40_000, 300_000]),
    st.sampled_from(["", "internal"]),
)


def exchange_of(asked: Asked) -> Exchange:
    model, complexity, tokens, sensitivity = asked
    return request(model, complexity=complexity, tokens=tokens, wishes=Wishes(sensitivity=sensitivity))


def outcome(asked: Asked, found: Sequence[Offer], policy: PolicyFacts, live: Sequence[Offer]) -> list[str]:
    """The ids of the targets in order; nobody when it is refused."""
    try:
        return ids(decided(exchange_of(asked), view_with(found), health_of(live), policy=policy))
    except ApiError:
        return []


@given(workspaces, requests, policies, st.randoms())
def test_the_order_does_not_depend_on_the_order_of_what_comes_in(
    found: list[Offer], asked: Asked, policy: PolicyFacts, shuffle: random.Random
) -> None:
    before = outcome(asked, found, policy, found)
    shuffled = found.copy()
    shuffle.shuffle(shuffled)
    assert outcome(asked, shuffled, policy, found) == before
    assert len(set(before)) == len(before)


@given(workspaces, requests, policies)
def test_who_raises_a_price_does_not_rise(found: list[Offer], asked: Asked, policy: PolicyFacts) -> None:
    raised = found[0]
    assume(raised.into is not None)
    for factor in (1.0001, 1.5, 20, 1000):
        assert raised.into is not None
        dearer = dataclasses.replace(
            raised, into=_usd(raised.into * factor + 0.001), out=_usd(raised.out * factor + 0.001)
        )
        before = outcome(asked, found, policy, found)
        after = outcome(asked, [dearer, *found[1:]], policy, found)
        if raised.id in after:
            assert raised.id in before
            assert after.index(raised.id) >= before.index(raised.id)


@given(workspaces, requests, policies)
def test_explain_shows_every_candidate_once_in_the_order_in_which_they_are_asked(
    found: list[Offer], asked: Asked, policy: PolicyFacts
) -> None:
    try:
        decision = decided(exchange_of(asked), view_with(found), health_of(found), policy=policy)
    except ApiError:
        return
    shown = [each.target.id for each in decision.candidates]
    assert len(set(shown)) == len(shown)
    taken = [each.target.id for each in decision.candidates if not each.excluded_because]
    assert taken == ids(decision)[: len(taken)]
    if asked[0] == "auto":
        assert set(shown) >= {offer.id for offer in found}


# --- Replicas --------------------------------------------------------------------------------------


def replicas(number: int, **given: float) -> WorkspaceTargets:
    names = [f"r{n}" for n in range(number)]
    return view_of(
        *(provider(name, "openai_compatible", ("m",), local=False) for name in names),
        settings={f"{name}/m": settings(into=given.get(name, 1.0), out=given.get(name, 1.0)) for name in names},
    )


def busy(view: WorkspaceTargets, **in_flight: int) -> Health:
    health = Health()
    for name, number in in_flight.items():
        for _ in range(number):
            assert health.begin(view.targets[name][0], stream=False)
    return health


def test_of_replicas_the_one_with_the_least_to_do_goes_first() -> None:
    view = replicas(3)
    for model in ("m", "auto"):
        assert ids(decided(request(model), view, busy(view, r0=2, r1=1))) == ["r2/m", "r1/m", "r0/m"]
        assert ids(decided(request(model), view, busy(view, r1=1, r2=2))) == ["r0/m", "r1/m", "r2/m"]


def test_how_fast_a_replica_was_does_not_keep_it_idle() -> None:
    view = replicas(2)
    health = busy(view, r0=1)
    for name, ttft in (("r0", 0.1), ("r1", 1.0)):
        health.made(view.targets[name][0].key, "x").measured(time.monotonic(), ttft_s=ttft, tokens_per_s=50)
    assert ids(decided(request(), view, health)) == ["r1/m", "r0/m"]


def test_the_order_follows_what_is_measured_between_two_requests() -> None:
    view = view_of(provider("a", models=("m",)), provider("b", models=("n",)))
    health, fast = Health(), policy_with(weights=Weights(0, 0, 1))
    for name, model, seconds in (("a", "m", 0.1), ("b", "n", 0.5)):
        health.made((f"id-{name}", model), "x").measured(time.monotonic(), ttft_s=seconds)
    for _ in range(2):
        assert ids(decided(request(), view, health, policy=fast)) == ["a/m", "b/n"]
    for _ in range(9):
        health.made(("id-a", "m"), "x").measured(time.monotonic(), ttft_s=5.0)
    assert ids(decided(request(), view, health, policy=fast)) == ["b/n", "a/m"]


def test_a_dearer_replica_waits_until_the_cheaper_ones_fail() -> None:
    view = replicas(2, r0=1.0, r1=3.0)
    assert ids(decided(request(tokens=10_000), view, busy(view, r0=5)))[0] == "r0/m"


def test_a_replica_that_fails_does_not_go_first_for_having_nothing_to_do() -> None:
    view = replicas(2)
    health = busy(view, r0=1)
    flight = health.begin(view.targets["r1"][0], stream=False)
    assert flight is not None
    flight.failed("HTTP 500")
    assert ids(decided(request(), view, health))[0] == "r0/m"


def test_idle_replicas_share_the_callers_and_keep_theirs() -> None:
    def first(view: WorkspaceTargets, caller: int) -> str:
        return ids(decided(request(caller=caller_of(id=f"key-{caller}")), view))[0]

    three, four = replicas(3), replicas(4)
    before = [first(three, caller) for caller in range(300)]
    assert before == [first(three, caller) for caller in range(300)]
    assert all(60 < before.count(f"r{n}/m") < 140 for n in range(3))
    moved = [old for caller, old in enumerate(before) if first(four, caller) not in (old, "r3/m")]
    assert not moved, "a new replica takes callers, it does not shuffle them"


def decision_of(view: WorkspaceTargets) -> Decision:
    return decided(request(), view)


def test_equals_are_ordered_by_their_names() -> None:
    assert ids(decision_of(view_of(provider("z", models=("b", "a")), provider("y", models=("c",))))) == [
        "y/c", "z/a", "z/b",
    ]  # fmt: skip
