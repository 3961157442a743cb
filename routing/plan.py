"""What a policy decides about a request before its tokens and live state are known, made once for equal questions.

A plan belongs to one view of a workspace and one version of a policy. It is kept in the view, so it goes with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway_project.lib.errors import NoAvailableModel
from routing import calibration, catalog, naming
from routing.endpoints import EMBEDDINGS
from routing.filters import Asked, Exclusion, Question, Why, exclusion, names
from routing.needs import LARGE_WINDOW
from routing.policies import TASK_MODELS, PolicyFacts
from routing.privacy import Privacy
from routing.providers.base import Target
from routing.rows import Row
from routing.scores import Sheet, rising, rounded, sheet_of
from routing.target_state import Key
from routing.targets import WorkspaceTargets

# How many plans a view keeps. A client may name any model of a provider, so they are without end.
MANY = 128
# And for how many targets, added up over sizes of requests, each plan keeps scores.
MANY_SCORES = 1000

# The least quality for each complexity where a policy says nothing. With leaderboards' qualities, MODERATE asks for a
# model like GPT-4o mini, or an unknown one; EXPERT for one like the best of their year. Where no candidate has it, the
# floor of the next lower complexity holds.
FLOORS = {"simple": 0.0, "moderate": 0.45, "complex": 0.60, "expert": 0.70}

# What puts a target behind the others whatever its score; the greater outweighs all smaller together.
NOT_LOCAL, SMALL_WINDOW, UNDER_FLOOR, FAILING, NOT_CHOICE = 16, 8, 4, 2, 1
SHIFT = 5
DEMO = "it is the demo, which 'auto' takes only where no other model is enabled"
PUT_BACK = {
    NOT_LOCAL: "the request is internal, and local models go first",
    SMALL_WINDOW: f"the prompt is long, and models with a known window of {LARGE_WINDOW} tokens or more go first",
    UNDER_FLOOR: "better models go first for requests of this complexity",
    FAILING: "it fails often, and others do not",
    NOT_CHOICE: "the policy names another model for this task",
}


@dataclass(slots=True)
class Plan:
    """The targets that may answer a question, in no order yet, and those that may not."""

    question: Question
    # Kept, so that a plan found by the policy's identity is one for that policy.
    policy: PolicyFacts
    # Whether the client named the model.
    named: bool
    rows: list[Row]
    excluded: list[Exclusion]
    notes: list[str]
    # The one target that the client named, where the policy has no fallback for it: there is nothing to choose.
    only: Row | None = field(init=False)
    keys: list[Key] = field(init=False)
    quality_scores: list[float] = field(init=False)
    smallest_window: float = field(init=False)
    pooled: bool = field(init=False)
    # Of a model that the client named: the policy's fallbacks.
    fallbacks: frozenset[Key] = field(init=False)
    # By whether the prompt is long: each row's place and bits, `place << SHIFT | bits`.
    ranks: dict[bool, list[int]] = field(init=False)
    # By size of prompt, rounded, and of answer.
    _sheets: dict[tuple[int, int], Sheet] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.rows
        # Independent of the order in which the targets came.
        rows.sort(key=lambda row: row.target.id)
        for index, row in enumerate(rows):
            row.index = index
        self.only = rows[0] if self.named and len(rows) == 1 else None
        self.keys = [row.key for row in rows]
        self.quality_scores = rising([row.quality for row in rows]) if rows else []
        self.smallest_window = min((row.window for row in rows if row.window is not None), default=float("inf"))
        self.pooled = _pool(rows)
        self.fallbacks = frozenset(row.key for row in rows if row.place) if self.named else frozenset()
        self.ranks = {long: self.ranks_of(rows, long=long) for long in (True, False)}
        self._tell_of_floor()

    def sheet(self, prompt: int, output: int) -> Sheet:
        """The scores of all rows for a request of about that size."""
        size = (rounded(prompt), output)
        found = self._sheets.get(size)
        if found is None:
            if len(self._sheets) * len(self.rows) >= MANY_SCORES:
                self._sheets.clear()
            found = self._sheets[size] = self.sheet_for(self.rows, self.quality_scores, prompt, output)
        return found

    def sheet_for(self, rows: Sequence[Row], qualities: Sequence[float], prompt: int, output: int) -> Sheet:
        """The scores of some rows. Sizes are rounded here as well, so that nothing depends on what is kept."""
        return sheet_of(rows, qualities, self.policy.weights, rounded(prompt), output)

    def ranks_of(self, rows: Sequence[Row], *, long: bool) -> list[int]:
        """What each of `rows` comes behind the others for; `long`: the prompt is."""
        floor = self._floor(rows)
        prefers_large = long and any(row.large for row in rows)
        has_choice = any(row.choice for row in rows)
        binding = self._choice_binds()
        found = []
        for row in rows:
            bits = 0
            if self.question.privacy is Privacy.LOCAL_FIRST and not row.target.local:
                bits |= NOT_LOCAL
            if prefers_large and not row.large:
                bits |= SMALL_WINDOW
            if row.quality < floor and not (row.choice and binding):
                bits |= UNDER_FLOOR
            if has_choice and not row.choice:
                bits |= NOT_CHOICE
            found.append(row.place << SHIFT | bits)
        return found

    def _tell_of_floor(self) -> None:
        wanted, floor = self._wanted_floor(), self._floor(self.rows)
        if self.rows and floor < wanted:
            self.notes.append(
                f"No candidate has the quality of {wanted:.2f} that {self.question.complexity} requests ask for, "
                f"so {floor:.2f} has to do."
            )
        elif any(row.quality < floor for row in self.rows):
            self.notes.append(f"Models of a quality under {floor:.2f} are kept as the last fallbacks.")

    def _wanted_floor(self) -> float:
        question = self.question
        if self.named or question.complexity in self.policy.min_quality:
            return 0.0
        return FLOORS[question.complexity]

    def _floor(self, rows: Sequence[Row]) -> float:
        """The least quality, lowered as far as is needed for one of `rows` to have it."""
        wanted, best = self._wanted_floor(), max((row.quality for row in rows), default=0.0)
        return max((floor for floor in FLOORS.values() if floor <= wanted and floor <= best), default=0.0)

    def _choice_binds(self) -> bool:
        """Whether the task's choice stands above the built-in floor: leaderboards of chat say nothing of OCR."""
        task = self.question.task
        return task != "chat" or self.policy.tasks.get(task) != TASK_MODELS[task]


