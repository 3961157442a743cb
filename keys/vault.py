"""The vault: the one module that turns ciphertext back into secrets.

Secrets are sealed with the newest key of `ENCRYPTION_KEY`'s ring and opened with any, so that a key can be
replaced while the gateway serves (`rotate`).
"""

import functools
import hashlib
import hmac
import secrets
from typing import NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.signing import BadSignature
from django.db import connection, transaction
from django.db.models import Model
from django_cryptography.utils.crypto import Fernet, InvalidToken

from gateway_project.env import BadEnvironment
from keys.models import InstallationSecret, Provider

PEPPER = "gateway-key-pepper"
BATCH = 200
FINGERPRINT_BYTES = 6


class VaultError(Exception):
    """A ciphertext that no key of the ring opens. The message holds no secret."""


class Secret:
    """A secret that shows itself only to `reveal()`: not in a repr, a log, a traceback, JSON or a pickle.

    `mark` is another one whenever somebody enters the secret anew, and tells nothing of it.
    """

    __slots__ = ("_text", "mark")

    def __init__(self, text: str, mark: str = "") -> None:
        self._text = text
        self.mark = mark

    def reveal(self) -> str:
        """The secret itself. Hand it to the wire and to nothing else."""
        return self._text

    @property
    def hint(self) -> str:
        """The last four characters, as the console shows them; "" when that would show much of the secret."""
        return self._text[-4:] if len(self._text) >= 12 else ""

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


@functools.lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> tuple[Fernet, ...]:
    return tuple(Fernet(key) for key in keys)


def seal(text: str) -> bytes:
    """`text` as ciphertext, under the newest key."""
    sealed: bytes = _ring(settings.ENCRYPTION_KEYS)[0].encrypt(text)
    return sealed


def open_(ciphertext: bytes | memoryview) -> Secret:
    """The secret that `seal` was given. Raises `VaultError`."""
    mark = hashlib.blake2s(ciphertext, digest_size=8).hexdigest()
    return Secret(open_bytes(ciphertext).decode(), mark)


def seal_bytes(content: bytes) -> bytes:
    """`content` as ciphertext, under the newest key: for what is private without being a credential."""
    sealed: bytes = _ring(settings.ENCRYPTION_KEYS)[0].encrypt(content)
    return sealed


def open_bytes(ciphertext: bytes | memoryview) -> bytes:
    """What `seal_bytes` was given. Raises `VaultError`."""
    for fernet in _ring(settings.ENCRYPTION_KEYS):
        opened = _try(fernet, bytes(ciphertext))
        if opened is not None:
            return opened
    raise VaultError("no key of ENCRYPTION_KEY opens this secret")


def derived(purpose: bytes) -> bytes:
    """A key of 32 bytes for `purpose` alone. Another one as soon as the ring has a newer key: for what may be lost."""
    newest = settings.ENCRYPTION_KEYS[0].encode()
    return HKDF(hashes.SHA256(), length=32, salt=None, info=purpose).derive(newest)


def _try(fernet: Fernet, ciphertext: bytes) -> bytes | None:
    try:
        opened: bytes = fernet.decrypt(ciphertext)
    except (InvalidToken, BadSignature):
        return None
    return opened


# --- The installation's own secret ---------------------------------------------------------------

_pepper: bytes | None = None


def pepper() -> bytes:
    """The key of the gateway keys' hash: made once for the installation, read once by each process.

    Raises `BadEnvironment` when `ENCRYPTION_KEY` does not open it.
    """
    global _pepper
    if _pepper is None:
        _pepper = read_pepper()
    return _pepper


def read_pepper() -> bytes:
    """The pepper as the database has it, made if it has none. Whoever inserts first wins; everybody reads that."""
    InstallationSecret.objects.bulk_create(
        [InstallationSecret(name=PEPPER, ciphertext=seal(secrets.token_hex(32)))], ignore_conflicts=True
    )
    return bytes.fromhex(_open_pepper(InstallationSecret.objects.get(name=PEPPER)).reveal())


def _open_pepper(row: InstallationSecret) -> Secret:
    try:
        return open_(row.ciphertext)
    except VaultError:
        raise BadEnvironment(
            "ENCRYPTION_KEY: none of its keys opens this database's secrets; give the key that sealed them"
        ) from None


def verify_ring() -> None:
    """Raise `BadEnvironment` when `ENCRYPTION_KEY` is not the key of this database. Changes nothing.

    A database that has no secret yet, or no tables, suits every key.
    """
    if InstallationSecret._meta.db_table not in connection.introspection.table_names():
        return
    row = InstallationSecret.objects.filter(name=PEPPER).first()
    if row is not None:
        _open_pepper(row)


def fingerprint(secret: Secret) -> str:
    """What the audit trail tells secrets apart by, in hexadecimal. It is keyed: nobody can try secrets on it."""
    keyed = hashlib.blake2b(
        secret.reveal().encode(), key=pepper(), digest_size=FINGERPRINT_BYTES, person=b"fingerprint"
    )
    return keyed.hexdigest()


# --- Rotation ------------------------------------------------------------------------------------


# What `rotate` seals anew: models, their column, and the rows of a batch.
_sealed: list[tuple[type[Model], str, int]] = [(InstallationSecret, "ciphertext", BATCH), (Provider, "secret", BATCH)]


def register_sealed(model: type[Model], column: str, *, batch: int = BATCH) -> None:
    """Have `rotate` seal another app's `column` anew, `batch` rows at a time (fewer where they are large)."""
    if not any((model, column) == known[:2] for known in _sealed):
        _sealed.append((model, column, batch))


def rotate() -> tuple[int, int]:
    """Seal everything anew that is not under the newest key, while the gateway serves.

    Works in short transactions, a batch of rows each; may be stopped and run again. Returns how many secrets it
    sealed anew, and how many there are. Raises `VaultError` at one that no key opens.
    """
    walked = [_rotate_column(*sealed) for sealed in _sealed]
    return sum(renewed for renewed, _ in walked), sum(seen for _, seen in walked)


def _rotate_column(model: type[Model], column: str, size: int) -> tuple[int, int]:
    """Walk `model` in the order of its primary key; (sealed anew, seen)."""
    newest = _ring(settings.ENCRYPTION_KEYS)[0]
    renewed = total = 0
    last = None
    while True:
        with transaction.atomic():
            rows = model._default_manager.exclude(**{column: None}).order_by("pk").select_for_update()
            batch = list((rows.filter(pk__gt=last) if last else rows)[:size])
            stale = [row for row in batch if _try(newest, bytes(getattr(row, column))) is None]
            for row in stale:
                setattr(row, column, seal_bytes(open_bytes(getattr(row, column))))
            model._default_manager.bulk_update(stale, [column])
        renewed, total = renewed + len(stale), total + len(batch)
        if len(batch) < size:
            return renewed, total
        last = batch[-1].pk
