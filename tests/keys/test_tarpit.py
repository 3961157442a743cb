"""A provider that takes its time holds up nobody but whoever asks it."""

import pytest
from django.db import connection

from accounts import services as accounts
from accounts.access import Caller
from accounts.models import Role
from keys import probe, services
from keys.kinds import Kind
from keys.vault import Secret
from tests.keys.server import Server


@pytest.mark.django_db(transaction=True)
def test_no_database_connection_is_held_while_a_provider_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool has ten: a dozen tests of a server that never answers would stop logins, pages and revocations."""
    user, workspace = accounts.sign_up("tarpit@example.com", "correct horse battery")
    held: list[bool] = []
    real = probe.probe

    def watched(kind: Kind, base_url: str, secret: Secret | None, timeout: float, *, local: bool) -> probe.ProbeResult:
        held.append(connection.connection is not None)
        return real(kind, base_url, secret, timeout, local=local)

    monkeypatch.setattr(probe, "probe", watched)
    provider = services.create_provider(
        Caller(user, workspace, Role.OWNER), {"kind": "vllm", "name": "box", "base_url": server.url}
    )
    services.test_provider(provider)
    assert held == [False, False]
    provider.refresh_from_db()
    assert provider.discovered_models == ["tiny", "large"]
