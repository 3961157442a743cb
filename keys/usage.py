"""What the ledger writes about keys as it settles: when each was last used and what it has spent."""

from typing import Any

import psycopg

# Locks in the order of ids, so that the writers of two processes cannot deadlock. Sets no other column, so that
# no trigger fires and every process keeps its picture of the keys.
RECORD_USE = """
WITH used AS (
    SELECT key_id, max(created_at) AS used_at, sum(cost_usd) AS cost
    FROM entered WHERE key_id IS NOT NULL GROUP BY key_id
), locked AS (
    SELECT id FROM keys_gatewaykey WHERE id IN (SELECT key_id FROM used) ORDER BY id FOR NO KEY UPDATE
)
UPDATE keys_gatewaykey
SET last_used_at = greatest(last_used_at, used.used_at), spent_usd = spent_usd + used.cost
FROM used JOIN locked ON locked.id = used.key_id
WHERE keys_gatewaykey.id = used.key_id
"""


def record_use(cursor: "psycopg.Cursor[Any]") -> None:
    """Add what each key newly used and spent, from the rows of the temporary table `entered` (`analytics.ledger`).

    A key that is gone is passed over. Calling it twice for a batch counts it twice: that is the ledger's to prevent.
    """
    cursor.execute(RECORD_USE)
