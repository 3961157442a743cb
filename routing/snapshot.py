"""What the request path knows of keys, providers and policies: an in-process picture, kept current by Postgres NOTIFY.

A listener thread holds one connection. Triggers on the tables announce each changed key and provider, and each
workspace whose policies, models' settings or evidence changed, on the channel `gateway_config`; the thread reads those
rows again and swaps the picture's entries, so a request reads plain dictionaries, never the database. A lost connection
means a full reading when it is back: a change is live in every process at once as a rule, and within `FULL_READ_AFTER`
seconds whatever happens.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from django.db import connection as django_connection
from django.db import connections, transaction

from gateway_project.lib import database
from gateway_project.lib.ids import uuid7_text
from keys import queries
from keys.queries import KeyFacts, ProviderFacts
from routing import queries as routing_queries
from routing.catalog import ModelSettingsFacts
from routing.health import credential
from routing.queries import EvidenceSums, ModelKey, WorkspacePolicies
from routing.targets import EMPTY, WorkspaceTargets, make_target

__all__ = ["Caller", "Listener", "Snapshot", "WorkspaceTargets", "current", "make_target", "start"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

NO_POLICIES = WorkspacePolicies()

CHANNEL = "gateway_config"
FULL_READ_AFTER = 300.0
# Seconds in which announcements are gathered before they are acted on: a bulk change is then one reading.
GATHER = 0.02
RETRY_AFTER = 1.0
# Seconds after which the listener looks up from waiting.
LOOK_EVERY = 2.0

Caller = KeyFacts

# What else is announced on the channel, by the word before the colon, and who acts on what is behind it.
_heard: dict[str, Callable[[set[str]], None]] = {}
_after_silence: list[Callable[[], None]] = []


class Snapshot:
    """The picture. Readers take from its dictionaries; only the listener's thread changes it, an entry at a time."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self._callers: dict[bytes, tuple[Caller, float | None]] = {}
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._providers: dict[str, ProviderFacts] = {}
        # By workspace id.
        self._policies: dict[str, WorkspacePolicies] = {}
        self._settings: dict[str, dict[ModelKey, ModelSettingsFacts]] = {}
        self._evidence: dict[str, EvidenceSums] = {}
        self._workspaces: dict[str, WorkspaceTargets] = {}
        # Whether a listener follows this picture, and who waits for it to have read up to a mark.
        self.followed = False
        self._marks: dict[str, threading.Event] = {}

    def caller(self, digest: bytes) -> tuple[Caller, float | None] | None:
        """The key with a secret of this digest, and when that secret expires (Unix time), or None."""
        return self._callers.get(digest)

    def key(self, key_id: str) -> Caller | None:
        """The key with this id, for who asks about it without its secret; None when it is not known."""
        digests = self._digests.get(key_id, ())
        found = self._callers.get(digests[0]) if digests else None
        return found[0] if found is not None else None

    def workspace(self, workspace_id: str) -> WorkspaceTargets:
        """The targets and policies of a workspace; none of it when nothing was made there yet."""
        return self._workspaces.get(workspace_id, EMPTY)

    def credential(self, provider_id: str) -> str | None:
        """What tells whether a provider's secret or address was changed; None when the provider is not known."""
        provider = self._providers.get(provider_id)
        return None if provider is None else credential(provider.secret, provider.base_url)

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
        """Read everything anew."""
        callers: dict[bytes, tuple[Caller, float | None]] = {}
        digests: dict[str, tuple[bytes, ...]] = {}
        for key in queries.gateway_keys():
            digests[key.id] = tuple(digest for digest, _ in key.digests)
            callers.update({digest: (key, expires) for digest, expires in key.digests})
        self._callers, self._digests = callers, digests
        self._providers = {provider.id: provider for provider in queries.providers()}
        self._policies = routing_queries.policies()
        self._settings = routing_queries.model_settings()
        self._evidence = routing_queries.evidence()
        owners = {provider.workspace_id for provider in self._providers.values()}
        self._rebuild(owners.union(self._policies, self._settings), whole=True)
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

    def keys_of(self, workspaces: set[str]) -> list[Caller]:
        """The keys of these workspaces that have a secret."""
        found = {caller.id: caller for caller, _ in list(self._callers.values()) if caller.workspace_id in workspaces}
        return list(found.values())

    def read_limits(self, workspaces: set[str]) -> None:
        """Read the keys of these workspaces again: what limits their members, or themselves, has changed."""
        held = {caller.id for caller in self.keys_of(workspaces)}
        if held:
            self.read_keys(held)

    def read_providers(self, ids: set[str]) -> None:
        """Read these providers again; those that are gone disappear, with their targets."""
        touched = {self._providers[gone].workspace_id for gone in ids if gone in self._providers}
        for gone in ids:
            self._providers.pop(gone, None)
        for provider in queries.providers(ids):
            self._providers[provider.id] = provider
            touched.add(provider.workspace_id)
        self._rebuild(touched)

    def read_policies(self, workspaces: set[str]) -> None:
        """Read the policies of these workspaces again. Those that were renamed are known by their former names, too."""
        found = {
            workspace: policies.since(self._policies.get(workspace, NO_POLICIES))
            for workspace, policies in routing_queries.policies(workspaces).items()
        }
        _replace(self._policies, workspaces, found)
        self._rebuild(workspaces)

    def read_model_settings(self, workspaces: set[str]) -> None:
        """Read what these workspaces set for models again."""
        _replace(self._settings, workspaces, routing_queries.model_settings(workspaces))
        self._rebuild(workspaces)

    def read_evidence(self, workspaces: set[str]) -> None:
        """Read what these workspaces learnt again: their targets stay as they are, as this can change often."""
        _replace(self._evidence, workspaces, routing_queries.evidence(workspaces))
        for workspace in workspaces & self._workspaces.keys():
            view = self._workspaces[workspace]
            self._workspaces[workspace] = view.with_evidence(self._evidence.get(workspace, {}))

    def _rebuild(self, workspaces: set[str], *, whole: bool = False) -> None:
        grouped: dict[str, list[ProviderFacts]] = {workspace: [] for workspace in workspaces}
        # Ids are time-ordered, so this is the order in which the providers were made.
        for provider in sorted(
            (provider for provider in self._providers.values() if provider.workspace_id in grouped),
            key=lambda provider: provider.id,
        ):
            grouped[provider.workspace_id].append(provider)
        views = {
            workspace: WorkspaceTargets.build(
                providers,
                policies=self._policies.get(workspace),
                settings=self._settings.get(workspace),
                evidence=self._evidence.get(workspace),
                before=self._workspaces.get(workspace),
            )
            for workspace, providers in grouped.items()
        }
        if whole:
            self._workspaces = views
        else:
            self._workspaces.update(views)


