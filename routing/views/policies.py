"""The pages for policies: the list, one policy with its versions, and a prompt to try it with."""

from collections.abc import Mapping
from typing import Any

from django.db.models import F, QuerySet
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Action, get_or_404, require, scoped
from accounts.web import ConsoleRequest, console_view
from analytics.queries import documents
from gateway_project.lib import format as text
from gateway_project.lib.errors import ApiError, Conflict, InvalidRequest
from gateway_project.lib.htmx import go_to, render_part, say_and_go
from gateway_project.lib.pagination import paginate
from gateway_project.lib.schemas import parse
from keys.live import unserved_note
from routing import explain, health, policy_document, services, snapshot
from routing.forms import PolicyForm, TryForm
from routing.models import Policy, PolicyVersion
from routing.policies import BUILT_IN, DEFAULT, PolicyFacts
from routing.policy_document import DEFAULTS, PolicyDocument

PAGE = "routing/policy.html"
# Versions that a policy's page lists; the API lists them all.
SHOWN_VERSIONS = 20


@require_safe
@console_view()
def index(request: ConsoleRequest) -> HttpResponse:
    """The workspace's policies, newest first, and the one that is built in."""
    try:
        page = paginate(_policies(request), cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    documents = _documents(page.data)
    shown = [_shown(policy, documents.get(policy.pk, {})) for policy in page.data]
    if page.next_cursor is None:
        default = not _policies(request).filter(is_default=True).exists()
        shown.append(_row("", text.policy(BUILT_IN), DEFAULTS, default=default, version=None))
    context = {
        "policies": shown,
        "next_cursor": page.next_cursor,
        "can_manage": request.caller.may(Action.MANAGE_ROUTING),
    }
    return render(request, "routing/policies.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_ROUTING)
def new(request: ConsoleRequest) -> HttpResponse:
    """Make a policy, from what is built in."""
    form = PolicyForm(request.POST if request.method == "POST" else None, document={})
    form.fields["name"].widget.attrs["autofocus"] = not form.is_bound
    if form.is_bound and form.is_valid():
        try:
            policy = services.create_policy(request.caller, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return _saved(request, policy, f"{policy.name} is in force.", form)
    return _page(request, None, form)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view()
def detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """A policy: what it says, what it said, and what it would do."""
    policy = _get(request, id)
    document = policy.versions.get(version=policy.version).document
    asked = {"name": policy.name, "default": policy.is_default, "document": document}
    if request.method in ("GET", "HEAD"):
        return _page(request, policy, PolicyForm(**asked))
    require(request.caller, Action.MANAGE_ROUTING)
    form = PolicyForm(request.POST, **asked)
    if form.is_valid():
        try:
            changed = services.change_policy(request.caller, policy, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            said = (
                "Nothing changed." if changed.version == policy.version else f"Version {changed.version} is in force."
            )
            return _saved(request, policy, said, form)
    return _page(request, policy, form)


@require_safe
@console_view()
def built_in(request: ConsoleRequest) -> HttpResponse:
    """What holds where a workspace made no default of its own."""
    context = {"built_in": True, "form": PolicyForm(name=BUILT_IN, document={}), "try_form": TryForm()}
    return render(request, PAGE, context)


@require_POST
@console_view()
def preview(request: ConsoleRequest) -> HttpResponse:
    """What a policy would do with a prompt. Sends nothing and changes nothing.

    That is the draft in the form, saved or not; the stored one with the id `policy`, where the form's fields did not
    come, as for who may not change it; or what is built in.
    """
    asked = TryForm(request.POST)
    context: dict[str, Any] = {"try_form": asked}
    if not request.POST.get("prompt", "").strip():
        return render(request, f"{PAGE}#result", context)
    form = _draft_form(request)
    policy = _stored(request) if form is None else _draft(form)
    if form is not None and policy is None:
        context["problem"] = "The policy has fields that cannot be used: " + "; ".join(_problems(form))
    elif not asked.is_valid():
        context["problem"] = " ".join(_problems(asked))
    else:
        try:
            explain.admit(request.caller.user)
            context |= _explained(request, policy or DEFAULT, asked.body("auto"))
        except ApiError as error:
            context["problem"] = error.message
    return render(request, f"{PAGE}#result", context)


@require_POST
@console_view(Action.MANAGE_ROUTING)
def roll_back(request: ConsoleRequest, id: str) -> HttpResponse:
    """Say again what an older version said."""
    policy = _get(request, id)
    version = request.POST.get("version", "")
    if not version.isdecimal() or len(version) > 9:
        return go_to(request, resolve_url("policy", id=policy.pk))
    try:
        changed = services.roll_back(request.caller, policy, int(version))
    except InvalidRequest as error:
        return say_and_go(request, error.message, resolve_url("policy", id=policy.pk))
    said = f"Version {changed.version} is in force; it says what version {version} said."
    return say_and_go(request, said, resolve_url("policy", id=policy.pk))


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_ROUTING)
def remove(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then remove."""
    policy = _get(request, id)
    refusal = ""
    if request.method == "POST":
        try:
            services.remove_policy(request.caller, policy)
        except Conflict as error:
            refusal = error.message
        else:
            return say_and_go(request, f"{policy.name} is removed.", resolve_url("policies"))
    context = {
        "question": f"Remove {policy.name}?",
        "consequence": refusal
        or "Its versions go with it. Requests that ask for it by name are refused from then on."
        + (" It is the default: what is built in takes its place." if policy.is_default else ""),
        "button": "Remove policy",
        "action": request.path,
        "back": resolve_url("policy", id=policy.pk),
    }
    return render_part(request, "confirm.html", "dialog", context, status=422 if refusal else 200)


# --- Parts ---------------------------------------------------------------------------------------


def _policies(request: ConsoleRequest) -> QuerySet[Policy]:
    return scoped(Policy.objects.all(), request.caller)


def _get(request: ConsoleRequest, id: str) -> Policy:
    return get_or_404(Policy.objects.all(), request.caller, id)


def _saved(request: ConsoleRequest, policy: Policy, said: str, form: PolicyForm) -> HttpResponse:
    """To the policy's page, with what was `said` of it, and which of the models that it names nobody lists."""
    named = [*form.cleaned_data["models"], *form.cleaned_data["fallbacks"]]
    note = unserved_note(request.caller.workspace, list(dict.fromkeys(named)))
    return say_and_go(request, f"{said} {note}".strip(), resolve_url("policy", id=policy.pk), warn=bool(note))


def _documents(policies: list[Policy]) -> dict[Any, dict[str, Any]]:
    """What each policy says now. One query."""
    current = PolicyVersion.objects.filter(policy__in=policies, version=F("policy__version"))
    return dict(current.values_list("policy_id", "document"))


def _shown(policy: Policy, document: Mapping[str, Any]) -> dict[str, Any]:
    return _row(str(policy.pk), policy.name, document, default=policy.is_default, version=policy.version)


def _row(id: str, name: str, document: Mapping[str, Any], *, default: bool, version: int | None) -> dict[str, Any]:
    said = {**DEFAULTS, **document}
    total = sum(said["weights"].values())
    shares = {what: weight * 100 / total for what, weight in said["weights"].items()}
    row = {"id": id, "name": name, "default": default, "version": version}
    return row | {"shares": shares, "bounds": list(_bounds(said))}


def _bounds(said: Mapping[str, Any]) -> list[str]:
    """What a policy forbids or switches on, in a word or two each."""
    models = len(said["models"] or ())
    words = {
        "local only": said["privacy_mode"] == "strict",
        f"{models} model{'' if models == 1 else 's'}": models > 0,
        f"≤ ${said['max_cost_usd']}": said["max_cost_usd"] is not None,
        "quality floors": any(floor is not None for floor in said["min_quality"].values()),
        "learned classifier": said["classifier"] == "learned",
        "calibrated": said["calibrate"],
        "hedged": said["hedge"],
        "caches all": (said["cache"] or {}).get("exact") is True,
        "caches nothing": (said["cache"] or {}).get("exact") is False,
    }
    return [word for word, holds in words.items() if holds]


def _draft_form(request: ConsoleRequest) -> PolicyForm | None:
    """The form that came with the prompt; None when it is disabled in the page, so that nothing of it came."""
    if "cost" not in request.POST and "classifier" not in request.POST:
        return None
    draft = request.POST.copy()
    draft["name"] = draft.get("name") or "draft"  # it need not have one yet
    return PolicyForm(draft, document={})


def _draft(form: PolicyForm) -> PolicyFacts | None:
    """The policy in the form as the request path would read it; None, with the form's errors, for one that is wrong."""
    if not form.is_valid():
        return None
    try:
        document = policy_document.as_json(parse(PolicyDocument, form.document()))
    except InvalidRequest as error:
        form.refuse(error)
        return None
    return policy_document.facts("", form.cleaned_data["name"], 0, document)


def _stored(request: ConsoleRequest) -> PolicyFacts:
    """The policy whose page asks; what is built in, where its own page or a new policy's does. Raises `NotFound`."""
    id = request.POST.get("policy", "")
    if not id:
        return DEFAULT
    policy = _get(request, id)
    document = policy.versions.get(version=policy.version).document
    return policy_document.facts(str(policy.pk), policy.name, policy.version, document)


def _explained(request: ConsoleRequest, policy: PolicyFacts, body: dict[str, Any]) -> dict[str, Any]:
    """What explain says; its candidates apart from those left out, its features in words."""
    workspace_id = str(request.caller.workspace.pk)
    view = snapshot.current.workspace(workspace_id)
    result = explain.explain(view, health.current, None, body, workspace_id=workspace_id, policy=policy)
    left_out = [candidate for candidate in result["candidates"] if candidate.get("excluded_because")]
    return {
        "result": result,
        "grounding": _with_links(request, result["grounding"]),
        "candidates": [candidate for candidate in result["candidates"] if not candidate.get("excluded_because")],
        "left_out": left_out,
        "has_models": bool(view.all),
        "seen": [(name.replace("_", " "), _in_words(value)) for name, value in result["features"].items() if value],
    }


def _with_links(request: ConsoleRequest, grounding: dict[str, Any] | None) -> dict[str, Any] | None:
    if grounding is None:
        return None
    return grounding | {"documents": documents(request.caller, [each["id"] for each in grounding["documents"]])}


def _in_words(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return round(value, 2)
    return "yes" if value is True else value


def _problems(form: PolicyForm | TryForm) -> list[str]:
    """What is wrong with a form, with the fields named as they are where one does not see the groups they stand in."""
    return [
        f"{form.named(name)}: {words[:1].lower() + words[1:]}" if name in form.fields else words
        for name, words in ((name, " ".join(map(str, errors))) for name, errors in form.errors.items())
    ]


def _page(request: ConsoleRequest, policy: Policy | None, form: PolicyForm) -> HttpResponse:
    versions = (
        policy.versions.select_related("created_by").order_by("-version") if policy else PolicyVersion.objects.none()
    )
    context = {
        "policy": policy,
        "form": form,
        "try_form": TryForm(),
        "versions": list(versions.select_related("created_by").order_by("-version")[:SHOWN_VERSIONS]),
        "can_manage": request.caller.may(Action.MANAGE_ROUTING),
    }
    return render_part(request, PAGE, "form", context, status=422) if form.is_bound else render(request, PAGE, context)
