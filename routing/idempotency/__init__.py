"""`Idempotency-Key`: the same key and body replay the first answer for a day; another body is refused.

A request that carries one claims it in Postgres before anything is asked (`store`), keeps its answer there before the
answer's last byte is sent (`claim`), and so holds across processes and restarts. A request without one pays for a
look at its headers alone.

Kept is every answer that was made once a provider was asked, a client's own fault included, and every whole answer:
those of `claim.is_kept`. What a retry may turn into a success is not: a refused secret, a limit, a budget, a failed or
absent provider, a client that left before the end. Then the key is free again.
"""

from routing.idempotency.claim import Claim, first_answer
from routing.idempotency.naming import HEADER
from routing.idempotency.store import Kept

__all__ = ["HEADER", "Claim", "Kept", "first_answer"]
