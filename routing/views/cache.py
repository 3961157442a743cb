"""The page for the cache: what it holds and saved, by policy, and taking answers back."""

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import Action, scoped
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib import format as text
from gateway_project.lib.console_tags import NOTHING
from gateway_project.lib.errors import ApiError
from gateway_project.lib.htmx import render_part, say_and_go
from keys.models import GatewayKey
from routing.cache import current
from routing.cache.purge import Purge, purge
from routing.cache.stats import DAYS, PolicyStats, stats
from routing.forms import BUILT_IN_CHOICE, PurgeForm
from routing.models import Policy

UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """Every policy's share of the cache, and what they come to together."""
    rows = stats(request.caller)
    total = PolicyStats(None, "All")
    for row in rows:
        for name in ("entries", "bytes", "hits", "misses", "saved_usd"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    context = {
        "rows": [_shown(row) for row in rows],
        "total": _shown(total),
        "semantic": [_semantic(row) for row in rows if row.semantic.facts or row.semantic.checked or row.semantic_hits],
        "days": DAYS,
        "on": current.is_on,
        "lasting": _lasting(current.seconds),
        "can_manage": request.caller.may(Action.MANAGE_ROUTING),
    }
    return render(request, "routing/cache.html", context)


def _semantic(row: PolicyStats) -> dict[str, object]:
    """A row of the table of semantic hits."""
    known = row.semantic
    low, high = known.interval or (None, None)
    return {
        "name": text.policy(row.name) if row.id == "" else row.name,
        "id": row.id,
        "hits": row.semantic_hits,
        "checked": known.checked,
        "unsure": known.unsure,
        "wrong": known.wrong,
        "rate": _percent(known.false_hit_rate),
        "low": _percent(low),
        "high": _percent(high),
        "limit": _percent(None if known.facts is None else known.facts.max_false_hits),
        "over": known.facts is not None and low is not None and low > known.facts.max_false_hits,
        "begins": None if known.facts is None else known.facts.threshold,
        "threshold": known.threshold,
        "on": known.facts is not None,
    }


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.3g}%"


def _lasting(seconds: float) -> str:
    """Seconds in the largest unit that they are a whole number of: `90 seconds`, `1 hour`."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0 or size == 1)
    many = int(seconds // size)
    return f"{many} {unit}{'' if many == 1 else 's'}"


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_ROUTING)
def purge_answers(request: ConsoleRequest) -> HttpResponse:
    """Ask what to purge, then purge."""
    keys = scoped(GatewayKey.objects.order_by("name"), request.caller).values_list("pk", "name")
    policies = scoped(Policy.objects.order_by("name"), request.caller).values_list("pk", "name")
    lists = {"keys": [(str(pk), name) for pk, name in keys], "policies": [(str(pk), name) for pk, name in policies]}
    if request.method == "POST":
        form = PurgeForm(request.POST, **lists)
    else:
        form = PurgeForm(initial={"policy": request.GET.get("policy", "")}, **lists)
    if form.is_bound and form.is_valid():
        try:
            purged = purge(request.caller, _meant(request, form))
        except ApiError as error:
            form.refuse(error)
        else:
            said = f"{purged} answer{' is' if purged == 1 else 's are'} purged."
            return say_and_go(request, said, resolve_url("cache"))
    context = {
        "question": "Purge the cache?",
        "consequence": "The answers to which all of this applies are forgotten in every process, at once. "
        "The next requests for them are sent to a model again, and billed.",
        "form": form,
        "button": "Purge",
        "action": request.path,
        "back": resolve_url("cache"),
    }
    return render_part(request, "confirm.html", "dialog", context, status=422 if form.errors else 200)


def _meant(request: ConsoleRequest, form: PurgeForm) -> Purge:
    said = form.cleaned_data
    policy = "" if said["policy"] == BUILT_IN_CHOICE else said["policy"] or None
    return Purge(str(request.caller.workspace.pk), said["key"] or None, policy, said["model"] or None)


def _shown(row: PolicyStats) -> dict[str, object]:
    """A row of the table; `purges` is what the purge form calls its policy, "" for one that it does not know."""
    known = "" if row.id is None else row.id or BUILT_IN_CHOICE
    looked_up = row.hits + row.misses
    own = {name: getattr(row, name) for name in ("id", "name", "entries", "bytes", "hits", "saved_usd")}
    if row.id == "":
        own["name"] = text.policy(row.name)
    return {**own, "looked_up": looked_up, "purges": known}
