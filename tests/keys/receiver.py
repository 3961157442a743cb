"""A webhook's receiver, and what the tests of webhooks share."""

from datetime import timedelta

from aiohttp import web

from accounts import events
from accounts.models import Event, Workspace
from keys.models import WebhookDelivery
from tests.keys.server import Server

PATH = "/api/webhooks"
DATA = {"scope": "key", "name": "Support chatbot", "percent": 80, "limit_usd": "10", "spent_usd": "8"}


class Receiver(Server):
    """A webhook's receiver: answers `/hook` with `status`, keeps what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def hook(self) -> str:
        return f"{self.url}/hook"

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        if self.status == 302:
            return web.Response(status=302, headers={"location": f"{self.url}/elsewhere"})
        return web.Response(status=self.status, text="thanks")


def happen(workspace: Workspace, key: str = "budget:1:80") -> Event:
    event = events.raise_event(workspace.pk, "budget.threshold", key, DATA)
    assert event is not None
    return event


def let_time_pass(**span: float) -> None:
    """What is to be tried again is due."""
    for delivery in WebhookDelivery.objects.filter(state="pending"):
        delivery.next_attempt_at -= timedelta(**span)
        delivery.save()


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()
