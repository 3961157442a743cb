"""What a policy may say: the JSON of the API, checked and made whole, and the facts that the request path reads of it.

What repeats in a list is kept once. `models`, `fallbacks` and `tasks` may name models that are gone or yet to come:
explain says so, and requests skip them. They cannot name policies, so fallbacks form no cycle.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import orjson
from django.conf import settings
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StrictBool, StrictInt

from gateway_project.lib.schemas import Strict, Usd, money
from keys.schemas import ModelId, ProviderName, Text
from routing.grounding.wish import RagWish
from routing.policies import NOTHING, TASK_MODELS, PolicyFacts, SemanticFacts, Weights
from routing.providers.base import Timeouts

MAX_MODELS = 200
MAX_FALLBACKS = 20
MAX_FILTERS = 4000
# The largest number in them; every program reads integers up to here alike (RFC 8259, 6).
LARGEST = 2**53
# The gateway's own names, where a model's is wanted.
NOT_MODELS = ("auto", "policy")


# --- The parts -----------------------------------------------------------------------------------


def _number(value: Any) -> Any:
    """Pydantic would take true for 1 and "0.5" for a half."""
    if type(value) not in (int, float):
        raise ValueError("must be a number.")
    return value


def _or_default(make: Callable[[], Any]) -> BeforeValidator:
    """null asks for the default, as leaving the field out does."""
    return BeforeValidator(lambda given: make() if given is None else given)


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _a_model(name: str) -> str:
    if name.partition("/")[0].lower() in NOT_MODELS:
        raise ValueError(f"'{name}' is no model: name a model, or <provider>/<model>.")
    return name


def _small(filters: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(filters))
    except TypeError as error:
        raise ValueError(f"must be JSON: {error}.") from None
    if size > MAX_FILTERS:
        raise ValueError(f"must take at most {MAX_FILTERS} bytes as JSON.")
    _check_storable(filters)
    return filters


def _check_storable(value: Any) -> None:
    """Postgres keeps no NUL, and gives a large number back with all its digits, as an integer that JSON cannot have."""
    if isinstance(value, dict):
        for name, member in value.items():
            _check_storable(name)
            _check_storable(member)
    elif isinstance(value, list):
        for member in value:
            _check_storable(member)
    elif isinstance(value, str) and "\0" in value:
        raise ValueError("must have no NUL characters.")
    elif isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        raise ValueError("must have no numbers beyond 2^53.")


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Weight = Annotated[Number, Field(ge=0, le=1_000_000)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
ShareOfHits = Annotated[Number, Field(gt=0, le=0.5)]
ModelName = Annotated[ModelId, AfterValidator(_a_model)]
Flag = Annotated[StrictBool, _or_default(bool)]
# The bounds of a provider's name: it stands in `policy/<name>` as that does in `<provider>/<model>`.
PolicyName = ProviderName
Money = Annotated[Usd, Field(le=1_000_000), PlainSerializer(money, return_type=str)]


class WeightsIn(Strict):
    """How much each counts, in any unit: only their proportions matter. One that is left out counts nothing."""

    cost: Weight = 0.0
    quality: Weight = 0.0
    speed: Weight = 0.0


class MinQuality(Strict):
    """The least quality, 0 to 1, of a model that may answer a request of that complexity; null: any."""

    simple: Fraction | None = None
    moderate: Fraction | None = None
    complex: Fraction | None = None
    expert: Fraction | None = None


class CacheIn(Strict):
    """Which answers may be given again.

    `exact`: of identical requests, all (true), none (false), or those at temperature 0 (null). `semantic`: of the same
    requests also to those whose last message is another one, and means the same.
    """

    exact: StrictBool | None = None
    semantic: Flag = False
    threshold: Fraction | None = Field(
        None, description="The least cosine of two messages that mean the same; null: the embedding model's own."
    )
    max_false_hits: Annotated[ShareOfHits, _or_default(lambda: 0.01)] = Field(
        0.01, description="The share of wrong semantic hits above which the threshold is raised by itself."
    )
    check_share: Annotated[Fraction, _or_default(lambda: 0.02)] = Field(
        0.02, description="The share of semantic hits that are answered afresh in the background, and billed, to see."
    )
    judge: ModelName | None = Field(
        None, description="The model that compares the two answers then; null: their embeddings alone do."
    )


class RagIn(Strict):
    """The library that every request of the policy searches, as `rag` in a request does."""

    library: Annotated[Text, Field(min_length=1, max_length=120)]
    top_k: Annotated[StrictInt, Field(ge=1, le=50)] = 5
    filters: Annotated[dict[str, Any], AfterValidator(_small)] = Field(default_factory=dict)


class TaskIn(Strict):
    """The model to take for a task, here and in the cloud, where such a target exists; null, or nothing: none."""

    local: ModelName | None = None
    cloud: ModelName | None = None


def _tasks() -> "TasksIn":
    """The choices of a policy that makes none."""
    return TasksIn.model_validate(
        {task: {"local": here, "cloud": there} for task, (here, there) in TASK_MODELS.items()}
    )


def _task(name: str) -> Callable[[], TaskIn]:
    return lambda: getattr(_tasks(), name)


class TasksIn(Strict):
    """What is left out keeps the default's choice."""

    chat: TaskIn = Field(default_factory=_task("chat"))
    vision: TaskIn = Field(default_factory=_task("vision"))
    ocr: TaskIn = Field(default_factory=_task("ocr"))


