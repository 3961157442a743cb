"""Writes the evidence on which `routing.calibration` rests: sums of weights, a row for each kind of evidence."""

from typing import Any

import psycopg
from django.db import connection

from routing import calibration
from routing.models import Evidence

TABLE = Evidence._meta.db_table

# `good` and `bad` are cut so that together they weigh no more than the cap: the older evidence is, the less of it
# remains. Rows are locked in one order, so that the writers of two processes cannot deadlock; Postgres announces a
# workspace once for each transaction, however many rows change.
GATHER = f"""
WITH said AS (
    SELECT workspace_id, left(item.model, 300) AS model, left(item.complexity, 10) AS complexity,
        sum(weight * coalesce(item.prior, 0)) AS good, sum(weight * (1 - coalesce(item.prior, 0))) AS bad
    FROM entered
    CROSS JOIN jsonb_to_recordset(CASE jsonb_typeof(evidence) WHEN 'array' THEN evidence ELSE '[]' END)
        AS item(model text, complexity text, signal text, prior float8)
    JOIN unnest(%(signals)s::text[], %(weights)s::float8[]) AS known(signal, weight) USING (signal)
    WHERE (item.prior IS NOT NULL) = (signal = %(answered)s)
    GROUP BY 1, 2, 3
)
INSERT INTO {TABLE} AS kept (id, workspace_id, model, complexity, source, good, bad, updated_at)
SELECT gen_random_uuid(), workspace_id, model, complexity, 'implicit',
    good * least(1, %(cap)s / (good + bad)), bad * least(1, %(cap)s / (good + bad)), now()
FROM said ORDER BY workspace_id, model, complexity
ON CONFLICT (workspace_id, model, complexity, source) DO UPDATE SET
    good = (kept.good + excluded.good) * least(1, %(cap)s / (kept.good + kept.bad + excluded.good + excluded.bad)),
    bad = (kept.bad + excluded.bad) * least(1, %(cap)s / (kept.good + kept.bad + excluded.good + excluded.bad)),
    updated_at = now()
"""  # noqa: S608  (nothing in it is a caller's)

_weights = {
    **calibration.SIGNAL_WEIGHTS,
    calibration.ANSWERED: calibration.ANSWERED_WEIGHT * calibration.ANSWERED_SAMPLE,
}
PARAMETERS = {
    "signals": list(_weights),
    "weights": list(_weights.values()),
    "answered": calibration.ANSWERED,
    "cap": calibration.IMPLICIT_CAP,
}


def gather(cursor: "psycopg.Cursor[Any]") -> None:
    """Add what the rows of the temporary table `entered` (`analytics.ledger`) say of models' answers.

    Calling it twice for a batch counts it twice: that is the ledger's to prevent.
    """
    cursor.execute(GATHER, PARAMETERS)


MOVE = f"""
INSERT INTO {TABLE} AS kept (id, workspace_id, model, complexity, source, good, bad, updated_at)
VALUES (gen_random_uuid(), %(workspace)s, %(model)s, %(complexity)s, 'explicit',
    greatest(0, %(good)s), greatest(0, %(bad)s), now())
ON CONFLICT (workspace_id, model, complexity, source) DO UPDATE SET
    good = greatest(0, kept.good + %(good)s), bad = greatest(0, kept.bad + %(bad)s), updated_at = now()
"""  # noqa: S608  (nothing in it is a caller's)


def move(workspace_id: Any, model: str, complexity: str, good: float, bad: float) -> None:
    """Add to a model's explicit evidence, or take from it, on Django's connection."""
    if good or bad:
        with connection.cursor() as cursor:
            cursor.execute(
                MOVE,
                {"workspace": workspace_id, "model": model, "complexity": complexity, "good": good, "bad": bad},
            )
