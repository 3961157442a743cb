"""What the request path knows of keys and providers: an in-process picture, kept current by Postgres NOTIFY.

A listener thread holds one connection. Triggers on the tables announce each changed key and provider on the channel
`gateway_config`; the thread reads those rows again and swaps the picture's entries, so a request reads plain
dictionaries, never the database. A lost connection means a full reading when it is back: a change is live in every
process at once as a rule, and within `FULL_READ_AFTER` seconds whatever happens.
"""

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection as django_connection
from django.db import connections

from gateway_project.lib import database
from gateway_project.lib.ids import uuid7_text
from keys import queries
from keys.queries import KeyFacts, ProviderFacts
from routing import catalog
from routing.providers.base import Target

logger = logging.getLogger(__name__)

CHANNEL = "gateway_config"
FULL_READ_AFTER = 300.0
# Seconds in which announcements are gathered before they are acted on: a bulk change is then one reading.
GATHER = 0.02
RETRY_AFTER = 1.0
# Seconds after which the listener looks up from waiting.
LOOK_EVERY = 2.0

Caller = KeyFacts


@dataclass(slots=True)
class WorkspaceTargets:
    """The enabled targets of one workspace, in the order in which the providers were made and list their models."""

    providers: dict[str, ProviderFacts] = field(default_factory=dict)
    targets: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    by_model: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    all: tuple[Target, ...] = ()
    # What `auto` chooses from: every target that chats; the demo only where there is nothing else.
    automatic: tuple[Target, ...] = ()
    # The models of each disabled provider, so that who asks for one is told what is wrong.
    disabled: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def build(cls, providers: Iterable[ProviderFacts]) -> "WorkspaceTargets":
        view = cls()
        by_model: dict[str, list[Target]] = {}
        for provider in providers:
            models = provider.model_ids or provider.discovered
            if not provider.enabled:
                view.disabled[provider.name] = models
                continue
            view.providers[provider.name] = provider
            targets = tuple(make_target(provider, model) for model in models)
            view.targets[provider.name] = targets
            for target in targets:
                by_model.setdefault(target.model, []).append(target)
        view.by_model = {model: tuple(targets) for model, targets in by_model.items()}
        view.all = tuple(target for targets in view.targets.values() for target in targets)
        chats = [target for target in view.all if catalog.chats(target.kind, target.model)]
        view.automatic = tuple([target for target in chats if target.kind.wire != "demo"] or chats)
        return view


def make_target(provider: ProviderFacts, model: str) -> Target:
    """`model` at `provider`, whether or not the provider lists it."""
    return Target(
        provider_id=provider.id,
        provider=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        model=model,
        local=provider.local,
        secret=provider.secret,
    )


EMPTY = WorkspaceTargets()


