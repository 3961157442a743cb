"""The vault: ciphertext at rest, a ring of keys, rotation, and a secret that does not show itself."""

import copy
import io
import json
import logging
import pickle
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from accounts.models import Workspace
from gateway_project.env import BadEnvironment, new_encryption_key
from keys import queries, vault
from keys.models import InstallationSecret, Provider

SECRET = "sk-a-secret-that-nobody-may-see"


@pytest.fixture
def fresh_pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has just started."""
    monkeypatch.setattr(vault, "_pepper", None)


# --- A secret --------------------------------------------------------------------------------------


@dataclass
class Holder:
    secret: vault.Secret


def test_a_secret_does_not_show_itself(caplog: pytest.LogCaptureFixture) -> None:
    secret = vault.Secret(SECRET)
    logging.getLogger("gateway").error("%s %r", secret, [secret], extra={"given": secret})
    holder = Holder(secret)
    shown = [
        repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", repr(holder),
        repr(asdict(holder)), repr(copy.deepcopy(holder)), json.dumps(asdict(holder), default=str), caplog.text,
        repr(getattr(secret, "__dict__", "")),
    ]  # fmt: skip
    assert not [text for text in shown if SECRET in text]
    assert secret.reveal() == SECRET
    assert copy.deepcopy(secret) is secret


def test_a_secret_is_not_pickled_or_encoded() -> None:
    secret = vault.Secret(SECRET)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError) as refusal:
        json.dumps({"secret": secret})
    assert SECRET not in str(refusal.value)


def test_a_traceback_with_locals_hides_the_secret() -> None:
    def fail(secret: vault.Secret) -> None:
        raise ValueError(f"bad: {secret}")

    try:
        fail(vault.Secret(SECRET))
    except ValueError:
        kind, error, trace = sys.exc_info()
        assert error is not None
        whole = traceback.TracebackException(kind or ValueError, error, trace, capture_locals=True)
        text = "".join(whole.format())
    assert "secret = ***" in text
    assert SECRET not in text


def test_the_hint_is_the_end_of_a_long_secret_only() -> None:
    assert vault.Secret(SECRET).hint == SECRET[-4:]
    assert vault.Secret("short").hint == ""


# --- The ring --------------------------------------------------------------------------------------


def test_sealed_and_opened(settings: Settings) -> None:
    first, second = vault.seal(SECRET), vault.seal(SECRET)
    assert first != second
    assert SECRET.encode() not in first
    assert vault.open_(memoryview(first)) == vault.open_(second) == vault.Secret(SECRET)


def test_the_newest_key_seals_and_every_key_opens(settings: Settings) -> None:
    old, new = new_encryption_key(), new_encryption_key()
    settings.ENCRYPTION_KEYS = (old,)
    sealed_by_old = vault.seal(SECRET)
    settings.ENCRYPTION_KEYS = (new, old)
    assert vault.open_(sealed_by_old).reveal() == SECRET
    sealed_by_new = vault.seal(SECRET)
    settings.ENCRYPTION_KEYS = (new,)
    assert vault.open_(sealed_by_new).reveal() == SECRET
    with pytest.raises(vault.VaultError):
        vault.open_(sealed_by_old)


@pytest.mark.parametrize("damage", [b"", b"x", b"not base64!", b"AAAA" * 40])
def test_what_is_no_ciphertext(damage: bytes) -> None:
    with pytest.raises(vault.VaultError):
        vault.open_(damage)


def test_a_changed_ciphertext_is_refused() -> None:
    sealed = vault.seal(SECRET)
    with pytest.raises(vault.VaultError):
        vault.open_(sealed[:-8] + b"AAAAAAA=")


# --- The installation's secret ------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("fresh_pepper")
def test_a_wrong_key_stops_the_start_and_changes_nothing(settings: Settings) -> None:
    vault.verify_ring()  # nothing is sealed yet: any key will do
    pepper = vault.pepper()
    before = list(InstallationSecret.objects.values())
    vault.verify_ring()
    right = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = (new_encryption_key(),)
    with pytest.raises(BadEnvironment) as refusal:
        vault.verify_ring()
    assert str(refusal.value).startswith("ENCRYPTION_KEY: ")
    assert "\n" not in str(refusal.value)
    assert list(InstallationSecret.objects.values()) == before
    settings.ENCRYPTION_KEYS = (new_encryption_key(), *right)
    vault.verify_ring()
    assert vault.pepper() == pepper


@pytest.mark.django_db
@pytest.mark.usefixtures("fresh_pepper")
def test_a_wrong_key_makes_no_second_pepper(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.pepper()
    monkeypatch.setattr(vault, "_pepper", None)
    settings.ENCRYPTION_KEYS = (new_encryption_key(),)
    with pytest.raises(BadEnvironment):
        vault.pepper()
    assert InstallationSecret.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_at_once_agree_on_the_pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bytes] = []
    barrier = threading.Barrier(6)

    def start() -> None:
        barrier.wait(5)
        # What pepper() does in a process that has none yet; the module's memory would spare the others the race.
        found.append(vault.read_pepper())
        connection.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 6
    assert len(set(found)) == 1
    assert InstallationSecret.objects.count() == 1


# --- Rotation -------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("fresh_pepper")
def test_rotation_moves_every_secret_to_the_newest_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "BATCH", 3)
    old, new = new_encryption_key(), new_encryption_key()
    settings.ENCRYPTION_KEYS = (old,)
    pepper = vault.pepper()
    workspace = Workspace.objects.create(name="Home")
    for number in range(7):
        sealed = vault.seal(f"{SECRET}{number}")
        Provider.objects.create(workspace=workspace, kind="openai", name=f"p{number}", locality="cloud", secret=sealed)
    Provider.objects.create(workspace=workspace, kind="demo", name="demo", locality="local")

    settings.ENCRYPTION_KEYS = (new, old)
    out = StringIO()
    call_command("rotate_encryption_key", stdout=out)
    assert out.getvalue().startswith("8 of 8 secrets re-encrypted")
    assert vault.rotate() == (0, 8)

    settings.ENCRYPTION_KEYS = (new,)
    vault.verify_ring()
    opened = {facts.secret.reveal() for facts in queries.providers() if facts.secret}
    assert opened == {f"{SECRET}{number}" for number in range(7)}
    monkeypatch.setattr(vault, "_pepper", None)
    assert vault.pepper() == pepper


@pytest.mark.django_db
def test_rotation_says_when_a_key_is_missing(settings: Settings) -> None:
    workspace = Workspace.objects.create(name="Home")
    sealed = vault.seal(SECRET)
    Provider.objects.create(workspace=workspace, kind="openai", name="p", locality="cloud", secret=sealed)
    settings.ENCRYPTION_KEYS = (new_encryption_key(),)
    with pytest.raises(CommandError) as refusal:
        call_command("rotate_encryption_key", stdout=io.StringIO())
    assert SECRET not in str(refusal.value)
    assert bytes(Provider.objects.get().secret or b"") == sealed


@pytest.mark.django_db
def test_one_secret_that_does_not_open_takes_no_other_provider_with_it(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace.objects.create(name="Home")
    for name, secret in (("good", vault.seal(SECRET)), ("bad", b"junk")):
        Provider.objects.create(workspace=workspace, kind="openai", name=name, locality="cloud", secret=secret)
    assert [facts.name for facts in queries.providers()] == ["good"]
    assert "is left out" in caplog.text
