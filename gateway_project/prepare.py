"""What must be done to the database before anything is served: check the vault, then migrate."""

import time

from gateway_project.env import BadEnvironment, Environment

# A database of one's own may start beside the gateway (compose); the embedded one is there already.
DATABASE_SECONDS = 30.0
# The first that can hold two nulls to be the same in a unique index, as the ledger's sums need.
OLDEST_POSTGRES = 15

# Processes that start at once on one database migrate one after the other: any number, the same in all of them.
MIGRATION_LOCK = 6_471_928_361


def prepare(env: Environment) -> None:
    """Raises BadEnvironment; then nothing was changed."""
    import django

    # Before the applications are there, whose counters open a file of this process.
    _forget_metrics()
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from keys.services import declared, sync_environment_providers

    declared()
    _wait_for_database(env)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        _verify_vault(connection.introspection.table_names(cursor))
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
        sync_environment_providers()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    connection.close()


def _forget_metrics() -> None:
    """Counters begin anew with each start; files of processes that are gone would be counted again."""
    from django.conf import settings

    if settings.METRICS_FOLDER is not None:
        for old in settings.METRICS_FOLDER.glob("*.db"):
            old.unlink()


def _wait_for_database(env: Environment) -> None:
    import psycopg
    from django.conf import settings

    deadline = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            with psycopg.connect(settings.DATABASE_DSN, connect_timeout=5) as connection:
                _check_version(connection.info.server_version)
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                name = "DATA_DIR" if env.embedded else "DATABASE_URL"
                reason = " ".join(str(error).split())
                raise BadEnvironment(f"{name}: the database does not answer: {reason}") from None
        time.sleep(0.5)


def _check_version(version: int) -> None:
    """`version` as libpq tells it: 150004 is 15.4."""
    major, minor = divmod(version, 10_000)
    if major < OLDEST_POSTGRES:
        raise BadEnvironment(f"DATABASE_URL: PostgreSQL {OLDEST_POSTGRES} or newer is needed; this is {major}.{minor}")


def _verify_vault(tables: list[str]) -> None:
    from keys.models import InstallationSecret
    from keys.vault import verify_ring

    if InstallationSecret._meta.db_table in tables:
        verify_ring()
