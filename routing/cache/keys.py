"""Which requests are the same: a digest of everything that may change an answer, and of who may be given it.

In it are the workspace, the privacy that the request asks for, what its key may use, the policy's version, the
workspace's enabled targets, and the whole body, known fields and unknown ones. So whatever changes makes another key,
and the answers under the former one are found by nobody any more. Out of it are `BESIDE`, `metadata` and the order of
fields, except for one: a schema's properties are filled in by models in the order in which they stand there.

The digest is keyed by the vault, so that names in Redis cannot be compared with prompts that somebody guesses.
"""

import functools
import hashlib
from typing import Any

import orjson
from django.core.signals import setting_changed

from keys import vault
from routing.exchange import Exchange
from routing.privacy import INTERNAL, LOCAL_ONLY, Privacy, privacy_of
from routing.snapshot import WorkspaceTargets

# Of this module's own meaning: another one wherever what it hashes, or what is stored under it, is changed.
FORM = 1
# The same of digests of which a part is left open.
SCOPE = -1
DIGEST_SIZE = 20
SHAPED = frozenset({dict, list})
# Who asks, and how the answer is to be sent: nothing that changes what it says.
BESIDE = frozenset({"user", "stream", "stream_options"})
# What ends the digest of a body without schemas.
NO_ORDERS = b",[]]"


def key_of(exchange: Exchange, view: WorkspaceTargets) -> tuple[bytes, bool] | None:
    """The key of what `exchange` asks, and whether its answer is strict: not to leave this process.

    None for a body that is nested too deeply to be written. Raises `PermissionDenied` as `privacy_of` does.
    """
    if exchange.caller is None:
        return None
    privacy = privacy_of(exchange, view)
    key = _digest(exchange, view, privacy, exchange.body, FORM)
    return None if key is None else (key, privacy is LOCAL_ONLY)


def scope_of(exchange: Exchange, view: WorkspaceTargets, body: dict[str, Any]) -> bytes | None:
    """The key that `exchange` had if it asked `body`: a digest of all of the rest. None and raises as `key_of`."""
    if exchange.caller is None:
        return None
    return _digest(exchange, view, privacy_of(exchange, view), body, SCOPE)


def _digest(
    exchange: Exchange, view: WorkspaceTargets, privacy: Privacy, body: dict[str, Any], form: int
) -> bytes | None:
    caller, policy, wishes = exchange.caller, exchange.policy, exchange.wishes
    if caller is None:
        return None
    try:
        if body is exchange.body and BESIDE.isdisjoint(body):
            written = exchange.written()
        else:
            asked = {name: value for name, value in body.items() if name not in BESIDE}
            written = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    content, shaped = exchange.endpoint.content, {}
    for name, value in body.items():
        if type(value) in SHAPED and name != content and name not in BESIDE:
            shaped[name] = value
    end = b",%b]" % orjson.dumps(_orders(shaped)) if shaped else NO_ORDERS
    digest = _beginning(
        form,
        caller.workspace_id,
        # Of equal strictness, and yet kept apart: a strict answer is given to strict requests alone.
        int(privacy),
        wishes.sensitivity == INTERNAL,
        caller.allowed_models,
        caller.budgeted,
        policy.id,
        policy.version,
        view.imprint,
        exchange.endpoint.path,
        wishes.complexity,
        wishes.task,
    ).copy()
    digest.update(written + end)
    return digest.digest()


@functools.lru_cache(maxsize=1024)
def _beginning(
    form: int,
    workspace_id: str,
    privacy: int,
    internal: bool,
    allowed_models: frozenset[str] | None,
    budgeted: bool,
    policy_id: str,
    version: int,
    imprint: str,
    path: str,
    complexity: str,
    task: str,
) -> "hashlib.blake2b":
    """A digest of all but the body, which is the same for most requests of a key: to be copied, and gone on with."""
    material = [
        form,
        workspace_id,
        [privacy, internal],
        [None if allowed_models is None else sorted(allowed_models), budgeted],
        [policy_id, version],
        imprint,
        path,
        [complexity, task],
    ]
    begun = orjson.dumps(material).removesuffix(b"]") + b","
    return hashlib.blake2b(begun, digest_size=DIGEST_SIZE, key=_secret())


@functools.lru_cache(maxsize=1)
def _secret() -> bytes:
    return vault.derived(b"routing.cache.keys")


def _forget(*, setting: str, **_: object) -> None:
    """Another ring is another key. It is changed by tests alone; to ask Django's settings each time is dear."""
    if setting == "ENCRYPTION_KEYS":
        _beginning.cache_clear()
        _secret.cache_clear()


setting_changed.connect(_forget)


def _orders(value: Any) -> list[list[str]]:
    """The names of the properties of every schema in `value`, as they are ordered, by the order of all other names."""
    found: list[list[str]] = []
    unseen = [value]
    while unseen:
        value = unseen.pop()
        if type(value) is dict:
            properties = value.get("properties")
            if type(properties) is dict:
                found.append(list(properties))
            unseen += [value[name] for name in sorted(value) if type(value[name]) in SHAPED]
        else:
            unseen += [member for member in value if type(member) in SHAPED]
    return found
