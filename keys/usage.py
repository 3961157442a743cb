"""What the ledger writes about keys as it settles: when each was last used and what it has spent."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

# Locks in the order of ids, so that the writers of two processes cannot deadlock. Sets no other column, so that
# no trigger fires and every process keeps its picture of the keys.
RECORD_USE = """
WITH used AS (
    SELECT key_id, max(used_at) AS used_at, sum(cost) AS cost
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::numeric[]) AS batch (key_id, used_at, cost)
    GROUP BY key_id
), locked AS (
    SELECT id FROM keys_gatewaykey WHERE id IN (SELECT key_id FROM used) ORDER BY id FOR NO KEY UPDATE
)
UPDATE keys_gatewaykey
SET last_used_at = greatest(last_used_at, used.used_at), spent_usd = spent_usd + used.cost
FROM used JOIN locked ON locked.id = used.key_id
WHERE keys_gatewaykey.id = used.key_id
"""


def record_use(cursor: psycopg.Cursor[Any], batch: Sequence[tuple[UUID, datetime, Decimal]]) -> None:
    """Enter `batch`, tuples of key id, moment of use and cost in USD, in one statement of `cursor`'s transaction.

    A key that is gone is passed over. Calling it twice with one batch counts it twice: that is the ledger's to prevent.
    """
    if not batch:
        return
    ids, moments, costs = zip(*batch, strict=True)
    cursor.execute(RECORD_USE, [list(map(str, ids)), list(moments), list(costs)])