def plan_for(view: WorkspaceTargets, policy: PolicyFacts, asked: Asked) -> Plan:
    """The plan that answers the question `asked`; made when there is none yet.

    Raises what `naming` and `_candidates` raise.
    """
    key = (id(policy), asked)
    plan = view.plans.get(key)
    if plan is None:
        plan = _made(view, policy, Question(*asked))
        if len(view.plans) >= MANY:
            view.plans.clear()
        view.plans[key] = plan
    found: Plan = plan
    return found


def _made(view: WorkspaceTargets, policy: PolicyFacts, question: Question) -> Plan:
    named = naming.is_name(question.model)
    if not named and question.allowed is not None and question.model in question.allowed:
        # A key that may use a policy may use what that chooses.
        question = question._replace(allowed=None)
    notes: list[str] = []
    embeds = question.capability == EMBEDDINGS.capability
    offered: Sequence[Target]
    if embeds:
        offered = naming.embedders_named(question.model, view, strict=question.privacy is Privacy.LOCAL_ONLY)
    else:
        offered = naming.targets_named(question.model, view) if named else _candidates(view, policy, notes)
    rows: list[Row] = []
    excluded: list[Exclusion] = []
    ids = {target.id for target in offered}
    # Other models' vectors are of no use to who asked for this one's, so there is no fallback, and no choice.
    places = ((0, target) for target in offered) if embeds else _places(view, policy, offered, named, notes)
    for place, target in places:
        evidence = view.evidence.get((target.model, question.complexity), (0.0, 0.0))
        prior = target.facts.quality
        quality = calibration.posterior(prior, *evidence) if policy.calibrate else prior
        asked_for = named and place == 0
        reason = exclusion(target, question, policy, quality, asked_for=asked_for, by_name=named or embeds or place > 0)
        if reason is not None:
            excluded.append(reason)
        else:
            rows.append(Row(target, place, prior, quality, evidence))
    if not named and not embeds:
        excluded += [Exclusion(target, Why.NOT_CHOSEN, DEMO) for target in _demos(view) if target.id not in ids]
    if named and not any(row.place == 0 for row in rows):
        # A fallback is for a model that fails, not for one that may not be asked.
        rows, excluded = [], [each for each in excluded if each.target.id in ids]
    _mark_choices(rows, policy, question)
    excluded.sort(key=lambda each: (each.why, each.target.id))
    return Plan(question, policy, named, rows, excluded, notes)


def _places(
    view: WorkspaceTargets, policy: PolicyFacts, offered: Iterable[Target], named: bool, notes: list[str]
) -> Iterator[tuple[int, Target]]:
    """What was asked for, then the policy's fallbacks with their places; each target once."""
    first = {target.id for target in offered}
    yield from ((0, target) for target in offered)
    seen = set(first)
    for place, target in naming.fallbacks_of(policy, view, notes):
        if target.id not in seen:
            seen.add(target.id)
            yield place, target
        elif named or target.id not in first:
            notes.append(f"A fallback of the policy '{policy.name}' leads back to '{target.id}': it is asked once.")


def _candidates(view: WorkspaceTargets, policy: PolicyFacts, notes: list[str]) -> list[Target]:
    """What `auto` looks at: every target that chats. Raises `NoAvailableModel` where there is none."""
    candidates = list(view.automatic)
    for target in view.all:
        if not target.facts.enabled and catalog.chats(target.kind, target.model):
            candidates.append(target)
    if not candidates:
        raise NoAvailableModel(
            "This workspace has no enabled provider with a model to ask: add one in the console. "
            "One that was just added is asked for its models within a minute."
        )
    if policy.models is not None:
        known = {name for target in candidates for name in (target.model, target.id)}
        for name in sorted(policy.models - known):
            notes.append(f"The model '{name}' of the policy '{policy.name}' is skipped: nobody serves it here.")
    return candidates


def _demos(view: WorkspaceTargets) -> list[Target]:
    return [target for target in view.all if target.kind.wire == "demo" and target.facts.enabled]


def _mark_choices(rows: list[Row], policy: PolicyFacts, question: Question) -> None:
    """Mark the rows that the policy's table of tasks names.

    What the built-in table says of chat holds among local models alone: elsewhere scores decide better.
    """
    task = question.task
    choices = policy.tasks.get(task)
    if choices is None or naming.is_name(question.model):
        return
    if task == "chat" and choices == TASK_MODELS[task] and question.privacy is not Privacy.LOCAL_ONLY:
        return
    local, cloud = choices
    for row in rows:
        choice = local if row.target.local else cloud
        row.choice = bool(choice) and names(frozenset({choice}), row.target)


def _pool(rows: list[Row]) -> bool:
    """Bring replicas together: one model at several providers of one kind and place. Whether there are any."""
    pools: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        target = row.target
        pools.setdefault((target.model, target.kind.id, target.local, row.quality, row.place), []).append(row)
    for pool in pools.values():
        if len(pool) > 1:
            for row in pool:
                row.pool = pool
    return any(row.pool for row in rows)
