"""What 10,000 keys and 1,000,000 ledger rows add to a request: a full gateway beside an empty one."""

import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from analytics import partitions
from bench import analytics, ledger
from bench.gateway import Gateway, running_gateway
from bench.measures import RequestsFailed, interleaved, sample
from bench.processes import free_port, running

MUST = 1.05
CLIENTS, REQUESTS = 16, 3_000
# Over how many days the ledger's rows are spread.
DAYS = 90

Connection = psycopg.Connection[tuple[Any, ...]]


def copies(connection: Connection, table: str, source: str, changed: dict[str, str]) -> int:
    """Insert what `source` (FROM and WHERE, with the table as `t`) yields, the columns in `changed` by expression.

    The row that is copied is a real one, so this needs no knowledge of columns that have nothing to do with scale.
    """
    names = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
    columns = [name for (name,) in connection.execute(names, [table])]
    values = [sql.SQL(changed[name]) if name in changed else sql.Identifier("t", name) for name in columns]
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(values),
        sql.SQL(source),
    )
    return connection.execute(statement).rowcount


# What the ledger's rows differ in, by the row's number `g`: eight models of three providers, and so on.
VARIED = {
    "model": "'model-' || g % 8",
    "provider": "'provider-' || g % 8 % 3",
    "policy": "CASE WHEN g % 5 = 0 THEN 'cheap' ELSE '' END",
    "privacy": "CASE WHEN g % 8 % 3 = 0 THEN 'local' ELSE 'cloud' END",
    "cache": "(ARRAY['off', 'miss', 'hit'])[1 + g % 11 % 3]",
    "complexity": "(ARRAY['simple', 'moderate', 'complex', 'expert'])[1 + g % 13 % 4]",
    "status": "CASE WHEN g % 97 = 0 THEN 503 ELSE 200 END",
    "latency_ms": "(20 * exp(6 * random()))::int",
    "cost_usd": "t.cost_usd * (1 + g % 17)",
}


def fill(gateway: Gateway, keys: int, records: int) -> None:
    """Add `keys` gateway keys and `records` ledger rows of the last `DAYS` days, spread over the keys, in every sum."""
    with gateway.database() as connection:
        today = datetime.now(UTC).date()
        partitions.ensure(connection, {partitions.month_of(today - timedelta(days=day)) for day in range(DAYS + 2)})
        connection.execute(
            "CREATE TABLE bench_fill AS SELECT n, uuidv7() AS key_id FROM generate_series(1, %s) n", [keys]
        )
        copies(
            connection,
            "keys_gatewaykey",
            "keys_gatewaykey t, bench_fill f WHERE t.name = 'bench'",
            {"id": "f.key_id", "name": "'scale ' || f.n", "created_at": "t.created_at - f.n * interval '1 minute'"},
        )
        copies(
            connection,
            "keys_keysecret",
            "keys_keysecret t JOIN keys_gatewaykey k ON k.id = t.key_id, bench_fill f WHERE k.name = 'bench'",
            {"id": "uuidv7()", "key_id": "f.key_id", "digest": "sha256(f.key_id::text::bytea)"},
        )
        shift = f"(g * interval '{DAYS} days' / {int(records)} + interval '1 hour')"
        copies(
            connection,
            "analytics_usagerecord",
            f"(SELECT * FROM analytics_usagerecord LIMIT 1) t, generate_series(1, {int(records)}) g "
            f"JOIN bench_fill f ON f.n = 1 + g % {int(keys)}",
            {"id": f"uuidv7(-{shift})", "created_at": f"t.created_at - {shift}", "key_id": "f.key_id", **VARIED},
        )
        connection.execute("DROP TABLE bench_fill")
        gateway.manage("rebuild_rollups")
        connection.execute("VACUUM ANALYZE")


def run(keys: int, records: int, rounds: int) -> int:
    """Print the ratio. 1 when it is over what it must be, a request failed, or a ledger is wrong."""
    upstream = free_port()
    with (
        running("bench.upstream", upstream),
        running_gateway(upstream) as empty,
        running_gateway(upstream) as full,
    ):
        try:
            sample(full, "chat", CLIENTS, 100)
            started = time.monotonic()
            fill(full, keys, records)
            print(f"{keys:,} keys and {records:,} ledger rows in {time.monotonic() - started:.0f} s")
            # Both as they are after a start, with what they hold read anew.
            for gateway in (empty, full):
                gateway.restart()
            samples = interleaved([full, empty], "chat", CLIENTS, REQUESTS, rounds)
        except RequestsFailed as failure:
            print(f"FAILED: {failure}\n{full.log()}", file=sys.stderr)
            return 1
        flaws = [*ledger.flaws(full), *ledger.flaws(empty)]
        timings = analytics.take(full)
    full_ms, empty_ms = (statistics.median(each.cpu for each in taken) for taken in samples)
    ratio = full_ms / empty_ms
    verdict = "ok" if ratio <= MUST else "over"
    print(f"CPU per request: full {full_ms:.3f} ms, empty {empty_ms:.3f} ms, ratio {ratio:.3f}, must {MUST}: {verdict}")
    print(analytics.table(timings))
    for flaw in flaws:
        print(f"LEDGER: {flaw}")
    return 1 if flaws or ratio > MUST or analytics.over(timings) else 0