class Snapshot:
    """The picture. Readers take from its dictionaries; only the listener's thread changes it, an entry at a time."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self._callers: dict[bytes, tuple[Caller, float | None]] = {}
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._providers: dict[str, ProviderFacts] = {}
        self._workspaces: dict[str, WorkspaceTargets] = {}
        # Whether a listener follows this picture, and who waits for it to have read up to a mark.
        self.followed = False
        self._marks: dict[str, threading.Event] = {}

    def caller(self, digest: bytes) -> tuple[Caller, float | None] | None:
        """The key with a secret of this digest, and when that secret expires (Unix time), or None."""
        return self._callers.get(digest)

    def workspace(self, workspace_id: str) -> WorkspaceTargets:
        """The targets of a workspace; none when it has no provider."""
        return self._workspaces.get(workspace_id, EMPTY)

    def catch_up(self, patience: float) -> None:
        """Wait until the picture shows what was committed before this call; at most `patience` seconds.

        Postgres delivers notifications in the order of commits, so a mark comes after all of them.
        """
        if not self.followed:
            return
        mark = uuid7_text()
        reached = self._marks[mark] = threading.Event()
        try:
            with django_connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"mark:{mark}"])
            reached.wait(patience)
        finally:
            del self._marks[mark]

    def reach(self, marks: set[str]) -> None:
        """The picture shows what was committed before these marks."""
        for mark in marks:
            waiting = self._marks.get(mark)
            if waiting is not None:
                waiting.set()

    def read_all(self) -> None:
        """Read every key and provider anew."""
        callers: dict[bytes, tuple[Caller, float | None]] = {}
        digests: dict[str, tuple[bytes, ...]] = {}
        for key in queries.gateway_keys():
            digests[key.id] = tuple(digest for digest, _ in key.digests)
            callers.update({digest: (key, expires) for digest, expires in key.digests})
        self._callers, self._digests = callers, digests
        self._providers = {provider.id: provider for provider in queries.providers()}
        self._rebuild({provider.workspace_id for provider in self._providers.values()}, whole=True)
        self.ready.set()

    def read_keys(self, ids: set[str]) -> None:
        """Read these keys again; those that are gone disappear."""
        found = {key.id: key for key in queries.gateway_keys(ids)}
        for key_id in ids:
            old = self._digests.pop(key_id, ())
            key = found.get(key_id)
            if key is not None:
                self._digests[key_id] = tuple(digest for digest, _ in key.digests)
                self._callers.update({digest: (key, expires) for digest, expires in key.digests})
            for digest in set(old) - set(self._digests.get(key_id, ())):
                self._callers.pop(digest, None)

    def read_providers(self, ids: set[str]) -> None:
        """Read these providers again; those that are gone disappear, with their targets."""
        touched = {self._providers[gone].workspace_id for gone in ids if gone in self._providers}
        for gone in ids:
            self._providers.pop(gone, None)
        for provider in queries.providers(ids):
            self._providers[provider.id] = provider
            touched.add(provider.workspace_id)
        self._rebuild(touched)

    def _rebuild(self, workspaces: set[str], *, whole: bool = False) -> None:
        grouped: dict[str, list[ProviderFacts]] = {workspace: [] for workspace in workspaces}
        # Ids are time-ordered, so this is the order in which the providers were made.
        for _, provider in sorted(self._providers.items()):
            if provider.workspace_id in grouped:
                grouped[provider.workspace_id].append(provider)
        views = {workspace: WorkspaceTargets.build(providers) for workspace, providers in grouped.items()}
        if whole:
            self._workspaces = views
        else:
            self._workspaces.update(views)


class Listener(threading.Thread):
    """Keeps a `Snapshot` current until the process ends."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(name="snapshot", daemon=True)
        self.snapshot = snapshot
        snapshot.followed = True
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread, within `LOOK_EVERY` seconds or so."""
        self._stopping.set()
        self.join(2 * LOOK_EVERY)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception:  # the thread must outlive whatever a reading can raise
                logger.exception("the configuration could not be read; trying again in %s s", RETRY_AFTER)
                time.sleep(RETRY_AFTER)
            finally:
                connections["default"].close()

    def _listen(self) -> None:
        with database.connect("gateway snapshot") as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self.snapshot.read_all()
            read_at = time.monotonic()
            while not self._stopping.is_set():
                changed = {note.payload for note in connection.notifies(timeout=LOOK_EVERY, stop_after=1)}
                if changed:
                    changed |= {note.payload for note in connection.notifies(timeout=GATHER)}
                if time.monotonic() - read_at >= FULL_READ_AFTER:
                    self.snapshot.read_all()
                    read_at = time.monotonic()
                if changed:
                    self._apply(changed)
                connections["default"].close()

    def _apply(self, changed: set[str]) -> None:
        named: dict[str, set[str]] = {"key": set(), "provider": set(), "mark": set()}
        for payload in changed:
            what, _, identifier = payload.partition(":")
            named.setdefault(what, set()).add(identifier)
        if named["key"]:
            self.snapshot.read_keys(named["key"])
        if named["provider"]:
            self.snapshot.read_providers(named["provider"])
        self.snapshot.reach(named["mark"])


current = Snapshot()
_listener: Listener | None = None


def start() -> None:
    """Begin to keep `current` up to date in this process. Safe to call again."""
    global _listener
    if _listener is None:
        _listener = Listener(current)
        _listener.start()
