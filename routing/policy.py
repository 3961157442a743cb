"""Which targets may answer a request, and in which order: filter, then score, then order.

`weigh` is a pure function of the request's label, the policy, the view of the workspace and the live state of its
targets. Explain and the request run it alike; `decide` adds the refusal when nobody is left.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from analytics.amounts import as_text
from routing.decision import Candidate, Decision
from routing.exchange import Exchange
from routing.filters import Exclusion, Why
from routing.health import Health
from routing.naming import AUTO, chosen
from routing.needs import LONG_PROMPT, Needs, needs_of
from routing.plan import FAILING, PUT_BACK, SHIFT, Plan, plan_for
from routing.privacy import LOCAL_ONLY, privacy_of
from routing.providers.base import Target
from routing.refusals import refused
from routing.replicas import STEP, idler
from routing.rows import Row
from routing.scores import FAILS_OFTEN, Pace, Sheet, cost_of, costs, falling, pace, rising
from routing.sticky import Conversations
from routing.target_state import TargetState
from routing.targets import WorkspaceTargets

__all__ = ["AUTO", "chosen", "decide", "weigh"]

CLOSED = "closed"
# How many candidates a request's record names.
TOLD = 12
# More than scores, which are 1 at most, and replicas' steps come to: a rank outweighs them.
APART = 64.0


class Table:
    """The reckoning for one request, column by column: position n of each list is about `rows[n]`."""

    __slots__ = (
        "caller", "excluded", "idler", "needs", "order", "pace", "plan", "ranks", "rates", "reliabilities", "resting",
        "rows", "scores", "sheet", "states",
    )  # fmt: skip

    sheet: Sheet
    pace: Pace
    # With reliability in them.
    scores: list[float]
    ranks: list[int]

    def __init__(self, plan: Plan, needs: Needs, caller: str, states: list[TargetState | None]) -> None:
        self.plan, self.needs, self.caller = plan, needs, caller
        self.rows: list[Row] = plan.rows
        self.states = states
        self.excluded: list[Exclusion] = plan.excluded
        # Those whose breaker is open: excluded, and still asked when everybody else failed.
        self.resting: list[Target] = []
        # By position, the share of requests that fail of those that do; and what follows from it.
        self.rates: dict[int, float] = {}
        self.reliabilities: dict[int, float] = {}
        self.idler: list[int] | None = None
        # Positions, the first choice first.
        self.order: list[int] = []


def decide(
    exchange: Exchange, view: WorkspaceTargets, health: Health, conversations: Conversations | None = None
) -> Decision:
    """The targets that answer `exchange`, the first choice first.

    Raises `ModelNotFound`, `PermissionDenied` (the key's models or privacy forbid every one, or a budget holds and none
    has a known price), `UnsupportedByBackend` (none can do what is asked), `NoAvailableModel` (nothing is enabled, or
    no target passes the policy's filters).
    """
    plan, needs = _planned(exchange, view)
    only = plan.only
    if only is not None and not _may_be_too_much(plan, needs):
        state = health.state(only.key)
        if state is None or state.switch.state == CLOSED:
            return _decided(plan, [only.target], plan.notes, lambda: _recalled(plan, needs, state))
    decision, table = _weighed(exchange, plan, needs, health, conversations)
    if not decision.targets:
        raise refused(exchange, plan, table.excluded, needs)
    if plan.only is None:
        decision.told = told(table)
    return decision


def weigh(
    exchange: Exchange, view: WorkspaceTargets, health: Health, conversations: Conversations | None = None
) -> tuple[Decision, Table]:
    """What `decide` decides, with the reckoning behind it; without targets when nobody may answer.

    Raises `ModelNotFound` and `NoAvailableModel` where there is nothing to weigh.
    """
    return _weighed(exchange, *_planned(exchange, view), health, conversations)


def _planned(exchange: Exchange, view: WorkspaceTargets) -> tuple[Plan, Needs]:
    label, caller = exchange.label, exchange.caller
    if label is None:
        raise ValueError("a request is classified before it is routed")
    needs = needs_of(exchange, label)
    privacy = privacy_of(exchange, view)
    allowed, budgeted = (caller.allowed_models, caller.budgeted) if caller is not None else (None, False)
    asked = (exchange.model, allowed, needs.capability, needs.bits, privacy, label.complexity, label.task, budgeted)
    return plan_for(view, exchange.policy, asked), needs


def _weighed(
    exchange: Exchange, plan: Plan, needs: Needs, health: Health, conversations: Conversations | None
) -> tuple[Decision, Table]:
    caller = exchange.caller
    table = Table(plan, needs, caller.id if caller is not None else "", health.states_of(plan.keys))
    notes = plan.notes
    table.rates, one_rests = _failures(table.states)
    if one_rests or _may_be_too_much(plan, needs):
        notes = _narrow(table, health)
        table.rates, _ = _failures(table.states)
    rows = table.rows
    if rows and plan.only is None:
        _score(table)
        _order(table)
    else:
        table.order = list(range(len(rows)))
    targets = [rows[position].target for position in table.order]
    if conversations is not None and targets and plan.only is None:
        notes = _keep_to_conversation(exchange, table, targets, conversations, notes)
    targets += table.resting
    return _decided(plan, targets, notes, lambda: _candidates(table)), table


def _decided(plan: Plan, targets: list[Target], notes: list[str], recall: Callable[[], list[Candidate]]) -> Decision:
    local_only = plan.question.privacy is LOCAL_ONLY
    return Decision(targets, plan.named, plan.policy, local_only, notes, plan.fallbacks, recall)


# --- Filter --------------------------------------------------------------------------------------


def _failures(states: list[TargetState | None]) -> tuple[dict[int, float], bool]:
    """The share of requests that fail, by position, of those that do fail; and whether a breaker is not closed.

    A target whose breaker lets a probe through is taken to be as good as it was before.
    """
    rates: dict[int, float] = {}
    one_rests = False
    for position, state in enumerate(states):
        if state is None:
            continue
        if state.switch.state != CLOSED:
            one_rests = True
        elif state.rate.any and (rate := state.risk):
            rates[position] = rate
    return rates, one_rests


def _may_be_too_much(plan: Plan, needs: Needs) -> bool:
    """Whether the size of this request may exclude a target."""
    return needs.prompt + needs.max_output > plan.smallest_window or plan.policy.max_cost_usd is not None


def _narrow(table: Table, health: Health) -> list[str]:
    """Leave out of `table` what this request or live state excludes. The notes, with what is to be said of that."""
    plan, needs = table.plan, table.needs
    notes = list(plan.notes)
    size, cap = needs.prompt + needs.max_output, plan.policy.max_cost_usd
    now = health.clock()
    left: list[tuple[Row, TargetState | None]] = []
    resting: list[tuple[Row, TargetState | None]] = []
    excluded: list[Exclusion] = []
    usd = costs(table.rows, needs.prompt, needs.output) if table.rows else []
    for row, state, cost in zip(table.rows, table.states, usd, strict=True):
        target = row.target
        # Of a model that the client named, the provider is the judge: it knows the request's tokens exactly.
        if row.window is not None and size > row.window and not (plan.named and row.place == 0):
            told = f"its context window of {row.window} tokens is too small for {needs.prompt}"
            told += f" and {needs.max_output} of an answer" if needs.max_output else ""
            excluded.append(Exclusion(target, Why.CONTEXT, told))
        elif cap is not None and cost > cap:
            told = f"about {_usd(cost)} is more than the policy's {_usd(cap)} for a request"
            excluded.append(Exclusion(target, Why.COST, told))
        elif state is not None and state.denied:
            excluded.append(Exclusion(target, Why.DENIED, f"its circuit breaker is open: {state.reason}"))
        elif state is not None and state.breaker != CLOSED and not health.available(target.key, now):
            resting.append((row, state))
        else:
            left.append((row, state))
    if not left and resting:
        left, resting = resting, []
        notes.append("The circuit breaker of every candidate is open, so one is asked although it may fail.")
    for row, state in resting:
        why = state.reason if state is not None else ""
        excluded.append(Exclusion(row.target, Why.BREAKER, f"its circuit breaker is open: {why}"))
    if plan.named and not any(row.place == 0 for row, _ in left + resting):
        # A fallback is for a model that fails, not for one that may not be asked.
        first = {row.target.id for row in plan.rows if row.place == 0}
        if any(each.why in (Why.CONTEXT, Why.COST) for each in excluded if each.target.id in first):
            left, resting, excluded = [], [], [each for each in excluded if each.target.id in first]
    if excluded or len(left) != len(plan.rows):
        table.rows, table.states = [row for row, _ in left], [state for _, state in left]
        table.excluded = plan.excluded + excluded
        resting.sort(key=lambda each: (each[0].place, each[0].index))
        table.resting = [row.target for row, _ in resting]
    return notes


def _usd(amount: float) -> str:
    """`amount` for people: three digits, wherever they begin."""
    return f"${as_text(Decimal(f'{amount:.3g}'))}"


# --- Score ---------------------------------------------------------------------------------------
def _score(table: Table) -> None:
    """Fill the table's columns: from the plan's sheet, and from what was measured."""
    plan, needs, rows, states = table.plan, table.needs, table.rows, table.states
    long = needs.prompt > LONG_PROMPT
    if rows is plan.rows:
        sheet = plan.sheet(needs.prompt, needs.output)
        table.ranks = plan.ranks[long]
    else:
        sheet = plan.sheet_for(rows, rising([row.quality for row in rows]), needs.prompt, needs.output)
        table.ranks = plan.ranks_of(rows, long=long)
    speeds = [None if state is None else state.speeds for state in states]
    table.sheet, table.pace = sheet, pace(sheet, rows, speeds, pooled=plan.pooled)
    table.scores = table.pace.scores
    if table.rates:
        _rely(table, table.rates)
    if plan.pooled:
        table.idler = idler(rows, states, table.rates, needs, table.caller)


def _rely(table: Table, rates: dict[int, float]) -> None:
    """Failures lower a target's score, and many of them put it behind all that fail less."""
    table.scores, table.ranks, table.reliabilities = table.scores.copy(), table.ranks.copy(), {}
    for position, rate in rates.items():
        factor = table.reliabilities[position] = (1.0 - rate) ** 2
        table.scores[position] *= factor
        if rate >= FAILS_OFTEN:
            table.ranks[position] |= FAILING


# --- Order ---------------------------------------------------------------------------------------


def _order(table: Table) -> None:
    """Rank first, then score; equal ones by id, which is the order of the rows and which a sort keeps."""
    if table.rates or table.idler is not None:
        table.order = _sorted(table)
        return
    orders, long = table.pace.orders, table.needs.prompt > LONG_PROMPT
    if long not in orders:
        orders[long] = _sorted(table)
    table.order = orders[long].copy()


def _sorted(table: Table) -> list[int]:
    scores = table.scores
    if table.idler is not None:
        scores = [score - STEP * before for score, before in zip(scores, table.idler, strict=True)]
    keys = [score - APART * rank for score, rank in zip(scores, table.ranks, strict=True)]
    return sorted(range(len(keys)), key=keys.__getitem__, reverse=True)


def _keep_to_conversation(
    exchange: Exchange, table: Table, targets: list[Target], conversations: Conversations, notes: list[str]
) -> list[str]:
    """Put the target that a conversation is on first, unless the request outgrew it. The notes, with that said."""
    held = conversations.held(exchange)
    if held is None:
        return notes
    position = next((at for at, target in enumerate(targets) if target.key == held.key), None)
    if position is None:
        return [*notes, f"The conversation was on {held.name}, which may not answer this request."]
    ranks, order = table.ranks, table.order
    if ranks[order[position]] > ranks[order[0]]:
        return [*notes, f"The conversation was on {held.name}, which {targets[0].id} now goes before."]
    if position:
        targets.insert(0, targets.pop(position))
        order.insert(0, order.pop(position))
    return [*notes, f"The conversation stays on {held.name}: a change would throw away its prompt cache."]


# --- Recall --------------------------------------------------------------------------------------


def told(table: Table) -> list[list[Any]]:
    """What the ledger keeps of the reckoning: `[id, score]` in order, then `[id, why not]`; at most `TOLD` of them.

    Every request pays for this: so there are no scores here but those that it was ordered by, as they come.
    """
    rows, scores = table.rows, table.scores
    found = [[rows[position].target.id, scores[position]] for position in table.order[:TOLD]]
    if (left := TOLD - len(found)) and table.excluded:
        found += [[each.target.id, each.because] for each in table.excluded[:left]]
    return found


def _recalled(plan: Plan, needs: Needs, state: TargetState | None) -> list[Candidate]:
    """The one target that there was as explain shows it."""
    table = Table(plan, needs, "", [state])
    table.rates, _ = _failures(table.states)
    table.order = [0]
    return _candidates(table)


def _candidates(table: Table) -> list[Candidate]:
    """The table as explain shows it: the targets in order, then those that were excluded."""
    if not table.rows:
        return [Candidate(each.target, excluded_because=each.because) for each in table.excluded]
    if table.plan.only is not None:  # there was nothing to compare it with
        _score(table)
    needs, sheet, seconds, speed_scores = table.needs, table.sheet, table.pace.seconds, falling(table.pace.logs)
    best = min(table.ranks) & ~(-1 << SHIFT)
    found = []
    for position in table.order:
        row, rank = table.rows[position], table.ranks[position]
        found.append(
            Candidate(
                row.target,
                cost_usd=cost_of(row, needs.prompt, needs.output) if row.priced else None,
                cost_score=sheet.cost_scores[position],
                quality_score=sheet.quality_scores[position],
                speed_score=speed_scores[position],
                score=table.scores[position],
                reliability=table.reliabilities.get(position, 1.0),
                seconds=seconds[position],
                put_back=[told for bit, told in PUT_BACK.items() if rank & bit & ~best],
                idler_replicas=table.idler[position] if table.idler is not None else 0,
            )
        )
    found += [Candidate(each.target, excluded_because=each.because) for each in table.excluded]
    return found
