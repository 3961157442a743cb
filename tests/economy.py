"""What the suite pays for once instead of with every test. None of it is what a test is about.

Each of these takes some thirty milliseconds, and thousands of tests do it several times.
"""

import functools
from typing import Any

import httpx
import pytest
from django.core.signals import setting_changed
from django.db import connection, transaction
from django.test import TransactionTestCase
from django.test.client import ClientHandler

from accounts.hashers import Argon2

# A middleware may read these when it is made.
READ_BY_MIDDLEWARE = ("MIDDLEWARE", "WHITENOISE_", "STATIC", "SECURE_", "CSRF_", "CORS_", "DEBUG", "PUBLIC_URL")
# What Django itself fills after it has emptied all tables: emptied or not, they hold the same.
FILLED_BY_DJANGO = ("django_migrations", "django_content_type", "auth_permission")


def save(patch: pytest.MonkeyPatch) -> None:
    """Let the rest of the session be cheaper."""
    # The same algorithm with the least work: 19 MiB and two passes are for who steals the table.
    patch.setattr(Argon2, "time_cost", 1)
    patch.setattr(Argon2, "memory_cost", 8)
    # Every httpx client reads some 140 certificates, and nearly all of them speak plain HTTP with this machine.
    patch.setattr("httpx._transports.default.create_ssl_context", functools.cache(httpx.create_ssl_context))
    patch.setattr(ClientHandler, "load_middleware", _OneChain().load)
    patch.setattr(TransactionTestCase, "_fixture_teardown", _empty_tables)


class _OneChain:
    """The middlewares of Django's test clients, made once: WhiteNoise looks at every static file when it is made."""

    PARTS = ("_view_middleware", "_template_response_middleware", "_exception_middleware", "_middleware_chain")

    def __init__(self) -> None:
        self._make = ClientHandler.load_middleware
        self._parts: dict[str, Any] = {}
        setting_changed.connect(self._forget, weak=False)

    @property
    def load(self) -> Any:
        """What stands in for `ClientHandler.load_middleware`."""

        def load(handler: ClientHandler, is_async: bool = False) -> None:
            if not self._parts:
                self._make(handler, is_async)
                self._parts = {name: getattr(handler, name) for name in self.PARTS}
            vars(handler).update(self._parts)

        return load

    def _forget(self, *, setting: str, **_: object) -> None:
        if setting.startswith(READ_BY_MIDDLEWARE):
            self._parts = {}


def _empty_tables(self: TransactionTestCase) -> None:
    """Empty the tables that hold anything. Django's own truncates all of them, a second's work for a few rows."""
    # No trigger and no foreign key minds the order in which they are emptied.
    unchecked = "SET LOCAL session_replication_role = replica"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(relname) FROM pg_class "
            "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace "
            "AND relname <> ALL (%s)",
            [list(FILLED_BY_DJANGO)],
        )
        tables = [row[0] for row in cursor.fetchall()]
        cursor.execute(" UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in tables))
        filled = [row[0] for row in cursor.fetchall()]
        cursor.execute("; ".join([unchecked, *(f"DELETE FROM {table}" for table in filled)]))
