"""The pages for webhooks. For admins: an address may be as good as a password."""

from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import push_url, reswap, retarget

from accounts.access import Action, get_or_404, scoped
from accounts.web import ConsoleRequest, console_view
from gateway_project.lib.errors import ApiError, InvalidRequest
from gateway_project.lib.htmx import go_to, is_htmx, render_part, say_and_go
from gateway_project.lib.pagination import paginate
from keys.models import Webhook, WebhookDelivery
from keys.vault import Secret
from keys.webhooks import services
from keys.webhooks.forms import WebhookForm
from keys.webhooks.posting import Posted

PAGE = "keys/webhook.html"


@require_safe
@console_view(Action.MANAGE_WEBHOOKS)
def index(request: ConsoleRequest) -> HttpResponse:
    """The workspace's webhooks, newest first; there are never many."""
    webhooks = scoped(Webhook.objects.defer("secret"), request.caller).order_by("-created_at", "-id")
    return render(request, "keys/webhooks.html", {"webhooks": webhooks})


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_WEBHOOKS)
def new(request: ConsoleRequest) -> HttpResponse:
    """Create a webhook; the answer shows its secret, this once."""
    form = WebhookForm(request.POST if request.method == "POST" else None)
    form.fields["url"].widget.attrs["autofocus"] = not form.is_bound  # a refused form focuses what is wrong
    if request.method == "POST" and form.is_valid():
        try:
            webhook, secret = services.create_webhook(request.caller, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return _secret_page(request, webhook, secret)
    status = 422 if form.is_bound else 200
    return render_part(request, "keys/webhook_new.html", "form", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_WEBHOOKS)
def detail(request: ConsoleRequest, id: str) -> HttpResponse:
    """A webhook's settings and the log of its deliveries."""
    webhook = _get(request, id)
    if request.method in ("GET", "HEAD"):
        return _detail_page(request, webhook, WebhookForm(webhook=webhook))
    form = WebhookForm(request.POST, webhook=webhook)
    if form.is_valid():
        try:
            services.change_webhook(request.caller, webhook, form.fields_for_service())
        except ApiError as error:
            form.refuse(error)
        else:
            return say_and_go(request, "The changes are saved.", resolve_url("webhook", id=webhook.pk))
    return _detail_page(request, webhook, form, status=422)


@require_POST
@console_view(Action.MANAGE_WEBHOOKS)
def test(request: ConsoleRequest, id: str) -> HttpResponse:
    """Send a test message and say how it fared."""
    webhook = _get(request, id)
    posted = services.test_webhook(request.caller, webhook)
    here = resolve_url("webhook", id=webhook.pk)
    return say_and_go(request, _fared(posted), here, warn=not posted.ok)


@require_POST
@console_view(Action.MANAGE_WEBHOOKS)
def state(request: ConsoleRequest, id: str) -> HttpResponse:
    """Switch it on or off."""
    enabled = request.POST.get("enabled") == "yes"
    webhook = services.change_webhook(request.caller, _get(request, id), {"enabled": enabled})
    said = "The webhook is switched on." if enabled else "The webhook is switched off."
    return say_and_go(request, said, resolve_url("webhook", id=webhook.pk))


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_WEBHOOKS)
def rotate(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then show a new secret, this once."""
    webhook = _get(request, id)
    if request.method == "POST":
        return _secret_page(request, *services.rotate_webhook(request.caller, webhook), rotated=True)
    context = {
        "question": "Make a new secret?",
        "consequence": "Every message is signed with the new secret alone from now on. Give it to the receiver.",
        "button": "Make a new secret",
        "button_class": "btn-primary",
        "action": request.path,
        "back": resolve_url("webhook", id=webhook.pk),
    }
    return render_part(request, "confirm.html", "dialog", context)


@require_http_methods(["GET", "HEAD", "POST"])
@console_view(Action.MANAGE_WEBHOOKS)
def remove(request: ConsoleRequest, id: str) -> HttpResponse:
    """Ask, then remove."""
    webhook = _get(request, id)
    if request.method == "POST":
        services.remove_webhook(request.caller, webhook)
        return say_and_go(request, "The webhook is removed.", resolve_url("webhooks"))
    context = {
        "question": "Remove this webhook?",
        "consequence": f"Nothing is sent to {webhook.url} any more, and the log of its deliveries goes, too.",
        "button": "Remove webhook",
        "action": request.path,
        "back": resolve_url("webhook", id=webhook.pk),
    }
    return render_part(request, "confirm.html", "dialog", context)


def _get(request: ConsoleRequest, id: str) -> Webhook:
    return get_or_404(Webhook.objects.all(), request.caller, id)


def _fared(posted: Posted) -> str:
    if posted.ok:
        return f"The test message arrived: the receiver answered {posted.status} in {posted.ms} ms."
    return f"The test message did not arrive. {posted.error}"


def _detail_page(request: ConsoleRequest, webhook: Webhook, form: WebhookForm, status: int = 200) -> HttpResponse:
    if status != 200:
        return render_part(request, PAGE, "form", {"webhook": webhook, "form": form}, status=status)
    deliveries = WebhookDelivery.objects.filter(webhook=webhook).select_related("event")
    try:
        page = paginate(deliveries, limit=25, cursor=request.GET.get("cursor"))
    except InvalidRequest:
        return go_to(request, request.path)
    context = {"webhook": webhook, "form": form, "deliveries": page.data, "next_cursor": page.next_cursor}
    return render(request, PAGE, context)


def _secret_page(request: ConsoleRequest, webhook: Webhook, secret: Secret, *, rotated: bool = False) -> HttpResponse:
    """The one answer that holds the secret. It goes to no cache, no session and no history entry."""
    context = {"webhook": webhook, "secret": secret.reveal(), "rotated": rotated}
    response = render_part(request, "keys/webhook_secret.html", "secret", context)
    if is_htmx(request):
        here = resolve_url("webhook", id=webhook.pk)
        response = push_url(retarget(reswap(response, "innerHTML"), "#main"), here)
    return response