class TimeoutsIn(Strict):
    """Seconds an attempt may take: to connect, to its first byte, between two bytes, and in all."""

    connect: Annotated[Number, Field(gt=0, le=120)] = settings.UPSTREAM_TIMEOUTS["connect"]
    first_byte: Annotated[Number, Field(gt=0, le=3600)] = settings.UPSTREAM_TIMEOUTS["first_byte"]
    idle: Annotated[Number, Field(gt=0, le=3600)] = settings.UPSTREAM_TIMEOUTS["idle"]
    total: Annotated[Number, Field(gt=0, le=86_400)] = settings.UPSTREAM_TIMEOUTS["total"]


# --- The whole -----------------------------------------------------------------------------------


def _weighty(weights: WeightsIn) -> WeightsIn:
    if not any((weights.cost, weights.quality, weights.speed)):
        raise ValueError("must not all be zero: something has to decide.")
    return weights


def _balanced() -> WeightsIn:
    balanced = Weights()
    return WeightsIn(cost=balanced.cost, quality=balanced.quality, speed=balanced.speed)


class PolicyDocument(Strict):
    """Everything that a version of a policy says. null, or nothing, is the default."""

    weights: Annotated[WeightsIn, AfterValidator(_weighty), _or_default(_balanced)] = Field(default_factory=_balanced)
    models: Annotated[list[ModelName], Field(min_length=1, max_length=MAX_MODELS), AfterValidator(_unique)] | None = (
        Field(None, description="Among which to choose: model ids or `<provider>/<model>`; null: every one that chats.")
    )
    min_quality: Annotated[MinQuality, _or_default(MinQuality)] = Field(default_factory=MinQuality)
    fallbacks: Annotated[
        list[ModelName], Field(max_length=MAX_FALLBACKS), AfterValidator(_unique), _or_default(list)
    ] = Field(
        default_factory=list, description="What may follow, in this order, where `<provider>/<model>` was asked for."
    )
    privacy_mode: Literal["strict", "flexible"] | None = Field(None, description="`strict`: local targets only.")
    internal_may_leave: Flag = Field(
        False,
        description="Whether a request of sensitivity `internal` may go to the cloud where nothing local answers.",
    )
    max_cost_usd: Money | None = Field(None, description="The most that a request may be estimated to cost.")
    tasks: Annotated[TasksIn, _or_default(_tasks)] = Field(default_factory=_tasks)
    classifier: Annotated[Literal["rules", "learned"], _or_default(lambda: "rules")] = "rules"
    calibrate: Flag = Field(False, description="Whether what was learnt of the models' answers moves their quality.")
    hedge: Flag = Field(False, description="Whether a late answer is raced by a second target; both are billed.")
    timeouts: Annotated[TimeoutsIn, _or_default(TimeoutsIn)] = Field(default_factory=TimeoutsIn)
    cache: CacheIn | None = Field(None, description="null: identical requests at temperature 0.")
    rag: RagIn | None = Field(None, description="null: a request searches only what it names.")


class PolicyChange(PolicyDocument):
    """The fields of a policy that can be set."""

    name: PolicyName = ""
    default: Flag = Field(False, description="In force where neither the request nor its key names a policy.")


class NewPolicy(PolicyChange):
    name: PolicyName


# What `PolicyChange` says of the policy itself; the rest is the document.
OWN_FIELDS = frozenset({"name", "default"})


def as_json(document: PolicyDocument) -> dict[str, Any]:
    """`document` as it is stored and shown: complete, with money as decimal strings."""
    return document.model_dump(mode="json", include=set(PolicyDocument.model_fields))


def merged(document: Mapping[str, Any], change: PolicyChange) -> dict[str, Any]:
    """The stored `document` with the fields that `change` sets in the place of its own."""
    new = as_json(change)
    return {**document, **{name: new[name] for name in change.model_fields_set - OWN_FIELDS}}


DEFAULTS = as_json(PolicyDocument.model_validate({}))


def facts(policy_id: str, name: str, version: int, document: Mapping[str, Any]) -> PolicyFacts:
    """What the request path reads of a stored `document`; a field that it is too old to have is at its default.

    Weights sum to 1. Raises `KeyError`, `TypeError` or `ValueError` for what `PolicyDocument` did not make.
    """
    said = {**DEFAULTS, **document}
    total = sum(said["weights"].values())
    floors = {tier: floor for tier, floor in said["min_quality"].items() if floor is not None}
    tasks = {task: (chosen["local"] or "", chosen["cloud"] or "") for task, chosen in said["tasks"].items()}
    return PolicyFacts(
        id=policy_id,
        name=name,
        version=version,
        weights=Weights(**{what: weight / total for what, weight in said["weights"].items()}),
        models=None if said["models"] is None else frozenset(said["models"]),
        min_quality=MappingProxyType(floors) if floors else NOTHING,
        fallbacks=tuple(said["fallbacks"]),
        privacy_mode=said["privacy_mode"] or "",
        internal_may_leave=said["internal_may_leave"],
        max_cost_usd=None if said["max_cost_usd"] is None else float(said["max_cost_usd"]),
        tasks=MappingProxyType(tasks),
        classifier=said["classifier"],
        calibrate=said["calibrate"],
        hedge=said["hedge"],
        cache_exact=None if said["cache"] is None else said["cache"]["exact"],
        cache_semantic=_semantic(said["cache"] or {}),
        timeouts=Timeouts(**said["timeouts"]),
        rag=None if said["rag"] is None else RagWish(**said["rag"]),
    )


def _semantic(cache: Mapping[str, Any]) -> SemanticFacts | None:
    """What a stored document's `cache` says of semantic hits; None where there are none."""
    if not cache.get("semantic"):
        return None
    said = {**CacheIn.model_validate({}).model_dump(), **cache}
    return SemanticFacts(said["threshold"], said["max_false_hits"], said["check_share"], said["judge"] or "")
