"""What Django does not offer of Postgres: a connection of one's own, and which constraint refused something."""

from typing import Any

import psycopg
from django.db import IntegrityError, connections

# Options of Django's backend, not of libpq.
DJANGO_OPTIONS = frozenset({"pool", "assume_role", "isolation_level", "server_side_binding"})


def connect(application_name: str, **more: Any) -> psycopg.Connection[Any]:
    """A new connection in autocommit mode, outside Django's pool, to the database that Django uses: for a thread that
    listens or copies. `more` are options of libpq.

    Raises `psycopg.OperationalError`.
    """
    found = connections["default"].settings_dict
    options = {name: value for name, value in found["OPTIONS"].items() if name not in DJANGO_OPTIONS}
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    address = {ours: found[theirs] for ours, theirs in names.items() if found[theirs]}
    return psycopg.connect(**{**address, **options, **more}, application_name=application_name, autocommit=True)


def constraint_of(error: IntegrityError) -> str:
    """The name of the constraint that what was written broke; "" where Postgres names none."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""
