"""Taking answers back: of a workspace, a key, a policy, a model. In every process, in Redis and in Postgres.

Processes hear of it on the snapshot's channel, so it needs no Redis. One that did not listen for a while forgets all
that it holds, as it cannot know what was purged meanwhile.
"""

import logging
from dataclasses import dataclass

import orjson
from django.db import transaction

from accounts import audit
from accounts.access import Caller
from routing import snapshot
from routing.cache import stored
from routing.cache.answer import KeptAnswer
from routing.cache.lookup import current
from routing.cache.semantic import store

logger = logging.getLogger(__name__)

ANNOUNCED = "cache"


@dataclass(frozen=True, slots=True)
class Purge:
    """Which answers: of the workspace, and of all that is named. `policy_id` is "" for the one that is built in.

    `model` is the name of who answered, bare or as `<provider>/<model>`, or the name that was asked for.
    """

    workspace_id: str
    key_id: str | None = None
    policy_id: str | None = None
    model: str | None = None

    def matches(self, answer: KeptAnswer) -> bool:
        """Whether it is one of those."""
        return (
            answer.workspace_id == self.workspace_id
            and self.key_id in (None, answer.key_id)
            and self.policy_id in (None, answer.policy_id)
            and self.model in (None, answer.model, f"{answer.provider}/{answer.model}", answer.requested_model)
        )

    def to_text(self) -> str:
        """For `of_text`, in another process."""
        return orjson.dumps([self.workspace_id, self.key_id, self.policy_id, self.model]).decode()

    @classmethod
    def of_text(cls, text: str) -> "Purge":
        """Raises `ValueError` or `TypeError` for what `to_text` did not make."""
        workspace_id, key_id, policy_id, model = orjson.loads(text)
        return cls(workspace_id, key_id, policy_id, model)


def purge(caller: Caller, what: Purge) -> int:
    """Remove them everywhere; how many there were in this process, Redis and Postgres. Recorded in the audit trail.

    Answers to requests that are under way are not kept. Raises `ServiceUnavailable` where Redis, which would give its
    answers again, is away.
    """
    gone = current.forget(what.workspace_id, what.matches)
    with transaction.atomic():
        snapshot.announce(ANNOUNCED, what.to_text())
        named = {name: getattr(what, name) for name in ("key_id", "policy_id", "model")}
        of = {name: value for name, value in named.items() if value is not None}
        audit.record(caller, "cache.purged", "cache", new=of)
        gone |= store.purge(what.workspace_id, **named)
    snapshot.current.catch_up(stored.PATIENCE)
    return len(gone | stored.remove(what.workspace_id, what.policy_id, what.matches))


def hear(announced: set[str]) -> None:
    """Another process, or this one, purged. For the snapshot's listener."""
    for text in announced:
        try:
            what = Purge.of_text(text)
        except (TypeError, ValueError):
            logger.error("a purge was announced in words of another version: everything is forgotten")
            current.clear()
        else:
            current.forget(what.workspace_id, what.matches)


def start() -> None:
    """Follow what other processes purge. To be called once, before the snapshot's `start`."""
    snapshot.hear(ANNOUNCED, hear, after_silence=current.clear)