def _replace(kept: dict[str, T], workspaces: set[str], found: Mapping[str, T]) -> None:
    """Bring what was `found` of these workspaces into `kept`; of which nothing was found, nothing is left."""
    for workspace in workspaces - found.keys():
        kept.pop(workspace, None)
    kept.update(found)


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
            for callback in _after_silence:
                callback()
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
        named: defaultdict[str, set[str]] = defaultdict(set)
        for payload in changed:
            what, _, identifier = payload.partition(":")
            named[what].add(identifier)
        # All as of one moment: a key must not be newer than the policies that its policy is looked for in.
        with transaction.atomic():
            with django_connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._read(named)
        for what in named.keys() & _heard.keys():
            _heard[what](named[what])
        self.snapshot.reach(named["mark"])

    def _read(self, named: Mapping[str, set[str]]) -> None:
        # Before the keys that name them: a renamed policy is known by both names meanwhile.
        if named["policy"]:
            self.snapshot.read_policies(named["policy"])
        if named["limits"]:
            self.snapshot.read_limits(named["limits"])
        if named["key"]:
            self.snapshot.read_keys(named["key"])
        if named["provider"]:
            self.snapshot.read_providers(named["provider"])
        if named["model"]:
            self.snapshot.read_model_settings(named["model"])
        if named["evidence"]:
            self.snapshot.read_evidence(named["evidence"])


def hear(what: str, handler: Callable[[set[str]], None], *, after_silence: Callable[[], None]) -> None:
    """Have `handler` called, in the listener's thread, with what `announce` says in any process.

    `after_silence` is called when the listener begins to listen, after which nothing is missed, and before which
    anything may have been. Neither may raise.
    """
    _heard[what] = handler
    _after_silence.append(after_silence)


def announce(what: str, payload: str) -> None:
    """Tell every process, this one too, once the transaction around this is committed. Not in an event loop.

    At most some 7,000 bytes.
    """
    with django_connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{what}:{payload}"])


current = Snapshot()
_listener: Listener | None = None


def start() -> None:
    """Begin to keep `current` up to date in this process. Safe to call again."""
    global _listener
    if _listener is None:
        _listener = Listener(current)
        _listener.start()
